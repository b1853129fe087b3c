"""Contrastive losses of the paper, classification, and distillation."""

from simclr_tf.losses.alternatives import (
    margin_triplet,
    margin_triplet_from_logits,
    nt_logistic,
    nt_logistic_from_logits,
)
from simclr_tf.losses.candidates import CandidateLogits, candidate_logits
from simclr_tf.losses.distillation import distillation_cross_entropy
from simclr_tf.losses.nt_xent import (
    nt_xent,
    nt_xent_candidates,
    nt_xent_from_logits,
)
from simclr_tf.losses.streamed import (
    BLOCK_BYTES,
    DENSE_LOGITS_BYTES,
    StreamedCandidates,
    block_rows,
    streamed_candidates,
)
from simclr_tf.losses.supervised import supervised_cross_entropy

__all__ = [
    "BLOCK_BYTES",
    "CandidateLogits",
    "DENSE_LOGITS_BYTES",
    "StreamedCandidates",
    "block_rows",
    "candidate_logits",
    "distillation_cross_entropy",
    "margin_triplet",
    "margin_triplet_from_logits",
    "nt_logistic",
    "nt_logistic_from_logits",
    "nt_xent",
    "nt_xent_candidates",
    "nt_xent_from_logits",
    "streamed_candidates",
    "supervised_cross_entropy",
]
