"""Tables and figures of made-up values: nothing is left out, and the best is chosen."""

import numpy as np
import pytest
from PIL import Image

from simclr_tf.config.schema import flatten
from simclr_tf.studies import STUDIES, Cell, Point, base_config
from simclr_tf.studies.rows import rows_of
from simclr_tf.studies.study_figures import study_figure
from simclr_tf.studies.study_tables import in_common, study_markdown


def made_up(study, *, seeds=(0, 1), failed=(), pending=(), has_levels=True):
    """(cells, record of study.json) with drawn values; some cells by their number."""
    base = base_config(study, "small", "npz:made_up.npz")
    cells = study.cells(base, "small")
    if not has_levels:
        cells = tuple(cell for cell in cells if cell.work != "baselines")
    rng = np.random.default_rng(0)
    summaries = []
    for seed in seeds:
        for number, cell in enumerate(cells):
            values = {point.value: float(rng.uniform(20, 90)) for point in cell.points}
            values["parameters"] = 1e5 * (number + 1)
            status = (
                "failed"
                if number in failed
                else "pending"
                if number in pending
                else "done"
            )
            is_done = status == "done"
            summaries.append(
                {
                    "name": cell.name,
                    "seed": seed,
                    "status": status,
                    "values": values if is_done else {},
                    "wall_seconds": 12.5 if is_done else None,
                    "error": "The loss is | not finite."
                    if status == "failed"
                    else None,
                }
            )
    return cells, {
        "command": "simclr-tf ablate ...",
        "budget": "small",
        "base": flatten(base),
        "cells": summaries,
    }


@pytest.mark.parametrize(
    "name",
    ["augmentation_pairs", "projection_head", "batch_and_epochs", "encoder_size"],
)
def test_every_kind_of_figure_is_drawn_with_failed_and_pending_cells(name, tmp_path):
    study = STUDIES[name]
    whole, torn = tmp_path / "whole.png", tmp_path / "torn.png"
    for path, missing in ((whole, {}), (torn, {"failed": (1,), "pending": (2,)})):
        cells, record = made_up(study, **missing)
        study_figure(study, rows_of(cells, record["cells"]), ours="made up").save(path)
    with Image.open(whole) as first, Image.open(torn) as second:
        assert first.size == second.size and first.size[0] > 1200
        left, other = (
            np.asarray(image.convert("L"), float)[:, : first.size[0] // 2]
            for image in (first, second)
        )
    assert left.std() > 20 and np.abs(left - other).max() > 100


@pytest.mark.parametrize("name", ["augmentation_pairs", "temperature", "losses"])
def test_what_every_encoder_must_surpass_is_in_the_table_and_the_figure(name):
    study = STUDIES[name]
    cells, record = made_up(study, seeds=(0,))
    record["cells"][0]["values"] |= {"linear_raw_pixels": 41.25, "linear_untrained": 5}
    line = "Linear probe (%): raw pixels 41.2, untrained encoder 5.00."
    assert line in study_markdown(study, cells, record)
    drawn = study_figure(study, rows_of(cells, record["cells"]), ours="made up").svg()
    assert "raw pixels" in drawn and "untrained encoder" in drawn


def test_a_mean_of_fewer_seeds_says_so_and_both_numbers_have_the_same_digits():
    cells = tuple(Cell(name, (Point("v", "ours", name),)) for name in "ab")
    found = [
        {"name": name, "seed": seed, "status": "done", "values": {"v": value}}
        for name, seed, value in (("a", 0, 5.0), ("a", 1, 5.04), ("b", 0, 70.0))
    ]
    for summary in found:
        summary |= {"wall_seconds": 1.0, "error": None}
    study = STUDIES["projection_head"]
    record = {**made_up(study)[1], "cells": found}
    text = study_markdown(study, cells, record)
    assert "5.02 ± 0.03" in text and "70.0 (1 seed)" in text


def test_a_study_without_any_result_has_a_table_and_a_figure_too():
    for name in ("temperature", "encoder_size", "augmentation_pairs"):
        study = STUDIES[name]
        cells, record = made_up(study, pending=range(60))
        drawing = study_figure(
            study, rows_of(cells, record["cells"]), ours="nothing yet"
        )
        assert drawing.png()[1:4] == b"PNG"
        assert "0 of " in study_markdown(study, cells, record)


@pytest.mark.parametrize("name", STUDIES)
def test_the_table_shows_every_cell_and_every_number_of_the_paper(name):
    study = STUDIES[name]
    cells, record = made_up(study, failed=(0,), pending=(1,))
    text = study_markdown(study, cells, record)
    lines = text.split("## Cells")[1].splitlines()
    for cell in cells:
        starts = [line for line in lines if line.startswith(f"| {cell.name} ")]
        assert len(starts) == 2  # One a seed.
    for value in study.paper.numbers.values():
        assert f" {value:g} |" in text or f" {value:.1f} |" in text
    assert "The loss is \\| not finite." in text and "simclr-tf ablate ..." in text
    assert study.paper.note in text


def test_of_cells_that_share_a_place_the_best_on_held_out_images_is_shown():
    cells = tuple(Cell(name, (Point("linear", "ours", "x"),)) for name in "abc")

    def found(name, seed, value, held_out):
        return {
            "name": name,
            "seed": seed,
            "status": "done",
            "values": {"linear": value, "linear_held_out": held_out},
        }

    (row,) = rows_of(
        cells,
        [
            found("a", 0, 90.0, 50.0),
            found("a", 1, 92.0, 52.0),  # Lucky on the test.
            found("b", 0, 70.0, 60.0),
            found("b", 1, 74.0, 64.0),
            {"name": "c", "seed": 0, "status": "failed", "values": {}},
        ],
    )
    assert (row.cell, row.mean, row.count, row.choices) == ("b", 72.0, 2, 3)
    assert row.std == pytest.approx(8**0.5) and row.status == "done"


@pytest.mark.parametrize(
    "statuses, expected",
    [
        (("failed", "failed"), "failed"),
        (("failed", "pending"), "pending"),
        (("pending", "pending"), "pending"),
    ],
)
def test_a_place_without_a_value_says_why(statuses, expected):
    cell = Cell("a", (Point("linear", "ours", "x"),))
    (row,) = rows_of(
        (cell,),
        [
            {"name": "a", "seed": seed, "status": status, "values": {}}
            for seed, status in enumerate(statuses)
        ],
    )
    assert row.mean is None and row.status == expected


def test_what_the_cells_vary_is_not_said_to_be_common():
    base = flatten(base_config(STUDIES["batch_and_epochs"], "small", "npz:mine.npz"))
    cells = STUDIES["batch_and_epochs"].cells(
        base_config(STUDIES["batch_and_epochs"], "small", "npz:mine.npz"), "small"
    )
    text = in_common(cells, base)
    assert "npz:mine.npz" in text and "adamw" in text
    assert "epochs" not in text and "batch" not in text and "rate" not in text
    for part in ("views of 64 px", "temperature 0.2", "crops from 0.2 of the area"):
        assert part in text
    assert "9 steps" in in_common((), {**base, "steps": 9})
