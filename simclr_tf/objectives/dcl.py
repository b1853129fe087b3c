"""Decoupled contrastive learning, plain and weighted."""

import math
from dataclasses import dataclass

from simclr_tf.config.schema import GuestOptions, option, require_positive
from simclr_tf.lazy import module
from simclr_tf.objectives.nt_xent import (
    contrastive_figures,
    diagnose_stuck_loss,
    logits_memory,
    messages_of_pairs,
)
from simclr_tf.objectives.objective import CONTRASTIVE_FIGURES, Objective

distribution = module("simclr_tf.distribution")
losses = module("simclr_tf.losses")


@dataclass(frozen=True)
class DCLOptions(GuestOptions):
    """Options of DCL."""

    name: str = option("dcl", "Name of the objective.")
    temperature: float = option(0.1, "Divides the similarities (authors: 0.07 to 0.1).")
    chunk_size: int | None = option(
        None,
        "Anchors compared with all candidates at a time, which bounds the memory; if "
        "unset, all at once up to 64 MiB of logits.",
        resumable=True,
    )

    def check(self):
        require_positive(temperature=self.temperature, chunk_size=self.chunk_size)


@dataclass(frozen=True)
class DCLWOptions(DCLOptions):
    """Options of DCLW."""

    name: str = option("dclw", "Name of the objective.")
    sigma: float = option(
        0.5, "Temperature of the weights; the larger, the more equal they are."
    )

    def check(self):
        super().check()
        require_positive(sigma=self.sigma)


class DCL(Objective):
    """NT-Xent without the positive in the denominator, which helps small batches.

    Args:
      temperature, chunk_size: see `simclr_tf.losses.dcl`.

    Source: Yeh et al., Decoupled Contrastive Learning (2022), arXiv 2110.06848.
    """

    Options = DCLOptions
    title = "DCL"
    figures = CONTRASTIVE_FIGURES

    def loss(self, outputs):
        candidates = losses.nt_xent_candidates(
            *outputs.projections,
            temperature=self.options.temperature,
            chunk_size=self.options.chunk_size,
        )
        return contrastive_figures(self.loss_of(candidates), candidates)

    def loss_of(self, candidates):
        """Compute the loss of each image from its candidates."""
        return losses.dcl_from_logits(candidates)

    def diagnose(self, figures, global_batch_size):
        negatives = 2 * global_batch_size - 2
        return diagnose_stuck_loss(
            math.log(negatives), "ln(2 * batch - 2)", figures, negatives + 1
        )

    def memory(self, global_batch_size, replicas=1):
        return logits_memory(global_batch_size, replicas, self.options.chunk_size)

    def messages(self, global_batch_size, replicas, norm_channels):
        width, chunk_size = self.setting.num_projections, self.options.chunk_size
        return messages_of_pairs(global_batch_size, replicas, width, chunk_size)


class DCLW(DCL):
    """DCL with larger weights for pairs of views that are far apart.

    Args:
      temperature, sigma, chunk_size: see `simclr_tf.losses.dclw`.

    Source: Yeh et al., Decoupled Contrastive Learning (2022), arXiv 2110.06848.
    """

    Options = DCLWOptions
    title = "DCLW"

    def loss_of(self, candidates):
        return losses.dclw_from_logits(
            candidates,
            temperature=self.options.temperature,
            sigma=self.options.sigma,
        )

    def messages(self, global_batch_size, replicas, norm_channels):
        return [
            *super().messages(global_batch_size, replicas, norm_channels),
            # The positives' similarities, in both directions.
            distribution.sum_message("loss", [2 * global_batch_size]),
        ]
