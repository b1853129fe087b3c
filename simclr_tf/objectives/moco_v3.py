"""MoCo v3: predictions find the keys of an averaged network within the batch."""

import math
from dataclasses import dataclass

from simclr_tf.config.schema import (
    GuestOptions,
    option,
    require_at_least_one,
    require_fraction,
    require_positive,
)
from simclr_tf.lazy import module, tf
from simclr_tf.objectives.byol import WithTarget
from simclr_tf.objectives.moco import (
    KEY_FIGURES,
    diagnose_keys,
    figures_of_directions,
    key_figures,
)
from simclr_tf.objectives.nt_xent import diagnose_stuck_loss
from simclr_tf.objectives.objective import CONTRASTIVE_FIGURES, Memory
from simclr_tf.objectives.queue import averaged_messages
from simclr_tf.objectives.simsiam import (
    make_predictor,
    predictions,
    predictor_messages,
)

distribution = module("simclr_tf.distribution")
losses = module("simclr_tf.losses")
tokens = module("simclr_tf.models.tokens")


@dataclass(frozen=True)
class MoCoV3Options(GuestOptions):
    """Options of MoCo v3."""

    name: str = option("moco_v3", "Name of the objective.")
    temperature: float = option(
        1.0, "Divides the similarities (ResNet-50: 1.0; ViT: 0.2; CIFAR: 0.2)."
    )
    predictor_features: int = option(4096, "Hidden width of the predictor.")
    target_momentum: float = option(
        0.99,
        "Share of the averaged encoder and head kept in a step; it rises to 1 over the "
        "run (paper: 0.99, and 0.996 for 1,000 epochs).",
    )
    freeze_patches: bool = option(
        True,
        "The patch embedding of a transformer stays at its random start, without which "
        "the paper's training was unstable. No effect on other encoders.",
    )

    def check(self):
        require_positive(temperature=self.temperature)
        require_at_least_one(predictor_features=self.predictor_features)
        require_fraction("target_momentum", self.target_momentum)


class MoCoV3(WithTarget):
    """Find the key of an image's other view among the keys of the global batch.

    With q the prediction of a view, k its key and T the temperature,

        L = 2 T (CE(q_a K_b^T / T) + CE(q_b K_a^T / T))

    averaged over the images. Averaged copies of encoder and head make the keys; no
    gradient flows through them, and the predictor has no copy. There is no queue. The
    paper's head for ResNet-50 has two layers, 4,096 wide and 256 at its end; for
    transformers it has three, and the predictor ends with a batch norm, which this one
    has not.

    Args:
      temperature: float > 0.
      predictor_features: int >= 1.
      target_momentum: float in [0, 1].
      freeze_patches: bool.

    Source: Chen, Xie & He, An Empirical Study of Training Self-Supervised Vision
    Transformers (2021), arXiv 2104.02057, algorithm 1 and section 4.
    """

    Options = MoCoV3Options
    title = "MoCo v3"
    figures = (*CONTRASTIVE_FIGURES, *KEY_FIGURES)

    def create_variables(self, setting):
        self.predictor = make_predictor(
            setting, self.options.predictor_features, use_bias=False
        )
        self.create_target(setting)

    def loss(self, outputs):
        temperature = self.options.temperature
        predicted = predictions(self.predictor, outputs.projections, outputs.training)
        keys = [tf.stop_gradient(key) for key in outputs.targets]
        loss, figures = figures_of_directions(
            [
                losses.batch_logits(query, key, temperature=temperature)
                for query, key in zip(predicted, keys[::-1], strict=True)
            ]
        )
        loss *= 4.0 * temperature
        return loss, {
            **figures,
            "contrastive_loss": loss,
            **key_figures(outputs.projections[0], keys[0]),
        }

    def frozen(self, step):
        if not self.options.freeze_patches:
            return []
        return [
            (layer.trainable_variables, tf.constant(True))
            for layer in self.setting.encoder.submodules
            if isinstance(layer, tokens.PatchEmbedding)
        ]

    def diagnose(self, figures, global_batch_size):
        stuck = 4 * self.options.temperature * math.log(global_batch_size)
        formula = "4 * temperature * ln(batch)"
        yield from diagnose_stuck_loss(stuck, formula, figures, global_batch_size)
        yield from diagnose_keys(figures, "target_momentum")

    def memory(self, global_batch_size, replicas=1):
        logits = 4 * 2 * (global_batch_size // replicas) * global_batch_size
        return Memory(logits, "the predictor, the averaged target, and logits a step")

    def messages(self, global_batch_size, replicas, norm_channels):
        shape = [global_batch_size, self.setting.num_projections]
        return [
            *averaged_messages(norm_channels, replicas),
            *predictor_messages(self, replicas),
            # The keys of each view.
            *2 * [distribution.sum_message("projections", shape)],
        ]
