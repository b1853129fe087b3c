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
    assert "not run by us." in text.partition("Expected: ")[2]


@pytest.mark.parametrize(
    "name, published",
    [
        ("cifar10_resnet18_moco", 5e-4),
        ("cifar10_resnet18_instance_discrimination", 5e-4),
        ("cifar10_resnet18_sup_con", 1e-5),
        ("cifar10_resnet18_simsiam", 1e-5),
        ("imagenet_resnet50_moco_v2", 1e-4),
    ],
)
def test_decay_outside_the_momentum_is_as_strong_as_the_published_inside(
    name, published
):
    options = METHOD_PRESETS[name]().optimizer
    assert options.name == "sgd"
    inside = options.weight_decay * (1 - options.momentum)
    assert inside == pytest.approx(published)


@pytest.mark.parametrize(
    "names, jitter, probability, blur",
    [
        ("sup_con swav", (0.8, 0.8, 0.8, 0.2), 0.8, 0.5),
        ("simsiam", (0.4, 0.4, 0.4, 0.1), 0.8, 0.5),
        ("dcl dclw moco", (0.4, 0.4, 0.4, 0.1), 0.8, 0.0),
        (
            "byol nnclr moco_v3 barlow_twins dino vicreg",
            (0.4, 0.4, 0.2, 0.1),
            0.8,
            0.0,
        ),
        ("instance_discrimination", (0.4, 0.4, 0.4, 0.4), 1.0, 0.0),
    ],
)
def test_the_views_are_the_published_ones(names, jitter, probability, blur):
    for name in names.split():
        recipe = METHOD_PRESETS[f"cifar10_resnet18_{name}"]().augment.build()
        ranges = (recipe.brightness, recipe.contrast, recipe.saturation, recipe.hue)
        found = [recipe.color_strength * value for value in ranges]
        assert found == pytest.approx(jitter), name
        assert recipe.jitter_probability == probability
        assert recipe.blur_probability == blur
        is_milder = name in ("vicreg", "instance_discrimination")
        assert recipe.crop_area_min_fraction == (0.2 if is_milder else 0.08)


@pytest.mark.parametrize("name", METHOD_PRESETS)
def test_a_queue_longer_than_the_data_set_stands_in_the_text(name):
    length = getattr(METHOD_PRESETS[name]().objective, "queue_length", 0)
    if "cifar10" in name and length > 50_000:
        text = " ".join(METHOD_PRESETS[name].__doc__.split())
        assert "longer than the 50,000 images" in text


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
