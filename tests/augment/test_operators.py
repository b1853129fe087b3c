"""The registry of operators: what each brings, and one that is added from outside."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.augment import (
    OPERATORS,
    Recipe,
    apply_blur,
    apply_color_jitter,
    apply_crop,
    apply_cutout,
    apply_flip,
    apply_grayscale,
    apply_noise,
    apply_rotate,
    apply_sobel,
    sample_color_jitter,
)
from simclr_tf.augment.operators import Operator
from simclr_tf.augment.recipes import require_distinct
from simclr_tf.config import AugmentConfig, Config
from simclr_tf.config.schema import walk_options
from simclr_tf.errors import ConfigError
from tests.oracles import augment_color, augment_filters, augment_resize

IMAGE = np.random.default_rng(0).random((8, 8, 3))
NOISE = 0.3 * np.random.default_rng(1).normal(size=(8, 8, 3))
BOX = (1, 2, 5, 4)


def one(apply, draw, **options):
    draw = np.asarray(draw)
    draw = draw.astype({"f": np.float32, "i": np.int32}.get(draw.dtype.kind, bool))
    return apply(IMAGE[np.newaxis].astype(np.float32), draw[np.newaxis], **options)[0]


def jittered():
    draw = sample_color_jitter(tf.constant([[0, 1]]), probability=1.0)
    order, *numbers = [np.asarray(part)[0] for part in draw[1:]]
    outputs = apply_color_jitter(IMAGE[np.newaxis].astype(np.float32), draw)
    return outputs[0], augment_color.jitter(IMAGE, order, *map(float, numbers))


# Operator -> (ours, the same pixel by pixel), for one draw; more of each stands in the
# file of the operator's own tests.
ORACLES = {
    "crop": lambda: (
        one(apply_crop, BOX, size=6),
        augment_resize.crop_and_resize(IMAGE, BOX, 6, 6),
    ),
    "flip": lambda: (one(apply_flip, True), augment_filters.flip(IMAGE)),
    "color_jitter": jittered,
    "grayscale": lambda: (one(apply_grayscale, True), augment_color.grayscale(IMAGE)),
    "blur": lambda: (
        one(apply_blur, 1.3, kernel_fraction=0.5),
        augment_filters.blur(IMAGE, 1.3, 2),
    ),
    "cutout": lambda: (
        one(apply_cutout, BOX, fill=0.2),
        augment_filters.cutout(IMAGE, BOX, 0.2),
    ),
    "rotate": lambda: (one(apply_rotate, 3), augment_filters.rotate(IMAGE, 3)),
    "noise": lambda: (one(apply_noise, NOISE), augment_filters.noise(IMAGE, NOISE)),
    "sobel": lambda: (one(apply_sobel, True), augment_filters.sobel(IMAGE)),
}


def test_every_operator_has_an_oracle():
    assert set(ORACLES) == set(OPERATORS)


@pytest.mark.parametrize("name", ORACLES)
def test_every_operator_equals_its_oracle(name):
    ours, expected = ORACLES[name]()
    assert np.abs(expected - IMAGE[: len(expected), : len(expected)]).max() > 0.05
    np.testing.assert_allclose(ours, expected, atol=2e-3 if name == "crop" else 1e-5)


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_has_flags_for_all_its_options(name):
    flags = {dotted for dotted, _, _ in walk_options(Config)}
    options = dataclasses.fields(OPERATORS[name].Options)
    assert options and {f"augment.{item.name}" for item in options} <= flags


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_shows_itself_from_mild_to_strong(name):
    images = tf.constant(IMAGE[np.newaxis], tf.float32)
    recipe = Recipe(blur_kernel_fraction=0.5)  # A tenth of 8 pixels is no blur.
    rows = OPERATORS[name].strengths(images, recipe, images)
    assert rows
    for title, shown in rows:
        assert title and all(picture.shape == images.shape for _, picture in shown)
        assert any(np.abs(picture - images).max() > 0.01 for _, picture in shown)


def test_the_places_in_the_seed_tree_are_those_of_every_run_so_far():
    # Another number changes what each run with a given seed sees.
    assert {name: operator.seed_id for name, operator in OPERATORS.items()} == {
        "crop": 0,
        "flip": 1,
        "color_jitter": 2,
        "grayscale": 3,
        "blur": 4,
        "cutout": 5,
        "rotate": 6,
        "noise": 7,
        "sobel": 8,
    }


class Twin(Operator):
    """Draws the numbers of another operator."""

    seed_id = 4

    @dataclasses.dataclass(frozen=True)
    class Options:
        twin_probability: float = 0.0


class Namesake(Twin):
    """Has an option of another operator."""

    seed_id = 9
    Options = OPERATORS["blur"].Options


def test_operators_that_share_a_seed_or_an_option_are_refused():
    with pytest.raises(ConfigError, match="`blur` and `twin` have the same seed_id.*9"):
        require_distinct({**OPERATORS, "twin": Twin()})
    with pytest.raises(ConfigError, match="`blur` and `namesake` both have"):
        require_distinct({**OPERATORS, "namesake": Namesake()})


def test_an_operator_that_comes_too_late_is_refused(monkeypatch):
    monkeypatch.setitem(OPERATORS, "late", Namesake())
    with pytest.raises(ConfigError, match="must be added to OPERATORS before"):
        AugmentConfig()


ADDED = """
from dataclasses import dataclass
from simclr_tf.augment.operators import OPERATORS, Operator, TransformQuestion
from simclr_tf.config.schema import option
from simclr_tf.lazy import module, tf

seeding = module("simclr_tf.seeding")


@dataclass(frozen=True)
class SolarizeOptions:
    solarize_probability: float = option(0.0, "Probability of solarizing.")
    solarize_threshold: float = option(0.5, "Brighter pixels are inverted.")

    def check(self):
        pass


class Solarize(Operator):
    seed_id = 9
    Options = SolarizeOptions
    switch = "solarize_probability"
    one_branch = "solarize"
    question = TransformQuestion("solarize", "solarized", (0.5, 0.5), 0.5)

    def sample(self, seeds, recipe, image_shape):
        return seeding.uniform(seeds) < recipe.solarize_probability

    def apply(self, images, draw, recipe):
        inverted = tf.where(images > recipe.solarize_threshold, 1.0 - images, images)
        return tf.where(draw[:, None, None, None], inverted, images)

    def draw_of_answers(self, answers, seeds, image_shape):
        return answers > 0

    def strengths(self, images, recipe, large_images):
        everywhere = self.apply(images, tf.fill([len(images)], True), recipe)
        return [("solarize", [("all", everywhere)])]


OPERATORS["solarize"] = Solarize()

import contextlib, io, json, sys
assert not {"tensorflow", "tf_keras", "numpy"} & set(sys.modules)
from simclr_tf.tools.command_line import main

shown = io.StringIO()
with contextlib.redirect_stdout(shown):
    assert main(["pretrain", "--help=all"]) == 0 and main(sys.argv[1:]) == 0

import numpy as np
from simclr_tf.augment import Recipe, one_branch_operators, two_views
from simclr_tf.config import Config
from simclr_tf.config.schema import override, to_dict
from simclr_tf.commands.operator_rows import operator_rows
from simclr_tf.studies import STUDIES, base_config
from simclr_tf.studies.head_information import questions

config = override(Config(), {"augment": {
    "recipe": "evaluate", "solarize_probability": 1.0, "solarize_threshold": 0.25}})
images = np.full([2, 8, 8, 3], 102, np.uint8)
views = two_views(images, np.zeros([2, 2], np.int32), config.augment.build())
study = STUDIES["augmentation_pairs"]
cells = study.cells(base_config(study, "small", "embedded:freedoom_12"), "small")
print(json.dumps({
    "shown": shown.getvalue(),
    "view": float(views[1][0, 0, 0, 0]),
    "order": Recipe().order,
    "augment": to_dict(config)["augment"],
    "one_branch": list(one_branch_operators()),
    "pairs": len(cells),
    "questions": list(questions()),
    "rows": [title for title, _ in operator_rows(views[0], views[0], Recipe())],
}))
"""


def test_an_operator_is_one_file_and_one_line(tmp_path):
    np.savez(tmp_path / "images.npz", x_train=np.full([4, 8, 8, 3], 102, np.uint8))
    done = subprocess.run(
        [
            *(sys.executable, "-c", ADDED, "show_views"),
            f"--data=npz:{tmp_path}/images.npz",
            "--image_size_pixels=8",
            "--num_pairs=4",
            "--augment.solarize_probability=0.5",
            f"--output={tmp_path}/views.md",
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert "--augment.solarize_threshold\n      Brighter pixels" in facts["shown"]
    assert "solarize_probability" in (tmp_path / "views.md").read_text()
    assert facts["view"] == pytest.approx(0.6)  # 0.4 is above 0.25.
    assert facts["order"][-1] == facts["rows"][-1] == "solarize"
    assert facts["augment"]["solarize_threshold"] == 0.25
    assert facts["one_branch"][-1] == facts["questions"][-1] == "solarize"
    assert facts["pairs"] == 64 + 1  # And the levels to surpass.
