"""What a study is: cells to run, the numbers to read, the figure, the paper's numbers.

A study is data. It imports no TensorFlow, so that listing its cells is instant; how
cells are run is in `runner` and `cell_work`.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal

from simclr_tf.config.schema import override
from simclr_tf.errors import require

FIGURES = ("heat_map", "bars", "lines", "scatter")


@dataclasses.dataclass(frozen=True)
class Point:
    """A value of a cell, and its place in the table and the figure.

    Attributes:
      value: str, name of a value that the cell's work measures.
      series: str, the line, the colour, or the row of a heat map.
      x: str or float, the place along the axis, or the column of a heat map.
    """

    value: str
    series: str
    x: str | float


@dataclasses.dataclass(frozen=True)
class Cell:
    """One training of a study, with what is measured of it.

    Attributes:
      name: str, unique within the study; also the name of its folder.
      points: tuple of Point. Cells that share a place are a grid to tune over: the
        one with the best held-out value is shown.
      changes: dict of dotted option to value, over the study's base config.
      work: str, what is done, a key of `simclr_tf.studies.cell_work.WORKS`.
      settings: dict, JSON, of that work.
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


@dataclasses.dataclass(frozen=True)
class Figure:
    """How the numbers are drawn.

    Attributes:
      kind: str, one of `FIGURES`.
      x_title, y_title: str, of the axes; of a heat map, of its columns and its rows.
      is_logarithmic: bool, of the x axis of lines and scatters.
      series: tuple of str, what is drawn; all if empty (the table has all).
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
    """What the paper reports.

    Attributes:
      source: str, its figure or table.
      note: str, what differs from our runs, or why there are no numbers.
      numbers: dict of (series, x) to float.
      positions: dict of x to float, where a scatter draws it.
    """

    source: str
    note: str
    numbers: Mapping = dataclasses.field(default_factory=dict)
    positions: Mapping = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Study:
    """One of the paper's ablations.

    Attributes:
      name: str, as of `--study`.
      title: str, for tables and figures.
      question: str, one sentence.
      cells: function of (base Config, budget) to a tuple of Cell.
      figure: Figure.
      paper: PaperNumbers.
      base: dict of budget to a dict of dotted options, over the budget's config.
      needs_colour: bool, it means nothing on grey images.
    """

    name: str
    title: str
    question: str
    cells: Callable
    figure: Figure
    paper: PaperNumbers
    base: Mapping = dataclasses.field(default_factory=dict)
    needs_colour: bool = False


@dataclasses.dataclass(frozen=True)
class Run:
    """A cell with a seed: what one process works on at a time.

    Attributes:
      cell: Cell.
      seed: int.
      config: Config, complete.
    """

    cell: Cell
    seed: int
    config: object

    @property
    def name(self):
        """str, also the name of its folder."""
        return f"{self.cell.name}-seed{self.seed}"


def runs_of(cells, base, seeds):
    """Every cell with every seed; all cells of the first seed come first.

    Args:
      cells: tuple of Cell.
      base: Config.
      seeds: iterable of int.

    Returns:
      list of Run.

    Raises:
      ConfigError: two cells of one name, or a change that the config refuses.

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


def shard_of(runs, index, number):
    """The runs of shard `index` (1 to `number`): every number-th, beginning there.

    Example:
      >>> [shard_of(list("abcde"), i, 2) for i in (1, 2)]
      [['a', 'c', 'e'], ['b', 'd']]
    """
    require(
        1 <= index <= number, "A shard is i/n with 1 <= i <= n.", shard=index, of=number
    )
    return runs[index - 1 :: number]
