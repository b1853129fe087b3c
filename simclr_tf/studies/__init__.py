"""The paper's ablations, one file of data each, and their runner.

A study file (temperature.py, loss_functions.py, ...) lists cells and the paper's
numbers. Open `study.py` first, then `temperature.py`; `study_runner.py` runs the cells,
`study_folder.py` keeps their results. Importing this package loads no TensorFlow.
"""

from __future__ import annotations

from simclr_tf.errors import unknown_choice
from simclr_tf.studies import (
    augmentation_pairs,
    batch_and_epochs,
    colour_strength,
    encoder_size,
    every_objective,
    head_information,
    label_fraction,
    loss_functions,
    optimizer,
    projection_head,
    small_batches,
    temperature,
)
from simclr_tf.studies.study import (
    BUDGETS,
    Cell,
    Chart,
    PaperNumbers,
    Point,
    Run,
    Study,
    base_config,
    runs_of,
    shard_of,
)

STUDIES = {
    module.STUDY.name: module.STUDY
    for module in (
        augmentation_pairs,
        colour_strength,
        projection_head,
        head_information,
        loss_functions,
        temperature,
        batch_and_epochs,
        encoder_size,
        label_fraction,
        optimizer,
        every_objective,
        small_batches,
    )
}


def get_study(name: str) -> Study:
    """Find a study by its name.

    Args:
      name: str, a key of `STUDIES`.

    Returns:
      Study.

    Raises:
      ConfigError: an unknown name; the message lists the nearest and all names.

    Example:
      >>> get_study("temperature").paper.source
      'Table 5'
    """
    if name not in STUDIES:
        raise unknown_choice("study", name, STUDIES)
    return STUDIES[name]


__all__ = [
    "BUDGETS",
    "Cell",
    "Chart",
    "PaperNumbers",
    "Point",
    "Run",
    "STUDIES",
    "Study",
    "base_config",
    "get_study",
    "runs_of",
    "shard_of",
]
