"""Options of each objective on small images, where its paper's do not fit."""

from __future__ import annotations

from typing import Any

_WIDE_HEAD: dict[str, Any] = {
    "projection_head.num_layers": 3,
    "projection_head.out_features": 512,
}
# Objective -> options on small images with the narrow network of the presets for two
# CPU cores, where an objective's own defaults (its paper's, for ImageNet) do not fit.
# Chosen by runs of 12 epochs on Freedoom-12, on training images that were held out;
# those of moco_v3 are those of byol and nt_xent, and were not tried apart.
SMALL_IMAGES: dict[str, dict[str, Any]] = {
    "nt_logistic": {"objective.temperature": 0.5, "objective.semi_hard": True},
    "margin_triplet": {"objective.semi_hard": True},
    "dcl": {"objective.temperature": 0.2},
    "dclw": {"objective.temperature": 0.2},
    "sup_con": {"objective.temperature": 0.1},
    "barlow_twins": _WIDE_HEAD,
    "vicreg": _WIDE_HEAD,
    "moco": {
        "objective.temperature": 0.2,
        "objective.queue_length": 1024,
        "objective.target_momentum": 0.95,
    },
    "moco_v3": {
        "objective.temperature": 0.2,
        "objective.predictor_features": 512,
        "objective.target_momentum": 0.97,
    },
    "nnclr": {
        "objective.temperature": 0.2,
        "objective.queue_length": 4096,
        "objective.predictor_features": 512,
    },
    "instance_discrimination": {
        "objective.temperature": 0.2,
        "objective.negatives": 0,
    },
    "simsiam": {
        "objective.predictor_features": 128,
        "projection_head.out_features": 512,
    },
    "byol": {"objective.predictor_features": 512, "objective.target_momentum": 0.97},
    "swav": {
        "objective.prototypes": 128,
        "objective.small_views": 0,
        "optimizer.base_learning_rate": 3e-3,
    },
    "dino": {
        "objective.outputs": 1024,
        "objective.small_views": 0,
        "objective.target_momentum": 0.996,
        "objective.teacher_warmup_epochs": 3.0,
    },
}


def small_image_options(objective: str) -> dict[str, Any]:
    """List the options of an objective on small images, as dotted options.

    Args:
      objective: str, a name of `simclr_tf.objectives.OBJECTIVES`.

    Returns:
      dict of dotted option to value, over a preset for two CPU cores.

    Example:
      >>> small_image_options("dcl")
      {'objective.name': 'dcl', 'objective.temperature': 0.2}
    """
    return {"objective.name": objective, **SMALL_IMAGES.get(objective, {})}
