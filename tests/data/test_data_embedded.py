import importlib.resources

import numpy as np
import pytest

from simclr_tf.data import EMBEDDED_SETS, LICENCES, licence_of, open_source
from simclr_tf.errors import ConfigError

FREEDOOM_CLASSES = (
    "Zombieman",
    "BaronOfHell",
    "Cyberdemon",
    "SpiderMastermind",
    "GreenArmor",
    "RocketLauncher",
    "PlasmaRifle",
    "Chaingun",
    "ShellBox",
    "Backpack",
    "Soulsphere",
    "RedTorch",
)


def embedded_files():
    folder = importlib.resources.files("simclr_tf.data").joinpath("embedded")
    return {
        entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.is_file()
    }


@pytest.mark.parametrize(
    "name, split, count, shape",
    [
        ("freedoom_12", "train", 6007, (32, 32, 3)),
        ("freedoom_12", "test", 2534, (32, 32, 3)),
        ("fashion_mnist_10k", "train", 10000, (28, 28, 1)),
        ("fashion_mnist_10k", "test", 2000, (28, 28, 1)),
    ],
)
def test_embedded_sets_have_their_counts_sizes_and_labels(name, split, count, shape):
    source = open_source(f"embedded:{name}", split=split)
    assert source.num_examples == count == len(source.labels)
    assert source.image_shape == shape
    assert source.read_images(np.array([0, count - 1])).shape == (2, *shape)
    assert set(source.labels) == set(range(len(source.classes)))


def test_fashion_mnist_test_split_is_balanced_over_its_ten_classes():
    source = open_source("embedded:fashion_mnist_10k", split="test")
    assert np.bincount(source.labels).tolist() == [200] * 10
    assert source.classes[0] == "T-shirt/top" and source.classes[9] == "Ankle boot"


def test_freedoom_has_its_twelve_class_names():
    assert open_source("embedded:freedoom_12").classes == FREEDOOM_CLASSES


def test_no_freedoom_tile_is_blank_or_repeated():
    source = open_source("embedded:freedoom_12", split="test")
    images = source.read_images(np.arange(source.num_examples))
    assert (images.reshape(len(images), -1).std(axis=1) > 1).all()
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) > 2500


def test_embedded_files_stay_below_14_megabytes():
    assert sum(len(data) for data in embedded_files().values()) <= 14_000_000


@pytest.mark.parametrize(
    "file_name, phrases",
    [
        (
            "LICENSE.fashion_mnist",
            [
                "The MIT License (MIT)",
                "Copyright (c) 2017 Zalando SE, https://tech.zalando.com",
            ],
        ),
        (
            "LICENSE.freedoom",
            [
                "Copyright (c) 2001-2018 Contributors to the Freedoom project",
                "Neither the name of the Freedoom project",
                "THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS",
            ],
        ),
    ],
)
def test_licence_texts_lie_beside_the_images(file_name, phrases):
    text = embedded_files()[file_name].decode()
    for phrase in phrases:
        assert phrase in text


def test_grey_set_can_be_read_in_three_channels():
    grey = open_source("embedded:fashion_mnist_10k", split="test[:2]")
    colour = open_source("embedded:fashion_mnist_10k", split="test[:2]", channels=3)
    ids = np.arange(2)
    assert colour.image_shape == (28, 28, 3)
    np.testing.assert_array_equal(
        colour.read_images(ids), np.repeat(grey.read_images(ids), 3, axis=-1)
    )


def test_colour_set_can_be_read_in_grey_with_the_usual_weights():
    colour = open_source("embedded:freedoom_12", split="test[:2]")
    grey = open_source("embedded:freedoom_12", split="test[:2]", channels=1)
    rgb = colour.read_images(np.arange(2)).astype(float)
    expected = rgb @ [0.299, 0.587, 0.114]
    assert np.abs(grey.read_images(np.arange(2))[..., 0] - expected).max() <= 0.5 + 1e-9


def test_unknown_embedded_name_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean freedoom_12?"):
        open_source("embedded:freedom_12")


def test_unknown_embedded_split_is_answered_with_the_list():
    with pytest.raises(ConfigError, match="Choices: train, test"):
        open_source("embedded:freedoom_12", split="val")


def test_percentages_cut_a_split():
    whole = open_source("embedded:freedoom_12", split="test")
    part = open_source("embedded:freedoom_12", split="test[10%:20%]", slices="in_order")
    assert part.num_examples == 507 - 253
    np.testing.assert_array_equal(part.labels, whole.labels[253:507])
    np.testing.assert_array_equal(
        part.read_images(np.array([0])), whole.read_images(np.array([253]))
    )


def test_every_embedded_set_has_a_licence_line_that_its_notice_confirms():
    texts = " ".join(
        data.decode()
        for name, data in embedded_files().items()
        if name.startswith("LICENSE")
    )
    assert LICENCES.keys() >= {f"embedded:{name}" for name in EMBEDDED_SETS}
    for line in LICENCES.values():
        assert line.partition(", ")[2] in texts


def test_a_data_set_has_its_licence_in_every_version_and_others_have_none():
    for source in ("tfds:fashion_mnist", "tfds:fashion_mnist:3.0.1"):
        assert licence_of(source) == LICENCES["embedded:fashion_mnist_10k"]
    for source in ("tfds:fashion_mnist_corrupted", "folder:fashion_mnist", "", "npz"):
        assert licence_of(source) is None
