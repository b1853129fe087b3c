"""The labelled images of an evaluation: what to learn on, and what to test on."""

import dataclasses
import logging

import numpy as np

from simclr_tf.data import kind_of, label_subset, open_source
from simclr_tf.errors import ConfigError, DataError

LOG = logging.getLogger("simclr_tf")
HELD_OUT_FRACTION = 0.2
_FLAGS = {"data": "source"}  # Flag -> option, where they differ.


def labelled_data(options, chosen, *, channels, may_hold_out=None):
    """Open the training and the test images of an evaluation.

    Args:
      options: DataConfig of the run, or made up from flags.
      chosen: dict of flag to value, what differs from `options`.
      channels: int, of the images that the encoder takes.
      may_hold_out: bool; without a test split, hold out every fifth labelled image of
        each class (seeded), and say so. None: the rule of the kind of data set.

    Returns:
      (train, test, DataConfig): sources with labels, and the options in force.

    Raises:
      SimCLRError: images without labels, or a split that is not there.
    """
    options = dataclasses.replace(
        options, **{_FLAGS.get(name, name): value for name, value in chosen.items()}
    )
    if options.source.startswith("python:"):
        raise ConfigError(
            "The images of this run came from Python: say which labelled images to use "
            "with --data."
        )
    if may_hold_out is None:
        may_hold_out = kind_of(options.source)[0].may_hold_out
    train = _open(options, options.split, channels)
    try:
        test = _open(options, options.test_split, channels)
    except (DataError, ConfigError) as error:
        if not may_hold_out or "test_split" in chosen:
            raise
        LOG.warning(
            "%s Testing on %.0f %% of the images of `%s`, held out from the "
            "probes (not from the pretraining).",
            error,
            100 * HELD_OUT_FRACTION,
            options.split,
        )
        learn = label_subset(train.labels, fraction=1 - HELD_OUT_FRACTION, seed=0)
        held_out = np.setdiff1d(np.flatnonzero(train.labels >= 0), learn)
        return train.subset(learn), train.subset(held_out), options
    return train, test, options


def _open(options, split, channels):
    source = open_source(
        options.source,
        split=split,
        data_dir=options.data_dir,
        channels=channels,
        max_corrupt_fraction=options.max_corrupt_fraction,
    )
    if source.labels is None:
        raise DataError(
            f"{options.source} has no labels in its split '{split}': probes need a "
            "labelled set, e.g. --data=folder:PATH with one sub-folder a class."
        )
    return source
