"""Losses: pure functions of tensors, over the global batch; no state, no variables.

Open `nt_xent.py` first, then `candidates.py`, used by all losses that compare images.
"""

from simclr_tf.losses.alternatives import (
    margin_triplet,
    margin_triplet_from_logits,
    nt_logistic,
    nt_logistic_from_logits,
)
from simclr_tf.losses.candidates import (
    CandidateLogits,
    batch_logits,
    candidate_logits,
)
from simclr_tf.losses.clusters import (
    dino_cross_entropy,
    sinkhorn,
    swapped_prediction,
)
from simclr_tf.losses.decoupled import dcl, dcl_from_logits, dclw, dclw_from_logits
from simclr_tf.losses.memories import (
    info_nce,
    info_nce_from_logits,
    info_nce_logits,
    instance_nce,
    instance_softmax,
)
from simclr_tf.losses.nt_xent import (
    nt_xent,
    nt_xent_candidates,
    nt_xent_from_logits,
)
from simclr_tf.losses.soft_targets import distillation_cross_entropy
from simclr_tf.losses.streamed import (
    BLOCK_BYTES,
    DENSE_LOGITS_BYTES,
    StreamedCandidates,
    block_rows,
    streamed_candidates,
)
from simclr_tf.losses.supervised import (
    same_class,
    sup_con,
    sup_con_from_logits,
    supervised_cross_entropy,
)
from simclr_tf.losses.without_negatives import (
    VICRegTerms,
    barlow_twins,
    barlow_twins_from_correlation,
    cross_correlation,
    negative_cosine,
    vicreg,
    vicreg_from_terms,
    vicreg_terms,
)

__all__ = [
    "BLOCK_BYTES",
    "CandidateLogits",
    "DENSE_LOGITS_BYTES",
    "StreamedCandidates",
    "VICRegTerms",
    "barlow_twins",
    "barlow_twins_from_correlation",
    "batch_logits",
    "block_rows",
    "candidate_logits",
    "cross_correlation",
    "dcl",
    "dcl_from_logits",
    "dclw",
    "dclw_from_logits",
    "dino_cross_entropy",
    "distillation_cross_entropy",
    "info_nce",
    "info_nce_from_logits",
    "info_nce_logits",
    "instance_nce",
    "instance_softmax",
    "margin_triplet",
    "margin_triplet_from_logits",
    "negative_cosine",
    "nt_logistic",
    "nt_logistic_from_logits",
    "nt_xent",
    "nt_xent_candidates",
    "nt_xent_from_logits",
    "same_class",
    "sinkhorn",
    "streamed_candidates",
    "sup_con",
    "sup_con_from_logits",
    "supervised_cross_entropy",
    "swapped_prediction",
    "vicreg",
    "vicreg_from_terms",
    "vicreg_terms",
]
