"""From records of runs to a study's numbers: means over seeds, best settings."""

import dataclasses
import statistics

from simclr_tf.studies.records import DONE, FAILED, PENDING

HELD_OUT = "_held_out"


@dataclasses.dataclass(frozen=True)
class Row:
    """One number of the table and the figure.

    Attributes:
      series, x: the place, as of `Point`.
      mean: float, over the seeds that are done; None if none is.
      std: float, sample standard deviation; None for one seed.
      count: int, seeds in the mean.
      cell: str, name of the cell; of a grid, the one that was best on held-out images.
      status: str, "done", "failed" (no seed is done) or "pending".
      choices: int, cells that share the place: more than 1 are a grid to tune over.
      position: float, where a scatter draws it (millions of parameters); None if
        unknown.
    """

    series: str
    x: str | float
    mean: float | None
    std: float | None
    count: int
    cell: str
    status: str
    choices: int = 1
    position: float | None = None


def rows_of(cells, summaries):
    """The rows of a study, in the order of its cells.

    Args:
      cells: tuple of Cell.
      summaries: list of dicts, the cells of study.json.

    Returns:
      list of Row, one a place.

    Example:
      >>> from simclr_tf.studies.study import Cell, Point
      >>> cell = Cell("a", (Point("linear", "ours", 1),))
      >>> found = [{"name": "a", "seed": seed, "status": "done",
      ...           "values": {"linear": value}} for seed, value in enumerate((60, 70))]
      >>> row, = rows_of((cell,), found)
      >>> row.mean, round(row.std, 2), row.count
      (65, 7.07, 2)
    """
    by_cell = {}
    for summary in summaries:
        by_cell.setdefault(summary["name"], []).append(summary)
    places = {}
    for cell in cells:
        for point in cell.points:
            places.setdefault((point.series, point.x), []).append((cell, point))
    return [
        _row(series, x, candidates, by_cell)
        for (series, x), candidates in places.items()
    ]


def _row(series, x, candidates, by_cell):
    """The best of the cells that share a place."""
    best = None
    for cell, point in candidates:
        values = _values(by_cell.get(cell.name, []), point.value)
        if not values:
            continue
        held_out = _values(by_cell[cell.name], point.value + HELD_OUT) or values
        if best is None or statistics.fmean(held_out) > best[0]:
            best = statistics.fmean(held_out), cell, values
    if best is None:
        statuses = {
            summary["status"]
            for cell, _ in candidates
            for summary in by_cell.get(cell.name, [])
        }
        is_over = FAILED in statuses and PENDING not in statuses
        return Row(
            series,
            x,
            None,
            None,
            0,
            candidates[0][0].name,
            FAILED if is_over else PENDING,
            len(candidates),
        )
    _, cell, values = best
    parameters = _values(by_cell[cell.name], "parameters")
    return Row(
        series,
        x,
        statistics.mean(values),
        statistics.stdev(values) if len(values) > 1 else None,
        len(values),
        cell.name,
        DONE,
        len(candidates),
        parameters[0] / 1e6 if parameters else None,
    )


def _values(summaries, name):
    """A value of all seeds that have it."""
    return [
        summary["values"][name]
        for summary in summaries
        if summary["status"] == DONE and name in summary["values"]
    ]
