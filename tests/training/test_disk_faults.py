"""Disks that fill, folders that vanish or lock, files that are damaged: one line."""

import re
import shutil
import textwrap

import pytest
import tensorflow as tf

from simclr_tf.config import Config
from simclr_tf.errors import WorkdirError
from simclr_tf.training import CheckpointStore, Workdir
from simclr_tf.training.records import keep_events_up_to, keep_lines_up_to, read_metrics
from tests import fresh_process
from tests.training.faulty_runs import AtEpoch, contents, run


def test_a_full_disk_loses_nothing_and_the_run_goes_on_when_there_is_space(tmp_path):
    script = textwrap.dedent("""
        import sys
        from tests.training.small_disk import SmallDisk
        disk = SmallDisk(sys.argv[1])
        from simclr_tf.errors import WorkdirError
        from simclr_tf.training import CheckpointStore
        from simclr_tf.training.records import read_metrics
        from tests.training.faulty_runs import AtEpoch, run
        store = CheckpointStore(disk.folder / "run" / "checkpoints")

        def attempt(**options):
            try:
                run(disk.folder / "run", **options)
                print("DONE")
            except WorkdirError as error:
                print("REFUSED", error)

        disk.fill()
        attempt()
        disk.free()
        attempt(callbacks=[AtEpoch(1, disk.fill)])
        disk.free()
        print("LATEST", store.latest().step)
        print("LEFT", sorted(path.name for path in store.folder.iterdir()))
        attempt()
        print("STEPS", *[r["step"] for r in read_metrics(
            disk.folder / "run" / "metrics.jsonl")])
    """)
    (tmp_path / "disk").mkdir()
    done = fresh_process.run(["-c", script, tmp_path / "disk"])
    lines = done.stdout.splitlines()
    assert len(lines) == 6, done.stdout + done.stderr
    assert lines[0].startswith("REFUSED Cannot write ")
    assert lines[1].startswith("REFUSED Cannot ") and "Free some space" in lines[1]
    assert "{{" not in lines[1]
    assert lines[2:] == ["LATEST 2", "LEFT ['step-00000002']", "DONE", "STEPS 2 4 6"]


def test_a_metrics_file_on_a_full_device_stops_the_run_at_that_line(tmp_path):
    def fill():
        (tmp_path / "run" / "metrics.jsonl").unlink()
        (tmp_path / "run" / "metrics.jsonl").symlink_to("/dev/full")

    with pytest.raises(WorkdirError, match="metrics.jsonl: No space left on device"):
        run(tmp_path / "run", callbacks=[AtEpoch(1, fill)])
    assert CheckpointStore(tmp_path / "run" / "checkpoints").latest().step == 2


@pytest.mark.parametrize("every_steps", [None, 1])
def test_a_workdir_that_is_deleted_stays_deleted_and_is_named(tmp_path, every_steps):
    with pytest.raises(WorkdirError) as error:
        run(
            tmp_path / "run",
            **{
                "checkpoint.every_steps": every_steps,
                "callbacks": [AtEpoch(1, lambda: shutil.rmtree(tmp_path / "run"))],
            },
        )
    assert f"{tmp_path / 'run'} is gone. Was it deleted" in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["tensorboard", "metrics.jsonl", "checkpoints"])
def test_something_else_in_the_place_of_a_file_is_one_line(tmp_path, name):
    def replace():
        path = tmp_path / "run" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        path.mkdir() if name == "metrics.jsonl" else path.write_text("in the way")

        if name == "tensorboard":  # Open, and so not missed until the next start.
            raise KeyboardInterrupt

    folder = tmp_path / "run" / "checkpoints"
    with pytest.raises((WorkdirError, KeyboardInterrupt)) as error:
        run(tmp_path / "run", callbacks=[AtEpoch(1, replace)])
    if name != "tensorboard":
        assert re.match(f"Cannot (write|save)[^\n]*{name}[^\n]*$", str(error.value))
    assert (folder / "step-00000002").is_dir() or name == "checkpoints"
    before = contents(folder)
    with pytest.raises(WorkdirError, match=f"Cannot (write|save).*{name}"):
        run(tmp_path / "run")
    assert contents(folder) == before


def test_a_locked_folder_within_the_workdir_is_found_before_training(tmp_path):
    folder = a_finished_run(tmp_path)
    (folder / "tensorboard").mkdir()
    for path in (folder, folder / "checkpoints", folder / "tensorboard"):
        path.chmod(0o777)
    script = textwrap.dedent("""
        import os, sys
        from simclr_tf.errors import WorkdirError
        from simclr_tf.training.workdir import Workdir
        os.chdir(sys.argv[1])
        record, config = Workdir(".").read(), Workdir(".").config()
        for name in ("checkpoints", "tensorboard"):
            os.chmod(name, 0o555)
            if os.geteuid() == 0:
                os.seteuid(65534)  # Root may write everywhere.
            try:
                Workdir(".").claim(config, record["data"], "x")
            except WorkdirError as error:
                print(error)
            if os.getuid() == 0:
                os.seteuid(0)
            os.chmod(name, 0o777)
    """)
    done = fresh_process.run(["-c", script, folder])
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stderr
    for line, name in zip(lines, ("checkpoints", "tensorboard"), strict=True):
        assert line.startswith("Cannot write to --workdir=.: Permission denied")
        assert name in line


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda text: "", "is damaged"),
        (lambda text: text[:100], "is damaged"),
        (lambda text: "\x00" * 50, "is damaged"),
        (lambda text: "\ud800", "is damaged"),
        (lambda text: "[1, 2]", "another kind"),
        (lambda text: text.replace('"fingerprint"', '"fingerprnt"'), "another kind"),
        (
            lambda text: text.replace('"temperature"', '"warmth"'),
            "another version.*warmth",
        ),
        (
            lambda text: text.replace('"epochs": 1', '"epochs": "one"'),
            "another version",
        ),
    ],
)
def test_a_damaged_config_is_named_and_nothing_is_touched(tmp_path, damage, words):
    folder = a_finished_run(tmp_path)
    path = folder / "config.json"
    path.write_bytes(damage(path.read_text()).encode("utf-8", "surrogatepass"))
    before = contents(folder)
    workdir = Workdir(folder)
    for act in (workdir.config, lambda: workdir.claim(workdir.config(), {}, "x")):
        with pytest.raises(WorkdirError, match=words) as error:
            act()
        assert "config.json" in str(error.value) and "\n" not in str(error.value)
    assert contents(folder) == before


def a_finished_run(tmp_path):
    """A workdir as a run leaves it, without the run."""
    workdir = Workdir(tmp_path / "run")
    data = {"num_examples": 8, "channels": 3, "fingerprint": "f"}
    workdir.claim(Config(epochs=1), data, "x")
    (workdir.path / "checkpoints").mkdir()
    return workdir.path


@pytest.mark.parametrize("line", ["{", "12", "[]", "null", '{"loss": 1}', "\x00\x00"])
def test_a_damaged_line_of_metrics_is_named_and_costs_no_other(tmp_path, caplog, line):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 2}\n' + line.encode() + b'\xff\n{"step": 6}\n')
    keep_lines_up_to(path, 6)
    assert len(caplog.messages) == 1 and f"{path}: line 2 is" in caplog.messages[0]
    assert read_metrics(path) == [{"step": 2}, {"step": 6}]
    assert len(caplog.messages) == 1  # The line is gone from the file.


def test_a_damaged_event_file_is_kept_up_to_the_damage(tmp_path):
    with tf.summary.create_file_writer(str(tmp_path)).as_default():
        for step in (1, 2, 3):
            tf.summary.scalar("loss", 0.5, step=step)
    path = next(tmp_path.glob("events.*"))
    content = path.read_bytes()
    lengths, start = [], 0
    while start < len(content):
        start += 16 + int.from_bytes(content[start : start + 8], "little")
        lengths.append(start)
    # Bytes that are no event, in the place of the last one.
    path.write_bytes(
        content[: lengths[-2] + 12] + b"\xff" * (lengths[-1] - lengths[-2] - 12)
    )
    keep_events_up_to(tmp_path, 9)
    assert path.stat().st_size == lengths[-2]
