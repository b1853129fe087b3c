"""NT-Logistic, one of the losses that the paper compares with NT-Xent."""

from dataclasses import dataclass

from simclr_tf.config.schema import GuestOptions, option, require_positive
from simclr_tf.lazy import module
from simclr_tf.objectives.nt_xent import (
    contrastive_figures,
    logits_memory,
    messages_of_pairs,
)
from simclr_tf.objectives.objective import CONTRASTIVE_FIGURES, Objective

losses = module("simclr_tf.losses")


@dataclass(frozen=True)
class NTLogisticOptions(GuestOptions):
    """Options of NT-Logistic."""

    name: str = option("nt_logistic", "Name of the objective.")
    temperature: float = option(0.1, "Divides the similarities.")
    semi_hard: bool = option(False, "Semi-hard negatives instead of all.")

    def check(self):
        require_positive(temperature=self.temperature)


class NTLogistic(Objective):
    """Logistic regression of each pair of views: of the same image, or not.

    Args:
      temperature, semi_hard: see `simclr_tf.losses.nt_logistic`.

    Source: arXiv 2002.05709, table 2, table 4 and appendix B.10.
    """

    Options = NTLogisticOptions
    title = "NT-Logistic"
    figures = CONTRASTIVE_FIGURES

    def loss(self, outputs):
        candidates = losses.candidate_logits(
            *outputs.projections, temperature=self.options.temperature
        )
        loss = losses.nt_logistic_from_logits(
            candidates, semi_hard=self.options.semi_hard
        )
        return contrastive_figures(loss, candidates)

    def memory(self, global_batch_size, replicas=1):
        return logits_memory(global_batch_size, replicas, streams=False)

    def messages(self, global_batch_size, replicas, norm_channels):
        width = self.setting.num_projections
        return messages_of_pairs(global_batch_size, replicas, width, streams=False)
