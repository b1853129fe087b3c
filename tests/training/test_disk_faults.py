"""Disks that fill, folders that vanish or lock, files that are damaged: one line."""

import gzip
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from simclr_tf import pretrain
from simclr_tf._keras import keras
from simclr_tf.errors import DataError, WorkdirError
from simclr_tf.training import CheckpointStore, Workdir
from simclr_tf.training.image_list import IMAGE_LIST_FILE, read_image_list
from simclr_tf.training.records import keep_events_up_to, read_metrics

ROOT = pathlib.Path(__file__).parents[2]
TINY = {
    "epochs": 3, "global_batch_size": 4, "precision": "float32", "preset": "demo",
    "projection_head": {"out_features": 8, "num_layers": 2},
    "data.image_size_pixels": 16, "compile_views": False, "checkpoint.every_epochs": 1,
}


def an_encoder():
    pictures = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(6, 3, 2, use_bias=False)(pictures)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    return keras.Model(pictures, keras.layers.GlobalAveragePooling2D()(x))


def run(workdir, data=None, **options):
    if data is None:
        data = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), "uint8")
    return pretrain(data, workdir, encoder=an_encoder(), say=lambda line: None,
                    **{**TINY, **options})


class AtEpoch(keras.callbacks.Callback):
    """Something happens to the disk when an epoch begins, or before the first batch."""

    def __init__(self, epoch, fault):
        super().__init__()
        self.epoch, self.fault = epoch, fault

    def on_train_begin(self, logs=None):
        if self.epoch is None:  # Batches are made ahead, from now on.
            self.fault()

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            self.fault()


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_full_disk_loses_nothing_and_the_run_goes_on_when_there_is_space(tmp_path):
    script = textwrap.dedent("""
        import sys
        from tests.training.small_disk import SmallDisk
        disk = SmallDisk(sys.argv[1])
        from tests.training.test_disk_faults import (
            AtEpoch, CheckpointStore, WorkdirError, read_metrics, run)
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
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "disk")], text=True, cwd=ROOT,
        capture_output=True, timeout=300,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": "."})
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
        run(tmp_path / "run", **{
            "checkpoint.every_steps": every_steps,
            "callbacks": [AtEpoch(1, lambda: shutil.rmtree(tmp_path / "run"))]})
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
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)], text=True, cwd=ROOT,
        capture_output=True, timeout=300)
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stderr
    for line, name in zip(lines, ("checkpoints", "tensorboard"), strict=True):
        assert line.startswith("Cannot write to --workdir=.: Permission denied")
        assert name in line


@pytest.mark.parametrize("damage, words", [
    (lambda text: "", "is damaged"),
    (lambda text: text[:100], "is damaged"),
    (lambda text: "\x00" * 50, "is damaged"),
    (lambda text: "\ud800", "is damaged"),
    (lambda text: "[1, 2]", "another kind"),
    (lambda text: text.replace('"fingerprint"', '"fingerprnt"'), "another kind"),
    (lambda text: text.replace('"temperature"', '"warmth"'), "another version.*warmth"),
    (lambda text: text.replace('"epochs": 1', '"epochs": "one"'), "another version"),
])
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
    from simclr_tf.config import Config
    workdir = Workdir(tmp_path / "run")
    data = {"num_examples": 8, "channels": 3, "fingerprint": "f"}
    workdir.claim(Config(epochs=1), data, "x")
    (workdir.path / "checkpoints").mkdir()
    return workdir.path


@pytest.mark.parametrize("line", ["{", "12", "[]", "null", '{"loss": 1}', "\x00\x00"])
def test_a_torn_line_of_metrics_ends_what_is_read(tmp_path, line):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 2}\n' + line.encode() + b'\xff\n{"step": 6}\n')
    assert read_metrics(path) == [{"step": 2}]


# Images that change on the disk.

def save_images(folder, names, seed=0):
    """Photographs of several sizes: they stay on the disk and are read in training."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    for number, name in enumerate(names):
        shape = (20 + number % 5, 24, 3)
        Image.fromarray(rng.integers(0, 256, shape, "uint8")).save(folder / name)
    return f"folder:{folder}"


NAMES = [f"{number}.png" for number in range(8)]


def test_an_image_that_vanishes_is_skipped_by_name_and_refused_afterwards(
        tmp_path, caplog):
    data = save_images(tmp_path / "images", NAMES)
    vanish = AtEpoch(None, (tmp_path / "images" / "3.png").unlink)
    allowed = {"data.max_corrupt_fraction": 0.2}
    result = run(tmp_path / "run", data, callbacks=[vanish], **allowed)
    assert int(result.model.optimizer.iterations) == 6
    assert caplog.text.count("Skipped 3.png: it cannot be read") == 1
    assert "- 3.png" in (tmp_path / "run" / "SUMMARY.md").read_text()
    # Without the file every id behind it would mean another image.
    with pytest.raises(WorkdirError, match=r"8 then, 7 now\): 1 is gone .*\(3.png\)"):
        run(tmp_path / "run", data, **allowed)


def test_more_vanished_images_than_allowed_stop_the_run(tmp_path):
    data = save_images(tmp_path / "images", NAMES)
    folder = tmp_path / "run" / "checkpoints"

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", data, callbacks=[AtEpoch(1, interrupt)])
    before = contents(folder)
    vanish = AtEpoch(None, lambda: shutil.rmtree(tmp_path / "images"))
    with pytest.raises(DataError, match="cannot be read") as error:
        run(tmp_path / "run", data, callbacks=[vanish])
    assert "\n" not in str(error.value)
    assert before and contents(folder) == before


def rename(folder):
    (folder / "3.png").rename(folder / "9.png")


def add(folder):
    for name in "abcd":
        shutil.copy(folder / "0.png", folder / f"{name}.png")


def truncate(folder):
    content = (folder / "5.png").read_bytes()
    (folder / "5.png").write_bytes(content[:-20])


def other_pixels_of_the_same_size(folder):
    # Noise does not compress: a PNG of other noise has the same number of bytes.
    size = (folder / "2.png").stat().st_size
    for seed in range(1, 50):
        save_images(folder, [".new.png"], seed)
        pixels = np.asarray(Image.open(folder / "2.png"))
        noise = np.random.default_rng(seed).integers(0, 256, pixels.shape, "uint8")
        Image.fromarray(noise).save(folder / ".new.png")
        if (folder / ".new.png").stat().st_size == size:
            break
    os.replace(folder / ".new.png", folder / "2.png")
    assert (folder / "2.png").stat().st_size == size


@pytest.mark.parametrize("change, words", [
    (rename, "8 then, 8 now): 1 is new (9.png), 1 is gone or unreadable (3.png)."),
    (add, "8 then, 12 now): 4 are new (a.png, b.png, c.png, ...)."),
    (truncate, "8 then, 7 now): 1 is gone or unreadable (5.png)."),
    (other_pixels_of_the_same_size, "8 then, 8 now): 1 has other bytes (2.png)."),
])
def test_a_folder_that_changed_between_runs_is_refused_with_what_changed(
        tmp_path, change, words):
    data = save_images(tmp_path / "images", NAMES)
    allowed = {"data.max_corrupt_fraction": 0.2, "epochs": 1}
    workdir = claimed(tmp_path, data, **allowed)
    before = contents(workdir.path)
    change(tmp_path / "images")
    with pytest.raises(WorkdirError) as error:
        claimed(tmp_path, data, **allowed)
    assert words in str(error.value) and "\n" not in str(error.value)
    assert contents(workdir.path) == before


def claimed(tmp_path, data, **options):
    """A workdir for a folder of images, claimed as a run does."""
    from simclr_tf.config import Config
    from simclr_tf.data import open_source
    from simclr_tf.options import override

    source = open_source(data, max_corrupt_fraction=0.2)
    described = {"num_examples": source.num_examples, "channels": source.channels,
                 "fingerprint": source.fingerprint()}
    workdir = Workdir(tmp_path / "run")
    config = override(Config(), {"data.source": data, **options})
    workdir.claim(config, described, "x", source.files)
    return workdir


def test_a_copy_of_the_folder_with_other_dates_is_the_same_folder(tmp_path):
    data = save_images(tmp_path / "images", NAMES)
    workdir = claimed(tmp_path, data)
    for name in NAMES:
        os.utime(tmp_path / "images" / name, (1, 1))
    claimed(tmp_path, data)
    listed = read_image_list(workdir.path)
    assert [name for name, _, _ in listed] == NAMES
    assert listed[0][1] == (tmp_path / "images" / "0.png").stat().st_size


@pytest.mark.parametrize("damage", [
    lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:-9]),
    lambda path: path.write_bytes(gzip.compress(b"[1]\n"))])
def test_a_damaged_list_costs_the_names_and_not_the_refusal(tmp_path, damage):
    data = save_images(tmp_path / "images", NAMES)
    damage(claimed(tmp_path, data).path / IMAGE_LIST_FILE)
    rename(tmp_path / "images")
    with pytest.raises(WorkdirError, match=r"have changed .*8 now\)\. Put them back"):
        claimed(tmp_path, data)


def test_labelled_images_of_the_probe_that_changed_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    for seed in (0, 1):
        np.savez(tmp_path / "few.npz", x_train=rng.integers(0, 256, (8, 16, 16, 3)
                 ).astype("uint8"), y_train=np.arange(8) % 2)
        if seed == 0:
            run(tmp_path / "run", epochs=1,
                **{"probe.data": f"npz:{tmp_path}/few.npz"})
            continue
        with pytest.raises(WorkdirError, match="--probe.data=npz.* have changed"):
            run(tmp_path / "run", epochs=1,
                **{"probe.data": f"npz:{tmp_path}/few.npz"})


def test_images_in_arrays_have_no_list(tmp_path):
    run(tmp_path / "run", epochs=1)
    assert not (tmp_path / "run" / IMAGE_LIST_FILE).exists()
    record = json.loads((tmp_path / "run" / "config.json").read_text())
    assert record["data"]["probe_fingerprint"] is None


def test_a_damaged_event_file_is_kept_up_to_the_damage(tmp_path):
    with tf.summary.create_file_writer(str(tmp_path)).as_default():
        for step in (1, 2, 3):
            tf.summary.scalar("loss", 0.5, step=step)
    path = next(tmp_path.glob("events.*"))
    content = path.read_bytes()
    lengths, start = [], 0
    while start < len(content):
        start += 16 + int.from_bytes(content[start:start + 8], "little")
        lengths.append(start)
    # Bytes that are no event, in the place of the last one.
    path.write_bytes(content[:lengths[-2] + 12] + b"\xff" * (
        lengths[-1] - lengths[-2] - 12))
    keep_events_up_to(tmp_path, 9)
    assert path.stat().st_size == lengths[-2]
