"""The preset that images and device choose where none is named."""

import os

import numpy as np
import pytest
from PIL import Image

from simclr_tf.config.presets import PRESETS, get_preset
from simclr_tf.data.preset_choice import choose_start, fitting_preset
from simclr_tf.data.stored_sizes import StoredSizes, stored_sizes


def a_folder(folder, sizes, mode="RGB", **options):
    """Write images of these (height, width) into two classes."""
    for number, (height, width) in enumerate(sizes):
        place = folder / "train" / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.new(mode, (width, height)).save(place / f"{number}.jpg", **options)
    return f"folder:{folder}"


CASES = {
    # (shorter side, grey, size given, GPUs, cores): preset, size of a view.
    (384, False, None, 0, 2): ("photos_small", 64),
    (384, False, None, 0, 32): ("photos", 128),
    (384, False, None, 1, 8): ("photos", 128),
    (384, False, None, 8, 64): ("photos_224", 224),
    (100, False, None, 1, 8): ("photos", 100),
    (100, False, None, 8, 64): ("photos", 100),
    (64, False, None, 1, 8): ("photos_small", 64),
    (50, False, None, 0, 2): ("photos_small", 48),
    (32, False, None, 0, 2): ("photos_small", 32),
    (32, False, None, 4, 64): ("photos_small", 32),
    (28, True, None, 0, 2): ("fashion_mnist", 28),
    (32, True, None, 0, 2): ("fashion_mnist", 32),
    (512, True, None, 0, 2): ("photos_small", 64),
    (9, False, None, 0, 2): ("photos_small", 9),
    # With a size that was given, the flag itself sets the views.
    (384, False, 64, 1, 8): ("photos_small", None),
    (384, False, (96, 128), 1, 8): ("photos", None),
    (32, False, 128, 0, 2): ("photos_small", None),
}


@pytest.mark.parametrize("case", CASES)
def test_images_and_device_choose_the_preset_and_no_image_is_enlarged(case):
    side, is_grey, given, accelerators, cores = case
    stored = StoredSizes(((side, side + 7),), is_grey)
    name, changes = fitting_preset(
        stored, given, accelerators=accelerators, cores=cores
    )
    own = get_preset(name).data.image_size_pixels
    size = changes.get("data.image_size_pixels", own)
    wanted, views = CASES[case]
    assert name == wanted
    assert changes == {} if views is None else size == views


def test_sizes_of_files_are_those_that_a_person_sees_from_all_parts_of_a_folder(
    tmp_path,
):
    exif = Image.Exif()
    exif[0x0112] = 6  # A photograph that a phone took upright.
    data = a_folder(tmp_path / "turned", [(40, 60)] * 3, exif=exif)
    assert stored_sizes(data) == StoredSizes(((60, 40),) * 3, is_grey=False)
    data = a_folder(tmp_path / "grey", [(20, 20), (30, 40), (50, 30)], mode="L")
    (tmp_path / "grey" / "train" / "a" / "x.jpg").write_bytes(b"no image")
    found = stored_sizes(data)
    assert sorted(found.sizes) == [(20, 20), (30, 40), (50, 30)] and found.is_grey
    assert found.shorter == 30
    both = stored_sizes(f"{data} + folder:{tmp_path / 'turned'}")
    assert len(both.sizes) == 6 and not both.is_grey
    many = a_folder(tmp_path / "many", [(8, 8 + i) for i in range(130)])
    assert len(stored_sizes(many).sizes) == 64


def test_only_the_images_of_the_split_are_looked_at_and_no_pipe_is_opened(tmp_path):
    data = a_folder(tmp_path, [(40, 60)] * 2)
    for place in ("train/a/@eaDir/0.jpg", "train/a/.trash/1.jpg", "test/a/2.jpg"):
        (tmp_path / place).parent.mkdir(parents=True)
        Image.new("RGB", (9, 9)).save(tmp_path / place)
    os.mkfifo(tmp_path / "train" / "a" / "pipe.jpg")  # Opening it would never end.
    os.symlink("loop.jpg", tmp_path / "train" / "b" / "loop.jpg")
    assert stored_sizes(data).sizes == ((40, 60),) * 2
    assert stored_sizes(data, split="test[:50%]").sizes == ((9, 9),)


def test_arrays_choose_by_their_shape(tmp_path):
    path = tmp_path / "grey.npz"
    np.savez(path, x_train=np.zeros([4, 36, 48], np.uint8))
    assert stored_sizes(f"npz:{path}") == StoredSizes(((36, 48),), is_grey=True)
    images = np.zeros([4, 96, 96, 3], np.uint8)
    config, line = choose_start(images, accelerators=0)
    assert config.preset in ("photos_small", "photos")
    assert "images of 96 x 96 pixels" in line


def test_one_line_tells_what_was_chosen_why_and_how_to_choose_another(tmp_path):
    data = a_folder(tmp_path, [(384, 512), (300, 500), (400, 512)])
    config, line = choose_start(data, accelerators=1)
    assert config == get_preset("photos")
    assert line == (
        "Preset      photos, chosen for images of about 384 x 512 pixels (the median "
        "of 3), 1 GPU: views of 128 pixels, 200 epochs by default. Another one: "
        "--preset=photos_small (two cores) or --preset=photos_224 (several GPUs)"
    )
    assert {"photos_small", "photos", "photos_224"} <= set(PRESETS)


@pytest.mark.parametrize("data", [None, "embedded:freedoom_12", "folder:/nowhere"])
def test_without_images_of_your_own_the_demo_is_the_start(data):
    assert choose_start(data) == (get_preset("demo"), None)
