"""What export writes, the zoo lists and `load_encoder` loads by its name."""

import json

import numpy as np
import pytest

from simclr_tf import encoder_zoo, load_encoder, zoo
from simclr_tf._keras import keras
from simclr_tf.errors import ConfigError
from simclr_tf.export import export_saved_model, saved_model
from simclr_tf.training.stored_weights import open_stored_weights

RESULTS = {
    "data": "tfds:fashion_mnist",
    "encoder": "fashion",
    "command": "simclr-tf evaluate",
    "measurements": [
        {
            "representation": "this encoder",
            "protocol": "linear_probe",
            "value": 90.0,
            "num_test": 10_000,
        }
    ],
}
CARD = {
    "summary": "A tiny one.",
    "architecture": "One layer",
    "image_size_pixels": 8,
    "data": "tfds:fashion_mnist",
    "data_licence": "MIT, Zalando SE",
    "command": "simclr-tf pretrain",
    "wall_seconds": 61.0,
    "results": [RESULTS],
    "sections": [{"title": "Frozen features", "markdown": "a table"}],
}


@pytest.fixture(scope="module")
def encoder():
    images = keras.Input((None, None, 1), name="images")
    x = keras.layers.Conv2D(6, 3, padding="same", name="conv")(images)
    x = keras.layers.BatchNormalization(name="bn")(x)
    return keras.Model(images, keras.layers.GlobalAveragePooling2D(name="pool")(x))


@pytest.fixture(scope="module")
def folder(encoder, tmp_path_factory):
    """A folder with one published export; other tests start its fresh process."""
    folder = tmp_path_factory.mktemp("exports")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saved_model, "check_in_fresh_process", lambda *args: 0.0)
        export_saved_model(encoder, folder / "shirts", card=CARD, published=True)
    return folder


def test_the_list_says_what_the_encoder_and_its_card_say(folder):
    (entry,) = zoo(folder)
    assert entry.name == "shirts" and entry.published
    assert entry.num_parameters == 3 * 3 * 6 + 6 + 2 * 6
    assert entry.num_features == 6
    assert entry.input_text() == "8x8 grey (any size)"
    assert entry.find("linear_probe")["value"] == 90.0
    assert (entry.architecture, entry.data_licence) == ("One layer", "MIT, Zalando SE")
    assert entry.formats == ("saved_model",)


def test_config_keeps_the_numbers_and_card_md_the_tables(folder):
    record = json.loads((folder / "shirts" / "config.json").read_text())
    assert record["card"] == {
        "title": "shirts",
        **{name: CARD[name] for name in CARD if name != "sections"},
    }
    card = (folder / "shirts" / "card.md").read_text()
    assert "## Frozen features\n\na table\n" in card
    assert f"{record['num_parameters']:,} parameters" in card


def test_it_loads_by_path_and_by_name(folder, encoder, monkeypatch):
    monkeypatch.setattr(encoder_zoo, "default_folder", lambda: folder)
    images = np.random.default_rng(0).random((2, 8, 8, 1), "float32")
    for place in (zoo()["shirts"].path, "zoo:shirts"):
        np.testing.assert_allclose(
            load_encoder(place)(images), encoder(images), atol=1e-6
        )
    stored = open_stored_weights("zoo:shirts").parts["encoder"]
    assert len(stored) == len(encoder.variables)


def test_publishing_without_a_licence_is_refused_before_any_work(tmp_path):
    with pytest.raises(ConfigError, match="--data_licence"):
        export_saved_model(None, tmp_path / "new", card={"data": "x"}, published=True)
    assert list(tmp_path.iterdir()) == []
