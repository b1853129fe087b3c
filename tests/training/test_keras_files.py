"""Keras files as encoders: loaded if they are layers and numbers, else one line."""

import json
import pathlib
import sys
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf import load_encoder
from simclr_tf._keras import keras
from simclr_tf.errors import DataError

layers = keras.layers


def network(layer=None):
    images = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3)(images)
    x = x if layer is None else layer(x)
    return keras.Model(images, layers.GlobalAveragePooling2D()(x))


@keras.utils.register_keras_serializable(package="test_keras_files")
class Twice(layers.Layer):
    def call(self, x):
        return 2 * x


def changed(path, file, change):
    """Rewrite one JSON file inside a `.keras` file."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    content = json.loads(files[file])
    change(content)
    files[file] = json.dumps(content).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def refused(path):
    """The one line that `load_encoder` answers with."""
    with pytest.raises(DataError) as caught:
        load_encoder(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["encoder.keras", "encoder.h5"])
def test_a_network_whose_name_is_no_scope_of_tensorflow_is_read(name, tmp_path):
    images = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3)(images)
    model = keras.Model(images, layers.Flatten()(x), name="/dev/my net")
    model.save(tmp_path / name)
    encoder = load_encoder(tmp_path / name)
    pixels = np.ones((2, 8, 8, 3), np.float32)
    np.testing.assert_allclose(tf.function(encoder)(pixels), model(pixels), rtol=1e-5)


@pytest.mark.parametrize("name", ["encoder.keras", "encoder.h5"])
@pytest.mark.parametrize("layer", [None, Twice])
def test_file_of_layers_gives_the_same_features(name, layer, tmp_path):
    model = network(layer and layer())
    model.save(tmp_path / name)
    images = np.random.default_rng(0).uniform(size=(2, 9, 8, 3)).astype(np.float32)
    np.testing.assert_array_equal(load_encoder(tmp_path / name)(images), model(images))


@pytest.mark.parametrize(
    "name, saved_as",
    [
        ("encoder.keras", "encoder.keras"),
        ("encoder.h5", "encoder.h5"),
        ("encoder.keras", "encoder.h5"),  # Keras looks into the file, not at its name.
    ],
)
def test_python_code_in_a_file_is_refused_and_not_run(name, saved_as, tmp_path):
    proof = tmp_path / "proof"
    # Called whenever the layer is, also while a loaded network is put together.
    code = eval(f"lambda x: (open({str(proof)!r}, 'w').close(), x)[1]")  # noqa: S307
    network(layers.Lambda(code)).save(tmp_path / saved_as)
    proof.unlink()
    (tmp_path / saved_as).rename(tmp_path / name)
    assert "holds Python code, of a Lambda layer" in refused(tmp_path / name)
    assert not proof.exists()


def test_module_that_a_file_names_is_not_imported(tmp_path, monkeypatch):
    (tmp_path / "stranger.py").write_text(
        "import pathlib\npathlib.Path(__file__).with_name('proof').touch()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "encoder.keras"
    network().save(path)

    def name_a_stranger(config):
        config["config"]["layers"][1]["config"]["activation"] = {
            "module": "stranger",
            "class_name": "function",
            "config": "relu",
            "registered_name": "relu",
        }

    changed(path, "config.json", name_a_stranger)
    assert "stranger.function, which is not on the list" in refused(path)
    assert "stranger" not in sys.modules and not (tmp_path / "proof").exists()


def test_layer_that_is_not_registered_is_told_how_to_be(tmp_path):
    class Mine(layers.Layer):
        def call(self, x):
            return x

    network(Mine()).save(tmp_path / "encoder.keras")
    assert "register_keras_serializable" in refused(tmp_path / "encoder.keras")


def test_file_of_keras_3_is_told_where_it_belongs(tmp_path):
    path = tmp_path / "encoder.keras"
    network().save(path)
    changed(path, "metadata.json", lambda facts: facts.update(keras_version="3.15.1"))
    assert "was written by Keras 3" in refused(path)


@pytest.mark.parametrize("name", ["encoder.keras", "encoder.h5"])
@pytest.mark.parametrize("keep", [0, 100, -500])
def test_truncated_file_gets_one_line(name, keep, tmp_path):
    path = tmp_path / name
    network().save(path)
    path.write_bytes(path.read_bytes()[:keep])
    assert "Cannot load a Keras model" in refused(path)


def test_weights_without_their_layers_get_one_line(tmp_path):
    network().save_weights(tmp_path / "weights.h5")
    assert "no Keras file" in refused(tmp_path / "weights.h5")


@pytest.mark.parametrize("name", ["encoder.tflite", "encoder.onnx", "weights.npz"])
def test_file_of_another_kind_gets_one_line(name, tmp_path):
    pathlib.Path(tmp_path / name).write_bytes(b"something")
    assert "not a file with an encoder" in refused(tmp_path / name)
