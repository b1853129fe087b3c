"""Encoders survive every format of Keras, without this package's classes."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

from simclr_tf._keras import keras
from simclr_tf.models.conv_norm import ConvNorm
from simclr_tf.models.resnet_parts import bottleneck_block
from tests.models.conftest import randomize


def test_encoder_is_made_of_built_in_layers_only(full_featured):
    for layer in full_featured.layers:
        kind = type(layer)
        assert getattr(keras.layers, kind.__name__, None) is kind, layer.name
        assert kind is not keras.layers.Lambda, layer.name


def test_layer_names_are_unique_and_in_words(full_featured):
    names = [layer.name for layer in full_featured.layers]
    assert len(set(names)) == len(names)
    starts = ("images", "stem_", "initial_", "block_group", "final_avg_pool")
    assert [name for name in names if not name.startswith(starts)] == []


def test_config_round_trip_gives_the_same_network(full_featured, images):
    twin = keras.Model.from_config(full_featured.get_config())
    twin.set_weights(full_featured.get_weights())
    np.testing.assert_allclose(twin(images), full_featured(images), rtol=1e-6)
    assert twin.get_config() == full_featured.get_config()


@pytest.mark.parametrize("save_format", ["keras", "h5", "tf"])
def test_every_kind_of_layer_survives_every_format(save_format, images, tmp_path):
    net = ConvNorm(seed=0, synchronized=False, momentum=0.9, epsilon=1e-5)
    inputs = keras.Input((None, None, 3))
    options = {"strides": 2, "projection": True, "sk_ratio": 0.1, "se_ratio": 0.5}
    outputs = bottleneck_block(net, inputs, 4, **options, name="block")
    model = keras.Model(inputs, outputs)
    randomize(model)
    path = str(tmp_path / f"block.{save_format}")
    model.save(path, save_format=save_format)
    loaded = keras.models.load_model(path, compile=False)
    np.testing.assert_allclose(loaded(images), model(images), rtol=1e-5)


def test_weights_load_into_a_fresh_encoder(tiny_resnet18, images, tmp_path):
    path = str(tmp_path / "encoder.weights.h5")
    tiny_resnet18.save_weights(path)
    twin = keras.models.clone_model(tiny_resnet18)
    twin.set_weights([weight + 1 for weight in twin.get_weights()])
    twin.load_weights(path)
    np.testing.assert_array_equal(twin(images), tiny_resnet18(images))


def test_encoder_loads_in_a_process_without_this_package(
    tiny_resnet18, images, tmp_path
):
    tiny_resnet18.save(tmp_path / "encoder.keras")
    np.save(tmp_path / "images.npy", images)
    program = f"""
        import sys
        import numpy as np
        import {keras.__name__} as keras
        model = keras.models.load_model("encoder.keras", compile=False)
        np.save("features.npy", model(np.load("images.npy")))
        assert not any(name.startswith("simclr_tf") for name in sys.modules)
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    features = np.load(tmp_path / "features.npy")
    np.testing.assert_allclose(features, tiny_resnet18(images), rtol=1e-5)
