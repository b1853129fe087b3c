import os
import socket

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from simclr_tf.config.presets import get_preset
from simclr_tf.config.schema import override
from simclr_tf.data import evaluation_batches, open_source
from simclr_tf.data.image_files import image_format
from simclr_tf.errors import ConfigError, DataError
from simclr_tf.training.batches import open_training_source


def names(source):
    return [source.example_name(i) for i in range(source.num_examples)]


def pixels(source, example):
    location = [column[0] for column in source.locations(np.array([example]))]
    return source.read_image(*location).numpy()


def test_flat_folder_is_unlabelled_and_in_the_order_of_names(tmp_path, save_photos):
    save_photos(tmp_path, "b.png", "a.jpg", "C.JPEG", "d.bmp")
    source = open_source(f"folder:{tmp_path}")
    assert names(source) == ["C.JPEG", "a.jpg", "b.png", "d.bmp"]
    assert source.labels is None and source.image_shape is None


def test_sub_folders_are_classes(tmp_path, save_photos):
    save_photos(tmp_path, "dog/1.png", "cat/9.png", "cat/2.jpg", "eel/a.png")
    source = open_source(f"folder:{tmp_path}")
    assert source.classes == ("cat", "dog", "eel")
    assert source.labels.tolist() == [0, 0, 1, 2]


@pytest.mark.parametrize(
    "paths",
    [
        ("2020/may/1.png", "2020/june/2.png", "3.png"),
        ("only/1.png", "only/2.png"),
        ("a/1.png", "b/2.png", "b/deep/3.png"),
    ],
)
def test_other_nestings_are_unlabelled(tmp_path, save_photos, paths):
    source = open_source(f"folder:{save_photos(tmp_path, *paths)}")
    assert source.labels is None and source.classes is None
    assert names(source) == sorted(paths)


def test_labelled_true_takes_the_first_sub_folder(tmp_path, save_photos):
    save_photos(tmp_path, "a/1.png", "b/2.png", "b/deep/3.png")
    source = open_source(f"folder:{tmp_path}", labelled=True)
    assert source.labels.tolist() == [0, 1, 1]
    assert open_source(f"folder:{tmp_path}", labelled=False).labels is None


def test_labelled_true_refuses_images_outside_classes(tmp_path, save_photos):
    save_photos(tmp_path, "a/1.png", "b/2.png", "loose.png")
    with pytest.raises(DataError, match="loose.png"):
        open_source(f"folder:{tmp_path}", labelled=True)


def test_split_folders_share_the_numbers_of_the_training_classes(tmp_path, save_photos):
    save_photos(
        tmp_path,
        "train/a/1.png",
        "train/b/1.png",
        "train/c/1.png",
        "test/c/1.png",
        "test/a/1.png",
        "test/new/1.png",
    )
    train = open_source(f"folder:{tmp_path}")
    test = open_source(f"folder:{tmp_path}", split="test")
    assert train.classes == ("a", "b", "c") and train.labels.tolist() == [0, 1, 2]
    assert test.classes == ("a", "b", "c", "new")
    assert test.labels.tolist() == [0, 2, 3]


def test_a_class_called_train_is_no_split(tmp_path, save_photos):
    save_photos(tmp_path, "bus/1.png", "car/1.png", "train/1.png")
    assert open_source(f"folder:{tmp_path}").classes == ("bus", "car", "train")


def test_missing_split_folder_is_refused_with_those_present(tmp_path, save_photos):
    save_photos(tmp_path, "train/a/1.png", "val/a/1.png")
    with pytest.raises(DataError, match="no sub-folder for split `test`.*train, val"):
        open_source(f"folder:{tmp_path}", split="test")


def test_folder_splits_can_be_cut(tmp_path, save_photos):
    save_photos(tmp_path, *(f"{i}.png" for i in range(8)))
    part = open_source(f"folder:{tmp_path}", split="train[50%:]", slices="in_order")
    assert names(part) == ["4.png", "5.png", "6.png", "7.png"]


def test_hidden_files_other_files_and_link_loops_are_left_out(tmp_path, save_photos):
    save_photos(tmp_path, "1.png", "in/2.png", ".hidden/3.png", "in/.4.png")
    (tmp_path / "notes.txt").write_text("x")
    os.symlink(tmp_path, tmp_path / "in" / "loop")
    os.symlink(tmp_path / "in", tmp_path / "again")
    source = open_source(f"folder:{tmp_path}")
    assert names(source) == ["1.png", "again/2.png", "in/2.png"]


def test_what_is_no_file_is_skipped_counted_named_and_never_waited_for(
    tmp_path, save_photos
):
    save_photos(tmp_path, "a.png", "in/b.png", "in/c.png")
    os.mkfifo(tmp_path / "pipe.jpg")  # To open it would wait for a writer for ever.
    os.symlink("self.jpg", tmp_path / "self.jpg")
    os.symlink("loop", tmp_path / "in" / "loop")
    os.symlink("gone.png", tmp_path / "broken.png")
    os.symlink("/dev/zero", tmp_path / "device.png")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s.jpg"))
    source = open_source(f"folder:{tmp_path}", max_corrupt_fraction=1.0)
    assert names(source) == ["a.png", "in/b.png", "in/c.png"]
    left_out = ["broken.png", "device.png", "pipe.jpg", "s.jpg", "self.jpg"]
    assert source.corrupt == left_out and source.num_dropped == 5
    for name, reason in zip(
        left_out,
        ("No such file", "a device", "a pipe", "a socket", "symbolic links"),
        strict=True,
    ):
        assert reason in source.left_out[name]
    with pytest.raises(DataError, match="5 of 8 images .* cannot be read"):
        open_source(f"folder:{tmp_path}")


def test_files_and_folders_that_may_not_be_read_are_named(
    tmp_path, save_photos, caplog, monkeypatch
):
    save_photos(tmp_path, "a.png", "b.png", "secret.png")
    real = open

    def forbidden(path, *arguments, **keywords):
        if os.fsdecode(path).endswith("secret.png"):
            raise PermissionError(13, "Permission denied", path)
        return real(path, *arguments, **keywords)

    monkeypatch.setattr("builtins.open", forbidden)  # Root may read everything.
    source = open_source(f"folder:{tmp_path}", max_corrupt_fraction=0.5)
    assert source.corrupt == ["secret.png"] and "Permission denied" in caplog.text


def test_file_names_that_are_no_text_can_be_read(tmp_path, photo):
    for name in (b"caf\xe9.png", b"a.png"):
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as stream:
            photo().save(stream, "PNG")
    source = open_source(f"folder:{tmp_path}", memory_limit_bytes=0)
    assert source.example_name(1) == "caf\\xe9.png"
    assert os.fsencode(source.files()[1][0]) == b"caf\xe9.png"
    assert pixels(source, 1).shape == (24, 30, 3)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda path: path / "none", "does not exist"),
        (lambda path: path, "holds no images.*it is empty"),
    ],
)
def test_missing_and_empty_folders_are_refused(tmp_path, make, words):
    with pytest.raises(DataError, match=words):
        open_source(f"folder:{make(tmp_path)}")


def test_folder_of_text_files_is_refused_with_their_number(tmp_path):
    for name in ("a.txt", "b.txt", "c.txt"):
        (tmp_path / name).write_text("text")
    with pytest.raises(DataError, match="3 other files, e.g. a.txt"):
        open_source(f"folder:{tmp_path}")


def test_a_single_image_can_be_opened_but_not_learned_from(tmp_path, save_photos):
    save_photos(tmp_path, "a.png")
    data = f"folder:{tmp_path}"
    assert open_source(data).num_examples == 1
    config = override(get_preset("demo"), {"data.source": data})
    with pytest.raises(DataError, match="at least 2 readable.*compares images"):
        open_training_source(config)


def test_more_channels_than_three_are_refused_for_files(tmp_path, save_photos):
    save_photos(tmp_path, "a.png", "b.png")
    with pytest.raises(ConfigError, match="1 or 3 channels"):
        open_source(f"folder:{tmp_path}", channels=4)


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "gif", "webp"])
def test_every_format_is_decoded_to_what_pillow_reads(tmp_path, photo, suffix):
    picture = photo()
    options = {"jpg": {"quality": 95, "subsampling": 0}, "webp": {"lossless": True}}
    for name in ("a", "b"):
        picture.save(tmp_path / f"{name}.{suffix}", **options.get(suffix, {}))
    source = open_source(f"folder:{tmp_path}", memory_limit_bytes=0)
    with Image.open(tmp_path / f"a.{suffix}") as stored:
        expected = np.asarray(stored.convert("RGB"))
    np.testing.assert_array_equal(pixels(source, 0), expected)
    assert image_format((tmp_path / f"a.{suffix}").read_bytes()) == {"jpg": "jpeg"}.get(
        suffix, suffix
    )


def test_an_animation_gives_its_first_frame(tmp_path, photo):
    first, second = photo(mode="P"), photo(mode="P")
    for name in ("a.gif", "b.gif"):
        first.save(tmp_path / name, save_all=True, append_images=[second])
    source = open_source(f"folder:{tmp_path}", memory_limit_bytes=0)
    np.testing.assert_array_equal(pixels(source, 0), np.asarray(first.convert("RGB")))


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "1"])
@pytest.mark.parametrize("channels", [1, 3])
def test_png_of_any_mode_is_read_in_the_channels_asked_for(
    tmp_path, photo, mode, channels
):
    picture = photo(mode=mode)
    picture.save(tmp_path / "a.png")
    picture.save(tmp_path / "b.png")
    source = open_source(f"folder:{tmp_path}", channels=channels, memory_limit_bytes=0)
    rgb = np.asarray(picture.convert("RGB"), float)
    expected = rgb if channels == 3 else (rgb @ [0.299, 0.587, 0.114])[..., np.newaxis]
    image = pixels(source, 0)
    assert image.shape == expected.shape
    assert np.abs(image - expected).max() <= 0.5 + 1e-9


def test_channels_follow_the_files_unless_asked_for(tmp_path, photo):
    for place, modes in (("grey", "LL"), ("mixed", ["L", "RGB"])):
        (tmp_path / place).mkdir()
        for number, mode in enumerate(modes):
            photo(mode=mode).save(tmp_path / place / f"{number}.png")
    assert open_source(f"folder:{tmp_path}/grey").channels == 1
    assert open_source(f"folder:{tmp_path}/mixed").channels == 3


def test_small_files_of_one_size_are_decoded_into_memory(tmp_path, photo):
    pictures = [photo() for _ in range(4)]
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / f"{number}.png")
    lazy = open_source(f"folder:{tmp_path}", memory_limit_bytes=0)
    source = open_source(f"folder:{tmp_path}")
    assert source.image_shape == (24, 30, 3) and lazy.image_shape is None
    np.testing.assert_array_equal(
        source.read_images(np.arange(4)), np.stack([np.asarray(p) for p in pictures])
    )
    assert names(source) == names(lazy)
    assert source.fingerprint() == open_source(f"folder:{tmp_path}").fingerprint()


def test_one_image_of_another_size_keeps_files_on_disk(tmp_path, photo):
    for number in range(40):
        photo(24, 31 if number == 3 else 30).save(tmp_path / f"{number:02d}.png")
    assert open_source(f"folder:{tmp_path}").image_shape is None


def test_fingerprint_sees_names_sizes_and_labels_but_not_the_place(
    tmp_path, save_photos
):
    for place in ("one", "two"):
        save_photos(tmp_path / place, "a/1.png", "b/2.png")
    (tmp_path / "two/a/1.png").write_bytes((tmp_path / "one/a/1.png").read_bytes())
    (tmp_path / "two/b/2.png").write_bytes((tmp_path / "one/b/2.png").read_bytes())
    first = open_source(f"folder:{tmp_path}/one").fingerprint()
    assert open_source(f"folder:{tmp_path}/two").fingerprint() == first
    os.rename(tmp_path / "two/b/2.png", tmp_path / "two/b/3.png")
    assert open_source(f"folder:{tmp_path}/two").fingerprint() != first
    assert open_source(f"folder:{tmp_path}/one", labelled=False).fingerprint() != first


def test_evaluation_visits_each_file_once_and_in_order(tmp_path, save_photos):
    save_photos(tmp_path, *(f"{'ab'[i % 2]}/{i}.png" for i in range(5)))
    source = open_source(f"folder:{tmp_path}")
    batches = list(evaluation_batches(source, 2, 16))
    ids = np.concatenate([batch["ids"] for batch in batches])
    labels = np.concatenate([batch["labels"] for batch in batches])
    assert ids.tolist() == [0, 1, 2, 3, 4] and labels.tolist() == [0, 0, 0, 1, 1]
    assert [batch["images"].shape[0] for batch in batches] == [2, 2, 1]
    for batch in batches:
        assert batch["images"].dtype == tf.float32
        assert batch["images"].shape[1:] == (16, 16, 3)


def test_evaluation_of_files_equals_evaluation_in_memory(tmp_path, photo):
    for number in range(3):
        photo().save(tmp_path / f"{number}.png")
    lazy = open_source(f"folder:{tmp_path}", memory_limit_bytes=0)
    kept = open_source(f"folder:{tmp_path}")
    for one, other in zip(
        evaluation_batches(lazy, 2, 16), evaluation_batches(kept, 2, 16), strict=True
    ):
        np.testing.assert_allclose(one["images"], other["images"], atol=2e-6)
