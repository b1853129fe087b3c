"""The stages before and after a fine-tuning: the probe's weights, and a student."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import numpy as np

from simclr_tf._keras import keras
from simclr_tf.config.distill import DistillConfig
from simclr_tf.errors import DataError
from simclr_tf.evaluation.distillation import build_student
from simclr_tf.evaluation.features import extract_features
from simclr_tf.evaluation.linear_probe import linear_probe
from simclr_tf.models import (
    LOGITS,
    set_weights_by_name,
    weights_by_name,
)
from simclr_tf.training.student_training import train_student

# Standard deviation of features, below which a probe's weights are so large that their
# gradients would destroy the layers before them.
_SMALLEST_SPREAD = 0.05
_IMPROBABLE = 10.0  # Below the smallest logit.
_log = logging.getLogger("simclr_tf")


@dataclasses.dataclass(frozen=True)
class Stages:
    """What the trainings of one call share.

    Attributes:
      student: SelfDistillation, or None.
      folder: TrainingFolder around those of all trainings, or None.
      identity: dict of the protocol, or None without a folder.
    """

    student: Any
    folder: Any
    identity: dict | None

    def folder_of(self, cell):
        """Return the TrainingFolder of one training, or None.

        Args:
          cell: dict, JSON: what tells the training from others of the protocol.
        """
        if self.folder is None:
            return None
        is_teacher = self.student is not None and cell["method"] == "fine_tune"
        folder = self.folder.of(protocol=self.identity, training=cell)
        return dataclasses.replace(folder, at_end=is_teacher)


def probe_start(network, weights, batches, seed, *, if_it_fits=False):
    """Put a linear probe into the last layer of a classifier.

    Args:
      network: keras.Model of `classifier_network`; it keeps the result.
      weights: list of arrays, those of the network before.
      batches: data set of `evaluation_batches`, of labelled images.
      seed: int, of the images that the probe's penalty is chosen on.
      if_it_fits: bool: change nothing, and say so, if the labels are too few for a
        probe, or the features so small that its weights would be too large for the
        layers below.

    Returns:
      list of arrays, as `network.get_weights()`.

    Raises:
      DataError: too few labels for a probe, without `if_it_fits`.

    Source: Kumar et al., Fine-tuning can distort pretrained features (2022).
    """
    network.set_weights(weights)
    layer = network.get_layer(LOGITS)
    features, labels, _ = extract_features(_below_logits(network), batches)
    spread = float(np.sqrt(np.mean(np.var(features, axis=0))))
    try:
        if if_it_fits and spread < _SMALLEST_SPREAD:
            raise DataError(f"The features spread by {spread:.2g} only.")
        probe = linear_probe(features, labels, features, labels, seed=seed)
    except DataError as error:
        if not if_it_fits:
            raise
        _log.warning(
            "The classifier starts at zeros, not from a linear probe "
            "(--classifier_start=auto), and no share of the first weights is kept: %s",
            error,
        )
        return weights
    kernel = np.zeros(layer.kernel.shape)
    kernel[:, probe.classes] = probe.weights[:-1]
    # Classes without a label here: so improbable that the loss does not see them.
    scores = features @ probe.weights[:-1] + probe.weights[-1]
    bias = np.full(layer.bias.shape, scores.min() - _IMPROBABLE)
    bias[probe.classes] = probe.weights[-1]
    layer.set_weights([kernel, bias])
    return network.get_weights()


def _below_logits(network):
    return keras.Model(network.input, network.get_layer(LOGITS).input)


def self_distilled(
    options,
    first,
    teacher,
    train,
    *,
    config,
    image_size_pixels,
    strategy,
    seed,
    folder=None,
):
    """Train a student of a fine-tuned network on all images, without labels.

    Args:
      options: SelfDistillation.
      first: keras.Model of `classifier_network`, the teacher before its training: the
        student starts from it, but for the linear layer.
      teacher: keras.Model of `classifier_network`, in the strategy's scope.
      train: Source of the training images.
      config: FineTuneConfig of the fine-tuning, with a chosen precision.
      image_size_pixels: int or (height, width).
      strategy: tf.distribute.Strategy.
      seed: int.
      folder: TrainingFolder, or None.

    Returns:
      (keras.Model, dict of lists: steps and losses, one an epoch).

    Source: Chen et al., SimCLRv2 (2020), section 2 (self-distillation).
    """
    images = train.subset(np.arange(train.num_examples))
    images.without_labels()
    settings = DistillConfig(
        teacher="the fine-tuned network",
        data=images.name,
        image_size_pixels=image_size_pixels,
        batch_size=min(options.batch_size, images.num_examples),
        precision=config.precision,
        seed=seed,
        **options.training(),
    )
    student = build_student(settings, teacher)
    if options.start == "encoder":
        set_weights_by_name(
            _below_logits(student),
            weights_by_name(_below_logits(first)),
            source="The weights of the encoder",
        )
    epochs = train_student(
        student,
        teacher,
        images,
        config=settings,
        strategy=strategy,
        folder=folder,
        recipe=config.build_recipe(),
    )
    return student, {name: [e[name] for e in epochs] for name in ("step", "loss")}
