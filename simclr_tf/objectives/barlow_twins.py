"""Barlow Twins: the dimensions of the projections agree, and are not redundant."""

from dataclasses import dataclass

from simclr_tf.config.schema import GuestOptions, option, require_not_negative
from simclr_tf.lazy import module, tf
from simclr_tf.objectives.objective import Figure, Memory, Objective

distribution = module("simclr_tf.distribution")
losses = module("simclr_tf.losses")

UNCORRELATED, REDUNDANT = 0.05, 0.9


@dataclass(frozen=True)
class BarlowTwinsOptions(GuestOptions):
    """Options of Barlow Twins."""

    name: str = option("barlow_twins", "Name of the objective.")
    off_diagonal_weight: float = option(
        0.0051, "Weight of the correlations of different dimensions (paper: 0.0051)."
    )

    def check(self):
        require_not_negative(off_diagonal_weight=self.off_diagonal_weight)


class BarlowTwins(Objective):
    """Pull the cross-correlation of the two views towards the identity matrix.

    The paper's projection head is wide: three layers of 8,192, without batch norm at
    the end.

    Args:
      off_diagonal_weight: see `simclr_tf.losses.barlow_twins`.

    Source: Zbontar et al., Barlow Twins (2021), arXiv 2103.03230.
    """

    Options = BarlowTwinsOptions
    title = "Barlow Twins"
    figures = (
        Figure("barlow_twins_loss", "Barlow Twins loss", better="lower"),
        Figure(
            "view_correlation",
            "correlation of a dimension over the views",
            better="higher",
            short="corr",
        ),
        Figure(
            "dimension_correlation",
            "correlation of different dimensions (root mean square)",
            better="lower",
            short="redundancy",
        ),
    )

    def loss(self, outputs):
        correlation = losses.cross_correlation(
            *outputs.projections, equal_gradients=True
        )
        loss = losses.barlow_twins_from_correlation(
            correlation, off_diagonal_weight=self.options.off_diagonal_weight
        )
        diagonal = tf.linalg.diag_part(correlation)
        width = tf.cast(tf.shape(diagonal)[0], tf.float32)
        squares = tf.reduce_sum(correlation**2) - tf.reduce_sum(diagonal**2)
        pairs = tf.maximum(width * (width - 1.0), 1.0)
        return loss, {
            "barlow_twins_loss": loss,
            "view_correlation": tf.reduce_mean(diagonal),
            "dimension_correlation": tf.sqrt(tf.maximum(squares, 0.0) / pairs),
        }

    def diagnose(self, figures, global_batch_size):
        if figures.get("view_correlation", 1.0) < UNCORRELATED:
            yield (
                "stuck",
                "The two views of an image do not correlate in any dimension, so "
                "nothing is being learned. Try a smaller or larger "
                "--base_learning_rate, --optimizer=sgd at small batches, or "
                "weaker augmentation.",
            )
        if figures.get("dimension_correlation", 0.0) > REDUNDANT:
            yield (
                "redundant",
                "All dimensions of the projections have become equal. Try a higher "
                "--objective.off_diagonal_weight or a larger --batch_size.",
            )

    def memory(self, global_batch_size, replicas=1):
        width = self.setting.num_projections if self.setting else 0
        return Memory(4 * width**2, "correlations of the projections")

    def messages(self, global_batch_size, replicas, norm_channels):
        width = self.setting.num_projections
        return [
            # There and back.
            *2 * [distribution.moments_message(2 * width, "loss", replicas)],
            distribution.sum_message("loss", [width, width]),  # The correlations.
        ]
