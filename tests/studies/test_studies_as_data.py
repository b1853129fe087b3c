"""Every study is valid data, as large as the paper's at the paper's size."""

import itertools

import pytest

from simclr_tf.config import Config
from simclr_tf.config.schema import flatten, override
from simclr_tf.errors import ConfigError
from simclr_tf.studies import (
    BUDGETS,
    STUDIES,
    Cell,
    Chart,
    Point,
    base_config,
    get_study,
    runs_of,
    shard_of,
)
from simclr_tf.studies.batch_and_epochs import peak_rate, scaled_from
from simclr_tf.studies.cell_work import WORKS

# Cells of the paper's own grid: 7 x 7; 5 strengths twice; 7 widths twice and no head;
# 4 transforms; 5 losses x 4 x 5 rates; 6 rows; 6 batches x 4 lengths x 2 scalings; 5
# depths x 3 widths twice; pretrained or not; ours alone has several optimizers. At the
# batch where the two scalings meet they are one cell.
PAPER_CELLS = {
    "augmentation_pairs": 49,
    "colour_strength": 10,
    "projection_head": 15,
    "head_information": 4,
    "losses": 100,
    "temperature": 6,
    "batch_and_epochs": 44,
    "encoder_size": 30,
    "label_fraction": 2,
}


def cells_of(name, budget="small", data="embedded:freedoom_12"):
    study = get_study(name)
    base = base_config(study, budget, data)
    return study, base, study.cells(base, budget)


@pytest.mark.parametrize("name, budget", itertools.product(STUDIES, BUDGETS))
def test_every_cell_of_every_budget_is_a_run_with_its_changes(name, budget):
    study, base, cells = cells_of(name, budget)
    assert study.name == name and study.question.endswith("?")
    if budget == "paper" and name in PAPER_CELLS:
        assert len(cells) == PAPER_CELLS[name]
    for run, again in zip(
        runs_of(cells, base, (0,)), runs_of(cells, base, (7,)), strict=True
    ):
        values = flatten(run.config)
        assert all(
            values[option] == wanted for option, wanted in run.cell.changes.items()
        )
        assert (run.config.seed, again.config.seed) == (0, 7)
        assert run.cell.work in WORKS and run.config.checkpoint.keep == 1
    configs = {
        (str(run.config), run.cell.work, str(run.cell.settings))
        for run in runs_of(cells, base, (0,))
    }
    assert len(configs) == len(cells)
    levels = [p.value for cell in cells for p in cell.points if p.x is None]
    if budget == "paper":
        assert not levels  # The pixels of ImageNet do not fit.
    elif name not in ("head_information", "label_fraction"):
        assert "linear_raw_pixels" in levels


@pytest.mark.parametrize("name", STUDIES)
def test_the_papers_numbers_stand_at_places_of_the_papers_grid(name):
    study, _, cells = cells_of(name, "paper", "tfds:imagenet2012")
    places = {(point.series, point.x) for cell in cells for point in cell.points}
    numbers = study.paper.numbers
    if name == "encoder_size":  # Its 1000 epochs are another line than our 100.
        assert {x for _, x in numbers} <= {x for _, x in places}
    elif name == "optimizer":
        assert {series for series, _ in numbers} == {"LARS"}
    else:
        assert set(numbers) <= places
    assert numbers or "Not tabulated" in study.paper.note
    drawn = study.figure.series
    assert set(drawn) <= {series for series, _ in places}


def test_pairs_are_ordered_and_the_diagonal_is_one_operator():
    _, _, cells = cells_of("augmentation_pairs")
    pairs = {
        (cell.points[0].series, cell.points[0].x): cell.changes["augment.one_branch"]
        for cell in cells
        if cell.work == "pretrain"
    }
    assert pairs["Crop", "Color"] == "crop,color"
    assert pairs["Color", "Crop"] == "color,crop" and pairs["Blur", "Blur"] == "blur"


@pytest.mark.parametrize("budget", BUDGETS)
def test_both_scalings_have_every_batch_and_length(budget):
    _, _, cells = cells_of("batch_and_epochs", budget)
    places = [(p.series, p.x) for cell in cells for p in cell.points if p.x is not None]
    batches = {x for _, x in places}
    assert len(places) == len(set(places)) == len({s for s, _ in places}) * len(batches)


def test_two_views_unless_a_preset_is_named():
    study = get_study("augmentation_pairs")
    base = base_config(study, "medium", "folder:mine")
    assert (base.preset, base.objective.small_views) == ("photos_small", 0)
    base = base_config(study, "medium", "folder:mine", preset="photos_small")
    assert base.objective.small_views == 2


def test_linear_and_sqrt_scaling_agree_at_the_bases_batch_only():
    _, base, cells = cells_of("batch_and_epochs", "paper", "tfds:imagenet2012")
    peaks = {}
    for run in runs_of(cells, base, (0,)):
        options = run.config.optimizer
        peaks[run.config.global_batch_size, options.scaling] = peak_rate(
            options, run.config.global_batch_size
        )
    assert peaks[4096, "linear"] == pytest.approx(4.8)  # The paper's, and one cell.
    assert (4096, "sqrt") not in peaks
    sqrt = override(base, {**scaled_from(base, "sqrt"), "global_batch_size": 4096})
    assert peak_rate(sqrt.optimizer, 4096) == pytest.approx(4.8)
    assert peaks[256, "linear"] == pytest.approx(0.3)
    assert peaks[256, "sqrt"] == pytest.approx(1.2)  # 0.075 * sqrt(256)


def test_heads_that_are_asked_for_information_are_as_wide_as_the_features():
    _, base, cells = cells_of("head_information", "paper")
    assert {cell.changes["projection_head.out_features"] for cell in cells} == {2048}
    _, base, cells = cells_of("head_information", "small")
    assert {cell.changes["projection_head.out_features"] for cell in cells} == {128}


@pytest.mark.parametrize("number", [1, 2, 3, 5, 60])
def test_shards_are_a_partition(number):
    runs = list(range(49))
    shards = [shard_of(runs, index, number) for index in range(1, number + 1)]
    assert sorted(itertools.chain(*shards)) == runs  # Every run, and once.
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: get_study("colour"), "Unknown `study`. Did you mean colour_strength"),
        (lambda: base_config(get_study("losses"), "tiny", "x"), "Unknown `budget`"),
        (lambda: shard_of([1], 0, 2), "1 <= i <= n"),
        (lambda: Cell("a/b", (Point("linear", "a", 1),)), "name of its folder"),
        (lambda: Cell("a", ()), "at least one point"),
        (lambda: Chart("pie", "x", "y"), "heat_map, bars, lines, scatter"),
        (
            lambda: runs_of((Cell("a", (Point("v", "s", 1),)),) * 2, Config(), (0,)),
            "different names",
        ),
        (
            lambda: runs_of(
                (Cell("a", (Point("v", "s", 1),), {"objective.temperature": -1}),),
                Config(),
                (0,),
            ),
            "must be > 0",
        ),
    ],
)
def test_what_no_study_can_be_is_refused(make, words):
    with pytest.raises(ConfigError, match=words):
        make()
