"""Instance discrimination: every image is a class, with one row in a memory bank."""

import contextlib
import logging
import math
from dataclasses import dataclass

from simclr_tf.augment.view_plan import ViewGroup
from simclr_tf.config.schema import (
    GuestOptions,
    option,
    require_fraction,
    require_not_negative,
    require_positive,
)
from simclr_tf.errors import ConfigError, received_text
from simclr_tf.lazy import module, tf
from simclr_tf.objectives.objective import Figure, Memory, Objective
from simclr_tf.objectives.queue import random_unit_rows

candidates = module("simclr_tf.losses.candidates")
distribution = module("simclr_tf.distribution")
losses = module("simclr_tf.losses")
memories = module("simclr_tf.losses.memories")
metrics = module("simclr_tf.metrics")

LOG = logging.getLogger("simclr_tf")

HOST_MEMORY_BYTES = 2**28  # Larger banks stay in host memory on a single device.
LARGEST_EXPONENT = 60.0  # Of the normalizer: n exp(60) is a float32 for any n.
CHANCE_TOLERANCE, COLLAPSED, STALE_STEPS = 0.02, 0.05, 1e5


@dataclass(frozen=True)
class InstanceDiscriminationOptions(GuestOptions):
    """Options of instance discrimination."""

    name: str = option("instance_discrimination", "Name of the objective.")
    temperature: float = option(
        0.07, "Divides the similarities (paper: 0.07; its CIFAR code: 0.1)."
    )
    negatives: int = option(
        4096,
        "Images drawn as noise for each image (paper: 4096); 0: the softmax over all "
        "images (its CIFAR code).",
    )
    bank_momentum: float = option(
        0.5,
        "Share of the old row that stays when an image's row is updated (paper: 0.5).",
    )
    normalizer_momentum: float = option(
        1.0, "Momentum of NCE's normalizer; 1: estimated once, at the start (paper)."
    )
    proximal_weight: float = option(
        0.0, "Weight of the squared distance to the old row (paper: 30; its code: 0)."
    )

    def check(self):
        require_positive(temperature=self.temperature)
        require_not_negative(
            negatives=self.negatives, proximal_weight=self.proximal_weight
        )
        require_fraction("bank_momentum", self.bank_momentum)
        require_fraction("normalizer_momentum", self.normalizer_momentum)


class InstanceDiscrimination(Objective):
    """Distinguish each image of the data set from all others, with one view and a bank.

    Row i of the bank is the projection of image i of the source when it was last seen:
    rows follow the images' ids, so shuffling, sharding and resuming do not matter.
    The images of a stream are known by their position alone, so its order must be the
    same in every epoch. The loss of an image does not depend on the other images of its
    batch. The paper's head is `--projection_head.kind=linear` without batch norm. On a
    single device a bank of more than 256 MiB stays in host memory.

    Args:
      temperature: see `simclr_tf.losses.instance_nce`.
      negatives: int, m, drawn with replacement, as a function of the seed and the step,
        for any number of replicas. 0: `simclr_tf.losses.instance_softmax`.
      bank_momentum: float in [0, 1].
      normalizer_momentum: float in [0, 1], of the NCE's normalizer.
      proximal_weight: float >= 0.

    Source: Wu et al., Instance Discrimination (2018), arXiv 1805.01978.
    """

    Options = InstanceDiscriminationOptions
    title = "Instance discrimination"
    figures = (
        Figure("instance_loss", "instance loss", better="lower"),
        Figure(
            "instance_accuracy",
            "images nearer to their own row than to the others compared",
            unit="fraction",
            better="higher",
            short="instance acc",
            form=".1%",
        ),
        Figure("bank_similarity", "cosine of an image and its row", better="higher"),
        Figure(
            "bank_age", "steps since the rows of the batch were written", form=".0f"
        ),
        Figure(
            "projection_spread",
            "standard deviation of the normalised projections, times sqrt(d)",
            better="higher",
        ),
    )

    @property
    def view_groups(self):
        return (ViewGroup(1),)

    def create_variables(self, setting):
        images, width = setting.known("num_examples"), setting.num_projections
        if setting.is_stream:
            LOG.warning(
                "instance_discrimination knows the images of a stream by their "
                "position alone, so its order must be the same in every epoch. Shuffle "
                "it with `reshuffle_each_iteration=False` or not at all, or use "
                "--objective=moco."
            )
        is_large = 4 * images * width > HOST_MEMORY_BYTES
        in_host = is_large and distribution.num_replicas() == 1
        with tf.device("CPU:0") if in_host else contextlib.nullcontext():
            self.bank = self._state(
                "bank", [images, width], random_unit_rows(setting.seed)
            )
        self.written = self._state("written", [images], "zeros", "int64")
        # The normalizer Z of the NCE; 0 until the first step has estimated it.
        self.normalizer = self._state("normalizer", [], "zeros")

    def _state(self, name, shape, initializer, dtype="float32"):
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            dtype=dtype,
            trainable=False,
        )

    def loss(self, outputs):
        ids = self._ids(outputs)
        projections = outputs.projections[0]
        own = tf.gather(self.bank, ids)
        similarity = -losses.negative_cosine(projections, own)
        age = outputs.step - tf.gather(self.written, ids)
        loss, accuracy = (
            self._nce(outputs, ids)
            if self.options.negatives
            else self._softmax(projections, ids)
        )
        if self.options.proximal_weight:  # |v - M|^2 of unit vectors.
            loss += self.options.proximal_weight * 2.0 * (1.0 - similarity)
        return loss, {
            "instance_loss": loss,
            "instance_accuracy": accuracy,
            "bank_similarity": similarity,
            "bank_age": tf.cast(age, tf.float32),
            "projection_spread": metrics.feature_standard_deviation(
                tf.stop_gradient(projections)
            ),
        }

    def _ids(self, outputs):
        if outputs.ids is None:
            raise ConfigError(
                "instance_discrimination needs to know the images: batches must hold "
                '"ids", their positions in the source. Use a source with a known '
                "number of images, or --objective=moco. " + received_text(ids=None)
            )
        return outputs.ids

    def _softmax(self, projections, ids):
        bank, temperature = tf.convert_to_tensor(self.bank), self.options.temperature
        loss = losses.instance_softmax(projections, ids, bank, temperature=temperature)
        scores = tf.matmul(candidates.unit_rows(projections), bank, transpose_b=True)
        nearest = tf.argmax(scores, axis=1)
        return loss, tf.cast(nearest == tf.cast(ids, nearest.dtype), tf.float32)

    def _nce(self, outputs, ids):
        drawn = self._negatives(outputs)
        scores = self._scores(outputs.projections[0], ids, drawn)
        loss = memories.nce_from_scores(
            scores,
            self.bank.shape[0],
            temperature=self.options.temperature,
            normalizer=self._normalizer_after(tf.stop_gradient(scores)),
        )
        # The own row may be among the noise: it is no other.
        is_own = drawn == tf.cast(ids, drawn.dtype)[:, tf.newaxis]
        others = tf.where(is_own, -math.inf, scores[:, 1:])
        nearest = scores[:, 0] > tf.reduce_max(others, axis=1)
        return loss, tf.cast(nearest, tf.float32)

    def _negatives(self, outputs):
        """Draw for the global batch; int64 `[N, m]`, this replica's rows of it."""
        projections = outputs.projections[0]
        rows = projections.shape[0] or tf.shape(projections)[0]
        drawn = tf.random.stateless_uniform(
            [rows * distribution.num_replicas(), self.options.negatives],
            seed=tf.stack([tf.constant(self.setting.seed, tf.int64), outputs.step]),
            minval=0,
            maxval=self.bank.shape[0],
            dtype=tf.int64,
            alg="philox",
        )
        start = distribution.replica_offset(rows)
        return drawn[start : start + rows]

    def _scores(self, projections, ids, negative_ids):
        """Compute similarities `[N, 1 + m]` with the own row and the noise."""
        places = tf.concat([ids[:, tf.newaxis], negative_ids], axis=1)
        rows = tf.gather(self.bank, places)  # Read where the bank is.
        return tf.einsum("nd,nmd->nm", candidates.unit_rows(projections), rows)

    def _normalizer_after(self, scores):
        """Update Z by this step's estimate: n times the mean of exp(s / t)."""
        exponents = tf.minimum(scores / self.options.temperature, LARGEST_EXPONENT)
        mean = tf.reduce_mean(tf.exp(exponents))
        mean = distribution.sum_over_replicas(mean / distribution.num_replicas())
        estimate, momentum = self.bank.shape[0] * mean, self.options.normalizer_momentum
        averaged = momentum * self.normalizer + (1.0 - momentum) * estimate
        return tf.where(self.normalizer > 0, averaged, estimate)

    def after_update(self, outputs):
        ids, projections = self._ids(outputs), outputs.projections[0]
        if self.options.negatives:
            scores = self._scores(projections, ids, self._negatives(outputs))
            normalizer = self._normalizer_after(scores)
            distribution.assign_on_replicas([self.normalizer], [normalizer])
        ids = distribution.gather_across_replicas(ids)
        newest = distribution.gather_across_replicas(candidates.unit_rows(projections))
        kept = self.options.bank_momentum
        rows = kept * tf.gather(self.bank, ids) + (1.0 - kept) * newest
        rows = _last_of_each(ids, candidates.unit_rows(rows))
        steps = tf.fill(tf.shape(ids), outputs.step + 1)
        distribution.scatter_on_replicas(self.bank, ids, rows)
        distribution.scatter_on_replicas(self.written, ids, steps)

    def diagnose(self, figures, global_batch_size):
        chance, loss = self._loss_of_guesses(), figures.get("instance_loss", math.inf)
        if abs(loss - chance) < CHANCE_TOLERANCE * chance:
            yield (
                "stuck",
                f"The loss is stuck at {loss:.3f}: {chance:.3f} is the loss of a "
                "network that cannot distinguish the images. Try another "
                "--base_learning_rate or --objective.temperature.",
            )
        if figures.get("projection_spread", 1.0) < COLLAPSED:
            yield (
                "collapsed projections",
                "The projections of all images have become equal. Try a lower "
                "--base_learning_rate.",
            )
        if figures.get("bank_age", 0.0) > STALE_STEPS:
            yield (
                "stale bank",
                "The rows of the bank are out of date: the network has changed much "
                "since they were written. Try a larger --batch_size, fewer images, or "
                "--objective=moco.",
            )

    def _loss_of_guesses(self):
        """Return the loss where all images are equally likely; NaN if not known."""
        noise = self.options.negatives
        if noise:  # p = 1 / n.
            return math.log(1 + noise) + noise * math.log(1 + 1 / noise)
        images = self.setting and self.setting.num_examples
        return math.log(images) if images else math.nan

    def memory(self, global_batch_size, replicas=1):
        images = (self.setting and self.setting.num_examples) or 0
        width = self.setting.num_projections if self.setting else 0
        rows, compared = global_batch_size // replicas, self.options.negatives
        values = compared * width if compared else images
        return Memory(4 * rows * values, "the bank and rows compared a step")

    def messages(self, global_batch_size, replicas, norm_channels):
        width = self.setting.num_projections
        # NCE's normalizer, for the loss and again for the next step.
        normalizers = [distribution.sum_message(term, []) for term in ("loss", "state")]
        return [
            *(normalizers if self.options.negatives else []),
            distribution.moments_message(width, "figures", replicas),
            # The ids, int64, and the rows of the bank.
            distribution.sum_message("state", [global_batch_size], 8),
            distribution.sum_message("state", [global_batch_size, width]),
        ]


def _last_of_each(ids, rows):
    """Give equal ids the row of the last: the order of writing then has no effect."""
    same = ids[:, tf.newaxis] == ids[tf.newaxis]
    places = tf.range(tf.shape(ids)[0])
    return tf.gather(rows, tf.reduce_max(tf.where(same, places, 0), axis=1))
