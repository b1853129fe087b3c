"""The parts of a study: question, cells, figure and the paper's numbers.

A study is data. This module imports no TensorFlow, so that listing cells is instant;
`study_runner.py` runs them. Each study comes in three sizes, its budgets.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from simclr_tf.config.presets import get_preset
from simclr_tf.config.schema import flatten, override
from simclr_tf.errors import require, unknown_choice

if TYPE_CHECKING:
    from simclr_tf.config.pretrain import Config


FIGURES = ("heat_map", "bars", "lines", "scatter")
# Budget -> its meaning.
BUDGETS = {
    "small": "the preset of small images with a few epochs and part of the grid "
    "(minutes on two CPU cores; shows trends, not accuracies)",
    "medium": "the preset of small images in its length and the whole grid (a night on "
    "two CPU cores)",
    "paper": "the paper's network, batch, length and grid (many accelerators)",
}
_SMALL = {
    "epochs": 4,
    "optimizer.warmup_epochs": 0.5,
    # One checkpoint at the end: a cell is short enough to be run again.
    "checkpoint.every_epochs": 1_000_000,
}
_ALWAYS = {"checkpoint.keep": 1, "checkpoint.image_every_epochs": 0}


@dataclasses.dataclass(frozen=True)
class Point:
    """One value of a cell, with its position in the table and the figure.

    Attributes:
      value: str, name of a value that the cell measures.
      series: str, the line, the colour, or the row of a heat map.
      x: str or float, the position on the axis, or the column of a heat map. None: a
        level, which is drawn across the whole figure.
    """

    value: str
    series: str
    x: str | float | None


@dataclasses.dataclass(frozen=True)
class Cell:
    """One training of a study, and the values that are measured after it.

    Attributes:
      name: str, unique within the study; also the name of its folder.
      points: tuple of Point. Cells that share a position are a grid to tune over: the
        cell with the best held-out value is shown.
      changes: dict of dotted option to value, over the study's base config.
      work: str, a key of `simclr_tf.studies.cell_work.WORKS`.
      settings: dict, JSON, the options of that work.
    """

    name: str
    points: tuple[Point, ...]
    changes: Mapping = dataclasses.field(default_factory=dict)
    work: str = "pretrain"
    settings: Mapping = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        require(
            bool(self.name) and all(c.isalnum() or c in "-_.+" for c in self.name),
            "A cell's name is also the name of its folder: letters, digits, - _ . +",
            name=self.name,
        )
        require(bool(self.points), "A cell needs at least one point.", name=self.name)


def baselines(budget: str, *, untrained: bool = True) -> tuple[Cell, ...]:
    """List the cell of the levels that every encoder must surpass.

    Args:
      budget: str; at "paper" there is none: the raw pixels of ImageNet do not fit.
      untrained: bool, also the untrained encoder, where all cells have one network.

    Returns:
      tuple of Cell.

    Example:
      >>> [cell.name for cell in baselines("small")]
      ['baselines']
    """
    if budget == "paper":
        return ()
    points = [Point("linear_raw_pixels", "raw pixels", None)]
    if untrained:
        points.append(Point("linear_untrained", "untrained encoder", None))
    return (Cell("baselines", tuple(points), work="baselines"),)


@dataclasses.dataclass(frozen=True)
class Chart:
    """The kind, the axes and the series of a study's figure.

    Attributes:
      kind: str, one of `FIGURES`.
      x_title, y_title: str, of the axes; of a heat map, of its columns and its rows.
      is_logarithmic: bool, whether the x axis of lines and scatters is.
      series: tuple of str, the series to draw; all if empty (the table has all).
    """

    kind: Literal["heat_map", "bars", "lines", "scatter"]
    x_title: str
    y_title: str
    is_logarithmic: bool = False
    series: tuple[str, ...] = ()

    def __post_init__(self):
        require(
            self.kind in FIGURES,
            f"A figure is one of {', '.join(FIGURES)}.",
            kind=self.kind,
        )


@dataclasses.dataclass(frozen=True)
class PaperNumbers:
    """The numbers that the paper reports.

    Attributes:
      source: str, its figure or table.
      note: str, differences to our runs, or why there are no numbers.
      numbers: dict of (series, x) to float.
      positions: dict of x to float, the position of each x in a scatter.
    """

    source: str
    note: str
    numbers: Mapping = dataclasses.field(default_factory=dict)
    positions: Mapping = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Study:
    """One of the paper's ablations.

    Attributes:
      name: str, the value of `--study`.
      title: str, for tables and figures.
      question: str, one sentence.
      cells: function of (base Config, budget) to a tuple of Cell.
      figure: Chart.
      paper: PaperNumbers.
      base: dict of budget to a dict of dotted options, over the budget's config.
      needs_colour: bool, whether the study is meaningless on grey images.
    """

    name: str
    title: str
    question: str
    cells: Callable
    figure: Chart
    paper: PaperNumbers
    base: Mapping = dataclasses.field(default_factory=dict)
    needs_colour: bool = False


@dataclasses.dataclass(frozen=True)
class Run:
    """A cell with a seed, and the whole config of its training.

    Attributes:
      cell: Cell.
      seed: int.
      config: Config, complete.
    """

    cell: Cell
    seed: int
    config: object

    @property
    def name(self) -> str:
        """str, also the name of the run's folder."""
        return f"{self.cell.name}-seed{self.seed}"


def runs_of(cells: Sequence[Cell], base: Config, seeds: Iterable[int]) -> list[Run]:
    """List every cell with every seed; all cells of the first seed come first.

    Args:
      cells: tuple of Cell.
      base: Config.
      seeds: iterable of int.

    Returns:
      list of Run.

    Raises:
      ConfigError: two cells of one name, or an invalid change.

    Example:
      >>> from simclr_tf.config import Config
      >>> changes = {"objective.temperature": 1.0}
      >>> cell = Cell("t1", (Point("linear", "ours", 1),), changes)
      >>> [(run.name, run.config.objective.temperature)
      ...  for run in runs_of((cell,), Config(), (0, 1))]
      [('t1-seed0', 1.0), ('t1-seed1', 1.0)]
    """
    names = [cell.name for cell in cells]
    twice = sorted({name for name in names if names.count(name) > 1})
    require(not twice, "Cells of one study have different names.", names=twice)
    return [
        Run(cell, seed, override(base, {**cell.changes, "seed": seed}))
        for seed in seeds
        for cell in cells
    ]


def shard_of(runs: Sequence[Run], index: int, number: int) -> list[Run]:
    """Pick the runs of shard `index` of `number`: each run is in exactly one shard.

    Args:
      runs: list of Run, the same in every process.
      index: int in [1, number].
      number: int >= 1.

    Returns:
      list of Run: number `index`, and every `number`-th after it.

    Raises:
      ConfigError: `index` is not in [1, number].

    Example:
      >>> [shard_of(list("abcde"), i, 2) for i in (1, 2)]
      [['a', 'c', 'e'], ['b', 'd']]
    """
    require(
        1 <= index <= number, "A shard is i/n with 1 <= i <= n.", shard=index, of=number
    )
    return list(runs[index - 1 :: number])


def base_config(
    study: Study,
    budget: str,
    data: str,
    *,
    preset: str | None = None,
    start: Config | None = None,
) -> Config:
    """Build the config that all cells of a study share.

    A preset that is chosen here makes two views of one size, with which all studies
    can be compared.

    Args:
      study: Study.
      budget: str, one of `BUDGETS`.
      data: str, a value of `--data`.
      preset: str, a preset to start from; `start` if None.
      start: Config, chosen for the images; a preset for the budget and data if None.

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
    config = start or get_preset(preset_for(budget, data))
    changes = {"data.source": data, **_ALWAYS}
    if preset is not None:
        config = get_preset(preset)
    elif "objective.small_views" in flatten(config):
        changes["objective.small_views"] = 0
    if budget == "small":
        changes.update(_SMALL)
    return override(config, {**changes, **study.base.get(budget, {})})


def preset_for(budget, data):
    """Choose the preset that a budget starts from with these images.

    Example:
      >>> preset_for("small", "embedded:fashion_mnist_10k")
      'fashion_mnist'
      >>> preset_for("small", "folder:mine")
      'photos_small'
    """
    if budget == "paper":
        return "imagenet_resnet50_v1"
    if "fashion_mnist" in data:
        return "fashion_mnist"
    return "demo" if data == get_preset("demo").data.source else "photos_small"
