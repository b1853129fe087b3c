"""The images of a distillation: to learn from, and labelled ones to test on."""

from __future__ import annotations

import logging

import numpy as np

from simclr_tf.data import kind_of, label_subset, open_source
from simclr_tf.data.label_budgets import TEST_FRACTION, hold_out
from simclr_tf.data.sources.kind import MissingSplitError
from simclr_tf.errors import ConfigError, DataError, require
from simclr_tf.training.batches import open_training_source
from simclr_tf.training.classifier_records import number_labels_as

LOG = logging.getLogger("simclr_tf")


def open_learning_and_test_images(config, teacher, names):
    """Open the images to learn from, and the labelled ones to test on.

    Without a test split every fifth labelled image of each class is held out, as in
    evaluation: the student does not learn from it.

    Args:
      config: DistillConfig.
      teacher: keras.Model of `load_classifier`.
      names: tuple of str, the teacher's classes; None if not known.

    Returns:
      (train, test): Sources; `train` has the labels that may be used, if any.

    Raises:
      ConfigError, DataError: images that are missing or have no labels.
    """
    train = open_training_source(config.run_config(teacher.input_shape[-1]))
    if config.alpha < 1 and train.labels is None:
        raise DataError(
            f"{train.name} has no labels in its split '{config.split}': alpha < 1 "
            "needs labels. Use --alpha=1 to learn from the teacher alone."
        )
    try:
        test = _labelled(config, teacher, config.test_split or "test")
    except MissingSplitError as error:
        if config.test_split or not kind_of(_test_data(config))[0].may_hold_out:
            raise
        train, test = _held_out(config, teacher, train, error)
    if config.alpha == 1:
        train.without_labels()
    else:
        chosen = label_subset(
            train.labels, fraction=config.label_fraction, seed=config.seed
        )
        _check_classes(teacher, names, train)
        train.keep_labels(chosen)
    _check_classes(teacher, names, test)
    return train, test


def _test_data(config):
    return config.data if config.test_data is None else config.test_data


def _held_out(config, teacher, train, error):
    """Return (train, test) of a data set without a test split."""
    is_same = _test_data(config) == config.data
    split = config.split if is_same else "train"
    try:
        labelled = _labelled(config, teacher, split)
    except (ConfigError, DataError):
        raise error from None
    learn, test = hold_out(labelled.labels)
    LOG.warning(
        "%s Testing on %.0f %% of the images of `%s`, held out from the student.",
        error,
        100 * TEST_FRACTION,
        split,
    )
    if is_same:  # Images without a label are learned from too.
        train = train.subset(np.setdiff1d(np.arange(train.num_examples), test))
    return train, labelled.subset(test)


def _labelled(config, teacher, split):
    """Open labelled images to test on."""
    data = _test_data(config)
    try:
        source = open_source(
            data,
            split=split,
            data_dir=config.data_dir,
            channels=teacher.input_shape[-1],
            max_corrupt_fraction=config.max_corrupt_fraction,
            background=config.background,
        )
    except (ConfigError, DataError) as error:
        message = (
            f"{error} Teacher and student are tested on --test_data (now {data}) and "
            f"--test_split (now {split})."
        )
        if isinstance(error, DataError):
            raise error.restated(message) from error
        raise ConfigError(message) from error
    if source.labels is None or source.labels.max() < 0:
        why = f" ({source.why_unlabelled})" if source.why_unlabelled else ""
        raise (DataError if why else MissingSplitError)(
            f"{data} has no labels in its split '{split}'{why}, and teacher and "
            "student are tested on labelled images: choose some with --test_data and "
            "--test_split."
        )
    return source


def _check_classes(teacher, names, source):
    """Refuse labels of other classes; number those with names as the teacher does."""
    if names is not None and source.classes is not None:
        number_labels_as(source, names)
        return
    known, named = teacher.output_shape[-1], source.classes is not None
    # Without class names, a class without images cannot be noticed.
    fits = source.num_classes == known if named else source.num_classes <= known
    require(
        fits,
        f"The labels of {source.name} must be the teacher's classes.",
        teacher=known,
        labels=source.num_classes,
    )
