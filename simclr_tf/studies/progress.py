"""How far a study is, and how long the rest of it will take."""

import datetime

from simclr_tf.studies.records import FAILED


class GridProgress:
    """The time that is left, corrected by how long the runs so far really took.

    Args:
      expected: dict of run name to expected seconds.

    Example:
      >>> progress = GridProgress({"a": 10.0, "b": 20.0})
      >>> progress.took("a", 30.0)
      >>> progress.seconds_left(["b"], workers=2)
      30.0
    """

    def __init__(self, expected):
        self._expected = expected
        self._spent = self._expected_of_spent = 0.0

    def took(self, name, seconds):
        """Take note of a run that is over."""
        self._spent += seconds
        self._expected_of_spent += self._expected.get(name, 0.0)

    def seconds_left(self, names, workers=1):
        """Seconds until these runs are over, shared by so many processes."""
        left = sum(self._expected.get(name, 0.0) for name in names)
        if self._expected_of_spent:
            left *= self._spent / self._expected_of_spent
        return left / workers


def result_line(run, record, *, number, total, left, seconds):
    """One line for a run that is over, and for the rest.

    Args:
      run: Run.
      record: dict of its cell.json.
      number, total, left: int, runs that are over, in all, and still to do.
      seconds: float, until these are done.

    Returns:
      str.
    """
    values = record["values"]
    if record["status"] == FAILED:
        what = f"FAILED: {' '.join(record['error'].split())}"
    else:
        what = ", ".join(
            f"{point.value} {values.get(point.value, float('nan')):.1f}"
            for point in run.cell.points[:4]
        )
    end = datetime.datetime.now() + datetime.timedelta(seconds=seconds)
    rest = "all done"
    if left:
        rest = f"{left} left, about {duration_text(seconds)}, until {end:%H:%M}"
    return (
        f"[{number}/{total}] {run.name}  {what}  {record['wall_seconds']:.0f} s  "
        f"| {rest}"
    )


def operations_text(operations):
    """Operations in words.

    Example:
      >>> operations_text(1.23e12).strip()
      '1.23 TFLOP'
    """
    for power, letter in ((18, "E"), (15, "P"), (12, "T"), (9, "G")):
        if operations >= 10**power:
            return f"{operations / 10**power:7.2f} {letter}FLOP"
    return f"{operations / 1e6:7.2f} MFLOP"


def duration_text(seconds):
    """Seconds in words.

    Example:
      >>> duration_text(95)
      '2 minutes'
    """
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
