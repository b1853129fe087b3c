"""A sample of images with their features, for the page of a run."""

import dataclasses
import itertools

import numpy as np

from simclr_tf.commands.labelled_data import with_chosen
from simclr_tf.data import evaluation_batches, open_source, plain_errors
from simclr_tf.data.label_budgets import hold_out
from simclr_tf.errors import ConfigError, DataError
from simclr_tf.evaluation import extract_features
from simclr_tf.report.thumbnails import thumbnails

THUMBNAIL_PIXELS = 96
_NAMED = 5


@dataclasses.dataclass(frozen=True)
class ImageSample:
    """Some images of a split, row by row.

    Attributes:
      features: float32 `[n, F]`.
      thumbnails: uint8 `[n, T, T, C]`.
      labels: int64 `[n]`, -1 for unlabelled, or None.
      names: list of n str.
      classes: tuple of str, or None.
      rows: int64 `[n]`, their rows in the source; images that cannot be read are
        missing.
    """

    features: np.ndarray
    thumbnails: np.ndarray
    labels: np.ndarray | None
    names: list
    classes: tuple | None
    rows: np.ndarray | None = None


def sampled_sources(options, chosen, *, channels, number, seed=0):
    """Sample training images and test images.

    Without a test split both come from the training images, and no image is in both:
    of labelled images, the test sample has those that `evaluate` tests on. Images that
    cannot be read are skipped, however many there are unless `chosen` has
    `data.max_corrupt_fraction`.

    Args:
      options: DataConfig of the run.
      chosen: dict with any of data, split, test_split, data_dir: what differs.
      channels: int, of the images that the encoder takes.
      number: int >= 2, of each sample at most.
      seed: int, of the samples.

    Returns:
      (training, test, all training images, DataConfig, str): Sources, the options that
      were used, and a note about the test images, or "".

    Raises:
      SimCLRError: images that cannot be opened.
    """
    allowed = {"data.max_corrupt_fraction": 1.0}  # A page has notes instead.
    options = with_chosen(options, {**allowed, **chosen})
    train = _open(options, options.split, channels)
    rng = np.random.default_rng(seed)
    try:
        test = _open(options, options.test_split, channels)
    except (DataError, ConfigError) as error:
        if "test_split" in chosen:
            raise
        learn, held_out = _held_out(train, rng)
        note = f"The test images are training images of the run: {error}"
        return (
            train.subset(learn[:number]),
            train.subset(held_out[:number]),
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
    """Compute features and thumbnails of all images of a source.

    Args:
      source: Source.
      encoder: keras.Model, as for `extract_features`.
      image_size_pixels: int or (height, width) of the images as the encoder sees
        them.
      batch_size: int.

    Returns:
      ImageSample.

    Raises:
      DataError: none of the images can be read.

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
        batches = watched()
        first = next(batches, None)
        if first is None:
            raise DataError(
                f"None of the {source.num_examples:,} sampled images of "
                f"`{source.name}`, split `{source.split}`, can be read."
            )
        features, labels, rows = extract_features(
            encoder, itertools.chain([first], batches)
        )
    return ImageSample(
        features,
        np.concatenate(small),
        labels,
        [source.example_name(example) for example in rows],
        source.classes,
        rows,
    )


def readable_part(source, sample):
    """Leave out the images of a source that cannot be read, and note how many.

    Args:
      source: Source that the sample was made of.
      sample: ImageSample of `encode_sample`.

    Returns:
      (Source, str): the readable images, and a note how many were left out, or "".

    Raises:
      DataError: fewer than 2 images can be read.
    """
    number = source.num_examples - len(sample.rows)
    if not number:
        return source, ""
    missing = np.setdiff1d(np.arange(source.num_examples), sample.rows)[:_NAMED]
    names = ", ".join(source.example_name(row) for row in missing)
    more = f" and {number - _NAMED} more" if number > _NAMED else ""
    return source.subset(sample.rows), (
        f"Left out {number:,} of {source.num_examples:,} images of the split "
        f"`{source.split}`, which cannot be read: {names}{more}."
    )


def _held_out(source, rng):
    """Split rows without a test split into (learn, test), both in random order."""
    if source.labels is not None and np.max(source.labels) >= 0:
        parts = hold_out(source.labels)
        if min(map(len, parts)) >= 2:
            return tuple(rng.permutation(part) for part in parts)
    order = rng.permutation(source.num_examples)
    number = max(2, source.num_examples // 5)
    return order[number:], order[:number]


def _open(options, split, channels):
    return open_source(
        options.source,
        split=split,
        slices=options.slices,
        data_dir=options.data_dir,
        channels=channels,
        max_corrupt_fraction=options.max_corrupt_fraction,
        background=options.background,
        memory_limit_bytes=0,
    )  # Only a sample is decoded.
