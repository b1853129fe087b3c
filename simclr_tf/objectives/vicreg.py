"""VICReg: variance, invariance and covariance, each with a term of its own."""

from dataclasses import dataclass

from simclr_tf.config.schema import GuestOptions, option, require_not_negative
from simclr_tf.lazy import module
from simclr_tf.objectives.objective import Figure, Memory, Objective

distribution = module("simclr_tf.distribution")
losses = module("simclr_tf.losses")

COLLAPSED_HINGE = 0.9  # The hinge is 0.99 where nothing varies.


@dataclass(frozen=True)
class VICRegOptions(GuestOptions):
    """Options of VICReg."""

    name: str = option("vicreg", "Name of the objective.")
    invariance_weight: float = option(
        25.0, "Weight of the views' distance (paper: 25)."
    )
    variance_weight: float = option(25.0, "Weight of the variance's hinge (paper: 25).")
    covariance_weight: float = option(1.0, "Weight of the covariances (paper: 1).")

    def check(self):
        require_not_negative(
            invariance_weight=self.invariance_weight,
            variance_weight=self.variance_weight,
            covariance_weight=self.covariance_weight,
        )


class VICReg(Objective):
    """Three terms: views agree, each dimension varies, no two dimensions correlate.

    The paper's projection head is wide: three layers of 8,192, without batch norm at
    the end.

    Args:
      invariance_weight, variance_weight, covariance_weight: see
        `simclr_tf.losses.vicreg`.

    Source: Bardes et al., VICReg (2022), arXiv 2105.04906.
    """

    Options = VICRegOptions
    title = "VICReg"
    figures = (
        Figure("vicreg_loss", "VICReg loss", better="lower"),
        Figure(
            "vicreg_invariance",
            "mean squared distance of the views",
            better="lower",
            short="distance",
        ),
        Figure(
            "vicreg_variance",
            "shortfall of the standard deviation of a dimension below 1",
            better="lower",
            short="missing std",
        ),
        Figure(
            "vicreg_covariance", "squared covariances of a dimension", better="lower"
        ),
    )

    def loss(self, outputs):
        terms = losses.vicreg_terms(*outputs.projections, equal_gradients=True)
        options = self.options
        loss = losses.vicreg_from_terms(
            terms,
            invariance_weight=options.invariance_weight,
            variance_weight=options.variance_weight,
            covariance_weight=options.covariance_weight,
        )
        figures = {f"vicreg_{name}": term for name, term in terms._asdict().items()}
        return loss, {"vicreg_loss": loss, **figures}

    def diagnose(self, figures, global_batch_size):
        if figures.get("vicreg_variance", 0.0) > COLLAPSED_HINGE:
            yield (
                "collapsed projections",
                "The projections have collapsed: no dimension varies over the images. "
                "Try a higher --objective.variance_weight or a lower "
                "--base_learning_rate.",
            )

    def memory(self, global_batch_size, replicas=1):
        width = self.setting.num_projections if self.setting else 0
        return Memory(4 * 2 * width**2, "covariances of the projections")

    def messages(self, global_batch_size, replicas, norm_channels):
        width = self.setting.num_projections
        return [
            # There and back.
            *2 * [distribution.moments_message(2 * width, "loss", replicas)],
            # The distances of the views, and the covariances.
            distribution.sum_message("loss", [width + 2 * width**2]),
        ]
