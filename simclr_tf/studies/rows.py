"""The numbers of a study: means over seeds, and the best cell of each grid."""

import dataclasses
import statistics

DONE, FAILED, PENDING = "done", "failed", "pending"
HELD_OUT = "_held_out"


@dataclasses.dataclass(frozen=True)
class StudyValue:
    """One number of the table and the figure.

    Attributes:
      series, x: the position, as in `Point`.
      mean: float, over the finished seeds; None if there are none.
      std: float, sample standard deviation; None for one seed.
      count: int, seeds in the mean.
      cell: str, name of the cell; of a grid, the one that was best on held-out images.
      status: str, "done", "failed" (no seed is done) or "pending".
      choices: int, cells that share the position: more than 1 are a grid to tune over.
      position: float, the x of a scatter (millions of parameters); None if unknown.
    """

    series: str
    x: str | float | None
    mean: float | None
    std: float | None
    count: int
    cell: str
    status: str
    choices: int = 1
    position: float | None = None


def rows_of(cells, summaries):
    """Turn the records of runs into numbers: means over seeds, best of each grid.

    Args:
      cells: tuple of Cell.
      summaries: list of dicts, the cells of study.json.

    Returns:
      list of StudyValue, one for each position, in the order of the cells.

    Example:
      >>> from simclr_tf.studies.study import Cell, Point
      >>> cell = Cell("a", (Point("linear", "ours", 1),))
      >>> found = [{"name": "a", "seed": seed, "status": "done",
      ...           "values": {"linear": value}} for seed, value in enumerate((60, 70))]
      >>> row, = rows_of((cell,), found)
      >>> row.mean, round(row.std, 2), row.count
      (65, 7.07, 2)
    """
    by_cell, places = {}, {}
    for summary in summaries:
        by_cell.setdefault(summary["name"], []).append(summary)
    for cell in cells:
        found = by_cell.get(cell.name, [])
        for point in cell.points:
            place = places.setdefault((point.series, point.x), [])
            place.append((cell.name, point.value, found))
    return [_row(series, x, grid) for (series, x), grid in places.items()]


def _row(series, x, grid):
    """Choose the best of the cells that share a position: (name, value, summaries)."""
    best = None
    for name, value, summaries in grid:
        values = _values(summaries, value)
        if not values:
            continue
        held_out = statistics.fmean(_values(summaries, value + HELD_OUT) or values)
        if best is None or held_out > best[0]:
            best = held_out, name, values, _values(summaries, "parameters")
    if best is None:
        statuses = {s["status"] for _, _, summaries in grid for s in summaries}
        is_over = FAILED in statuses and PENDING not in statuses
        status = FAILED if is_over else PENDING
        return StudyValue(series, x, None, None, 0, grid[0][0], status, len(grid))
    _, name, values, parameters = best
    return StudyValue(
        series,
        x,
        statistics.mean(values),
        statistics.stdev(values) if len(values) > 1 else None,
        len(values),
        name,
        DONE,
        len(grid),
        parameters[0] / 1e6 if parameters else None,
    )


def _values(summaries, name):
    """List the values of all seeds that have one."""
    return [
        summary["values"][name]
        for summary in summaries
        if summary["status"] == DONE and name in summary["values"]
    ]
