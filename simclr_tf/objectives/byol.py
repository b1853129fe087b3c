"""BYOL: a network predicts the output of its averaged copy on the other view."""

import math
from dataclasses import dataclass

from simclr_tf.config.schema import (
    GuestOptions,
    option,
    require_at_least_one,
    require_fraction,
)
from simclr_tf.lazy import module, tf
from simclr_tf.objectives.objective import Figure, Memory, Objective
from simclr_tf.objectives.queue import averaged_messages
from simclr_tf.objectives.simsiam import (
    SPREAD,
    diagnose_collapse,
    make_predictor,
    predictions,
    predictor_messages,
    projection_std,
)

losses = module("simclr_tf.losses")
models = module("simclr_tf.models")


@dataclass(frozen=True)
class BYOLOptions(GuestOptions):
    """Options of BYOL."""

    name: str = option("byol", "Name of the objective.")
    predictor_features: int = option(4096, "Hidden width of the predictor.")
    target_momentum: float = option(
        0.996,
        "Share of the target's weights kept in a step; it rises to 1 over the run "
        "(paper: 0.996 for 1,000 epochs, 0.99 for 100 to 300; CIFAR: 0.99).",
    )

    def check(self):
        require_at_least_one(predictor_features=self.predictor_features)
        require_fraction("target_momentum", self.target_momentum)


class WithTarget(Objective):
    """An objective with averaged copies of encoder and head: a target or a teacher.

    Trainable variables are averaged; batch norm statistics are the target's own.
    """

    def create_target(self, setting):
        """Copy encoder and head."""
        self.total_steps = setting.known("total_steps")
        self.target = models.AveragedPair(setting.encoder, setting.projection_head)

    def weights_loaded(self):
        self.target.follow(self.setting.encoder, self.setting.projection_head)

    def targets(self, views, training):
        full = tf.concat(views[:2], axis=0)
        return tuple(tf.split(self.target(full, training=training), 2))

    def momentum(self, step):
        """Return the share of the target that stays after a step, a float32 scalar."""
        return cosine_momentum(self.options.target_momentum, step, self.total_steps)

    def after_update(self, outputs):
        momentum = self.momentum(outputs.step)
        self.target.average(
            self.setting.encoder, self.setting.projection_head, momentum
        )


class BYOL(WithTarget):
    """Squared distance between a view's prediction and the target of the other view.

    The target is an average of encoder and head over the steps, with batch norm
    statistics of its own. Both views go through each network in one pass, so they share
    their statistics. The target starts as a copy; the paper's starts from other random
    weights. The paper's head is 4,096 wide, and 256 at its end.

    Args:
      predictor_features: int >= 1.
      target_momentum: float in [0, 1].

    Source: Grill et al., Bootstrap your own latent (2020), arXiv 2006.07733.
    """

    Options = BYOLOptions
    title = "BYOL"
    figures = (
        Figure(
            "byol_loss",
            "squared distance of prediction and target, both directions",
            better="lower",
        ),
        SPREAD,
    )

    def create_variables(self, setting):
        self.predictor = make_predictor(
            setting, self.options.predictor_features, use_bias=False
        )
        self.create_target(setting)

    def loss(self, outputs):
        a, b = outputs.projections
        predicted_a, predicted_b = predictions(self.predictor, (a, b), outputs.training)
        target_a, target_b = outputs.targets
        loss = 4.0 + 2.0 * (
            losses.negative_cosine(predicted_a, target_b)
            + losses.negative_cosine(predicted_b, target_a)
        )
        return loss, {"byol_loss": loss, "projection_std": projection_std((a, b))}

    def diagnose(self, figures, global_batch_size):
        yield from diagnose_collapse(figures)

    def memory(self, global_batch_size, replicas=1):
        return Memory(0, "the predictor and the averaged target")

    def messages(self, global_batch_size, replicas, norm_channels):
        return [
            *averaged_messages(norm_channels, replicas),
            *predictor_messages(self, replicas),
        ]


def cosine_momentum(start, step, total_steps):
    """Raise the momentum of an average from its first value to 1 along a cosine.

        1 - (1 - start) (1 + cos(pi step / total_steps)) / 2

    Args:
      start: float in [0, 1].
      step: int or int64 scalar, updates done before.
      total_steps: int.

    Returns:
      float32 scalar: `start` at step 0; 1 at the end and afterwards.

    Source: Grill et al., BYOL (2020), section 3.3.
    """
    done = tf.minimum(tf.cast(step, tf.float32) / total_steps, 1.0)
    return 1.0 - (1.0 - start) * 0.5 * (1.0 + tf.cos(math.pi * done))
