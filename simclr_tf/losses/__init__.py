"""Contrastive losses of the paper, classification, and distillation."""

from simclr_tf.losses.alternatives import (
    margin_triplet,
    margin_triplet_from_logits,
    nt_logistic,
    nt_logistic_from_logits,
)
from simclr_tf.losses.candidates import CandidateLogits, candidate_logits
from simclr_tf.losses.distillation import distillation_cross_entropy
from simclr_tf.losses.nt_xent import nt_xent, nt_xent_from_logits
from simclr_tf.losses.supervised import supervised_cross_entropy

__all__ = [
    "CandidateLogits",
    "candidate_logits",
    "distillation_cross_entropy",
    "margin_triplet",
    "margin_triplet_from_logits",
    "nt_logistic",
    "nt_logistic_from_logits",
    "nt_xent",
    "nt_xent_from_logits",
    "supervised_cross_entropy",
]
