"""Result files as sections of a card."""

import dataclasses

import pytest

from simclr_tf.errors import DataError
from simclr_tf.evaluation import Measurement, Results
from simclr_tf.report import finetune_markdown, result_sections

BUDGETS = (("1 %", 600), ("10 %", 6_000), ("100 %", 60_000))


def tuned(representation, *values):
    return tuple(
        Measurement(
            representation,
            "fine_tune",
            "accuracy_percent",
            value,
            10_000,
            labels,
            std=0.5,
            wall_seconds=100.0,
            settings={"budget": budget, "seeds": [0, 1, 2, 3, 4]},
        )
        for value, (budget, labels) in zip(values, BUDGETS, strict=False)
    )


FINETUNE = Results(
    "tfds:fashion_mnist",
    "runs/fashion",
    (
        *tuned("fine-tuned", 82.5, 89.0, 93.0),
        *tuned("supervised from scratch", 75.0, 88.0, 93.5),
        *tuned("linear probe (frozen)", 81.0, 87.0, 90.5),
    ),
    command="simclr-tf finetune --workdir=runs/fashion --seeds=5",
    wall_seconds=11_115.0,
)
KNN = Measurement(
    "this encoder",
    "weighted_knn",
    "accuracy_percent",
    87.3,
    10_000,
    60_000,
    low_95=86.6,
    high_95=87.9,
    settings={"k": 20, "temperature": 0.07},
)


def cells(text):
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]


def test_the_table_says_how_far_fine_tuning_is_above_training_from_scratch():
    header, _, *rows = cells(finetune_markdown(FINETUNE))
    assert [header, *rows] == [
        [
            "labels",
            "images",
            "fine-tuned",
            "supervised from scratch",
            "linear probe (frozen)",
            "gain over scratch",
        ],
        ["1 %", "600", "82.5 ± 0.5", "75.0 ± 0.5", "81.0 ± 0.5", "+7.5"],
        ["10 %", "6,000", "89.0 ± 0.5", "88.0 ± 0.5", "87.0 ± 0.5", "+1.0"],
        ["100 %", "60,000", "93.0 ± 0.5", "93.5 ± 0.5", "90.5 ± 0.5", "-0.5"],
    ]


def test_a_missing_run_leaves_its_cell_and_the_gain_empty():
    measurements = (
        *tuned("fine-tuned", 82.0, 89.0),
        *tuned("supervised from scratch", 75.0),
    )
    _, _, first, second = cells(finetune_markdown(Results("x", "y", measurements)))
    assert first[3:] == ["75.0 ± 0.5", "+7.0"] and second[3:] == ["", ""]
    alone = Results("x", "y", tuned("fine-tuned", 82.0))
    assert cells(finetune_markdown(alone))[0] == ["labels", "images", "fine-tuned"]


def test_a_section_has_table_seeds_test_images_command_and_wall_time():
    (section,) = result_sections(FINETUNE)
    assert section["title"] == "Fine-tuning"
    text = section["markdown"]
    assert text.startswith("| labels")
    for part in (
        "over 5 seeds",
        "10,000 test images of tfds:fashion_mnist",
        "same labels",
    ):
        assert part in text
    assert text.endswith(
        "\n\nMeasured in 3 h 5 min by `simclr-tf finetune --workdir=runs/fashion "
        "--seeds=5`."
    )


def test_the_wall_time_of_an_interrupted_protocol_is_that_of_all_its_runs():
    last_call = dataclasses.replace(FINETUNE, wall_seconds=5.0)
    assert "Measured in 15 min 0 s" in result_sections(last_call)[0]["markdown"]


def test_frozen_features_and_fine_tuning_are_two_sections():
    frozen, fine = result_sections(Results("x", "y", (KNN, *FINETUNE.measurements)))
    assert frozen["title"] == "Frozen features"
    assert "87.3 (86.6 to 87.9)" in frozen["markdown"]
    assert "fine-tuned" not in frozen["markdown"] and "kNN" not in fine["markdown"]


@pytest.mark.parametrize("measurements", [(), (KNN,)])
def test_what_was_not_measured_has_no_section(measurements):
    sections = result_sections(Results("x", "y", measurements))
    titles = [part["title"] for part in sections]
    assert titles == ["Frozen features"] * len(measurements)
    for section in sections:
        assert section["markdown"].endswith("Measured from Python.")


@pytest.mark.parametrize(
    "found, settings",
    [
        (KNN, {"k": 20}),
        (FINETUNE.measurements[0], {}),
        (FINETUNE.measurements[0], {"budget": "1 %", "seeds": 3}),
    ],
)
def test_settings_of_others_that_miss_something_are_refused(found, settings):
    damaged = dataclasses.replace(found, settings=settings)
    with pytest.raises(DataError, match="mine' are damaged"):
        result_sections(Results("data", "mine", (damaged,)))
