"""Several data sets as one: `folder:A + folder:B`."""

import os

import numpy as np
import pytest

from simclr_tf.commands.stripped_paths import strip_folders
from simclr_tf.config import Config, DataConfig
from simclr_tf.data import evaluation_batches, kind_of, licence_of, open_source
from simclr_tf.data.sources.joined import Joined
from simclr_tf.errors import DataError
from simclr_tf.tools.config_flags import Given, define
from simclr_tf.tools.pretrain import SECTIONS


@pytest.fixture
def folders(tmp_path, save_photos):
    """Two folders with a class in common, one unlabelled, and one with a name twice."""
    save_photos(
        tmp_path / "A", *(f"{c}/{i}.png" for c in ("cat", "elk") for i in range(4))
    )
    save_photos(
        tmp_path / "B", *(f"{c}/{i}.png" for c in ("bee", "cat") for i in range(4))
    )
    save_photos(tmp_path / "C", *(f"{i}.png" for i in range(3)))
    save_photos(tmp_path / "in" / "A", *(f"{i}.png" for i in range(3)))
    return tmp_path


def names(source):
    return [source.example_name(i) for i in range(source.num_examples)]


def joined(folders, *inside, **options):
    spec = " + ".join(f"folder:{folders / name}" for name in inside)
    return open_source(spec, memory_limit_bytes=0, **options)


def test_classes_of_two_folders_are_merged_by_their_names(folders):
    source = joined(folders, "A", "B")
    assert source.classes == ("cat", "elk", "bee") and source.num_examples == 16
    assert source.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [0] * 4
    assert names(source)[:1] == ["A/cat/0.png"] and names(source)[-1:] == [
        "B/cat/3.png"
    ]
    assert [name for name, *_ in source.files()] == names(source)


def test_each_image_is_that_of_its_own_folder(folders):
    source = joined(folders, "A", "B").subset(np.array([9, 0, 15]))
    assert names(source) == ["B/bee/1.png", "A/cat/0.png", "B/cat/3.png"]
    alone = [open_source(f"folder:{folders / n}", memory_limit_bytes=0) for n in "AB"]
    (found,) = evaluation_batches(source, 4, 16)
    for place, (part, number) in enumerate([(1, 1), (0, 0), (1, 7)]):
        (own,) = evaluation_batches(alone[part].subset(np.array([number, 0])), 4, 16)
        np.testing.assert_array_equal(found["images"][place], own["images"][0])
    sizes = [os.path.getsize(folders / name) for name in names(source)]
    assert source.encoded_bytes(np.arange(3)).tolist() == sizes


def test_a_folder_without_labels_is_the_unlabelled_part(folders):
    source = joined(folders, "C", "A")
    assert source.labels.tolist() == [-1] * 3 + [0] * 4 + [1] * 4
    assert joined(folders, "C", "in/A").labels is None
    assert "A/0.png" not in names(joined(folders, "A", "in/A"))  # Both are called A.


def test_a_slice_is_cut_from_all_images_together(folders):
    first, rest = (
        joined(folders, "A", "B", split=f"train[{s}]") for s in (":50%", "50%:")
    )
    assert set(names(first)) | set(names(rest)) == set(names(joined(folders, "A", "B")))
    assert np.bincount(first.labels).tolist() == [4, 2, 2]


def test_the_fingerprint_is_that_of_all_parts_in_their_order(folders):
    prints = {
        joined(folders, *order).fingerprint() for order in ("AB", "BA", "A", "AC")
    }
    assert len(prints) == 4
    assert joined(folders, *"AB").fingerprint() in prints
    in_memory = open_source([f"folder:{folders / name}" for name in ("C", "in/A")])
    assert [part.num_examples for part in in_memory.parts] == [3, 3]


def test_arrays_of_one_size_are_one_and_others_are_refused(tmp_path, folders):
    for number, size in ((1, 8), (2, 8), (3, 9)):
        images = np.full([5, size, size, 3], number, np.uint8)
        np.savez(
            tmp_path / f"{number}.npz", x_train=images, y_train=["a", "b"] * 2 + [""]
        )
    one, two, three = (f"npz:{tmp_path}/{number}.npz" for number in (1, 2, 3))
    source = open_source([one, two])
    assert source.read_images(np.array([7, 2, 5]))[:, 0, 0, 0].tolist() == [2, 1, 2]
    assert source.labels.tolist() == [0, 1, 0, 1, -1] * 2
    with pytest.raises(DataError, match=r"one size and type.*\(9, 9, 3\)"):
        open_source([one, three])
    with pytest.raises(DataError, match="Only data sets of one kind"):
        open_source([one, f"folder:{folders / 'A'}"])
    with pytest.raises(DataError, match="named twice"):
        open_source([one, one.replace("/1", "//1")])


@pytest.mark.parametrize(
    ("first", "second"),
    [("A", "./A"), ("A", "../{here}/A"), ("A", "link"), ("A", "A/cat"), ("in/A", "in")],
)
def test_images_that_would_count_twice_are_refused(folders, first, second):
    (folders / "link").symlink_to("A")
    with pytest.raises(DataError, match="is named twice. Leave `folder:.*` out"):
        joined(folders, first, second.format(here=folders.name))


def test_a_folder_beside_the_split_is_a_data_set_of_its_own(tmp_path, save_photos):
    save_photos(tmp_path, "train/a/1.png", "train/b/1.png", "extra/1.png")
    (tmp_path / "test").mkdir()
    source = joined(tmp_path, "", "extra")
    assert source.num_examples == 3


def test_splits_that_only_one_data_set_has_are_named(folders, save_photos, caplog):
    save_photos(folders, "D/train/1.png", "D/val/2.png", "E/train/1.png")
    kind, target = kind_of(f"folder:{folders}/D + folder:{folders}/E")
    assert kind.split_names(target) == ["train"]
    (line,) = [record.getMessage() for record in caplog.records]
    assert f"folder:{folders}/D`" in line and line.endswith(": val.")


def test_grey_and_coloured_images_are_all_read_in_colour(tmp_path):
    for name, channels in (("grey", 1), ("colour", 3)):
        images = np.full([5, 8, 8, channels], 7, np.uint8)
        np.savez(tmp_path / f"{name}.npz", x_train=images)
    source = open_source([f"npz:{tmp_path}/{name}.npz" for name in ("grey", "colour")])
    assert source.read_images(np.arange(10)).shape == (10, 8, 8, 3)


def test_a_flag_given_several_times_names_one_data_set_after_the_other():
    values = define(SECTIONS)
    arguments = ["--data=folder:a", "--data=folder:b + c", "--split=train"]
    values(["x", *arguments])
    config = Given("pretrain", SECTIONS, values, arguments).make(Config)
    assert config.data == DataConfig(source="folder:a + folder:b + c")
    kind, _ = kind_of(config.data.source)
    assert isinstance(kind, Joined) and kind.may_hold_out
    assert (
        licence_of("embedded:freedoom_12 + embedded:fashion_mnist_10k").count(";") == 1
    )
    assert licence_of("embedded:freedoom_12 + folder:a") is None


def test_paths_of_both_are_removed_from_what_is_published():
    assert strip_folders("folder:/home/me/a + folder:/data/b") == "folder:a + folder:b"
