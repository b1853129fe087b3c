"""The labelled images of an evaluation: a training set and a test set."""

import logging
import pathlib

import numpy as np

from simclr_tf.data import kind_of, open_source
from simclr_tf.data.class_labels import same_numbering
from simclr_tf.data.label_budgets import TEST_FRACTION, hold_out
from simclr_tf.data.sources.kind import IN_ORDER, MissingSplitError
from simclr_tf.errors import ConfigError, DataError, SimCLRError
from simclr_tf.files import printable
from simclr_tf.training.image_list import read_image_list

LOG = logging.getLogger("simclr_tf")
_NEEDED = (
    "probes need a labelled set, e.g. --data=folder:PATH with one sub-folder a class"
)
_NAMED, _NAMED_FILES = 5, 3


def labelled_data(options, chosen, *, channels, may_hold_out=None, workdir=None):
    """Open the training and the test images of an evaluation.

    Args:
      options: DataConfig of the run, or one made from flags.
      chosen: dict of flag to value, what differs from `options`.
      channels: int, of the images that the encoder takes.
      may_hold_out: bool; without a test split, or where it has no labels, hold out
        every fifth labelled image of each class (seeded), and log a line. None: the
        rule of the kind of data set.
      workdir: path of the run of the encoder, if it is one: a slice to test on is
        compared with its list of images.

    Returns:
      (train, test, DataConfig): sources with labels, and the options that were used.

    Raises:
      SimCLRError: images without labels, a missing split, or images of a test split
        that cannot be read.
    """
    options = with_chosen(options, chosen)
    if may_hold_out is None:
        may_hold_out = kind_of(options.source)[0].may_hold_out
    train = _open(options, options.split, channels)
    try:
        test = _open(options, options.test_split, channels)
    except MissingSplitError as error:
        if not may_hold_out or "test_split" in chosen:
            raise
        LOG.warning(
            "%s Testing on %.0f %% of the images of `%s`, held out from the "
            "probes (not from the pretraining).",
            error,
            100 * TEST_FRACTION,
            options.split,
        )
        learn, held_out = hold_out(train.labels)
        train, test = train.subset(learn), train.subset(held_out)
    else:
        if workdir is not None and "[" in test.split:
            _warn_of_known_images(test, pathlib.Path(workdir))
    for source in (train, test):
        if source.slice_rule == IN_ORDER:
            LOG.warning("The slice `%s` has %s.", source.split, IN_ORDER)
    train, test = same_numbering(train, test)
    compare_classes(train, test)
    return train, test, options


def _warn_of_known_images(test, workdir):
    """Warn of test images in a slice that are among those of the pretraining."""
    listed = set(read_image_list(workdir) or ())
    both = [printable(file[0]) for file in test.files() or () if file in listed]
    if both:
        LOG.warning(
            "%d of the %d test images of `%s` are among the images that %s was "
            "pretrained on (%s). A slice is cut from the images that are there, so it "
            "is another one when some were added or removed. For unseen test images, "
            "keep them in a folder `test` of their own.",
            len(both),
            test.num_examples,
            test.split,
            workdir,
            ", ".join([*both[:_NAMED_FILES], *["..."] * (len(both) > _NAMED_FILES)]),
        )


def with_chosen(options, chosen):
    """Change the options of a run's images.

    Args:
      options: DataConfig of the run.
      chosen: dict of flag to value, what differs.

    Returns:
      DataConfig.

    Raises:
      ConfigError: the images of the run were a Python object, and none are chosen.
    """
    options = options.with_flags(chosen)
    if options.source.startswith("python:"):
        raise ConfigError(
            "The images of this run were a Python object: choose images with --data."
        )
    return options


def compare_classes(train, test):
    """Warn of classes that only one of the two sets has.

    Args:
      train, test: Source with labels.

    Raises:
      DataError: they have no class in common.
    """
    parts = [np.unique(source.labels[source.labels >= 0]) for source in (train, test)]
    only_train, only_test = np.setdiff1d(*parts), np.setdiff1d(*parts[::-1])
    if len(parts[1]) and len(only_test) == len(parts[1]):
        raise DataError(
            f"The test images of `{test.name}` show no class of the training images, "
            "so every answer would be wrong: choose other splits with --split and "
            f"--test_split. Received: split={train.split} ({_named(train, parts[0])}), "
            f"test_split={test.split} ({_named(test, parts[1])})."
        )
    if len(only_train):
        LOG.warning(
            "%d of the %d classes have no test image, so how well they are told apart "
            "is not measured: %s.",
            len(only_train),
            len(parts[0]),
            _named(train, only_train),
        )
    if len(only_test):
        LOG.warning(
            "%d classes have test images but no training image (%s): %d test images "
            "cannot be named rightly, and count as wrong.",
            len(only_test),
            _named(test, only_test),
            np.isin(test.labels, only_test).sum(),
        )


def warn_of_small_classes(source, per_class):
    """Warn of classes that have fewer labels than a budget takes of each class.

    Args:
      source: Source with labels.
      per_class: int.
    """
    labels, counts = np.unique(source.labels[source.labels >= 0], return_counts=True)
    small = labels[counts < per_class]
    if len(small):
        LOG.warning(
            "%d of %d classes have fewer than %d labelled training images: all of "
            "theirs are used (%s).",
            len(small),
            len(labels),
            per_class,
            _named(source, small),
        )


def _named(source, labels):
    """Name some classes: `cats, dogs, mice and 4 more`."""
    names = ", ".join(source.class_name(label) for label in labels[:_NAMED])
    more = len(labels) - _NAMED
    return f"{names} and {more} more" if more > 0 else names


def has_labels_to_test_on(options, chosen):
    """Tell whether `labelled_data` would find labels to learn on and to test on.

    The images are listed, but not decoded.

    Args:
      options, chosen: as for `labelled_data`.

    Returns:
      bool.
    """
    options = options.with_flags(chosen)
    level = LOG.level
    LOG.setLevel(logging.ERROR)  # The run has told already what it left out.
    try:
        train = _open(options, options.split, None, memory_limit_bytes=0)
        try:
            _open(options, options.test_split, None, memory_limit_bytes=0)
        except MissingSplitError:
            learn, test = hold_out(train.labels)
            return (
                kind_of(options.source)[0].may_hold_out
                and min(len(learn), len(test)) >= 2
            )
    except SimCLRError:
        return False
    finally:
        LOG.setLevel(level)
    return True


def _open(options, split, channels, **limits):
    source = open_source(
        options.source,
        split=split,
        slices=options.slices,
        data_dir=options.data_dir,
        channels=channels,
        max_corrupt_fraction=options.max_corrupt_fraction,
        background=options.background,
        **limits,
    )
    if source.labels is None or not (source.labels >= 0).any():
        wrong = source.why_unlabelled
        raise (DataError if wrong else MissingSplitError)(
            f"{options.source} has no labels in its split '{split}': "
            f"{wrong or _NEEDED}."
        )
    return source
