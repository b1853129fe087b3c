"""The lines before the first step: what is meant, and what is not as it was meant."""

import numpy as np
import pytest
from PIL import Image

from simclr_tf.config.presets import get_preset
from simclr_tf.config.schema import override
from simclr_tf.data import ArraySource, open_source
from simclr_tf.training.overview import found_splits, overview
from simclr_tf.training.step_clock import plan_run


def lines_of(source, probe_source=None, *, sizes=(), splits=(), path=None, **changes):
    config = override(
        get_preset("demo"), {"global_batch_size": 4, "epochs": 3, **changes}
    )
    lines = overview(
        config,
        source,
        probe_source,
        plan_run(config, source),
        sizes=sizes,
        splits=splits,
        left_out_path=path,
    )
    assert all(line[12] != " " and line[11] == " " for line in lines if line[0] != " ")
    return {line[:12].strip(): line[12:] for line in lines}


def photo(height, width):
    return Image.new("RGB", (width, height), "brown")


def an_array(labels=None, classes=None):
    images = np.zeros([12, 8, 8, 3], np.uint8)
    return ArraySource("mine", images, labels, classes=classes)


def test_a_folder_is_described_as_it_is_found(tmp_path):
    for place, number in (("train/cat", 4), ("train/dog", 3), ("test/cat", 2)):
        (tmp_path / place).mkdir(parents=True)
        for name in range(number):
            photo(20 + 10 * name, 30).save(tmp_path / place / f"{name}.jpg")
    (tmp_path / "train/dog/broken.jpg").write_bytes(b"")
    (tmp_path / "train/notes.txt").write_text("text")
    data = f"folder:{tmp_path}"
    source = open_source(data, max_corrupt_fraction=0.5)
    config = override(get_preset("demo"), {"data.source": data})
    assert found_splits(config) == ["test", "train"]
    lines = lines_of(
        source,
        sizes=source.sampled_sizes(),
        splits=found_splits(config),
        path="run/left_out_files.txt",
        **{"data.source": data},
    )
    assert lines == {
        "Data": f"{data}, split train (there are also: test): 7 images",
        "Sizes": "20 x 30 to 50 x 30 pixels, median 30 x 30 (of 7)",
        "Labels": "2 classes: cat 4, dog 3; for the probe only, the encoder does not "
        "see them",
        "Left out": "2 files, named in run/left_out_files.txt",
        "Options": "preset demo with epochs=3, global_batch_size=4",
        "Training": "ResNet-18 (0.25x, stem small), objective nt_xent, views of 32 "
        "pixels by the recipe cifar",
        "Length": "3 epochs of 1 steps of 4 images, 3 steps in all",
    }


@pytest.mark.parametrize(
    ("split", "splits", "others"),
    [
        ("train[:80%]", ["test", "train"], "test"),
        ("train", ["Test", "Training"], "Test"),
        ("train+test[:10%]", ["test", "train"], "test, train"),
        ("train", ["train"], None),
    ],
)
def test_the_split_in_use_is_not_among_the_others(split, splits, others):
    source = an_array()
    source.split = split
    line = lines_of(source, splits=splits)["Data"]
    beside = f" (there are also: {others})" if others else ""
    assert line == f"mine, split {split}{beside}: 12 images"


def test_small_views_are_named_beside_the_full_ones():
    for size, of_small in ((32, "16"), ((32, 48), "16 x 24")):
        lines = lines_of(
            an_array(),
            **{"objective.small_views": 3, "data.image_size_pixels": size},
        )
        assert f" pixels and 3 of {of_small} by the recipe" in lines["Training"]


@pytest.mark.parametrize(
    ("labels", "changes", "text"),
    [
        (None, {}, "none"),
        (None, {"data.labels": "none"}, "none (--data.labels=none)"),
        ([0, 1] * 6, {"probe.online": False}, "2 classes: 0 6, 1 6; not used"),
        (
            [0] * 3 + [1] * 5 + [-1] * 4,
            {"objective": "sup_con"},
            "2 classes: 0 3, 1 5; 4 images without a label; the objective sup_con "
            "learns from them",
        ),
        (
            list(range(8)) + [7] * 4,
            {},
            "8 classes: 0 1, 1 1, 2 1, 3 1, 4 1, 5 1, ... (1 to 5 images each); for "
            "the probe only, the encoder does not see them",
        ),
    ],
)
def test_the_use_of_labels_is_told(labels, changes, text):
    assert lines_of(an_array(labels), **changes)["Labels"] == text


def test_another_set_for_the_probe_is_described_beside_the_first():
    probe = an_array([0, 1, 2] * 4, ("a", "b", "c"))
    lines = lines_of(an_array([0, 1] * 6), probe, **{"probe.data": "npz:x"})
    assert lines["Labels"].endswith("1 6; not used")
    assert lines["Probe"] == "mine, split train: 12 images"
    assert lines[""] == "3 classes: a 4, b 4, c 4"


def test_photographs_on_their_side_are_described_as_they_are_seen(tmp_path):
    upright = photo(20, 30).getexif()
    upright[0x0112] = 6
    for name in "ab":
        photo(20, 30).save(tmp_path / f"{name}.jpg", exif=upright)
    source = open_source(f"folder:{tmp_path}", memory_limit_bytes=0)
    assert source.sampled_sizes() == [(30, 20)] * 2
