"""The rule that every command keeps, whatever it is given, and what watches over it.

A command runs in a fork of a process that has imported everything and computed nothing
(`Worker`): isolated, limited in time and memory, and ended within seconds. `broken`
holds what it left against the rule:

- exit code 0, 2, or 128 + the signal that it was sent (which is also what a shell
  reports where the signal came before or after the command's own work);
- refused (2): one line on stderr that names the rule, and nothing left behind;
- no traceback, no temporary file, no process left, ever (TensorFlow leaves compiled
  `__autograph_generated_file`s in TMPDIR; they are not ours);
- nothing of a stranger's is run: no canary file, no pickle, no shell, no connection;
- nothing is written outside the folder of the case;
- time and memory have limits.
"""

import atexit
import contextlib
import dataclasses
import gc
import hashlib
import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import threading
import time
import traceback

CANARY = "canary.txt"  # What hostile inputs try to create, wherever they can.
MAX_SECONDS, MAX_MEGABYTES = 120, 2_048
MAX_LINE = 2_000
_ADDRESS_SPACE = 8 << 30
OWN_FOLDERS = _HOME, _TEMPORARY = "home", "tmp"
_EVENTS = "events"
_FORBIDDEN = ("os.system", "pickle.find_class", "socket.connect", "os.posix_spawn")


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
    if "Traceback (most recent call last)" in outcome.out + outcome.err:
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


class Worker:
    """A process with everything imported, whose forks run commands, until `close`."""

    def __init__(self):
        environment = os.environ | {
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "MPLBACKEND": "agg",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.harness"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def close(self):
        """End it."""
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def run(
        self,
        arguments,
        folder,
        *,
        sent=None,
        after_seconds=0.0,
        max_seconds=MAX_SECONDS,
    ):
        """Run `simclr-tf ARGUMENTS` in a folder, with HOME and TMPDIR inside of it.

        Args:
          arguments: list of str; ["-c", code] runs Python instead.
          folder: pathlib.Path, its working directory.
          sent: int, a signal that it is sent, or None.
          after_seconds: float, when.
          max_seconds: float, after which it is ended.

        Returns:
          Outcome; what was printed stays in the folder FOLDER.outputs.
        """
        outputs = pathlib.Path(f"{folder}.outputs")
        outputs.mkdir()
        for name in OWN_FOLDERS:
            (folder / name).mkdir(exist_ok=True)
        timing = [sent, after_seconds, max_seconds]
        request = json.dumps([arguments, str(folder), str(outputs), timing])
        self._process.stdin.write(request + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        texts = {
            name: (outputs / name).read_text(errors="replace")
            if (outputs / name).exists()
            else ""
            for name in ("out", "err", _EVENTS)
        }
        events = sorted(set(texts.pop(_EVENTS).splitlines()))
        return Outcome(**answer, **texts, events=events)


def _serve():
    """In the worker: import everything, then answer a request with a fork."""
    _import_everything()
    gc.freeze()
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    for line in requests:
        arguments, folder, outputs, timing = json.loads(line)
        child = os.fork()
        if child == 0:
            _end(_exit_code(arguments, folder, outputs))
        outcome = _wait(child, *timing)
        answers.write(json.dumps(outcome) + "\n")
        answers.flush()
    return 0


def _import_everything():
    import importlib
    import pkgutil

    from simclr_tf.tools import command_line
    from simclr_tf.tools.quiet_tensorflow import import_tensorflow

    import_tensorflow()
    import simclr_tf

    for module in pkgutil.walk_packages(simclr_tf.__path__, "simclr_tf."):
        if not module.name.startswith(("simclr_tf.exported_models", "simclr_tf.tools")):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    for verb in command_line.VERBS:
        importlib.import_module(f"simclr_tf.tools.{verb}")
    for name in ("matplotlib.pyplot", "sklearn.linear_model", "tensorflow_datasets"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def _command(arguments, folder, outputs):
    """In the fork: what `simclr-tf ARGUMENTS` does; returns its exit code."""
    import resource
    import tempfile

    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number, name in enumerate((os.devnull, f"{outputs}/out", f"{outputs}/err")):
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
        os.dup2(os.open(name, flags, 0o600), number)
    os.chdir(folder)
    os.environ |= {"HOME": f"{folder}/{_HOME}", "TMPDIR": f"{folder}/{_TEMPORARY}"}
    tempfile.tempdir = None
    from tests.quick_tracing import without_grappler

    if arguments[0] != "-c":
        without_grappler()
    _watch(folder, f"{outputs}/{_EVENTS}")
    if arguments[0] == "-c":
        exec(compile(arguments[1], "<case>", "exec"), {})
        return 0
    from simclr_tf.tools import command_line

    return command_line.main(arguments)


def _exit_code(*command):
    """The exit code that Python would give."""
    try:
        return _command(*command)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        print(error.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1


def _end(code):
    """End the fork as Python ends, but for the second that freeing everything takes."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _watch(folder, log):
    """Note what no command may do: see `_FORBIDDEN`; and writing elsewhere."""
    stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    allowed = (os.path.realpath(folder) + os.sep, "/dev/", "/proc/")
    writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT

    def note(event, arguments):
        if event in _FORBIDDEN:
            what = repr(arguments)
        elif event == "open" and isinstance(arguments[0], (str, bytes)):
            path, _, flags = arguments
            if not flags or not flags & writes:
                return
            what = os.path.realpath(os.fsdecode(path))
            if what.startswith(allowed) or "__pycache__" in what:
                return
        else:
            return
        os.write(stream, f"{event} {what}"[:300].replace("\n", " ").encode() + b"\n")

    sys.addaudithook(note)


def _wait(child, sent, after_seconds, max_seconds):
    """Wait for a fork, send it its signal, end it after its time; an Outcome's dict."""
    start, timed_out = time.monotonic(), False
    while True:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        seconds = time.monotonic() - start
        if pid:
            break
        if sent and seconds > after_seconds:
            os.kill(child, sent)
            sent = None
        if seconds > max_seconds and not timed_out:
            timed_out = True
            _kill_group(child)
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        select.select([], [], [], 0.01)
    return {
        "code": os.waitstatus_to_exitcode(status),
        "seconds": seconds,
        "megabytes": usage.ru_maxrss / 1024,
        "timed_out": timed_out,
        "processes_left": _kill_group(child) and not timed_out,
    }


def _kill_group(number):
    """Kill what is left of a command's processes; whether there was anything."""
    try:
        os.killpg(number, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    sys.exit(_serve())
