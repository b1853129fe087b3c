"""Images that vanish or change: named, counted or refused, and nothing else moves."""

import gzip
import json
import os
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from simclr_tf.config import Config
from simclr_tf.config.schema import override
from simclr_tf.data import open_source
from simclr_tf.data.left_out import LEFT_OUT_FILE
from simclr_tf.errors import DataError, WorkdirError
from simclr_tf.training import Workdir
from simclr_tf.training.image_list import (
    IMAGE_LIST_FILE,
    changes_between,
    read_image_list,
)
from simclr_tf.training.workdir import CHECKPOINTS
from tests.training.faulty_runs import AtEpoch, contents, run


def save_images(folder, names, seed=0):
    """Photographs of several sizes: they stay on the disk and are read in training."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    for number, name in enumerate(names):
        shape = (20 + number % 5, 24, 3)
        Image.fromarray(rng.integers(0, 256, shape, "uint8")).save(folder / name)
    return f"folder:{folder}"


def interrupt():
    raise KeyboardInterrupt


NAMES = [f"{number}.png" for number in range(8)]


def test_an_image_that_vanishes_is_skipped_by_name_and_refused_afterwards(
    tmp_path, caplog
):
    data = save_images(tmp_path / "images", NAMES)
    vanish = AtEpoch(None, (tmp_path / "images" / "3.png").unlink)
    allowed = {"data.max_corrupt_fraction": 0.2}
    result = run(tmp_path / "run", data, callbacks=[vanish], **allowed)
    assert int(result.model.optimizer.iterations) == 6
    assert caplog.text.count("Skipped 3.png: it cannot be read") == 1
    assert "- 3.png" in (tmp_path / "run" / "SUMMARY.md").read_text()
    # Without the file every id behind it would mean another image.
    with pytest.raises(WorkdirError, match=r"8 then, 7 now\): 1 gone .*\(3.png\)"):
        run(tmp_path / "run", data, **allowed)


def test_more_vanished_images_than_allowed_stop_the_run(tmp_path):
    data = save_images(tmp_path / "images", NAMES)
    folder = tmp_path / "run" / "checkpoints"

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", data, callbacks=[AtEpoch(1, interrupt)])
    before = contents(folder)
    vanish = AtEpoch(None, lambda: shutil.rmtree(tmp_path / "images"))
    with pytest.raises(DataError, match="cannot be read") as error:
        run(tmp_path / "run", data, callbacks=[vanish])
    assert "\n" not in str(error.value)
    assert before and contents(folder) == before


def test_the_advice_about_broken_files_works_in_the_same_workdir(tmp_path):
    folder, workdir = tmp_path / "images", tmp_path / "run"
    data = save_images(folder, NAMES)
    for name in ("cut.png", "none.png"):
        (folder / name).write_bytes((folder / "0.png").read_bytes()[:-30])
    (folder / "none.png").write_bytes(b"")
    (folder / "notes.txt").write_text("no image")

    def advice(**options):
        with pytest.raises(DataError, match="--data.max_corrupt_fraction=") as error:
            run(workdir, data, epochs=6, **options)
        text = str(error.value)
        assert text.endswith(f"All are named in {workdir / LEFT_OUT_FILE}.")
        fraction = re.search(r"--data.max_corrupt_fraction=([\d.]+\d)", text)[1]
        return {"data.max_corrupt_fraction": float(fraction)}

    allowed = advice()
    assert allowed == {"data.max_corrupt_fraction": 0.2}
    listed = (workdir / LEFT_OUT_FILE).read_text().splitlines()
    assert listed == [
        f"# {data}: 3 files are left out",
        "cut.png\ttruncated or damaged",
        "none.png\tempty",
        "notes.txt\tnot named as an image",
    ]
    with pytest.raises(KeyboardInterrupt):
        run(workdir, data, epochs=6, callbacks=[AtEpoch(1, interrupt)], **allowed)
    vanish = AtEpoch(None, (folder / "5.png").unlink)  # There is a checkpoint now.
    allowed = advice(callbacks=[vanish], **allowed)
    assert "5.png\tnot decodable" in (workdir / LEFT_OUT_FILE).read_text()
    save_images(folder, NAMES)
    assert run(workdir, data, epochs=6, **allowed).metrics["step"] == 12
    assert "5.png" not in (workdir / LEFT_OUT_FILE).read_text()


def test_the_list_is_not_written_into_a_folder_of_something_else(tmp_path):
    data = save_images(tmp_path / "images", NAMES)
    (tmp_path / "images" / "0.png").write_bytes(b"")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "diary.txt").write_text("mine")
    with pytest.raises(DataError, match="1 of 8 images"):
        run(tmp_path / "run", data)
    assert os.listdir(tmp_path / "run") == ["diary.txt"]


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


@pytest.mark.parametrize(
    "change, words",
    [
        (rename, "8 then, 8 now): 1 new (9.png), 1 gone or unreadable (3.png)."),
        (add, "8 then, 12 now): 4 new (a.png, b.png, c.png, ...)."),
        (truncate, "8 then, 7 now): 1 gone or unreadable (5.png)."),
        (other_pixels_of_the_same_size, "8 then, 8 now): 1 with other bytes (2.png)."),
    ],
)
def test_a_folder_that_changed_between_runs_is_refused_with_what_changed(
    tmp_path, change, words
):
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
    source = open_source(data, max_corrupt_fraction=0.2)
    described = {
        "num_examples": source.num_examples,
        "channels": source.channels,
        "fingerprint": source.fingerprint(),
    }
    workdir = Workdir(tmp_path / "run")
    config = override(Config(), {"data.source": data, **options})
    workdir.claim(config, described, "x", source.files)
    (workdir.path / CHECKPOINTS / "step-00000001").mkdir(parents=True, exist_ok=True)
    return workdir  # As after a first step: without one, any run may follow.


def test_a_copy_of_the_folder_with_other_dates_is_the_same_folder(tmp_path):
    data = save_images(tmp_path / "images", NAMES)
    workdir = claimed(tmp_path, data)
    for name in NAMES:
        os.utime(tmp_path / "images" / name, (1, 1))
    claimed(tmp_path, data)
    listed = read_image_list(workdir.path)
    assert [name for name, _, _ in listed] == NAMES
    assert listed[0][1] == (tmp_path / "images" / "0.png").stat().st_size


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(path.read_bytes()[:-9]),
        lambda path: path.write_bytes(gzip.compress(b"[1]\n")),
    ],
)
def test_a_damaged_list_costs_the_names_and_not_the_refusal(tmp_path, damage):
    data = save_images(tmp_path / "images", NAMES)
    damage(claimed(tmp_path, data).path / IMAGE_LIST_FILE)
    rename(tmp_path / "images")
    with pytest.raises(WorkdirError, match=r"have changed .*8 now\)\. Put them back"):
        claimed(tmp_path, data)


def test_labelled_images_of_the_probe_that_changed_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    for seed in (0, 1):
        np.savez(
            tmp_path / "few.npz",
            x_train=rng.integers(0, 256, (8, 16, 16, 3)).astype("uint8"),
            y_train=np.arange(8) % 2,
        )
        if seed == 0:
            run(tmp_path / "run", epochs=1, **{"probe.data": f"npz:{tmp_path}/few.npz"})
            continue
        with pytest.raises(WorkdirError, match="--probe.data=npz.* have changed"):
            run(tmp_path / "run", epochs=1, **{"probe.data": f"npz:{tmp_path}/few.npz"})


def test_the_names_of_changed_files_stay_on_one_line():
    changes = changes_between([("a\n.png", 9, 1)], [("b\udce9.png", 9, 1)])
    assert changes == r"1 new (b\xe9.png), 1 gone or unreadable (a\x0a.png)"


def test_images_in_arrays_have_no_list(tmp_path):
    run(tmp_path / "run", epochs=1)
    assert not (tmp_path / "run" / IMAGE_LIST_FILE).exists()
    record = json.loads((tmp_path / "run" / "config.json").read_text())
    assert record["data"]["probe_fingerprint"] is None
