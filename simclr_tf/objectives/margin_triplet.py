"""Margin triplet, one of the losses that the paper compares with NT-Xent."""

from dataclasses import dataclass

from simclr_tf.config.schema import GuestOptions, option, require_not_negative
from simclr_tf.lazy import module
from simclr_tf.objectives.nt_xent import (
    contrastive_figures,
    logits_memory,
    messages_of_pairs,
)
from simclr_tf.objectives.objective import CONTRASTIVE_FIGURES, Objective

losses = module("simclr_tf.losses")


@dataclass(frozen=True)
class MarginTripletOptions(GuestOptions):
    """Options of margin triplet."""

    name: str = option("margin_triplet", "Name of the objective.")
    margin: float = option(0.8, "Margin, in units of cosine similarity.")
    semi_hard: bool = option(False, "Semi-hard negatives instead of all.")

    def check(self):
        require_not_negative(margin=self.margin)


class MarginTriplet(Objective):
    """Push each negative until it is `margin` less similar than the positive.

    Args:
      margin, semi_hard: see `simclr_tf.losses.margin_triplet`.

    Source: arXiv 2002.05709, tables 2 and 4; Schroff et al., FaceNet (2015).
    """

    Options = MarginTripletOptions
    title = "margin-triplet"
    figures = CONTRASTIVE_FIGURES

    def loss(self, outputs):
        # The margin is a difference of plain similarities: temperature 1.
        candidates = losses.candidate_logits(*outputs.projections, temperature=1.0)
        loss = losses.margin_triplet_from_logits(
            candidates, margin=self.options.margin, semi_hard=self.options.semi_hard
        )
        return contrastive_figures(loss, candidates)

    def memory(self, global_batch_size, replicas=1):
        return logits_memory(global_batch_size, replicas, streams=False)

    def messages(self, global_batch_size, replicas, norm_channels):
        width = self.setting.num_projections
        return messages_of_pairs(global_batch_size, replicas, width, streams=False)
