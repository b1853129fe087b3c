"""One process writes; the others are refused, or wait; a lock ends with its process."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import threading

import pytest

from simclr_tf import locks
from simclr_tf.errors import InUseError, WorkdirError
from simclr_tf.locks import holds_files, lock_of, locked, sole_writer

HOLDER = """
import os, pathlib, sys
from simclr_tf.locks import sole_writer
with sole_writer(pathlib.Path(sys.argv[1]), "it"):
    child = os.fork() if sys.argv[2:] else None
    if not child:  # The child has let go of the lock when it gets here.
        print("held", flush=True)
    sys.stdin.read()
    if child == 0:
        os._exit(0)
"""


def holder(lock, *arguments):
    """Start another process that holds a lock until it is killed or its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, lock, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_another_process_is_refused_in_one_line_until_the_first_is_killed(tmp_path):
    lock = lock_of(tmp_path / "run", inside=True)
    first = holder(lock)
    try:
        with pytest.raises(InUseError) as error, sole_writer(lock, "--workdir=run"):
            pass
        text = str(error.value)
        words = f"--workdir=run is being written by process {first.pid} on "
        assert text.startswith(words + repr(socket.gethostname()) + " since 20")
        assert "\n" not in text and lock.exists()
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert str(first.pid) in lock.read_text()  # Left behind, and no obstacle.
    with sole_writer(lock, "--workdir=run"):
        assert str(os.getpid()) in lock.read_text()
    assert not lock.exists()


def test_a_child_of_a_killed_process_does_not_keep_its_lock(tmp_path):
    lock = tmp_path / "lock"
    first = holder(lock, "and a child")
    first.kill()
    first.wait()
    with sole_writer(lock, "it"):
        first.stdin.close()


def test_a_process_that_ends_gives_the_lock_back_and_removes_its_file(tmp_path):
    first = holder(tmp_path / "lock")
    first.communicate()
    assert first.returncode == 0 and list(tmp_path.iterdir()) == []


def test_one_process_may_hold_a_lock_again_and_again_but_not_twice(tmp_path):
    for _ in range(2):
        with sole_writer(tmp_path / "lock", "it"):
            with pytest.raises(InUseError), sole_writer(tmp_path / "lock", "it"):
                pass
            assert (tmp_path / "lock").exists()
    with pytest.raises(KeyError), sole_writer(tmp_path / "lock", "it"):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_reading_the_lock_file_does_not_give_the_lock_away(tmp_path):
    """As `lockf` would: a callback that copies the workdir reads every file."""
    with sole_writer(tmp_path / "run" / ".lock", "it"):
        shutil.copytree(tmp_path / "run", tmp_path / "copy")
        with locked(tmp_path / "run" / ".lock") as is_ours:
            assert is_ours is False
    with sole_writer(tmp_path / "copy" / ".lock", "it"):  # Only a file.
        pass


def test_of_many_at_once_one_holds_the_lock_though_its_file_comes_and_goes(tmp_path):
    inside, most, refused = [], [], []

    def often():
        for _ in range(200):
            try:
                with sole_writer(tmp_path / "lock", "it"):
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()
            except InUseError:
                refused.append(1)

    threads = [threading.Thread(target=often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) + len(refused) == 800 and max(most) == 1
    assert list(tmp_path.iterdir()) == []


def test_folders_made_for_a_lock_go_unless_something_is_written(tmp_path):
    lock = lock_of(tmp_path / "a" / "b", inside=True)
    with sole_writer(lock, "it"):
        assert not holds_files(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    with sole_writer(lock, "it"):
        (tmp_path / "a" / "b" / "config.json").write_text("{}")
        assert holds_files(tmp_path / "a" / "b")
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["config.json"]


def test_a_folder_that_was_deleted_meanwhile_stays_deleted(tmp_path):
    with sole_writer(tmp_path / "run" / ".lock", "it"):
        shutil.rmtree(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_without_locks_the_work_goes_on_after_one_warning(
    tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr(locks, "_lock", lambda descriptor, wait=False: None)
    locks._warn_of_no_locks.cache_clear()
    for _ in range(2):
        with sole_writer(tmp_path / "lock", "it"), locked(tmp_path) as is_ours:
            assert is_ours is None
    locks._warn_of_no_locks.cache_clear()
    assert len(caplog.messages) == 1 and "no locks" in caplog.messages[0]


def test_who_waits_gets_the_lock_when_its_holder_ends(tmp_path):
    (tmp_path / "lock").touch()
    first = holder(tmp_path / "lock")
    with locked(tmp_path / "lock", waiting=first.stdin.close) as is_ours:
        assert is_ours
    first.wait()


@pytest.mark.parametrize("planted", ["a link", "a folder"])
def test_something_else_in_the_place_of_a_lock_is_refused_in_one_line(
    tmp_path, planted
):
    lock = tmp_path / "lock"
    if planted == "a link":
        (tmp_path / "precious").write_text("data")
        lock.symlink_to("precious")
    else:
        lock.mkdir()
    with pytest.raises(WorkdirError, match=r"Cannot write to it: .*lock\)\.$"):
        with sole_writer(lock, "it"):
            pass
    assert planted == "a folder" or pathlib.Path(lock).read_text() == "data"


@pytest.mark.parametrize("content", [b"", b"[1]", b"\xff{", b'{"process": "x"}'])
def test_a_lock_file_that_does_not_say_who_is_refused_without_a_name(tmp_path, content):
    with sole_writer(tmp_path / "lock", "it"):
        (tmp_path / "lock").write_bytes(content)
        with pytest.raises(InUseError, match="written by another process"):
            with sole_writer(tmp_path / "lock", "it"):
                pass
