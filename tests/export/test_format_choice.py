"""Formats are refused before any work when they are unknown or cannot be written."""

import importlib.util

import pytest

from simclr_tf import extras
from simclr_tf._keras import keras
from simclr_tf.config.export import ExportOptions
from simclr_tf.errors import ConfigError
from simclr_tf.export import check_formats, export_saved_model, keras3


def own_layer():
    """An encoder with a layer that only a program describes."""

    class Twice(keras.layers.Layer):
        def call(self, x):
            return 2 * x

    images = keras.Input((None, None, 3))
    maps = Twice(name="twice")(keras.layers.Conv2D(2, 1)(images))
    return keras.Model(images, keras.layers.GlobalAveragePooling2D()(maps))


def test_unknown_format_gets_the_nearest_name():
    with pytest.raises(ConfigError, match="Did you mean litert"):
        check_formats(["saved_model", "litrt"])
    with pytest.raises(ConfigError, match="at least one of saved_model"):
        check_formats([])


@pytest.mark.parametrize("version", ["2.15.0", None])
def test_without_keras_3_its_format_is_one_line(monkeypatch, version):
    def installed(name):
        if version is None:
            raise keras3.metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(keras3.metadata, "version", installed)
    with pytest.raises(ConfigError, match="comes with TensorFlow 2.16") as caught:
        check_formats(["keras3"])
    assert f"keras {version or 'none'}" in str(caught.value)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"formats": ("keras3",), "with_probe": True}, "hold the encoder alone"),
        ({"formats": ("safetensors",), "classifier": "c"}, "hold the encoder alone"),
        ({"formats": ("litert",), "version": 0}, "`version` is about the SavedModel"),
        ({"publish": True, "classifier": "c"}, "--publish excludes --classifier"),
    ],
)
def test_options_that_an_export_cannot_hold_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        ExportOptions(workdir="run", output="out", **options)


def test_heads_are_taken_by_any_format_that_holds_them():
    for name in ("saved_model", "litert", "onnx"):
        options = {"formats": ("keras3", name), "with_probe": True}
        ExportOptions(workdir="run", output="out", **options)


@pytest.mark.parametrize(
    "name, package",
    [("litert", "ai_edge_litert"), ("onnx", "onnxruntime"), ("onnx", "tf2onnx")],
)
def test_missing_package_is_one_line_with_the_way_out(monkeypatch, name, package):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        extras.importlib.util,
        "find_spec",
        lambda module: None if module == package else find(module),
    )
    with pytest.raises(ConfigError) as caught:
        check_formats([name])
    assert f'`pip install "simclr-tf[{name}]"`' in str(caught.value)
    assert f"--formats={name} needs the package `{package}`" in str(caught.value)


def test_network_with_its_own_layers_is_refused_layer_by_layer(tmp_path):
    with pytest.raises(ConfigError, match="has custom layers") as caught:
        export_saved_model(
            own_layer(), tmp_path / "new", formats=("saved_model", "safetensors")
        )
    assert "formats=['safetensors']" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "options, words",
    [
        ({"version": -1}, "version=-1"),
        ({"version": 1, "formats": ["safetensors"]}, "add saved_model"),
        ({"archive": True, "formats": ["safetensors"]}, "add saved_model"),
        ({"image_size_pixels": 0}, "image_size_pixels=0"),
        ({"float16_weights": True}, "add safetensors"),
        ({"image_size_pixels": 8, "formats": ["litert"]}, "add saved_model"),
        (
            {"classifier": keras.layers.Dense(2), "formats": ["safetensors"]},
            "hold the encoder alone.*add saved_model, litert or onnx",
        ),
    ],
)
def test_impossible_layouts_are_refused_before_any_work(tmp_path, options, words):
    images = keras.Input((None, None, 3))
    maps = keras.layers.Conv2D(2, 1)(images)
    encoder = keras.Model(images, keras.layers.GlobalAveragePooling2D()(maps))
    with pytest.raises(ConfigError, match=words):
        export_saved_model(encoder, tmp_path / "new", **options)
    assert list(tmp_path.iterdir()) == []
