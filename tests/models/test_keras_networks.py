"""Networks of keras.applications: the same function in plain layers, seeds, stages."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.errors import ConfigError, DataError
from simclr_tf.models import (
    ENCODERS,
    SynchronizedBatchNormalization,
    describe_network,
    endpoints,
    weights_by_name,
)
from simclr_tf.models.keras_networks import _module_of, _scaling
from simclr_tf.models.plain_graph import plain_network
from simclr_tf.optim import variables_by_role

FAMILY = ENCODERS["keras:"]
layers = keras.layers
IDENTITY = [(channel, 1.0, 0.0) for channel in range(3)]
IMAGES = np.random.default_rng(0).uniform(size=(2, 24, 24, 3)).astype(np.float32)


class LayerScale(layers.Layer):
    """As that of Keras's ConvNeXt, which is no public layer."""

    def __init__(self, init_values, projection_dim, **kwargs):
        super().__init__(**kwargs)
        self.init_values, self.projection_dim = init_values, projection_dim

    def build(self, input_shape):
        self.gamma = self.add_weight(
            "gamma",
            (self.projection_dim,),
            initializer=keras.initializers.Constant(self.init_values),
        )

    def call(self, x):
        return x * self.gamma

    def get_config(self):
        return {
            **super().get_config(),
            "init_values": self.init_values,
            "projection_dim": self.projection_dim,
        }


def small_network():
    """All that Keras's networks are made of, in little: depthwise, hard swish, ..."""
    images = keras.Input((None, None, 3))
    x = layers.Normalization(mean=[0.4, 0.5, 0.6], variance=[0.04, 0.09, 0.16])(images)
    stem = keras.Sequential(
        [layers.Conv2D(4, 3, 2, name="stem/conv"), layers.LayerNormalization()]
    )
    x = stem(x)
    x = x * (layers.ReLU(6.0)(x + 3.0) * (1.0 / 6.0))
    y = layers.ZeroPadding2D(((1, 1), (1, 1)))(x)
    y = layers.DepthwiseConv2D(3, name="block/depthwise")(y)
    y = layers.BatchNormalization(momentum=0.999)(y)
    y = LayerScale(0.5, 4)(y)
    y = layers.Dropout(0.5)(y)
    x = x + y
    x = layers.SeparableConv2D(6, 3, 2, activation="gelu")(x)
    x = 1.0 - layers.BatchNormalization()(x)
    return keras.Model(images, x - 0.5)


def plain(network=None, *, scaling=IDENTITY, keep=True, seed=0, synchronized=False):
    return plain_network(
        network or small_network(),
        scaling=scaling,
        momentum=0.9,
        seed=seed,
        synchronized=synchronized,
        keep_weights=keep,
        name="small",
    )


def pooled(network, images):
    return network(images).numpy().mean(axis=(1, 2))


def test_rewritten_network_is_the_same_function_of_layers_that_are_data():
    network = small_network()
    rng = np.random.default_rng(1)
    network.set_weights(
        [w + rng.uniform(0, 0.3, w.shape) for w in network.get_weights()]
    )
    encoder = plain(network)
    np.testing.assert_allclose(encoder(IMAGES), pooled(network, IMAGES), atol=1e-5)
    assert describe_network(network) is None
    assert describe_network(encoder) is not None
    assert encoder(IMAGES).dtype == tf.float32


def test_names_do_not_depend_on_what_was_built_before():
    names = [layer.name for layer in plain().layers]
    assert names == [layer.name for layer in plain().layers]
    assert "stem_conv" in names and "block_depthwise" in names
    assert not any("/" in name or name.startswith("tf.") for name in names)


def test_endpoints_are_the_last_cut_of_each_resolution_and_the_features():
    found = endpoints(plain())
    assert list(found) == ["stage1", "final_avg_pool"]
    assert found["stage1"].shape[-1] == 4 and found["final_avg_pool"].shape[-1] == 6


def test_dropout_is_left_out_and_the_decay_of_statistics_is_the_runs():
    encoder = plain()
    assert not any(isinstance(layer, layers.Dropout) for layer in encoder.layers)
    norms = [x for x in encoder.layers if isinstance(x, layers.BatchNormalization)]
    assert [norm.momentum for norm in norms] == [0.9, 0.9]
    np.testing.assert_array_equal(
        encoder(IMAGES, training=True), encoder(IMAGES, training=True)
    )


def test_equal_seeds_give_equal_weights_and_others_do_not():
    one, same, other = (
        weights_by_name(plain(keep=False, seed=seed)) for seed in (1, 1, 2)
    )
    kernels = []
    for name, array in one.items():
        np.testing.assert_array_equal(array, same[name])
        if "kernel" in name and array.ndim > 1:
            assert np.any(array != other[name]), name
            kernels.append(array.ravel()[0])
    assert len(kernels) == len(set(kernels)) == 4
    assert np.all(one["einsum_dense_1/kernel"] == 0.5)


def test_factors_of_a_channel_do_not_decay():
    roles = variables_by_role(plain())
    assert "einsum_dense_1/kernel:0" in {v.name for v in roles["bias"]}
    assert {v.shape.rank for v in roles["kernel"]} == {4}


def test_batch_norm_is_synchronized_where_the_run_needs_it():
    kinds = {type(x) for x in plain(synchronized=True).layers}
    assert SynchronizedBatchNormalization in kinds
    assert layers.BatchNormalization not in kinds


def test_pixels_arrive_as_keras_scales_them_whatever_the_order_of_channels():
    images = keras.Input((None, None, 3))
    seen = keras.Model(images, layers.Activation("linear")(images))
    # Modes "tf", "torch", "caffe" (which turns the channels round), and scaled inside.
    for name in ("MobileNetV2", "DenseNet121", "VGG16", "EfficientNetV2B0"):
        home = _module_of(name)
        expected = home.preprocess_input(255.0 * IMAGES).mean(axis=(1, 2))
        found = plain(seen, scaling=_scaling(home), keep=False)(IMAGES)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_mistakes_are_answered_in_one_line(monkeypatch):
    def build(name, image_shape=(32, 32, 3), **options):
        return FAMILY.build(
            FAMILY.Options(f"keras:{name}", **options), image_shape=image_shape
        )

    with pytest.raises(ConfigError, match="Did you mean keras:MobileNetV2.*VGG16"):
        build("MobilNetV3")
    with pytest.raises(ConfigError, match="--data.channels=3"):
        build("VGG16", (32, 32, 1))

    def fail(**options):
        assert options["weights"] == "imagenet"
        raise Exception("URL fetch failure on https://...:\n no route")

    monkeypatch.setattr(keras.applications, "MobileNetV2", fail)
    monkeypatch.setattr("simclr_tf.models.keras_networks._module_of", lambda name: None)
    with pytest.raises(
        DataError, match="no route.*leave out --encoder.weights"
    ) as error:
        build("MobileNetV2", weights="imagenet")
    assert "\n" not in str(error.value)
    offline = FAMILY.without_download(
        FAMILY.Options("keras:MobileNetV2", weights="imagenet")
    )
    assert offline == FAMILY.Options("keras:MobileNetV2")


def test_mobilenet_v2_refuses_images_that_shrink_to_nothing_in_it():
    options = FAMILY.Options("keras:MobileNetV2")
    with pytest.raises(ConfigError, match=r"MobileNetV2 does not take images of \(28,"):
        FAMILY.build(options, image_shape=(28, 28, 3))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["MobileNetV3Small", "EfficientNetV2B0", "ConvNeXtTiny", "RegNetY002"]
)
def test_networks_of_keras_are_the_same_functions(name):
    home = _module_of(name)
    original = getattr(keras.applications, name)(
        include_top=False, weights=None, input_shape=(None, None, 3)
    )
    rng = np.random.default_rng(0)
    original.set_weights(
        [
            w + (rng.uniform(0, 0.05, w.shape) if w.ndim == 1 else 0)
            for w in original.get_weights()
        ]
    )
    encoder = plain(original, scaling=_scaling(home))
    images = rng.uniform(size=(2, 64, 64, 3)).astype(np.float32)
    expected = pooled(original, home.preprocess_input(255.0 * images))
    found = encoder(images).numpy()
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    assert describe_network(encoder) is not None
    assert len(endpoints(encoder)) >= 4
