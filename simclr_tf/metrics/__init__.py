"""Contrastive metrics, measures of a representation, and accuracy."""

from simclr_tf.metrics.classification import (
    label_weights,
    top_k_accuracy,
    top_k_correct,
)
from simclr_tf.metrics.contrastive import (
    alignment,
    chance_contrastive_loss,
    contrastive_accuracy,
    contrastive_entropy,
    effective_rank,
    feature_standard_deviation,
    uniformity,
)

__all__ = [
    "alignment",
    "chance_contrastive_loss",
    "contrastive_accuracy",
    "contrastive_entropy",
    "effective_rank",
    "feature_standard_deviation",
    "label_weights",
    "top_k_accuracy",
    "top_k_correct",
    "uniformity",
]
