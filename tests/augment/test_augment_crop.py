"""Random resized crop, centre box and flip."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.augment import (
    OPERATORS,
    apply_crop,
    apply_flip,
    center_box,
    crop_draws,
    crop_views,
    plan_views,
    sample_crop,
)
from simclr_tf.errors import ConfigError
from simclr_tf.seeding import fold_in
from tests.oracles.augment_resize import crop_and_resize


def seeds(count, key=7):
    return tf.stack([tf.range(count), tf.fill([count], key)], axis=1)


def boxes_of(count, height, width, **keywords):
    return sample_crop(seeds(count), height, width, **keywords).numpy().astype(np.int64)


def random_images(*shape, seed=0):
    return np.random.default_rng(seed).random(shape).astype(np.float32)


def distance_from_uniform(values):
    """Kolmogorov-Smirnov distance of values in [0, 1] from the uniform law."""
    values = np.sort(values)
    steps = np.arange(len(values) + 1) / len(values)
    return max(np.max(values - steps[:-1]), np.max(steps[1:] - values))


def limit(count):
    """The distance that uniform values exceed once in a thousand times."""
    return 1.95 / np.sqrt(count)


def test_area_is_uniform_between_its_bounds():
    _, _, h, w = boxes_of(20000, 4000, 3000).T
    fraction = h * w / (4000 * 3000)
    assert distance_from_uniform((fraction - 0.08) / 0.92) < limit(20000)


def test_aspect_is_log_uniform_where_the_area_leaves_it_free():
    _, _, h, w = boxes_of(20000, 4000, 3000).T
    fraction, aspect = h * w / (4000 * 3000), (w / 3000) / (h / 4000)
    position = np.log(aspect)[fraction < 0.75] / np.log(16 / 9) + 0.5
    assert distance_from_uniform(np.clip(position, 0, 1)) < limit(len(position))


def test_positions_are_uniform_over_all_places_that_fit():
    y, x, h, w = boxes_of(20000, 4000, 3000).T
    roomy = (h < 3600) & (w < 2700)
    for start, room in ((y, 4000 - h), (x, 3000 - w)):
        position = (start[roomy] + 0.5) / (room[roomy] + 1)
        assert distance_from_uniform(position) < limit(roomy.sum())


def test_area_aspect_and_position_are_drawn_independently():
    y, x, h, w = boxes_of(20000, 4000, 3000).T
    roomy = (h * w < 0.7 * 4000 * 3000) & (h < 3600) & (w < 2700)
    y, x, h, w = y[roomy], x[roomy], h[roomy], w[roomy]
    draws = np.stack([h * w, np.log(w / h), y / (4000 - h), x / (3000 - w)])
    correlations = np.abs(np.corrcoef(draws) - np.eye(4))
    # Boxes near the border are left out, which ties aspect to area a little.
    correlations[0, 1] = correlations[1, 0] = 0.0
    assert correlations.max() < 4 / np.sqrt(roomy.sum())


@pytest.mark.parametrize(
    ("height", "width"), [(32, 32), (28, 28), (375, 500), (7, 5), (1, 1), (3, 200)]
)
def test_no_box_in_20000_is_below_the_exact_floor_or_outside(height, width):
    y, x, h, w = boxes_of(20000, height, width).T
    assert np.all(100 * h * w >= 8 * height * width)
    assert y.min() >= 0 and x.min() >= 0 and h.min() >= 1 and w.min() >= 1
    assert np.all(y + h <= height) and np.all(x + w <= width)


def test_small_crops_down_to_the_exact_floor_do_occur():
    _, _, h, w = boxes_of(20000, 256, 256).T
    assert (h * w).min() / 256**2 < 0.081


def test_the_reference_floor_is_a_tenth():
    _, _, h, w = boxes_of(20000, 256, 256, floor="reference").T
    assert np.all(10 * h * w >= 256 * 256)
    assert (h * w).min() / 256**2 < 0.101


def test_aspects_that_cannot_fit_keep_the_area_and_come_as_near_as_they_can():
    _, _, h, w = boxes_of(
        1000, 400, 400, area_min_fraction=0.5, aspect_min=3.0, aspect_max=4.0
    ).T
    assert np.all(w == 400)
    assert np.all(2 * h * w >= 400 * 400)


def test_a_fixed_box_takes_no_randomness():
    boxes = boxes_of(50, 30, 20, area_min_fraction=1.0)
    np.testing.assert_array_equal(boxes, [[0, 0, 30, 20]] * 50)


def test_height_and_width_may_be_tensors():
    boxes = sample_crop(seeds(100), tf.constant(37), tf.constant(53))
    np.testing.assert_array_equal(boxes, boxes_of(100, 37, 53))


@pytest.mark.parametrize(
    "keywords",
    [
        {"area_min_fraction": 0.0},
        {"area_max_fraction": 1.2},
        {"aspect_min": 2.0},
        {"floor": "none"},
    ],
)
def test_sample_crop_refuses_values_outside_their_range(keywords):
    with pytest.raises(ConfigError, match=f"`{next(iter(keywords))}`"):
        sample_crop(seeds(1), 8, 8, **keywords)


@pytest.mark.parametrize("box", [(0, 0, 11, 13), (3, 2, 5, 9), (10, 0, 1, 1)])
def test_apply_crop_equals_the_oracle(box):
    image = random_images(11, 13, 2)
    crop = apply_crop(image[None], tf.constant([box]), (8, 16))
    expected = crop_and_resize(image, box, 8, 16)
    np.testing.assert_allclose(crop[0], expected, atol=1e-5)


@pytest.mark.parametrize("size", [(8, 8), (24, 31), (45, 7), (1, 1), (40, 52)])
def test_apply_crop_equals_tf_image_resize_of_each_crop(size):
    images = random_images(12, 40, 52, 3)
    boxes = sample_crop(seeds(12), 40, 52)
    crops = apply_crop(images, boxes, size)
    for image, (y, x, h, w), crop in zip(images, boxes.numpy(), crops, strict=True):
        resized = tf.image.resize(image[y : y + h, x : x + w], size, "bicubic")
        np.testing.assert_allclose(crop, np.clip(resized, 0, 1), atol=1e-5)


def test_overshoot_of_the_cubic_kernel_is_clipped():
    image = (np.indices((8, 8)).sum(axis=0) % 2).astype(np.float32)[None, :, :, None]
    crop = apply_crop(image, tf.constant([[0, 0, 8, 8]]), 20).numpy()
    unclipped = tf.image.resize(image, (20, 20), "bicubic").numpy()
    assert unclipped.min() < -0.01 and unclipped.max() > 1.01
    assert crop.min() == 0.0 and crop.max() == 1.0


def test_the_whole_box_at_the_same_size_is_the_image():
    images = random_images(2, 9, 7, 3)
    crops = apply_crop(images, tf.constant([[0, 0, 9, 7]] * 2), (9, 7))
    np.testing.assert_allclose(crops, images, atol=1e-6)


@pytest.mark.parametrize("size", [(8, 8), (45, 7)])
def test_mirrored_crops_are_to_the_bit_those_that_are_mirrored_afterwards(size):
    images, flips = random_images(12, 40, 52, 3), tf.constant([True, False, True] * 4)
    boxes = sample_crop(seeds(12), 40, 52)
    expected = apply_flip(apply_crop(images, boxes, size), flips)
    np.testing.assert_array_equal(
        apply_crop(images, boxes, size, flips=flips), expected
    )


@pytest.mark.parametrize("boxes", [[[0.0, 0.0, 1.0, 1.0]], [[0, 0, 1]], [0, 0, 1, 1]])
def test_apply_crop_refuses_other_boxes(boxes):
    with pytest.raises(ConfigError, match="`boxes` must be int32"):
        apply_crop(random_images(1, 4, 4, 1), tf.constant(boxes), 4)


@pytest.mark.parametrize(
    ("shape", "side"), [((375, 500), 328), ((256, 256), 224), ((100, 400), 88)]
)
def test_center_box_has_the_references_sizes_and_is_central(shape, side):
    y, x, h, w = center_box(*shape, 224).numpy()
    assert (h, w) == (side, side)
    assert abs(2 * y + h - shape[0]) <= 1 and abs(2 * x + w - shape[1]) <= 1


def test_center_box_has_the_views_aspect():
    assert center_box(100, 100, (10, 20), fraction=1.0).numpy().tolist() == [
        25,
        0,
        50,
        100,
    ]


def test_views_of_two_sides_are_stretched_by_at_most_4_3_against_the_whole_picture():
    """Crops of the paper in a picture of another aspect than the view, in NumPy loops.

    A view of 64 x 96 of a picture of 384 x 512: an area a of the picture, uniform in
    [0.08, 1], and the picture's own aspect times a factor in [3/4, 4/3], cut to what
    fits; resized to the view pixel by pixel.
    """
    height, width, count = 384, 512, 40
    plan = plan_views("simclr_v1", (64, 96))
    draws = crop_draws(seeds(count), plan).numpy()[:, 0].astype(np.float64)
    own = OPERATORS["crop"].own_seeds(fold_in(seeds(count), 0))
    boxes = sample_crop(own, height, width).numpy()
    for (u_area, u_aspect, u_y, u_x), (y, x, h, w) in zip(draws, boxes, strict=True):
        area = 0.08 + u_area * 0.92
        most = min(np.log(4 / 3), -np.log(area))
        factor = np.exp((2 * u_aspect - 1) * most)
        assert abs(h - height * np.sqrt(area / factor)) <= 1
        assert abs(w - width * np.sqrt(area * factor)) <= 1
        assert 0.08 <= h * w / (height * width) <= 1
        assert 0.73 < (w / h) / (width / height) < 1.36
        assert (y, x) == (int(u_y * (height - h + 1)), int(u_x * (width - w + 1)))
    picture = random_images(height, width, 1)
    view = crop_views(picture, seeds(count)[3], plan)[0]
    expected = crop_and_resize(picture, tuple(boxes[3]), 64, 96)
    # TensorFlow's cubic kernel is a table of 1,024 steps a pixel.
    np.testing.assert_allclose(view, expected, atol=1e-3)


def test_views_of_two_sides_are_tested_on_a_centre_crop_of_their_aspect():
    for height, width in ((384, 512), (512, 384), (100, 400)):
        y, x, h, w = center_box(height, width, (64, 96)).numpy()
        assert max(h / height, w / width) == pytest.approx(0.875, abs=0.5 / 64)
        assert w / h == pytest.approx(96 / 64, rel=0.02)
        assert abs(2 * y + h - height) <= 1 and abs(2 * x + w - width) <= 1


def test_flip_mirrors_only_the_chosen_images():
    images = random_images(3, 4, 5, 2)
    flipped = apply_flip(images, tf.constant([True, False, True])).numpy()
    np.testing.assert_array_equal(flipped[1], images[1])
    np.testing.assert_array_equal(flipped[[0, 2]], images[[0, 2], :, ::-1])
