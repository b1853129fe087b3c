"""The studies by name."""

from simclr_tf.errors import unknown_choice
from simclr_tf.studies import (
    augmentation_pairs,
    batch_and_epochs,
    colour_strength,
    encoder_size,
    head_information,
    label_fraction,
    losses,
    optimizer,
    projection_head,
    temperature,
)

STUDIES = {
    module.STUDY.name: module.STUDY
    for module in (
        augmentation_pairs,
        colour_strength,
        projection_head,
        head_information,
        losses,
        temperature,
        batch_and_epochs,
        encoder_size,
        label_fraction,
        optimizer,
    )
}


def get_study(name):
    """The study of that name.

    Raises:
      ConfigError: an unknown name; the nearest and all names are listed.

    Example:
      >>> get_study("temperature").paper.source
      'Table 5'
    """
    if name not in STUDIES:
        raise unknown_choice("study", name, STUDIES)
    return STUDIES[name]
