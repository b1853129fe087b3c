"""A process with everything imported, in whose forks commands run.

A fork is isolated, limited in time and memory, watched for what no command may do, and
starts in milliseconds. TensorFlow has started no thread before it.
"""

import atexit
import contextlib
import gc
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

from tests.fuzz.harness import MAX_SECONDS, OWN_FOLDERS, Outcome

_ADDRESS_SPACE = 8 << 30
_HOME, _TEMPORARY = OWN_FOLDERS
_EVENTS = "events"
_FORBIDDEN = ("os.system", "pickle.find_class", "socket.connect", "os.posix_spawn")


class Worker:
    """A process with everything imported, whose forks run commands, until `close`."""

    def __init__(self):
        environment = os.environ | {
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "MPLBACKEND": "agg",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.worker"],
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
