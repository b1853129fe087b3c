"""Small image files of one size, decoded once and kept in memory."""

import numpy as np
import tensorflow as tf

from simclr_tf.data.arrays import ArraySource
from simclr_tf.data.corruption import check_corrupt_fraction, report_dropped
from simclr_tf.data.image_cache import ImageCache
from simclr_tf.data.pixels import first_success
from simclr_tf.data.random_access import sample_images

_BATCH = 256
_GOOD, _BROKEN, _OTHER_SIZE = 0, 1, 2


class _OtherSize(Exception):
    """An image is not of the size of the sample."""


def decode_into_memory(source, memory_limit_bytes, cache=None):
    """An EncodedSource as an ArraySource, if its images have one size and fit.

    Images in memory are augmented in batches on the device, which for small images is
    much faster than one by one. A sample of 16 images decides whether to try; the
    first image of another size ends the attempt.

    Args:
      source: EncodedSource.
      memory_limit_bytes: int, the most that the pixels may take; 0: never.
      cache: ImageCache; one on disk keeps the pixels for the next time.

    Returns:
      ArraySource with the names, labels and fingerprint of `source`, without the images
      that turned out to be broken; or `source` itself.

    Raises:
      DataError: if too many images are broken.
    """
    shapes = {tuple(image.shape[:2]) for image in sample_images(source)}
    if len(shapes) != 1:
        return source
    shape = (*shapes.pop(), source.channels)
    if source.num_examples * int(np.prod(shape)) > memory_limit_bytes:
        return source
    try:
        states, images = (cache or ImageCache()).pixels(
            source, shape, lambda: _of_one_size(_decoding(source, shape))
        )
    except _OtherSize:
        return source
    return _without_broken(source, images, np.flatnonzero(states == _BROKEN))


def _decoding(source, shape):
    """Data set of (state, pixels) batches, in order."""
    nothing = tf.zeros(shape, tf.uint8)

    def read(*location):
        image = source.read_image(*location)
        fits = tf.reduce_all(tf.shape(image) == shape)
        image = tf.cond(fits, lambda: image, lambda: nothing)
        return tf.where(fits, _GOOD, _OTHER_SIZE), tf.ensure_shape(image, shape)

    def read_safely(*location):
        return first_success(
            tf.data.Dataset.from_tensors(location),
            read,
            tf.data.Dataset.from_tensors((_BROKEN, nothing)),
        )

    places = tf.data.Dataset.from_tensor_slices(
        source.locations(np.arange(source.num_examples))
    )
    return places.map(read_safely, num_parallel_calls=tf.data.AUTOTUNE).batch(_BATCH)


def _of_one_size(batches):
    for states, images in batches.as_numpy_iterator():
        if (states == _OTHER_SIZE).any():
            raise _OtherSize
        yield states, images


def _without_broken(source, images, broken):
    names = [source.example_name(example) for example in broken]
    report_dropped([(name, "it cannot be decoded") for name in names], source.name)
    corrupt = [*source.corrupt, *names]
    total = source.num_examples + source.num_dropped
    check_corrupt_fraction(corrupt, total, source.max_corrupt_fraction, source.name)
    details = {
        "classes": source.classes,
        "split": source.split,
        "corrupt": corrupt,
        "max_corrupt_fraction": source.max_corrupt_fraction,
    }
    labels = source.labels
    if len(broken):
        good = np.setdiff1d(np.arange(source.num_examples), broken)
        source, images = source.subset(good), images[good]
        labels = source.labels
    return ArraySource(source.name, images, labels, origin=source, **details)
