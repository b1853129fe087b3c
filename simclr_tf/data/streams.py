"""Streams: any `tf.data.Dataset` of images, read in its order or into memory."""

from __future__ import annotations

import logging

from simclr_tf.array_types import Dataset
from simclr_tf.data.arrays import ArraySource, channels_come_first
from simclr_tf.data.host_calls import on_host
from simclr_tf.errors import DataError, received_text
from simclr_tf.lazy import np, tf

_log = logging.getLogger("simclr_tf")


class StreamSource:
    """Images in the order of a `tf.data.Dataset`, without random access.

    For data sets that are infinite, larger than the memory limit, or hold images of
    different sizes. Batch k is a pure function of (seed, k) only if the data set has
    the same order each time, and starting at batch k means reading and dropping
    everything before it.

    Attributes:
      name, split, classes, channels, image_shape, corrupt: as in `Source`.
      num_examples: int, or None if it is not known beforehand.
      labels, num_classes: always None; with `has_labels`, each image has its label.
      has_labels: bool.
      dataset: tf.data.Dataset of (image, label) or (image,).
      dtype: NumPy type of the images.
    """

    def __init__(
        self,
        name: str,
        dataset: Dataset,
        *,
        channels: int | None = None,
        split: str = "train",
        max_corrupt_fraction: float = 0.01,
    ) -> None:
        self.name, self.split = name, split
        self.dataset = _as_tuples(dataset, name)
        spec = self.dataset.element_spec
        shape = spec[0].shape
        if shape.rank == 2:
            self.dataset = self.dataset.map(
                lambda image, *label: (image[..., tf.newaxis], *label)
            )
            shape = shape + [1]
        stored = shape[-1] if shape.rank == 3 else None
        if stored is None or stored != (channels or stored):
            raise DataError(
                "A tf.data.Dataset must give images [H, W, C] with a known number of "
                "channels; use `.map` with `tf.ensure_shape`, and `.unbatch()` for "
                "batches. "
                + received_text(
                    shape=shape.as_list() if shape.rank is not None else None,
                    channels=channels,
                )
            )
        if shape.is_fully_defined() and channels_come_first(shape):
            raise DataError(
                f"Images of `{name}` have their channels first; they must come last: "
                "use `.map` with `tf.transpose(image, [1, 2, 0])`. "
                + received_text(shape=shape.as_list())
            )
        self.channels, self.dtype = int(stored), spec[0].dtype.as_numpy_dtype
        self.image_shape = tuple(shape) if shape.is_fully_defined() else None
        cardinality = int(dataset.cardinality())
        self.num_examples = cardinality if cardinality >= 0 else None
        self.has_labels = len(spec) == 2
        if self.has_labels:
            _check_label(spec[1], name)
        self.labels, self.classes, self.num_classes = None, None, None
        self.corrupt, self.num_dropped, self.left_out = [], 0, {}
        self.max_corrupt_fraction = max_corrupt_fraction

    def __repr__(self):
        count = "?" if self.num_examples is None else self.num_examples
        return f"StreamSource({self.name!r}, {count} images, channels={self.channels})"

    def without_labels(self) -> None:
        """Forget the labels."""
        self.has_labels = False

    def example_name(self, example: int) -> str:
        """Name the example at position `example` of the stream, for a message."""
        return f"{self.name}#{int(example)}"

    def sampled_sizes(self) -> list[tuple[int, int]]:
        """List (height, width) of the images if all have one size, else nothing."""
        return [] if self.image_shape is None else [self.image_shape[:2]]

    def files(self) -> None:
        """Return None: the elements of a stream have no names."""
        return None

    def fingerprint(self) -> str:
        """Describe the type of the elements; the content of a stream is not known."""
        return f"stream:{self.dataset.element_spec}:{self.num_examples}"


def open_dataset(
    dataset, *, name, split, channels, max_corrupt_fraction, memory_limit_bytes
):
    """Open a `tf.data.Dataset` of images, (image, label), or dicts with those keys.

    A finite data set with images of one size is read once into memory, if it takes at
    most `memory_limit_bytes` there; then it can be shuffled like any other.

    Args:
      dataset: tf.data.Dataset of single images (no batches): uint8, or floats in
        [0, 1], `[H, W, C]` or `[H, W]`.
      name, split, channels, max_corrupt_fraction: as in `open_source`.
      memory_limit_bytes: int.

    Returns:
      ArraySource or StreamSource.

    Raises:
      DataError: for elements of another form.
    """
    tuples = _as_tuples(dataset, name)
    if int(dataset.cardinality()) != tf.data.INFINITE_CARDINALITY:
        kept = _read_all(tuples, memory_limit_bytes, name)
        if kept is not None:
            images, labels = kept
            return ArraySource(
                name,
                images,
                labels,
                channels=channels,
                split=split,
                max_corrupt_fraction=max_corrupt_fraction,
            )
    _log.info("`%s` is read as a stream, in its own order.", name)
    return StreamSource(
        name,
        dataset,
        channels=channels,
        split=split,
        max_corrupt_fraction=max_corrupt_fraction,
    )


def checked_image(image, name):
    """Check one streamed image; refuse floats outside [0, 1] and NaN.

    Args:
      image: uint8 or floating tensor `[H, W, C]`, inside a `Dataset.map`.
      name: str, the data set, for messages.

    Returns:
      uint8 or float32 tensor of that shape.
    """
    if image.dtype == tf.uint8:
        return image
    image = tf.cast(image, tf.float32)

    def refuse(lowest, highest):
        raise DataError(
            f"Float images of `{name}` must be in [0, 1] and hold no NaN. "
            + received_text(smallest=float(lowest), largest=float(highest))
        )

    # Written so that NaN is outside too.
    inside = tf.reduce_all((image >= 0) & (image <= 1))
    lowest, highest = tf.reduce_min(image), tf.reduce_max(image)
    fine = tf.cond(
        inside,
        lambda: tf.constant(True),
        lambda: tf.reshape(on_host(refuse, [lowest, highest], tf.bool), []),
    )
    with tf.control_dependencies([fine]):
        return tf.identity(image)


def _check_label(spec, name):
    """Refuse labels that are not numbers; they cannot be counted beforehand."""
    is_one = spec.shape.rank is None or spec.shape.num_elements() in (1, None)
    if is_one and (spec.dtype.is_integer or spec.dtype.is_bool):
        return
    way = (
        "`tf.argmax(label)`"
        if not is_one
        else "a `tf.lookup.StaticHashTable`"
        if spec.dtype == tf.string
        else "`tf.cast(label, tf.int64)`"
    )
    raise DataError(
        f"A stream such as `{name}` must give the number of the class as label; use "
        f"`.map` with {way}, or leave the labels out. "
        + received_text(shape=spec.shape.as_list(), dtype=spec.dtype.name)
    )


def _as_tuples(dataset, name):
    """Return elements as (image,) or (image, label)."""
    spec = dataset.element_spec
    if isinstance(spec, dict) and "image" in spec:
        keys = ("image", "label") if "label" in spec else ("image",)
        dataset = dataset.map(lambda element: tuple(element[key] for key in keys))
    elif isinstance(spec, tf.TensorSpec):
        dataset = dataset.map(lambda image: (image,))
    spec = dataset.element_spec
    if not (
        isinstance(spec, tuple)
        and len(spec) in (1, 2)
        and all(isinstance(part, tf.TensorSpec) for part in spec)
    ):
        raise DataError(
            "A tf.data.Dataset must give images, (image, label), or dicts with `image` "
            "and perhaps `label`. " + received_text(element_spec=spec)
        )
    if spec[0].shape.rank == 4:
        raise DataError(
            "A tf.data.Dataset must give single images, not batches; use `.unbatch()`. "
            + received_text(shape=spec[0].shape.as_list())
        )
    if spec[0].dtype != tf.uint8 and not spec[0].dtype.is_floating:
        raise DataError(
            f"Images of `{name}` must be uint8, or floats in [0, 1]. "
            + received_text(dtype=spec[0].dtype.name)
        )
    return dataset


def _read_all(dataset, memory_limit_bytes, name):
    """Read (images, labels) as arrays; None if they do not fit or differ in size."""
    images, labels, taken = [], [], 0
    iterator = dataset.as_numpy_iterator()
    while True:
        try:
            image, *label = next(iterator)
        except StopIteration:
            break
        except tf.errors.OpError as error:
            raise DataError(
                f"`{name}` fails at image {len(images)} "
                f"({error.message.splitlines()[0]}). " + received_text(data=name)
            ) from error
        taken += image.nbytes
        if taken > memory_limit_bytes or images and image.shape != images[0].shape:
            return None
        images.append(image)
        labels.extend(label)
    if not images:
        raise DataError(
            f"`{name}` must hold at least 1 image. "
            + received_text(num_examples=len(images))
        )
    return np.stack(images), np.array(labels) if labels else None
