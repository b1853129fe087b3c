import io
import logging
import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from simclr_tf.augment import plan_views
from simclr_tf.data import (
    CorruptionLog,
    evaluation_batches,
    image_files,
    open_source,
    plain_errors,
    training_dataset,
)
from simclr_tf.data.image_files import inspect_files
from simclr_tf.data.pixels import decode_image
from simclr_tf.errors import ConfigError, DataError

OPTIONS = dict(seed=3, plan=plan_views("simclr_v2", 16))


def flip_middle(path):
    """Damage that no look at the ends of the file can find."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


@pytest.fixture
def broken(tmp_path, save_photos):
    """20 good files, a list of 4 whose ends show that they are broken."""
    save_photos(tmp_path, *(f"{i:02d}.png" for i in range(20)), "cut.jpg", "cut.png")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("not an image, whatever the name says" * 9)
    for name in ("cut.jpg", "cut.png"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) * 3 // 4])
    return tmp_path


def test_broken_ends_are_found_named_and_left_out_when_opening(broken, caplog):
    with caplog.at_level(logging.WARNING, "simclr_tf"):
        source = open_source(f"folder:{broken}", max_corrupt_fraction=0.2)
    assert source.num_examples == 20 and source.num_dropped == 4
    assert source.corrupt == ["cut.jpg", "cut.png", "empty.png", "text.jpg"]
    for words in (
        "Left out 4 of 24 files of",
        "2 truncated or damaged (cut.jpg, cut.png)",
        "1 empty (empty.png)",
        "1 not an image (text.jpg)",
    ):
        assert words in caplog.text


def test_too_many_broken_files_stop_with_their_names_and_the_flag(broken):
    with pytest.raises(DataError) as caught:
        open_source(f"folder:{broken}", max_corrupt_fraction=0.1)
    text = str(caught.value)
    assert "4 of 24 images" in text and "(16.7%)" in text
    assert "cut.jpg, cut.png, empty.png, text.jpg" in text
    assert "--data.max_corrupt_fraction=0.167" in text and "\n" not in text
    assert sorted(caught.value.left_out) == [
        "cut.jpg",
        "cut.png",
        "empty.png",
        "text.jpg",
    ]
    assert open_source(f"folder:{broken}", max_corrupt_fraction=0.167).corrupt


def test_the_allowed_fraction_itself_is_allowed(broken):
    assert open_source(f"folder:{broken}", max_corrupt_fraction=4 / 24).num_examples


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.gif", "a.bmp", "a.webp"])
def test_files_with_data_behind_their_end_are_as_good_as_their_decoder_says(
    tmp_path, photo, name
):
    photo().save(tmp_path / name)
    path = tmp_path / name
    kind = {".jpg": "jpeg", ".png": "png"}.get(path.suffix, "other")
    assert inspect_files([str(path)])[:2] == ({}, {kind})
    path.write_bytes(path.read_bytes() + b"appended by a camera" * 20)
    # Decoders may refuse or ignore what follows: the one that will be used decides.
    try:
        decode_image(path.read_bytes())
        expected = {}
    except (tf.errors.OpError, ValueError):
        expected = {0: "truncated or damaged"}
    assert inspect_files([str(path)])[0] == expected


def test_a_jpeg_before_data_of_its_camera_is_not_decoded_at_the_opening(
    tmp_path, photo, monkeypatch
):
    path, notes = tmp_path / "motion.jpg", Image.Exif()
    thumbnail = io.BytesIO()
    photo(8, 8).save(thumbnail, "JPEG")
    notes[0x010E] = thumbnail.getvalue()  # With an end marker of its own.
    photo().save(path, exif=notes)
    whole = path.read_bytes()
    decoded = []
    monkeypatch.setattr(image_files, "decode_image", decoded.append)
    path.write_bytes(whole + b"a film" * 99)
    reasons, formats, _ = inspect_files([str(path)])
    assert (reasons, formats, decoded) == ({}, {"jpeg"}, [])
    path.write_bytes(whole[:-99])
    inspect_files([str(path)])
    assert decoded == [whole[:-99]]


def test_a_tiff_beyond_the_limit_is_told_the_limit(tmp_path, photo, monkeypatch):
    photo().save(tmp_path / "large.tif")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)
    reasons, _, _ = inspect_files([str(tmp_path / "large.tif")])
    assert reasons == {0: "claiming more than 178,956,970 pixels"}


def test_unreadable_file_and_broken_link_are_named(tmp_path, save_photos):
    save_photos(tmp_path, "a.png", "b.png")
    os.symlink(tmp_path / "nowhere.png", tmp_path / "link.png")
    source = open_source(f"folder:{tmp_path}", max_corrupt_fraction=0.5)
    assert source.corrupt == ["link.png"] and source.num_examples == 2


@pytest.fixture
def flipped(tmp_path, save_photos):
    """A folder in which 07.png is damaged in the middle."""
    save_photos(tmp_path, *(f"{i:02d}.png" for i in range(12)))
    flip_middle(tmp_path / "07.png")
    return tmp_path


def test_damage_in_the_middle_is_replaced_named_and_counted(flipped, caplog):
    source = open_source(f"folder:{flipped}", max_corrupt_fraction=0.1)
    assert source.num_examples == 12 and source.corrupt == []
    log = CorruptionLog(source)
    with caplog.at_level(logging.WARNING, "simclr_tf"):
        for batch in training_dataset(
            source, global_batch_size=6, total_steps=4, **OPTIONS
        ):
            replaced = batch["skipped"].numpy() >= 0
            assert 7 not in batch["ids"].numpy()
            assert (batch["skipped"].numpy()[replaced] == 7).all()
            assert batch["crops"][0].numpy().std(axis=(1, 2, 3)).min() > 0
            log.record(batch["skipped"])
    assert source.corrupt == ["07.png"]
    assert caplog.text.count("Skipped 07.png") == 1


def test_each_epoch_meets_the_damaged_image_once_and_replaces_it_purely(flipped):
    source = open_source(f"folder:{flipped}", max_corrupt_fraction=0.1)

    def run(start):
        return list(
            training_dataset(
                source, global_batch_size=6, total_steps=6, start_step=start, **OPTIONS
            )
        )

    whole, resumed = run(0), run(3)
    skipped = np.stack([batch["skipped"] for batch in whole]).reshape(3, 12)
    assert ((skipped == 7).sum(axis=1) == 1).all()
    for one, other in zip(whole[3:], resumed, strict=True):
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])


def test_good_images_look_the_same_whether_or_not_another_is_broken(flipped):
    def crops():
        source = open_source(f"folder:{flipped}", max_corrupt_fraction=0.1)
        return next(
            iter(
                training_dataset(source, global_batch_size=12, total_steps=1, **OPTIONS)
            )
        )

    damaged = crops()
    flip_middle(flipped / "07.png")  # Flips the bits back.
    healed = crops()
    good = damaged["skipped"].numpy() < 0
    assert good.sum() == 11
    np.testing.assert_array_equal(
        damaged["crops"][0].numpy()[good], healed["crops"][0].numpy()[good]
    )


def test_log_stops_above_the_fraction(flipped):
    source = open_source(f"folder:{flipped}", max_corrupt_fraction=0.05)
    with pytest.raises(DataError, match=r"1 of 12 images.*07.png"):
        CorruptionLog(source).record(np.array([-1, 7, -1]))


def test_log_counts_files_dropped_at_opening_too(broken):
    source = open_source(f"folder:{broken}", max_corrupt_fraction=0.2)
    with pytest.raises(DataError, match=r"5 of 24 images"):
        CorruptionLog(source, 0.2).record(np.array([11]))


def test_log_counts_each_image_once(flipped):
    source = open_source(f"folder:{flipped}", max_corrupt_fraction=0.1)
    log = CorruptionLog(source)
    for _ in range(5):
        log.record(np.array([7, 7]))
    assert source.corrupt == ["07.png"]


def test_evaluation_leaves_damaged_images_out_and_records_them(flipped):
    source = open_source(f"folder:{flipped}", max_corrupt_fraction=0.1)
    ids = np.concatenate([b["ids"] for b in evaluation_batches(source, 5, 16)])
    assert ids.tolist() == [i for i in range(12) if i != 7]
    assert source.corrupt == ["07.png"]


def test_evaluation_stops_above_the_fraction_with_a_plain_error(flipped):
    source = open_source(f"folder:{flipped}", max_corrupt_fraction=0.05)
    with pytest.raises(DataError, match="1 of 12 images"), plain_errors():
        list(evaluation_batches(source, 5, 16))


def test_images_decoded_into_memory_lose_the_damaged_one(tmp_path, photo):
    for number in range(12):
        photo().save(tmp_path / f"{number:02d}.png")
    flip_middle(tmp_path / "07.png")
    source = open_source(f"folder:{tmp_path}", max_corrupt_fraction=0.1)
    assert source.image_shape and source.num_examples == 11
    assert source.corrupt == ["07.png"] and source.example_name(7) == "08.png"
    with pytest.raises(DataError, match="1 of 12 images"):
        open_source(f"folder:{tmp_path}", max_corrupt_fraction=0.05)


def test_a_data_set_without_any_readable_stand_in_stops_plainly(tmp_path, save_photos):
    save_photos(tmp_path, "a.png", "b.png", "c.png", "d.png")
    source = open_source(f"folder:{tmp_path}", max_corrupt_fraction=1.0)
    for name in "abcd":
        flip_middle(tmp_path / f"{name}.png")
    with pytest.raises(DataError, match="cannot be read, nor can any of 15 other"):
        with plain_errors():
            list(
                training_dataset(source, global_batch_size=2, total_steps=1, **OPTIONS)
            )


def test_files_that_vanish_during_a_run_are_replaced(tmp_path, save_photos):
    save_photos(tmp_path, *(f"{i}.png" for i in range(6)))
    source = open_source(f"folder:{tmp_path}")
    batches = training_dataset(source, global_batch_size=6, total_steps=1, **OPTIONS)
    whole = next(iter(batches))
    os.remove(tmp_path / "2.png")
    batch = next(iter(batches))
    assert batch["skipped"].numpy().max() == 2 and 2 not in batch["ids"].numpy()
    # Nothing else moves: every other row holds what it held.
    kept = batch["skipped"].numpy() < 0
    assert kept.sum() == 5
    for name in ("ids", "seeds"):
        np.testing.assert_array_equal(batch[name][kept], whole[name][kept])
    for own, other in zip(batch["crops"], whole["crops"], strict=True):
        np.testing.assert_array_equal(own[kept], other[kept])


def test_other_pipeline_errors_stay_as_they_are():
    with pytest.raises(tf.errors.InvalidArgumentError):
        with plain_errors():
            tf.io.decode_png(b"not a picture")


def test_a_fraction_above_one_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="max_corrupt_fraction"):
        open_source(f"folder:{tmp_path}", max_corrupt_fraction=1.5)
