"""Who works on which cell: a folder that several processes and machines share.

A claim is a file that only one process can create. It says who holds it, and its
modification time is renewed while the holder lives. The claim of a dead process is
taken over by creating the next one in number: again only one process can, and no file
is ever removed under somebody's feet.
"""

import contextlib
import json
import os
import pathlib
import re
import socket
import threading
import time
import uuid

from simclr_tf.errors import WorkdirError

HEARTBEAT_SECONDS = 20.0
DEAD_AFTER_SECONDS = 300.0  # Of another machine: its clock and its disk may lag.
_BOOT = pathlib.Path("/proc/sys/kernel/random/boot_id")


class Claim:
    """A claim that this process holds.

    Args:
      is_ours: function to bool, whether nobody has taken it over since: a process that
        was stopped for long looks dead to others.
    """

    def __init__(self, is_ours):
        self.is_ours = is_ours


class Claims:
    """The claims of a study.

    Args:
      folder: path; made when the first claim is.
      dead_after_seconds: float, age of a heartbeat after which its process counts as
        dead. Of a process of this machine it is enough that it is gone.

    Example:
      >>> import tempfile
      >>> claims, others = (Claims(tempfile.gettempdir()) for _ in range(2))
      >>> name = f"cell-{uuid.uuid4().hex}"
      >>> with claims.taken(name) as mine, others.taken(name) as theirs:
      ...     mine.is_ours(), theirs
      (True, None)
    """

    def __init__(self, folder, dead_after_seconds=DEAD_AFTER_SECONDS):
        self._folder = pathlib.Path(folder)
        self._dead_after = dead_after_seconds

    @contextlib.contextmanager
    def taken(self, name):
        """Hold the claim of a cell inside a `with`, if nobody living holds it.

        Args:
          name: str, of the cell.

        Yields:
          Claim, or None if it is not ours.

        Raises:
          WorkdirError: the folder cannot be written.
        """
        path = self._create(name)
        if path is None:
            yield None
            return
        number, ended = _number(path), threading.Event()
        heart = threading.Thread(
            target=_beat, args=(path, ended), daemon=True, name=f"claim-{name}"
        )
        heart.start()
        try:
            yield Claim(lambda: path.exists() and max(self._numbers(name)) == number)
        finally:
            ended.set()
            heart.join()
            for dead in self._numbers(name):
                if dead < number:
                    self._path(name, dead).unlink(missing_ok=True)
            path.unlink(missing_ok=True)

    def is_held(self, name):
        """Whether a living process holds the claim of a cell."""
        numbers = self._numbers(name)
        return bool(numbers) and self._lives(self._path(name, max(numbers)))

    def _create(self, name):
        """The file of a new claim, or None if a living process has one."""
        numbers = self._numbers(name)
        if numbers and self._lives(self._path(name, max(numbers))):
            return None
        path = self._path(name, max(numbers, default=-1) + 1)
        record = json.dumps(
            {"machine": _machine(), "process": os.getpid(), "token": uuid.uuid4().hex}
        )
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(record)
        except FileExistsError:
            return None  # Somebody was faster.
        except OSError as error:
            raise WorkdirError(
                f"Cannot write to {self._folder}: {error.strerror}."
            ) from error
        return path

    def _lives(self, path):
        try:
            age = time.time() - path.stat().st_mtime
            holder = json.loads(path.read_text(encoding="utf-8"))
            machine, process = holder["machine"], int(holder["process"])
        except FileNotFoundError:
            return False
        except (ValueError, KeyError, TypeError):  # It is being written.
            return age < self._dead_after
        if machine == _machine() and not _is_running(process):
            return False
        return age < self._dead_after

    def _numbers(self, name):
        if not self._folder.is_dir():
            return []
        pattern = re.compile(re.escape(name) + r"\.(\d+)\.claim")
        matches = map(pattern.fullmatch, os.listdir(self._folder))
        return [int(match[1]) for match in matches if match]

    def _path(self, name, number):
        return self._folder / f"{name}.{number}.claim"


def _number(path):
    return int(path.name.split(".")[-2])


def _beat(path, ended):
    while not ended.wait(HEARTBEAT_SECONDS):
        try:
            os.utime(path)
        except OSError:  # A disk that is away for a while; or all of it was removed.
            continue


def _machine():
    """This machine, as far as numbers of processes mean the same.

    Machines of one image may have one name: the boot is told apart too. Containers
    have numbers of their own.
    """
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):  # Only on Linux.
        parts.append(_BOOT.read_text(encoding="ascii").strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _is_running(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # It belongs to somebody else.
        return True
    return True
