"""SwAV: a view predicts the clusters of another view of the same image."""

import math
from dataclasses import dataclass

from simclr_tf.config.schema import (
    option,
    require_at_least_one,
    require_not_negative,
    require_positive,
)
from simclr_tf.errors import require
from simclr_tf.lazy import keras, module, tf
from simclr_tf.objectives.multi_crop import (
    MultiCropOptions,
    require_fitting_views,
    warn_if_too_short,
)
from simclr_tf.objectives.objective import Figure, Memory, Objective

candidates = module("simclr_tf.losses.candidates")
distribution = module("simclr_tf.distribution")
losses = module("simclr_tf.losses")

STUCK_TOLERANCE = 0.02  # Of ln(K).
TOO_FEW_IN_USE = 2.0  # Prototypes.
USAGE_FIGURES = (
    Figure(
        "prediction_entropy",
        "entropy of a view's prediction (ln(K): all clusters alike)",
        unit="nats",
        better="lower",
        form=".2f",
    ),
    Figure(
        "outputs_in_use",
        "clusters that share the images (1: collapsed)",
        better="higher",
        short="clusters",
        form=".1f",
    ),
)


@dataclass(frozen=True)
class SwAVOptions(MultiCropOptions):
    """Options of SwAV."""

    name: str = option("swav", "Name of the objective.")
    temperature: float = option(0.1, "Divides a prediction's scores (paper: 0.1).")
    prototypes: int = option(3000, "Clusters (paper: 3,000; small images: 512).")
    epsilon: float = option(0.05, "Smoothness of the codes (paper: 0.05, or 0.03).")
    iterations: int = option(3, "Iterations of Sinkhorn's algorithm (paper: 3).")
    freeze_epochs: float = option(
        1.0, "First epochs in which the prototypes are not trained."
    )
    queue_length: int = option(
        0,
        "Projections of earlier images that are clustered together with the batch; "
        "rounded to whole batches (paper: 3,840 at batch 256; 0: none).",
    )
    queue_start_epoch: int = option(15, "Epoch at which the queue begins to fill.")

    def check(self):
        super().check()
        require_positive(temperature=self.temperature, epsilon=self.epsilon)
        require_at_least_one(prototypes=self.prototypes, iterations=self.iterations)
        require_not_negative(
            freeze_epochs=self.freeze_epochs,
            queue_length=self.queue_length,
            queue_start_epoch=self.queue_start_epoch,
        )


class SwAV(Objective):
    """Swapped prediction of codes, with every prototype used equally often.

    Both full views have codes; every view predicts the codes of the other full views.
    The rows of the prototypes have length 1 in every step. The paper's full views
    show 0.14 of the image or more (`--augment.crop_area_min_fraction`), and its head
    has two layers, 2,048 wide and 128 at the end.

    Args:
      temperature, epsilon, iterations: see `simclr_tf.losses.swapped_prediction` and
        `sinkhorn`.
      prototypes, queue_length, queue_start_epoch: int.
      freeze_epochs: float.
      small_views, small_size_fraction, small_crop_area: see ViewGroup.

    Source: Caron et al., Unsupervised Learning of Visual Features by Contrasting
    Cluster Assignments (2020), arXiv 2006.09882.
    """

    Options = SwAVOptions
    title = "SwAV"
    figures = (Figure("swav_loss", "swapped prediction", better="lower"),) + (
        USAGE_FIGURES
    )

    @property
    def view_groups(self):
        return self.options.view_groups

    def create_variables(self, setting):
        options, width = self.options, setting.num_projections
        require_fitting_views(options, setting)
        self.freeze_steps = options.freeze_epochs * setting.known("epoch_steps")
        warn_if_too_short(
            setting,
            self.freeze_steps,
            "train the prototypes",
            freeze_epochs=options.freeze_epochs,
        )
        self.prototypes = self.add_weight(
            name="prototypes",
            shape=[options.prototypes, width],
            initializer=unit_rows_initializer(setting.seed),
        )
        self.queue = None
        if options.queue_length:
            batch = setting.known("global_batch_size")
            require(
                options.queue_length >= batch,
                "`queue_length` must be at least the global batch size, or 0.",
                queue_length=options.queue_length,
                global_batch_size=batch,
            )
            self.queue_start = options.queue_start_epoch * setting.epoch_steps
            warn_if_too_short(
                setting,
                self.queue_start + options.queue_length // batch,
                "fill and use the queue",
                queue_start_epoch=options.queue_start_epoch,
                queue_length=options.queue_length,
            )
            self.queue = self.add_weight(
                name="queue",
                shape=[2, options.queue_length // batch * batch, width],
                initializer="zeros",
                trainable=False,
            )

    def loss(self, outputs):
        temperature = self.options.temperature
        scores = scores_of(outputs.projections, self.prototypes)
        terms = [
            losses.swapped_prediction(other, codes, temperature=temperature)
            for view, codes in enumerate(tf.unstack(self._codes(scores[:2])))
            for place, other in enumerate(scores)
            if place != view
        ]
        loss = tf.add_n(terms) / len(terms)
        predictions = tf.nn.softmax(tf.concat(scores[:2], axis=0) / temperature)
        return loss, {"swav_loss": loss, **usage_figures(predictions)}

    def _codes(self, scores):
        """Compute the codes of the full views: of the batch, later with the queue.

        Args:
          scores: list of two float32 `[N, K]`.

        Returns:
          float32 `[2, N, K]`.
        """
        scores, rows = tf.stack(scores), 0
        if self.queue is not None:
            # All replicas hold the whole queue; each contributes its part of the rows.
            rows = self.queue.shape[1] // distribution.num_replicas()
            start = distribution.replica_offset(rows)
            own = self.queue[:, start : start + rows]
            own = tf.reshape(own, [2, rows, self.queue.shape[2]])
            earlier = tf.matmul(own, self.prototypes, transpose_b=True)
            is_full = tf.reduce_any(self.queue[:, -1] != 0.0)
            earlier = tf.where(is_full, earlier, -math.inf)
            scores = tf.concat([earlier, scores], axis=1)
        codes = losses.sinkhorn(
            scores, epsilon=self.options.epsilon, iterations=self.options.iterations
        )
        return codes[:, rows:]

    def frozen(self, step):
        return [([self.prototypes], tf.cast(step, tf.float32) < self.freeze_steps)]

    def after_update(self, outputs):
        # The update has changed the lengths; make them 1 again for the next step.
        changed = [(self.prototypes, tf.math.l2_normalize(self.prototypes, axis=1))]
        if self.queue is not None:
            full = outputs.projections[:2]
            rows = tf.stack([candidates.unit_rows(view) for view in full], axis=1)
            newest = distribution.gather_across_replicas(rows)  # [global batch, 2, D].
            newest = tf.transpose(newest, [1, 0, 2])
            queue = tf.concat([newest, self.queue], axis=1)[:, : self.queue.shape[1]]
            has_begun = outputs.step >= self.queue_start
            changed.append((self.queue, tf.where(has_begun, queue, self.queue)))
        distribution.assign_on_replicas(*map(list, zip(*changed, strict=True)))

    def diagnose(self, figures, global_batch_size):
        even = math.log(self.options.prototypes)
        loss = figures.get("swav_loss", 0.0)
        if abs(loss - even) < STUCK_TOLERANCE * even:
            yield (
                "stuck",
                f"The loss is stuck at {loss:.3f}: ln(prototypes) = {even:.3f} is the "
                "loss of predictions that give all clusters the same weight. Try "
                "--objective.epsilon=0.03, fewer --objective.prototypes, a longer "
                "--objective.freeze_epochs, or, at small batches, an "
                "--objective.queue_length.",
            )
        yield from diagnose_prototype_use(figures)

    def memory(self, global_batch_size, replicas=1):
        views = sum(group.count for group in self.view_groups)
        scores = 4 * views * (global_batch_size // replicas) * self.options.prototypes
        queue = "the queue, " if self.options.queue_length else ""
        return Memory(scores, f"prototypes, {queue}and scores a step")

    def messages(self, global_batch_size, replicas, norm_channels):
        options = self.options
        sums = distribution.sum_message("loss", [replicas, 2, options.prototypes])
        rows = [global_batch_size, 2, self.setting.num_projections]
        return [
            *options.iterations * [sums],  # Of both views.
            distribution.sum_message("figures", [options.prototypes]),
            *bool(options.queue_length) * [distribution.sum_message("state", rows)],
        ]


def unit_rows_initializer(seed):
    """Make a Keras initializer of rows of length 1 in random directions."""
    normal = keras.initializers.RandomNormal(seed=seed)
    return lambda shape, dtype=None, **_: tf.math.l2_normalize(
        normal(shape, dtype), axis=1
    )


def scores_of(projections, prototypes):
    """Compute cosine similarities of the views' projections to prototypes of length 1.

    Args:
      projections: sequence of `[N, D]`.
      prototypes: float32 `[K, D]`.

    Returns:
      list of float32 `[N, K]`.
    """
    together = candidates.unit_rows(tf.concat(projections, axis=0))
    scores = tf.matmul(together, prototypes, transpose_b=True)
    return tf.split(scores, len(projections))


def usage_figures(predictions):
    """Compute the values of `USAGE_FIGURES`.

    Args:
      predictions: float32 `[N, K]`, rows sum to 1.

    Returns:
      dict of figure name to float32 scalar, without gradient.
    """
    predictions = tf.stop_gradient(predictions)
    mean = distribution.sum_over_replicas(tf.reduce_mean(predictions, axis=0))
    mean /= distribution.num_replicas()
    return {
        "prediction_entropy": tf.reduce_mean(_entropy(predictions)),
        "outputs_in_use": tf.exp(_entropy(mean)),
    }


def _entropy(probabilities):
    return -tf.reduce_sum(tf.math.xlogy(probabilities, probabilities), axis=-1)


def diagnose_prototype_use(figures):
    """Diagnose images that are all assigned to one cluster.

    Args:
      figures: dict of figure name to float, with `USAGE_FIGURES`.

    Yields:
      (name, sentence), see `Objective.diagnose`, or nothing.
    """
    in_use = figures.get("outputs_in_use", math.inf)
    if in_use < TOO_FEW_IN_USE:
        yield (
            "one cluster",
            f"All images fall into one cluster ({in_use:.1f} are in use). Try a lower "
            "--base_learning_rate, or a larger --batch_size.",
        )
