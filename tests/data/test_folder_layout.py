"""What the folders of a data set mean: splits, classes, or neither; never a guess."""

import os
import re
import unicodedata

import pytest

from simclr_tf.commands.labelled_data import labelled_data
from simclr_tf.config import DataConfig
from simclr_tf.data import SOURCES, open_source
from simclr_tf.data.sources.kind import MissingSplitError
from simclr_tf.errors import DataError

BOTH = ("train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b/1.png")


def names(source):
    return [source.example_name(i) for i in range(source.num_examples)]


@pytest.mark.parametrize(
    ("more", "left_out"),
    [
        ("__MACOSX/train/a/._1.png", []),
        (".thumbnails/1.png", []),
        ("@eaDir/1.png", []),
        ("$RECYCLE.BIN/1.png", []),
        ("System Volume Information/1.png", []),
        ("lost+found/1.png", []),
        ("annotations/boxes.xml", []),
        ("README.md", []),
        ("extra/1.png", []),
        ("old photos/1.png", ["old photos/"]),
        ("preview.png", ["preview.png"]),
    ],
)
def test_folders_of_splits_stay_splits_beside_anything_else(
    tmp_path, save_photos, more, left_out
):
    save_photos(tmp_path, *BOTH)
    (tmp_path / more).parent.mkdir(exist_ok=True, parents=True)
    if more.endswith(".png"):
        save_photos(tmp_path, more)
    else:
        (tmp_path / more).write_text("text")
    train = open_source(f"folder:{tmp_path}")
    test = open_source(f"folder:{tmp_path}", split="test")
    for source, folder in ((train, "train"), (test, "test")):
        assert names(source) == ["a/1.png", "b/1.png"]
        assert source.labels.tolist() == [0, 1] and source.split == folder
        assert list(source.left_out) == left_out


@pytest.mark.parametrize(
    ("folder", "split"),
    [
        ("Test", "test"),
        ("TESTING", "test"),
        ("Valid", "val"),
        ("validation", "val"),
        ("val", "validation"),
        ("VAL", "val"),
    ],
)
def test_splits_are_found_in_any_capitals_and_words(
    tmp_path, save_photos, folder, split
):
    save_photos(tmp_path, "Training/a/1.png", "Training/b/2.png")
    save_photos(tmp_path, f"{folder}/b/8.png", f"{folder}/b/9.png")
    assert names(open_source(f"folder:{tmp_path}")) == ["a/1.png", "b/2.png"]
    other = open_source(f"folder:{tmp_path}", split=split, labelled=True)
    # The numbers of the training classes, under whatever name their folder has.
    assert other.labels.tolist() == [1, 1] and other.classes == ("a", "b")


def test_a_second_folder_of_the_same_split_is_left_out_by_name(tmp_path, save_photos):
    save_photos(tmp_path, *BOTH, "validation/a/1.png", "val/a/2.png", "val/a/3.png")
    source = open_source(f"folder:{tmp_path}", split="val")
    assert names(source) == ["a/2.png", "a/3.png"]
    assert list(source.left_out) == ["validation/"]


def test_a_folder_with_another_name_can_be_a_split_beside_train(tmp_path, save_photos):
    save_photos(tmp_path, *BOTH, "holdout/a/8.png", "holdout/b/9.png")
    source = open_source(f"folder:{tmp_path}", split="holdout")
    assert names(source) == ["a/8.png", "b/9.png"]
    assert list(source.left_out) == []


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (  # Test images beside classes.
            ("a/1.png", "b/1.png", "test/1.png"),
            r"unclear .*: beside test there are images in a/, b/.* a folder `train`",
        ),
        (("a/1.png", "b/1.png", "Val/a/1.png"), "unclear .*: beside Val there"),
        (("test/a/1.png", "1.png"), "beside test there are images in 1.png"),
        (
            ("train/a/1.png", "train/b/1.png", "photos/1.png"),
            r"unclear .* in photos/. Move those away, or give --data=folder:.*/train",
        ),
        (("test/a/1.png", "test/b/1.png"), "no sub-folder for split `train`.*: test"),
        (  # Test images beside `train` must not become classes of it.
            ("train/1.png", "holdout/a/1.png", "holdout/b/1.png"),
            r"in holdout/. .*/train, or rename a folder of test images to `test`",
        ),
        (("train/1.png", "Test_Set/1.png"), "unclear .* images in Test_Set/"),
        (("train/1.png", "a/1.png", "dev/1.png"), "unclear .* images in a/, dev/"),
        (("train/1.png", "iphone/a/1.HEIC"), "unclear .* images in iphone/"),
        (("Train/1.png", "train/2.png"), r"several sub-folders \(Train, train\)"),
        (("train/a/1.png", "Train/a/2.png"), r"several sub-folders \(Train, train\)"),
        (
            ("set/train/a/1.png", "set/test/a/1.png"),
            "splits inside of `set`.* --data=folder:.*/set, or",
        ),
        (("a/train/1.png", "a/val/1.png", "b/train/1.png"), "splits inside of `a`"),
    ],
)
def test_unclear_layouts_stop_in_one_line_that_names_what_was_found(
    tmp_path, save_photos, paths, words
):
    save_photos(tmp_path, *(path for path in paths if path.endswith(".png")))
    for path in (tmp_path / path for path in paths if path.endswith(".HEIC")):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"unread")
    with pytest.raises(DataError, match=words) as error:
        open_source(f"folder:{tmp_path}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("split", ["bus", "test"])
def test_a_part_of_the_training_images_is_no_test_split(tmp_path, save_photos, split):
    save_photos(tmp_path, "bus/1.png", "car/1.png", "train/1.png")
    with pytest.raises(MissingSplitError, match=f"split `{split}`; its splits: train."):
        open_source(f"folder:{tmp_path}", split=split)


@pytest.mark.parametrize(
    ("paths", "splits"),
    [
        ((*BOTH, "more/1.png", "__MACOSX/1.png"), ["test", "train"]),
        (("Test/1.png",), ["Test"]),
        (("bus/1.png", "car/1.png", "train/1.png"), ["train"]),
        (("a/1.png", "b/1.png", "test/1.png"), ["train"]),
        (("1.png",), ["train"]),
    ],
)
def test_the_splits_of_a_folder_are_listed(tmp_path, save_photos, paths, splits):
    save_photos(tmp_path, *paths)
    assert SOURCES["folder"].split_names(str(tmp_path)) == splits


def test_a_stray_picture_beside_classes_has_no_label(tmp_path, save_photos, caplog):
    classes = [f"{name}/{n}.png" for name in "ab" for n in range(5)]
    save_photos(tmp_path, *classes, "loose.png")
    source = open_source(f"folder:{tmp_path}")
    assert source.classes == ("a", "b")
    assert source.labels.tolist() == [0] * 5 + [1] * 5 + [-1]
    assert "1 of the images of" in caplog.text and "loose.png" in caplog.text


def test_two_albums_in_a_folder_of_pictures_are_no_classes(tmp_path, save_photos):
    save_photos(tmp_path, "a/1.png", "b/1.png", "1.png", "2.png")
    assert open_source(f"folder:{tmp_path}").labels is None


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (
            ("a/1.png", "b/1.png", "b/new/2.png"),
            r"1 of 3 images are more than one folder down \(b/new/2.png\): .* move",
        ),
        (("set/a/1.png", "set/b/1.png"), r"2 of 2 .* \(set/a/1.png, set/b/1.png\)"),
        (
            ("a/1.png", "b/1.png", "1.png"),
            r"1 of 3 images, more than a tenth, are beside the folders \(1.png\): move",
        ),
        (("a/1.png", "a/2.png"), None),
        (("1.png", "2.png"), None),
    ],
)
def test_why_folders_of_images_give_no_labels_is_told(
    tmp_path, save_photos, caplog, paths, words
):
    save_photos(tmp_path, *paths)
    source = open_source(f"folder:{tmp_path}")
    assert source.labels is None
    if words is None:
        assert (source.why_unlabelled, caplog.text) == ("", "")
        return
    assert re.search(words, source.why_unlabelled)
    assert f"`folder:{tmp_path}` give no labels: {source.why_unlabelled}" in caplog.text
    with pytest.raises(DataError, match=f"no labels in its split 'train': .*{words}"):
        labelled_data(DataConfig(f"folder:{tmp_path}"), {}, channels=3)


def test_empty_classes_are_named_and_have_no_number(tmp_path, save_photos, caplog):
    save_photos(tmp_path, "a/1.png", "c/1.png", "c/2.png")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "notes.txt").write_text("no image")
    source = open_source(f"folder:{tmp_path}")
    assert source.classes == ("a", "c") and source.labels.tolist() == [0, 1, 1]
    assert "1 without images (b/)" in caplog.text


def test_classes_that_differ_in_capitals_are_two_and_that_is_told(
    tmp_path, save_photos, caplog
):
    save_photos(tmp_path, "A/1.png", "a/1.png", "b/1.png")
    assert open_source(f"folder:{tmp_path}").classes == ("A", "a", "b")
    assert "differ only in capitals, or in how" in caplog.text
    assert "are different classes: A and a." in caplog.text


def test_classes_of_one_name_in_two_encodings_are_two_and_that_is_told(
    tmp_path, save_photos, caplog
):
    composed, apart = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    save_photos(tmp_path, f"{composed}/1.png", f"{apart}/1.png", "b/1.png")
    assert len(open_source(f"folder:{tmp_path}").classes) == 3
    assert f"are different classes: {apart} and {composed}." in caplog.text


def test_names_of_classes_and_files_are_printable_whatever_bytes_they_have(
    tmp_path, photo
):
    strange = [b"caf\xe9", b"new\nline", b"$x^$", "日本".encode(), b"x" * 255]
    for folder in strange:
        path = os.path.join(os.fsencode(tmp_path), folder)
        os.mkdir(path)
        for name in (b"\xff.png", b"\x1b[2J.png"):
            with open(os.path.join(path, name), "wb") as stream:
                photo().save(stream, "PNG")
    source = open_source(f"folder:{tmp_path}", memory_limit_bytes=0)
    assert source.classes == ("$x^$", "caf\\xe9", "new\\x0aline", "x" * 255, "日本")
    assert sorted(set(source.labels.tolist())) == [0, 1, 2, 3, 4]
    for name in names(source):
        name.encode()
        assert name.isprintable()
    assert names(source)[0] == "$x^$/\\x1b[2J.png"
