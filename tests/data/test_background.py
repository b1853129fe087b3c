"""The colour behind transparent images is the same wherever a file is read."""

import dataclasses
import zipfile

import numpy as np
import pytest
from PIL import Image

from simclr_tf.augment import plan_views
from simclr_tf.commands.embed import open_parts
from simclr_tf.commands.image_sample import sampled_sources
from simclr_tf.commands.labelled_data import labelled_data
from simclr_tf.config import Config
from simclr_tf.config.data import DataConfig
from simclr_tf.config.embed import EncodedImages
from simclr_tf.config.schema import override
from simclr_tf.data import ImageCache, evaluation_batches, open_source, training_dataset
from simclr_tf.errors import ConfigError
from simclr_tf.export.preprocessing import views_from_bytes
from simclr_tf.training.batches import open_probe_source, open_training_source
from simclr_tf.training.classifier_records import (
    ClassifierRecord,
    add_record,
    classifier_record,
)

COLOUR, RGB = "#2040c0", (0x20, 0x40, 0xC0)


@pytest.fixture
def folder(tmp_path):
    """Pictures of which nothing is seen but the background, in several formats."""
    rng = np.random.default_rng(0)
    root = tmp_path / "images"
    for number, name in enumerate(("a.png", "b.webp", "c.png", "d.gif", "e.png")):
        pixels = rng.integers(0, 256, (20 + number, 30, 4), dtype=np.uint8)
        pixels[..., 3] = 0
        image = Image.fromarray(pixels)
        image = image.convert("LA") if name == "c.png" else image
        for split in ("train", "test"):
            path = root / split / str(number % 2) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)
    return root


def shown(source):
    """The one colour of all images of a source."""
    places = zip(*source.locations(np.arange(source.num_examples)), strict=True)
    pixels = [np.reshape(source.read_image(*place), (-1, 3)) for place in places]
    return np.unique(np.concatenate(pixels), axis=0).tolist()


def test_the_pixels_are_those_of_the_background_in_every_verb(folder):
    data = DataConfig(f"folder:{folder}", background=COLOUR)
    config = override(Config(), {"data": dataclasses.asdict(data)})
    probe = override(config, {"probe.data": data.source})
    learned = labelled_data(data, {}, channels=3)[:2]
    on_a_page = sampled_sources(data, {}, channels=3, number=9)[:2]
    embedded = open_parts(data, EncodedImages(encoder="x", data=data.source), 3)
    sources = {
        "pretrain": open_training_source(config),
        "probe": open_probe_source(probe, 3),
        "evaluate": learned[0],
        "evaluate, test": learned[1],
        "report": on_a_page[0],
        "report, test": on_a_page[1],
        "embed": embedded[0].source,
    }
    assert {name: shown(source) for name, source in sources.items()} == {
        name: [list(RGB)] for name in sources
    }


def test_without_the_option_the_background_is_white(folder):
    source = open_source(f"folder:{folder}")
    assert shown(source) == [[255] * 3]
    (batch,) = evaluation_batches(source, 16, 8)
    np.testing.assert_allclose(batch["images"], np.ones([5, 8, 8, 3]), atol=1e-6)


def test_training_views_and_caches_show_the_background(folder, tmp_path):
    source = open_source(
        f"folder:{folder}", background=COLOUR, cache=ImageCache("memory")
    )
    (batch,) = training_dataset(
        source,
        global_batch_size=4,
        seed=0,
        total_steps=1,
        plan=plan_views("evaluate", 8),
    )
    crop = np.round(np.array(batch["crops"][0]) * 255)
    np.testing.assert_array_equal(crop.reshape(-1, 3), [RGB] * (4 * 8 * 8))
    on_disk = ImageCache("disk", tmp_path / "cache")
    alike = tmp_path / "alike"
    alike.mkdir()
    for name in "ab":
        Image.new("RGBA", (8, 8)).save(alike / f"{name}.png")
    for background, colour in ((COLOUR, RGB), ("white", (255,) * 3)):
        source = open_source(f"folder:{alike}", cache=on_disk, background=background)
        assert source.read_images(np.arange(2))[:, 0, 0].tolist() == [list(colour)] * 2


def test_grey_images_before_a_coloured_background_are_read_in_colour(tmp_path):
    for name in "ab":
        Image.new("LA", (8, 8), (9, 100)).save(tmp_path / f"{name}.png")
    assert open_source(f"folder:{tmp_path}").channels == 1
    assert open_source(f"folder:{tmp_path}", background="red").channels == 3


def test_the_signature_of_bytes_shows_the_same_pixels(folder):
    paths = [folder / "train/0/a.png", folder / "train/0/c.png"]
    contents = [path.read_bytes() for path in paths]
    views = views_from_bytes(np.array(contents, object), 8, 3, RGB)
    np.testing.assert_allclose(views, np.broadcast_to(RGB, (2, 8, 8, 3)) / 255.0)


def test_a_classifier_keeps_the_background_of_its_training(tmp_path):
    with zipfile.ZipFile(tmp_path / "c.keras", "w"):
        pass
    record = ClassifierRecord(("a", "b"), 32, COLOUR)
    add_record(tmp_path / "c.keras", record)
    assert classifier_record(tmp_path / "c.keras") == record


@pytest.mark.parametrize("colour", ["whyte", "#12345", "", "#11223344"])
def test_no_colour_is_refused(colour):
    with pytest.raises(ConfigError, match="name of a colour, such as white"):
        DataConfig(background=colour)


def test_joined_folders_show_the_background(folder):
    spec = f"folder:{folder}/train+folder:{folder}/test"
    assert shown(open_source(spec, background=COLOUR)) == [list(RGB)]
