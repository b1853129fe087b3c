"""A sample of images with their features, as the page of a run needs it."""

import dataclasses

import numpy as np

from simclr_tf.data import evaluation_batches, open_source, plain_errors
from simclr_tf.errors import ConfigError, DataError
from simclr_tf.evaluation import extract_features
from simclr_tf.report.thumbnails import thumbnails

THUMBNAIL_PIXELS = 48
_FLAGS = {"data": "source"}  # Flag -> option, where they differ.


@dataclasses.dataclass(frozen=True)
class ImageSample:
    """Some images of a split, row by row.

    Attributes:
      features: float32 `[n, F]`.
      thumbnails: uint8 `[n, T, T, C]`.
      labels: int64 `[n]`, -1 for unlabelled, or None.
      names: list of n str.
      classes: tuple of str, or None.
    """

    features: np.ndarray
    thumbnails: np.ndarray
    labels: np.ndarray | None
    names: list
    classes: tuple | None


def sampled_sources(options, chosen, *, channels, number, seed=0):
    """A sample of training images and one of test images.

    Where there is no test split, both come from the training images, and no image is
    in both.

    Args:
      options: DataConfig of the run.
      chosen: dict with any of data, split, test_split, data_dir: what differs.
      channels: int, of the images that the encoder takes.
      number: int >= 2, of each sample at most.
      seed: int, of the samples.

    Returns:
      (training, test, all training images, DataConfig, str): Sources, the options in
      force, and what to say about the test images, or "".

    Raises:
      SimCLRError: images that cannot be opened.
    """
    options = dataclasses.replace(
        options, **{_FLAGS.get(name, name): value for name, value in chosen.items()}
    )
    if options.source.startswith("python:"):
        raise ConfigError(
            "The images of this run came from Python: name images with --data."
        )
    train = _open(options, options.split, channels)
    rng = np.random.default_rng(seed)
    try:
        test = _open(options, options.test_split, channels)
    except (DataError, ConfigError):
        if "test_split" in chosen:
            raise
        order = rng.permutation(train.num_examples)
        held_out = min(number, max(2, train.num_examples // 5))
        note = (
            f"`{options.source}` has no split `{options.test_split}`: the images "
            "tested are training images of the run."
        )
        return (
            train.subset(order[held_out:][:number]),
            train.subset(order[:held_out]),
            train,
            options,
            note,
        )
    return (
        *(
            source.subset(rng.permutation(source.num_examples)[:number])
            for source in (train, test)
        ),
        train,
        options,
        "",
    )


def encode_sample(source, encoder, image_size_pixels, batch_size=128):
    """Features and thumbnails of all images of a source.

    Args:
      source: Source.
      encoder: keras.Model, as for `extract_features`.
      image_size_pixels: int, size of the images as the encoder sees them.
      batch_size: int.

    Returns:
      ImageSample.

    Raises:
      DataError: images that cannot be read.

    Example:
      >>> from simclr_tf._keras import keras
      >>> source = open_source((np.zeros([3, 8, 8, 1], np.uint8), np.array([0, 1, 1])))
      >>> encoder = keras.Sequential([keras.layers.GlobalAveragePooling2D()])
      >>> found = encode_sample(source, encoder, 8)
      >>> found.features.shape, found.labels.tolist()
      ((3, 1), [0, 1, 1])
    """
    small = []

    def watched():
        for batch in evaluation_batches(source, batch_size, image_size_pixels):
            small.append(thumbnails(batch["images"], THUMBNAIL_PIXELS))
            yield batch

    with plain_errors():
        features, labels, ids = extract_features(encoder, watched())
    return ImageSample(
        features,
        np.concatenate(small),
        labels,
        [source.example_name(example) for example in ids],
        source.classes,
    )


def _open(options, split, channels):
    return open_source(
        options.source,
        split=split,
        data_dir=options.data_dir,
        channels=channels,
        max_corrupt_fraction=options.max_corrupt_fraction,
        memory_limit_bytes=0,
    )  # Only a sample of it is decoded.
