"""Options: each stands once, is checked, and survives JSON."""

import dataclasses
import json

import pytest

from simclr_tf.augment import RECIPES, Recipe
from simclr_tf.config import AugmentConfig, Config, from_dict
from simclr_tf.config.presets import PRESETS, get_preset
from simclr_tf.config.schema import (
    differences,
    flatten,
    help_of,
    override,
    to_dict,
    walk_options,
)
from simclr_tf.errors import ConfigError


def test_every_option_has_a_help_text_that_is_a_sentence():
    for name, item, _ in walk_options(Config):
        assert help_of(item).endswith((".", ")")), name


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json(name):
    preset = get_preset(name)
    text = json.dumps(to_dict(preset))
    assert from_dict(json.loads(text)) == preset
    assert preset.preset == name


@pytest.mark.parametrize("name", PRESETS)
def test_presets_say_what_they_are(name):
    assert PRESETS[name].__doc__


def test_the_config_has_every_option_of_a_recipe_with_its_help():
    recipe = {item.name: item for item in dataclasses.fields(Recipe)}
    ours = {item.name: item for item in dataclasses.fields(AugmentConfig)}
    # The order is for Python alone; the ablation of one branch is no part of a recipe.
    assert set(recipe) - {"order"} == set(ours) - {"recipe", "one_branch"}
    for name in set(recipe) & set(ours):
        assert ours[name].metadata["help"] == recipe[name].metadata["help"]
        assert ours[name].default is None


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_chosen_by_its_name(name):
    assert AugmentConfig(recipe=name).build() == RECIPES[name]


@pytest.mark.parametrize(
    "changes, words",
    [
        (
            {"objective.temperature": 0},
            "`temperature` must be > 0. Received: temperature=0.0",
        ),
        ({"objective.temperature": -1}, "Received: temperature=-1.0"),
        ({"objective.temperature": float("nan")}, "must be finite"),
        ({"encoder": "resnet51"}, "Did you mean resnet50 or resnet18"),
        ({"epochs": -3}, "`epochs` must be > 0. Received: epochs=-3"),
        ({"epochs": True}, "must be an int"),
        ({"epochs": 1.5}, "must be an int"),
        ({"global_batch_size": 1}, "at least 2"),
        (
            {"objective.temprature": 1.0},
            "nt_xent has no option `temprature`. Did you mean `temperature`?",
        ),
        ({"optimizer": {"name": "adm"}}, "Choices: lars, lamb, sgd, adamw"),
        ({"data.max_corrupt_fraction": 1.5}, "must be in [0, 1]"),
        ({"data.image_size_pixels": "64x"}, "height x width such as 64x96. Received"),
        ({"data.image_size_pixels": [64, 96, 3]}, "or height x width such as 64x96"),
        ({"data.image_size_pixels": (64, 0)}, "`image_size_pixels` must be > 0"),
        ({"data.image_size_pixels": (8, 65536)}, "must be at most 65,535"),
        ({"seed": None}, "must not be None"),
        ({"objective.chunk_size": 0}, "`chunk_size` must be > 0"),
        (
            {"objective": {"chunk_size": 8, "name": "margin_triplet"}},
            "margin_triplet has no option `chunk_size`. Its options: margin, semi_hard",
        ),
        (
            {"micro_batch_size": 100},
            "must divide the images of one replica's batch. "
            "Received: micro_batch_size=100, global_batch_size=512",
        ),
        ({"micro_batch_norm": "inference"}, "needs `micro_batch_size`"),
        ({"loss": 3}, "Unknown `option`"),
        ({"augment.recipe": "cifr"}, "Unknown `recipe`. Did you mean cifar?"),
        ({"augment.hue": -1}, "`hue` must be a number >= 0. Received: hue=-1.0"),
        ({"augment.blur_sigma_max_pixels": 0.05}, "`blur_sigma_max_pixels`"),
        ({"augment.crop_floor": "none"}, "Choices: exact, reference"),
    ],
)
def test_a_bad_value_is_named_with_the_way_out(changes, words):
    with pytest.raises(ConfigError) as error:
        override(Config(), changes)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_override_reaches_sections_and_leaves_the_rest():
    changed = override(
        Config(), {"objective": {"temperature": 0.5}, "data.channels": 1}
    )
    assert (changed.objective.temperature, changed.data.channels) == (0.5, 1)
    assert [name for name, _, _ in differences(Config(), changed)] == [
        "data.channels",
        "objective.temperature",
    ]


def test_a_continued_run_may_keep_more_checkpoints_but_not_train_longer():
    changed = override(
        Config(), {"checkpoint.keep": 9, "epochs": 7, "objective.chunk_size": 64}
    )
    assert differences(Config(), changed, resuming=True) == [("epochs", 100, 7)]


def test_differences_have_no_options_of_a_guest_that_is_gone():
    changed = override(Config(), {"objective.name": "dcl"})
    assert differences(Config(), changed) == [("objective.name", "nt_xent", "dcl")]
    back = dict((name, old) for name, old, _ in differences(changed, Config()))
    assert back["objective.name"] == "dcl" and back["objective.normalize"] is None


def test_flat_names_are_unique():
    names = [name for name, _, _ in walk_options(Config)]
    assert len(names) == len(set(names))
    own = [name for name, _, _ in walk_options(Config())]
    assert own == list(flatten(Config())) and set(own) < set(names)


def test_another_guest_of_the_same_options_keeps_them_and_others_start_afresh():
    base = override(
        Config(), {"encoder.width_multiplier": 0.25, "objective.temperature": 0.7}
    )
    deeper = override(base, {"encoder": "resnet101"})
    assert (deeper.encoder.name, deeper.encoder.width_multiplier) == ("resnet101", 0.25)
    other = override(base, {"objective": "nt_logistic"})
    assert other.objective.temperature == type(other.objective)().temperature == 0.1


def test_options_of_version_0_1_0_are_read_under_their_present_names():
    old = {
        "encoder": {"kind": "resnet", "depth": 18, "stem": "cifar"},
        "loss": {"name": "nt_logistic", "temperature": 0.5, "margin": 0.8},
    }
    config = from_dict(old)
    assert config.encoder.name == "resnet18" and config.encoder.stem == "cifar"
    assert config.objective.name == "nt_logistic"
    assert config.objective.temperature == 0.5
    custom = from_dict({"encoder": {"kind": "custom", "depth": 50}})
    assert custom.encoder.name == "custom"


def test_what_options_name_is_what_the_code_has():
    from simclr_tf.config.export import FORMATS
    from simclr_tf.config.shared_choices import OptimizerName, Scaling
    from simclr_tf.config.values import literal_choices
    from simclr_tf.export import formats
    from simclr_tf.optim import make_optimizer, schedules

    assert tuple(FORMATS) == formats.NAMES
    assert literal_choices(Scaling) == tuple(schedules._SCALINGS)
    names = ", ".join(literal_choices(OptimizerName))
    with pytest.raises(ConfigError, match=f"Choices: {names}. "):
        make_optimizer("none", 0.1)


def test_lists_are_checked_item_by_item():
    from simclr_tf.config.evaluate import EvaluateOptions

    options = EvaluateOptions(workdir="run", protocols=["few", "knn"])
    assert options.protocols == ("few", "knn")
    for protocols, words in (("knn", "must be a list"), ([3], "must be a str")):
        with pytest.raises(ConfigError, match=words):
            EvaluateOptions(workdir="run", protocols=protocols)


@pytest.mark.parametrize(
    ("given", "kept"),
    [(64, 64), ([64, 96], (64, 96)), ("64x96", (64, 96)), ((64, 64), 64), ("64", 64)],
)
def test_a_size_is_one_number_or_height_and_width_in_every_spelling(given, kept):
    config = override(Config(), {"data.image_size_pixels": given})
    assert config.data.image_size_pixels == kept
    stored = json.loads(json.dumps(to_dict(config)))
    assert from_dict(stored) == config
    sides = kept if isinstance(kept, tuple) else (kept, kept)
    assert config.data.image_shape(3) == (*sides, 3)
