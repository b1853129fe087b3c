"""The paper's other operators: cutout, rotation, Gaussian noise, Sobel filtering.

They are off in the named recipes and serve ablations (Figure 5) and users.

Source: SimCLR v1 (arXiv:2002.05709), Figure 4.
"""

import tensorflow as tf

from simclr_tf.augment.arguments import as_images, as_seeds, gate, per_image
from simclr_tf.augment.ranges import check_interval, check_probability
from simclr_tf.augment.separable import apply_separable
from simclr_tf.errors import require
from simclr_tf.seeding import fold_in, normal, uniform


def sample_cutout(seeds, height, width, *, probability=1.0, size_fraction=0.5):
    """A square for each image, centred on any of its pixels.

    Args:
      seeds: int32 `[B, 2]`.
      height, width: int, H and W.
      probability: float in [0, 1].
      size_fraction: float in (0, 1], side over the shorter of H and W.

    Returns:
      int32 tensor `[B, 4]`: (y, x, h, w); it may reach beyond the image (so that the
      borders are hidden as often as the middle), and is empty where not applied.

    Raises:
      ConfigError: a value is outside its range.

    Example:
      >>> sample_cutout(tf.constant([[0, 1]]), 32, 32)[0, 2:].numpy().tolist()
      [16, 16]

    Source: DeVries and Taylor (2017), arXiv:1708.04552, section 3.2: half the side.
    """
    check_probability("probability", probability)
    check_interval(
        "size_fraction", size_fraction, "size_fraction", size_fraction, most=1.0
    )
    side = max(1, round(size_fraction * min(height, width)))
    draws = uniform(as_seeds(seeds), (3,))
    sides = tf.where(gate(draws[:, 0], probability), side, 0)
    y = tf.cast(draws[:, 1] * height, tf.int32) - side // 2
    x = tf.cast(draws[:, 2] * width, tf.int32) - side // 2
    return tf.stack([y, x, sides, sides], axis=1)


def apply_cutout(images, boxes, *, fill=0.5):
    """Paint the boxes with one grey.

    Args:
      images: uint8 or floating in [0, 1], `[B, H, W, C]`.
      boxes: int32 `[B, 4]`: (y, x, h, w).
      fill: float in [0, 1].

    Returns:
      float32 tensor `[B, H, W, C]`.

    Raises:
      ConfigError: images or fill of another form.

    Example:
      >>> boxes = tf.constant([[0, 1, 1, 5]])
      >>> apply_cutout(tf.ones([1, 2, 3, 1]), boxes)[0, :, :, 0].numpy().tolist()
      [[1.0, 0.5, 0.5], [1.0, 1.0, 1.0]]
    """
    images = as_images(images)
    check_probability("fill", fill)
    y, x, h, w = (side[:, tf.newaxis] for side in tf.unstack(boxes, axis=1))
    rows, columns = tf.range(images.shape[1]), tf.range(images.shape[2])
    in_rows = (rows >= y) & (rows < y + h)  # [B, H]
    in_columns = (columns >= x) & (columns < x + w)  # [B, W]
    hidden = in_rows[:, :, tf.newaxis] & in_columns[:, tf.newaxis, :]
    return tf.where(hidden[..., tf.newaxis], fill, images)


def sample_rotate(seeds, *, probability=1.0):
    """Quarter turns for each image: 1, 2 or 3, equally likely.

    Args:
      seeds: int32 `[B, 2]`.
      probability: float in [0, 1].

    Returns:
      int32 tensor `[B]` in 0..3; 0 where not applied.

    Raises:
      ConfigError: a value is outside its range.

    Example:
      >>> int(sample_rotate(tf.constant([[0, 1]]))[0]) in (1, 2, 3)
      True

    Source: SimCLR v1, Figure 4: rotate {90, 180, 270}.
    """
    check_probability("probability", probability)
    draws = uniform(as_seeds(seeds), (2,))
    turns = 1 + tf.minimum(tf.cast(draws[:, 1] * 3.0, tf.int32), 2)
    return tf.where(gate(draws[:, 0], probability), turns, 0)


def apply_rotate(images, quarter_turns):
    """Rotate each image counter-clockwise by its quarter turns.

    Args:
      images: uint8 or floating in [0, 1], `[B, H, H, C]`: square.
      quarter_turns: int32 `[B]` in 0..3.

    Returns:
      float32 tensor `[B, H, H, C]`.

    Raises:
      ConfigError: images that are not square, or of another form.

    Example:
      >>> images = tf.reshape([0.1, 0.2, 0.3, 0.4], [1, 2, 2, 1])
      >>> turned = apply_rotate(images, tf.constant([1]))
      >>> [round(float(v), 1) for v in tf.reshape(turned, [-1])]
      [0.2, 0.4, 0.1, 0.3]
    """
    images = as_images(images)
    _, height, width, _ = images.shape
    require(
        height == width,
        "Rotation by 90 or 270 degrees needs square images. Make the views square "
        "(image_size_pixels=...) or set rotate_probability=0.",
        height=height,
        width=width,
    )
    # Mirror, then transpose. The mirrors are matrices: XLA would fuse selections among
    # mirrored copies with whatever made the images, and make them anew for each copy
    # and pixel (75 times the time of a whole recipe).
    mirrored = apply_separable(
        images,
        _maybe_reversed(quarter_turns >= 2, height),
        _maybe_reversed((quarter_turns == 1) | (quarter_turns == 2), width),
    )
    is_odd = per_image(quarter_turns % 2 == 1)
    return tf.where(is_odd, tf.transpose(mirrored, [0, 2, 1, 3]), mirrored)


def _maybe_reversed(reversed_, size):
    """`[B, size, size]`: the identity, or the matrix that reverses an axis."""
    identity = tf.eye(size)
    return tf.where(reversed_[:, tf.newaxis, tf.newaxis], identity[::-1], identity)


def sample_noise(seeds, shape, *, probability=1.0, stddev_min=0.05, stddev_max=0.2):
    """Gaussian noise for each image, with a strength of its own.

    Args:
      seeds: int32 `[B, 2]`.
      shape: tuple of ints, (H, W, C).
      probability: float in [0, 1].
      stddev_min, stddev_max: float, 0 <= min <= max, on the scale [0, 1].

    Returns:
      float32 tensor `[B, H, W, C]`; 0 where not applied.

    Raises:
      ConfigError: a value is outside its range.

    Example:
      >>> sample_noise(tf.constant([[0, 1]]), (4, 4, 3)).shape.as_list()
      [1, 4, 4, 3]

    Source: SimCLR v1, Figure 4. The paper gives no strength; 0.05 to 0.2 is ours.
    """
    check_probability("probability", probability)
    check_interval("stddev_min", stddev_min, "stddev_max", stddev_max, exclusive=False)
    seeds = as_seeds(seeds)
    # One call each: draw 0 of `uniform` and of `normal` would be the same bits.
    scalars = uniform(fold_in(seeds, 0), (2,))
    stddev = stddev_min + scalars[:, 1] * (stddev_max - stddev_min)
    stddev = tf.where(gate(scalars[:, 0], probability), stddev, 0.0)
    return per_image(stddev) * normal(fold_in(seeds, 1), tuple(shape))


def apply_noise(images, noise):
    """Add the noise and clip to [0, 1].

    Args:
      images: uint8 or floating in [0, 1], `[B, H, W, C]`.
      noise: float32 `[B, H, W, C]`.

    Returns:
      float32 tensor `[B, H, W, C]` in [0, 1].

    Raises:
      ConfigError: images of another form.

    Example:
      >>> apply_noise(tf.ones([1, 1, 1, 1]), tf.fill([1, 1, 1, 1], 0.3)).numpy().item()
      1.0
    """
    return tf.clip_by_value(as_images(images) + noise, 0.0, 1.0)


def sample_sobel(seeds, *, probability=1.0):
    """Whether each image is replaced by its edges.

    Args:
      seeds: int32 `[B, 2]`.
      probability: float in [0, 1].

    Returns:
      bool tensor `[B]`.

    Raises:
      ConfigError: a value is outside its range.

    Example:
      >>> sample_sobel(tf.constant([[0, 1]])).numpy().tolist()
      [True]
    """
    check_probability("probability", probability)
    return gate(uniform(as_seeds(seeds)), probability)


def apply_sobel(images, sobel):
    """The gradient's magnitude, per channel, of the chosen images.

    Gy = [1 2 1]^T [-1 0 1] smoothing one axis and differentiating the other, Gx its
    transpose; sqrt(Gx^2 + Gy^2) / 4, clipped to [0, 1], so that a full step from
    black to white along one axis is 1. Borders are reflected.

    Args:
      images: uint8 or floating in [0, 1], `[B, H, W, C]`, H and W >= 2.
      sobel: bool `[B]`.

    Returns:
      float32 tensor `[B, H, W, C]` in [0, 1].

    Raises:
      ConfigError: images of another form, or of one pixel's height or width.

    Example:
      >>> step = tf.reshape([0.0, 0.0, 1.0, 1.0] * 4, [1, 4, 4, 1])
      >>> apply_sobel(step, tf.constant([True]))[0, 1, :, 0].numpy().tolist()
      [0.0, 1.0, 1.0, 0.0]

    Source: SimCLR v1, Figure 4; gradients as `tf.image.sobel_edges`.
    """
    images = as_images(images)
    _, height, width, _ = images.shape
    require(
        height >= 2 and width >= 2,
        "Sobel filtering needs images of at least 2 x 2 pixels.",
        height=height,
        width=width,
    )
    padded = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="REFLECT")
    rows = [padded[:, i : i + height] for i in range(3)]  # 3 x [B, H, W + 2, C]
    smooth, differ = rows[0] + 2.0 * rows[1] + rows[2], rows[2] - rows[0]
    along_x = smooth[:, :, 2:] - smooth[:, :, :-2]
    along_y = differ[:, :, :-2] + 2.0 * differ[:, :, 1:-1] + differ[:, :, 2:]
    magnitude = tf.sqrt(along_x * along_x + along_y * along_y) / 4.0
    return tf.where(per_image(sobel), tf.minimum(magnitude, 1.0), images)
