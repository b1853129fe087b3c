"""How large the trainings of a study are: three sizes, and the config they start from.

The three differ in network and length; a study says for each of them which cells there
are, and how long they train.
"""

from simclr_tf.config.presets import get_preset
from simclr_tf.config.schema import override
from simclr_tf.errors import unknown_choice

# What the numbers of each size are good for.
BUDGETS = {
    "small": "the preset of small images with a few epochs and part of the grid: "
    "minutes on two CPU cores; trends, not accuracies",
    "medium": "the preset of small images as it is and the whole grid: a night on two "
    "CPU cores",
    "paper": "the paper's network, batch, length and grid: many accelerators",
}
_SMALL = {
    "epochs": 4,
    "optimizer.warmup_epochs": 0.5,
    # One checkpoint at the end: a cell is shorter than what a crash can lose.
    "checkpoint.every_epochs": 1_000_000,
}
_ALWAYS = {"checkpoint.keep": 1, "checkpoint.image_every_epochs": 0}


def base_config(study, budget, data, *, preset=None, split=None):
    """The config that the cells of a study change.

    Args:
      study: Study.
      budget: str, one of `BUDGETS`.
      data: str in the grammar of `--data`.
      preset: str, another preset than the budget's.
      split: str, the split to train on; the preset's if None.

    Returns:
      Config.

    Raises:
      ConfigError: an unknown budget or preset.

    Example:
      >>> from simclr_tf.studies import get_study
      >>> config = base_config(get_study("temperature"), "paper", "tfds:imagenet2012")
      >>> config.preset, config.global_batch_size, config.epochs
      ('imagenet_resnet50_v1', 4096, 100)
    """
    if budget not in BUDGETS:
        raise unknown_choice("budget", budget, BUDGETS)
    config = get_preset(preset or preset_for(budget, data))
    changes = {"data.source": data, **_ALWAYS}
    if split is not None:
        changes["data.split"] = split
    if budget == "small":
        changes.update(_SMALL)
    return override(config, {**changes, **study.base.get(budget, {})})


def preset_for(budget, data):
    """The preset that a budget starts from with these images.

    Example:
      >>> preset_for("small", "embedded:fashion_mnist_10k")
      'fashion_mnist'
    """
    if budget == "paper":
        return "imagenet_resnet50_v1"
    return "fashion_mnist" if "fashion_mnist" in data else "demo"
