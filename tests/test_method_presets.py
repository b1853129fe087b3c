"""The presets of the objectives beside NT-Xent hold the published settings."""

import pytest

from simclr_tf.config.method_presets import METHOD_PRESETS
from simclr_tf.objectives import OBJECTIVES

WITHOUT = {"nt_xent", "nt_logistic", "margin_triplet"}  # What SimCLR compares with.


def test_every_objective_has_a_preset_for_cifar10():
    named = {name.removeprefix("cifar10_resnet18_") for name in METHOD_PRESETS}
    assert set(OBJECTIVES) - WITHOUT <= named


@pytest.mark.parametrize("name", METHOD_PRESETS)
def test_a_preset_has_its_source_its_command_and_its_figure(name):
    text = " ".join(METHOD_PRESETS[name].__doc__.split())
    assert "Source: " in text and f"Command: simclr-tf pretrain --preset={name}" in text
    assert " as published; not run by us." in text.partition("Expected: ")[2]


@pytest.mark.parametrize(
    "name, rate",  # The learning rate at the preset's batch, as published.
    [
        ("cifar10_resnet18_moco", 0.06),
        ("cifar10_resnet18_byol", 1.0),
        ("cifar10_resnet18_instance_discrimination", 0.03),
        ("cifar10_resnet18_moco_v3", 0.3),
        ("imagenet_resnet50_moco_v2", 0.03),
        ("imagenet_resnet50_moco_v3", 9.6),
        ("imagenet_resnet50_swav", 4.8),
    ],
)
def test_the_learning_rate_at_the_batch_is_the_published_one(name, rate):
    config = METHOD_PRESETS[name]()
    factor = {"linear": config.global_batch_size / 256, "none": 1.0}
    options = config.optimizer
    assert options.base_learning_rate * factor[options.scaling] == pytest.approx(rate)


def test_the_keys_of_moco_divide_the_batch_into_equal_groups():
    for name, preset in METHOD_PRESETS.items():
        config = preset()
        if config.objective.name == "moco":
            groups = config.objective.batch_norm_groups
            assert config.global_batch_size % groups == 0, name
