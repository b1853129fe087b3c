"""The rule that every command keeps, whatever it is given.

`broken` holds what a command did (`worker.py` runs it) against the rule:

- exit code 0, 2, or 128 + the signal that it was sent (which is also what a shell
  reports where the signal came before or after the command's own work);
- refused (2): one line on stderr that names the rule, and nothing left behind;
- no traceback, no temporary file, no process left, ever (TensorFlow leaves compiled
  `__autograph_generated_file`s in TMPDIR; they are not ours);
- nothing of a stranger's is run: no canary file, no pickle, no shell, no connection;
- nothing is written outside the folder of the case;
- time and memory have limits.
"""

import dataclasses
import hashlib
import os

CANARY = "canary.txt"  # What hostile inputs try to create, wherever they can.
MAX_SECONDS, MAX_MEGABYTES = 120, 2_048
MAX_LINE = 2_000
OWN_FOLDERS = _HOME, _TEMPORARY = "home", "tmp"


@dataclasses.dataclass
class Outcome:
    """What a command did.

    Attributes:
      code: int, exit code; -N if signal N killed it.
      err, out: str, all that it printed.
      seconds, megabytes: float, time and the most memory.
      timed_out: bool, whether it was ended for its time.
      processes_left: bool, whether processes that it started were still there.
      events: list of str, what it should not have done: see `_watch`.
    """

    code: int
    out: str = ""
    err: str = ""
    seconds: float = 0.0
    megabytes: float = 0.0
    timed_out: bool = False
    processes_left: bool = False
    events: list = dataclasses.field(default_factory=list)


def broken(outcome, before, after, *, sent=None, may_change=lambda path: False):
    """List how a command broke the rule.

    Args:
      outcome: Outcome.
      before, after: dict, `contents` of its folder.
      sent: int, the signal that it was sent, or None.
      may_change: function of a path that tells whether a refused command may have
        made or changed it: what is stated to stay, such as the logs of a run that
        took steps.

    Returns:
      list of str, empty if it kept the rule.
    """
    problems = []
    allowed = {0, 2} | ({128 + sent, -sent} if sent else set())
    if outcome.timed_out:
        problems.append(f"not done after {outcome.seconds:.0f} s")
    elif outcome.code not in allowed:
        problems.append(f"exit code {outcome.code}")
    if _has_traceback(outcome.out + outcome.err, sent):
        problems.append("a traceback")
    if outcome.code == 2:
        problems += _not_one_line(outcome.err)
    if outcome.processes_left:
        problems.append("a process left running")
    if outcome.megabytes > MAX_MEGABYTES:
        problems.append(f"{outcome.megabytes:.0f} MiB of memory")
    changed = {path for path in before | after if before.get(path) != after.get(path)}
    problems += [f"ran: {path}" for path in sorted(changed) if path.endswith(CANARY)]
    problems += outcome.events
    if outcome.code != 0:
        kept = [path for path in sorted(changed) if not may_change(path)]
        if outcome.code == 2 and kept:
            problems.append(f"refused, but changed {', '.join(kept[:5])}")
    problems += [
        f"temporary: {path}"
        for path in sorted(after.keys() - before.keys())
        if path.startswith(f"{_TEMPORARY}/") and not outcome.timed_out
    ]
    return problems


def _has_traceback(text, sent):
    """Whether there is one; Python drops what a signal raises in a destructor."""
    tracebacks = text.count("Traceback (most recent call last)")
    ignored = text.count("Exception ignored in") if sent else 0
    return tracebacks > ignored


def _not_one_line(err):
    # Lines before it may warn, of a damaged checkpoint for one.
    lines = err.strip().split("\n")
    refusals = [line for line in lines if line.startswith("simclr-tf: ")]
    if refusals != lines[-1:]:
        return [f"refused in {len(refusals)} lines that begin with simclr-tf:"]
    return [
        problem
        for problem, found in (
            (f"a line of {len(lines[-1]):,} characters", len(lines[-1]) > MAX_LINE),
            ("a line with control characters", not lines[-1].isprintable()),
        )
        if found
    ]


def contents(folder):
    """What is in a folder: dict of relative path to a digest, links not followed."""
    found = {}
    for place, folders, files in os.walk(os.fsencode(folder)):
        for name in folders + files:
            path = os.path.join(place, name)
            relative = os.fsdecode(os.path.relpath(path, os.fsencode(folder)))
            if not relative.startswith(f"{_TEMPORARY}/__pycache__"):
                found[relative] = _digest(path)
    return found


def _digest(path):
    if os.path.islink(path):
        return f"-> {os.fsdecode(os.readlink(path))}"
    if os.path.isfile(path):
        with open(path, "rb") as stream:
            return hashlib.sha1(stream.read(1 << 24)).hexdigest()
    return "folder" if os.path.isdir(path) else "special"
