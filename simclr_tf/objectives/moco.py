"""Momentum contrast: a queue of keys that a slowly moving network made."""

import logging
import math
from dataclasses import dataclass

from simclr_tf.config.schema import (
    GuestOptions,
    option,
    require_at_least_one,
    require_fraction,
    require_positive,
)
from simclr_tf.errors import require
from simclr_tf.lazy import module, tf
from simclr_tf.objectives.nt_xent import COLLAPSED, diagnose_stuck_loss
from simclr_tf.objectives.objective import (
    CONTRASTIVE_FIGURES,
    Figure,
    Memory,
    Objective,
)
from simclr_tf.objectives.queue import (
    averaged_messages,
    enqueue,
    random_unit_rows,
    warn_if_longer_than_data,
)

distribution = module("simclr_tf.distribution")
losses = module("simclr_tf.losses")
metrics = module("simclr_tf.metrics")
models = module("simclr_tf.models")

LOG = logging.getLogger("simclr_tf")

STALE = 0.1  # A fresh network has 0.17 and more between two views.
FEW_ROWS = 4  # Of a group of batch norm.
KEY_FIGURES = (
    Figure(
        "key_agreement",
        "cosine of a projection and a key of the same image",
        better="higher",
    ),
    Figure(
        "projection_spread",
        "standard deviation of the normalised projections, times sqrt(d)",
        better="higher",
    ),
)


@dataclass(frozen=True)
class MoCoOptions(GuestOptions):
    """Options of MoCo."""

    name: str = option("moco", "Name of the objective.")
    temperature: float = option(
        0.2, "Divides the similarities (v1: 0.07; v2: 0.2; CIFAR: 0.1)."
    )
    queue_length: int = option(65536, "Keys kept in the queue (CIFAR: 4096).")
    target_momentum: float = option(
        0.999, "Decay of the averaged encoder and head (CIFAR: 0.99)."
    )
    symmetric: bool = option(
        False, "Each view is query and key in turn, with a queue of its own."
    )
    batch_norm_groups: int = option(
        8, "Groups of the batch norm of the keys; with 1 it can give the answer away."
    )

    def check(self):
        require_positive(temperature=self.temperature)
        require_at_least_one(
            queue_length=self.queue_length, batch_norm_groups=self.batch_norm_groups
        )
        require_fraction("target_momentum", self.target_momentum)


class MoCo(Objective):
    """Find the key of an image's other view among it and a queue of older keys.

    The queue is read before the step's keys enter it. The batch norm of the keys is
    split into groups: rows whose positions are equal modulo `batch_norm_groups` share
    their statistics. The queries use statistics of the whole global batch: of their own
    view, or with `symmetric` of both views, which go through the networks together. So
    a key never has the statistics of its query, on one device or on many. Of the two
    views one is a query only and the other a key only, or each is both. Nothing is
    shuffled, because batches are random already. The groups do not depend on the number
    of replicas, as long as they divide a replica's rows. MoCo v1's head is
    `--projection_head.kind=linear`, v2's has two layers, both without batch norm.

    Args:
      temperature: see `simclr_tf.losses.info_nce`.
      queue_length: int >= 1, K; no multiple of the batch is needed.
      target_momentum: float in [0, 1], of the networks that make the keys.
      symmetric: bool.
      batch_norm_groups: int >= 1; a group needs two images or more.

    Source: He et al., MoCo (2020), arXiv 1911.05722; Chen et al., MoCo v2 (2020),
    arXiv 2003.04297.
    """

    Options = MoCoOptions
    title = "MoCo"
    figures = (*CONTRASTIVE_FIGURES, *KEY_FIGURES)

    @property
    def directions(self):
        """int: how many of the views are queries."""
        return 2 if self.options.symmetric else 1

    @property
    def trained_views(self):
        return self.directions

    def create_variables(self, setting):
        options = self.options
        if setting.global_batch_size is not None:
            replicas = tf.distribute.get_strategy().num_replicas_in_sync
            images = setting.global_batch_size // replicas
            require(
                images % options.batch_norm_groups == 0,
                "--objective.batch_norm_groups must divide the images of the batch "
                "that a replica has.",
                batch_norm_groups=options.batch_norm_groups,
                images=images,
            )
        self.averaged = models.AveragedPair(
            setting.encoder, setting.projection_head, options.batch_norm_groups
        )
        self._checked_images = None
        self._check_groups(setting.global_batch_size)
        warn_if_longer_than_data(setting, queue_length=options.queue_length)
        self.queues = self.add_weight(
            name="queues",
            shape=[self.directions, options.queue_length, setting.num_projections],
            initializer=random_unit_rows(setting.seed),
            trainable=False,
        )

    def _check_groups(self, images):
        """Refuse groups of one image, and warn of small ones; `images` of all replicas.

        In a group of one image batch norm gives 0, and in one of two images opposite
        numbers: the keys then hold nothing of the images.
        """
        groups = self.options.batch_norm_groups
        has_groups = groups > 1 and any(
            isinstance(layer, models.SynchronizedBatchNormalization)
            for layer in self.averaged.submodules
        )
        if images in (None, self._checked_images) or not has_groups:
            return
        self._checked_images = images
        require(
            images >= 2 * groups,
            "A group of the keys' batch norm must have two images or more. Use fewer "
            "--objective.batch_norm_groups, or a larger --batch_size or "
            "--micro_batch_size.",
            batch_norm_groups=groups,
            images=images,
        )
        if images < FEW_ROWS * groups:
            LOG.warning(
                "The %s groups of the keys' batch norm have only %s images each, so "
                "keys depend little on their images. Use fewer "
                "--objective.batch_norm_groups, or a larger batch.",
                groups,
                images // groups,
            )

    def weights_loaded(self):
        self.averaged.follow(self.setting.encoder, self.setting.projection_head)

    def targets(self, views, training):
        images = views[0].shape[0]
        if training and images is not None:  # A micro-batch has fewer than the batch.
            self._check_groups(images * distribution.num_replicas())
        # The key of view b for the query of view a, then the other way round.
        keys = views[1::-1][: self.directions]
        return tuple(self.averaged(view, training=training) for view in keys)

    def loss(self, outputs):
        queues = tf.unstack(tf.convert_to_tensor(self.queues))
        directions = [
            losses.info_nce_logits(
                query, key, queue, temperature=self.options.temperature
            )
            for query, key, queue in zip(
                outputs.projections, outputs.targets, queues, strict=False
            )
        ]
        loss, figures = figures_of_directions(directions)
        return loss, figures | key_figures(outputs.projections[0], outputs.targets[0])

    def after_update(self, outputs):
        queues = [
            enqueue(queue, keys)
            for queue, keys in zip(
                tf.unstack(tf.convert_to_tensor(self.queues)),
                outputs.targets,
                strict=True,
            )
        ]
        distribution.assign_on_replicas([self.queues], [tf.stack(queues)])
        self.averaged.average(
            self.setting.encoder,
            self.setting.projection_head,
            self.options.target_momentum,
        )

    def diagnose(self, figures, global_batch_size):
        candidates = 1 + self.options.queue_length
        yield from diagnose_stuck_loss(
            math.log(candidates),
            "ln(1 + queue_length)",
            figures,
            candidates,
            "Try a lower --objective.target_momentum (small data sets: 0.99), a "
            "shorter --objective.queue_length, or another --base_learning_rate.",
        )
        yield from diagnose_keys(figures, "target_momentum")

    def memory(self, global_batch_size, replicas=1):
        logits = (global_batch_size // replicas) * (1 + self.options.queue_length)
        return Memory(
            4 * self.directions * logits,
            "the averaged networks, the queue, and logits a step",
        )

    def messages(self, global_batch_size, replicas, norm_channels):
        width, groups = self.setting.num_projections, self.options.batch_norm_groups
        of_a_direction = [
            *averaged_messages(norm_channels, replicas, groups),
            distribution.sum_message("state", [global_batch_size, width]),
        ]
        spread = distribution.moments_message(width, "figures", replicas)
        return [*self.directions * of_a_direction, spread]


def figures_of_directions(directions):
    """Average the losses and figures of both directions, or of one.

    Args:
      directions: list of `simclr_tf.losses.CandidateLogits` with a row an image.

    Returns:
      (float32 `[N]`, dict of `CONTRASTIVE_FIGURES`, float32 `[N]` each).
    """

    def average(value_of):
        return tf.add_n([value_of(one) for one in directions]) / len(directions)

    loss = average(losses.info_nce_from_logits)
    return loss, {
        "contrastive_loss": loss,
        "contrastive_accuracy": average(
            lambda one: tf.cast(one.positive > one.highest_negative, tf.float32)
        ),
        "contrastive_entropy": average(lambda one: one.entropy),
    }


def key_figures(projections, keys):
    """Measure how projections differ from keys of their images, and from each other.

    Args:
      projections: float `[N, D]`, from the networks that are trained.
      keys: float `[N, D]` of the same images, from the averaged networks.

    Returns:
      dict of `KEY_FIGURES`.
    """
    projections = tf.stop_gradient(projections)
    return {
        "key_agreement": -losses.negative_cosine(projections, keys),
        "projection_spread": metrics.feature_standard_deviation(projections),
    }


def diagnose_keys(figures, momentum):
    """Diagnose what `key_figures` shows.

    Args:
      figures: dict of figure name to float.
      momentum: str, name of the option with the decay.

    Yields:
      (name, sentence), see `Objective.diagnose`, or nothing.
    """
    if figures.get("key_agreement", 1.0) < STALE:
        yield (
            "stale keys",
            "The averaged network is far behind the one in training: a key is no "
            "longer like the projection of its image. Try a lower "
            f"--objective.{momentum}.",
        )
    if figures.get("projection_spread", 1.0) < COLLAPSED:
        yield (
            "collapsed projections",
            "The projections of all images have become equal. Try a lower "
            "--base_learning_rate or a longer --optimizer.warmup_epochs.",
        )
