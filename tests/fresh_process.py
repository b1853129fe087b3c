"""Processes of their own, without a new import of TensorFlow for each.

A server per pytest worker imports TensorFlow and this package and computes nothing;
each process is a fork of it, from before TensorFlow has started a thread. To import
them anew would be most of the time of such a test. Where it matters that this package
is not there, or how a start looks, tests start Python itself; `make test-lanes` runs
the tools as users do.
"""

import multiprocessing
import os
import pathlib
import runpy
import signal
import subprocess
import sys
import tempfile
from multiprocessing import forkserver

from tests.quick_tracing import collect_garbage_rarely

_PRELOADED = [
    "tensorflow",
    "simclr_tf.evaluation",
    "simclr_tf.export",
    "simclr_tf.commands.evaluate",
    "simclr_tf.report",
    "simclr_tf.tools.command_line",
    "simclr_tf.tools.pretrain",
    "simclr_tf.training",
    "simclr_tf.training.run",
    __name__,
]


class FreshProcess:
    """Like `subprocess.Popen` of this Python.

    Args:
      arguments: list of str, as after `python`: ["-m", module, ...], ["-c", code, ...]
        or [script, ...].
      cwd: its working directory.
      env: dict, variables on top of this process's own.
      log: path of a file that takes stdout and stderr; else `communicate` gives them.
    """

    def __init__(self, arguments, *, cwd=None, env=None, log=None):
        self._folder = tempfile.TemporaryDirectory()
        names = ("out", "err") if log is None else (log, log)
        self._outputs = [pathlib.Path(self._folder.name, name) for name in names]
        self._process = _context().Process(
            target=_run,
            args=(
                [str(argument) for argument in arguments],
                os.fspath(cwd or os.getcwd()),
                {**os.environ, **(env or {})},
                [str(path) for path in self._outputs],
            ),
        )
        self._process.start()

    @property
    def returncode(self):
        """As of subprocess: None while it runs, -N after signal N."""
        return self._process.exitcode

    def poll(self):
        return self._process.exitcode

    def wait(self, timeout=None):
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout)
        return self._process.exitcode

    def communicate(self, timeout=None):
        """(stdout, stderr) after its end."""
        self.wait(timeout)
        return tuple(path.read_text() for path in self._outputs)

    def send_signal(self, number):
        os.kill(self._process.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


def run(arguments, *, timeout=300, **options):
    """Like `subprocess.run` of this Python: a CompletedProcess with its outputs."""
    process = FreshProcess(arguments, **options)
    try:
        out, err = process.communicate(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def _context():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    level = os.environ.get("TF_CPP_MIN_LOG_LEVEL")
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # Read when TensorFlow is imported.
    try:
        forkserver.ensure_running()
    finally:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = level or "0"
    return context


def _run(arguments, cwd, environment, outputs):
    """In the child: what `python ARGUMENTS` does."""
    for descriptor, path in zip((1, 2), outputs, strict=True):
        os.dup2(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), descriptor
        )
    collect_garbage_rarely()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    first, *rest = arguments
    if first == "-m":
        sys.argv = rest
        sys.modules.pop(rest[0], None)  # Preloaded; runpy would warn of that.
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif first == "-c":
        sys.argv = ["-c", *rest[1:]]
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = arguments
        runpy.run_path(first, run_name="__main__")
