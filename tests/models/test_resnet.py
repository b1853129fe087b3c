"""The residual networks: published sizes, endpoints, initial values, arguments."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.errors import ConfigError
from simclr_tf.models import (
    ENCODERS,
    SynchronizedBatchNormalization,
    count_parameters,
    endpoints,
    resnet,
    with_endpoints,
)
from simclr_tf.models.conv_norm import ConvNorm
from simclr_tf.models.resnet import ENDPOINTS
from simclr_tf.models.resnet_parts import bottleneck_block
from tests.models.conftest import randomize


def counted(**arguments):
    """Parameters of a network that is never allocated: graph mode knows its shapes."""
    with tf.Graph().as_default():
        return count_parameters(resnet(**arguments))


def norms_of(encoder):
    kind = keras.layers.BatchNormalization
    return [layer for layer in encoder.layers if isinstance(layer, kind)]


def convs_of(encoder):
    return [x for x in encoder.layers if isinstance(x, keras.layers.Conv2D)]


def test_resnet50_has_the_reference_number_of_parameters(resnet50):
    trainable, moving_statistics = count_parameters(resnet50)
    assert trainable == 23_508_032
    assert trainable + moving_statistics == 23_561_152


@pytest.mark.parametrize(
    ("arguments", "millions"),
    [
        pytest.param({"depth": 50, "sk_ratio": 0.0625}, 35.216, marks=pytest.mark.slow),
        pytest.param(
            {"depth": 50, "width_multiplier": 2}, 93.907, marks=pytest.mark.slow
        ),
        pytest.param(
            {"depth": 50, "width_multiplier": 2, "sk_ratio": 0.0625},
            140.306,
            marks=pytest.mark.slow,
        ),
        pytest.param({"depth": 101}, 42.500, marks=pytest.mark.slow),
    ],
)
def test_parameters_in_millions_are_those_of_the_reference(arguments, millions):
    assert round(counted(**arguments)[0] / 1e6, 3) == millions


def test_resnet10_is_one_basic_block_a_group():
    """Two 3x3 convolutions and a 1x1 shortcut, each with scale and shift."""
    widths = (64, 64, 128, 256, 512)
    expected = (
        7 * 7 * 3 * 64
        + 2 * 64
        + sum(
            9 * before * width + 9 * width * width + before * width + 3 * 2 * width
            for before, width in zip(widths, widths[1:], strict=False)
        )
    )
    assert counted(depth=10)[0] == expected == 4_910_016


def test_resnet18_for_cifar_has_the_reference_number_of_parameters(resnet18_cifar):
    assert round(count_parameters(resnet18_cifar)[0] / 1e6, 3) == 11.173


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "width", "sk_ratio", "millions"),
    [
        ("resnet50", 1, 0, 24),
        ("resnet50", 1, 0.0625, 35),
        ("resnet50", 2, 0, 94),
        ("resnet50", 2, 0.0625, 140),
        ("resnet101", 1, 0, 43),
        ("resnet101", 1, 0.0625, 65),
        ("resnet101", 2, 0, 170),
        ("resnet101", 2, 0.0625, 257),
        ("resnet152", 1, 0, 58),
        ("resnet152", 1, 0.0625, 89),
        ("resnet152", 2, 0, 233),
        ("resnet152", 2, 0.0625, 354),
        ("resnet152", 3, 0.0625, 795),
    ],
)
def test_named_encoders_have_the_sizes_of_the_published_table(
    name, width, sk_ratio, millions
):
    family = ENCODERS[name]
    options = family.Options(name, width_multiplier=width, sk_ratio=sk_ratio)
    with tf.Graph().as_default():
        network = family.build(options, image_shape=(224, 224, 3))
        assert round(sum(count_parameters(network)) / 1e6) == millions
        assert network.output_shape[-1] == family.num_features(options, (224, 224, 3))


def test_fractional_width_scales_every_group():
    encoder = resnet(18, width_multiplier=0.25, stem="cifar")
    widths = [endpoints(encoder)[f"block_group{g}"].shape[-1] for g in range(1, 5)]
    assert widths == [16, 32, 64, 128]


def test_width_never_falls_below_one_channel():
    encoder = resnet(18, width_multiplier=0.001, stem="cifar")
    assert encoder(tf.zeros([1, 4, 4, 3])).shape == [1, 1]


def test_endpoints_of_resnet50_have_the_published_shapes(resnet50):
    shapes = with_endpoints(resnet50).compute_output_shape((1, 224, 224, 3))
    assert {name: tuple(shape) for name, shape in shapes.items()} == {
        "initial_conv": (1, 112, 112, 64),
        "initial_max_pool": (1, 56, 56, 64),
        "block_group1": (1, 56, 56, 256),
        "block_group2": (1, 28, 28, 512),
        "block_group3": (1, 14, 14, 1024),
        "block_group4": (1, 7, 7, 2048),
        "final_avg_pool": (1, 2048),
    }


@pytest.mark.parametrize(
    ("stem", "size", "sizes"),
    [
        ("imagenet", 32, [16, 8, 8, 4, 2, 1]),
        ("imagenet", 33, [17, 9, 9, 5, 3, 2]),
        ("cifar", 32, [32, 32, 32, 16, 8, 4]),
        ("cifar", 9, [9, 9, 9, 5, 3, 2]),
        ("small", 32, [16, 16, 16, 8, 4, 2]),
    ],
)
def test_every_stem_has_its_spatial_sizes(stem, size, sizes):
    model = with_endpoints(resnet(18, width_multiplier=0.05, stem=stem))
    outputs = model(np.zeros((1, size, size + 2, 3), np.float32))
    assert list(outputs) == list(ENDPOINTS)
    assert [outputs[name].shape[1] for name in ENDPOINTS[:-1]] == sizes
    assert outputs["final_avg_pool"].shape == [1, 26]


@pytest.mark.parametrize("channels", [1, 4])
def test_images_may_have_any_number_of_channels(channels):
    encoder = resnet(18, width_multiplier=0.05, stem="small", channels=channels)
    assert encoder(tf.ones([2, 8, 8, channels])).shape == [2, 26]


def test_endpoints_are_those_of_the_model_itself(tiny_resnet18, images):
    outputs = with_endpoints(tiny_resnet18)(images)
    np.testing.assert_array_equal(outputs["final_avg_pool"], tiny_resnet18(images))
    np.testing.assert_allclose(
        tf.reduce_mean(outputs["block_group4"], [1, 2]),
        outputs["final_avg_pool"],
        rtol=1e-5,
    )
    assert with_endpoints(tiny_resnet18).weights[0] is tiny_resnet18.weights[0]


def test_initial_conv_is_taken_before_batch_norm(tiny_resnet18, images):
    layer = tiny_resnet18.get_layer("initial_conv")
    np.testing.assert_array_equal(
        with_endpoints(tiny_resnet18)(images)["initial_conv"], layer(images)
    )


def test_endpoints_of_a_subclassed_model_are_refused():
    class Opaque(keras.Model):
        def call(self, images):
            return images

    with pytest.raises(ConfigError, match="check_encoder"):
        endpoints(Opaque())


@pytest.mark.parametrize(
    ("network", "last", "blocks"),
    [("tiny_resnet18", "_bn2", 8), ("resnet50", "_bn3", 16)],
)
def test_only_the_last_batch_norm_of_a_branch_starts_at_zero(
    network, last, blocks, request
):
    encoder = request.getfixturevalue(network)
    zero = {x.name for x in norms_of(encoder) if not np.any(x.gamma)}
    ones = {x.name for x in norms_of(encoder) if np.all(x.gamma.numpy() == 1)}
    assert zero == {x.name for x in norms_of(encoder) if x.name.endswith(last)}
    assert zero | ones == {x.name for x in norms_of(encoder)}
    assert len(zero) == blocks


@pytest.mark.parametrize("training", [False, True])
def test_a_fresh_block_passes_its_shortcut_on(tiny_resnet18, images, training):
    names = ["block_group2_block1_out", "block_group2", "block_group3_block1_out"]
    taps = [tiny_resnet18.get_layer(name).output for name in names]
    twin = keras.models.clone_model(keras.Model(tiny_resnet18.input, taps))
    before, after, projected = twin(images, training=training)
    np.testing.assert_array_equal(before, after)
    assert np.any(before) and projected.shape[-1] != after.shape[-1]


def test_every_group_starts_with_a_projection_and_no_other_block_has_one(tiny_resnet18):
    convs = convs_of(tiny_resnet18)
    names = {x.name for x in convs if x.name.endswith("shortcut_conv")}
    assert names == {f"block_group{g}_block1_shortcut_conv" for g in range(1, 5)}


def test_stride_is_in_the_3x3_convolution_and_the_shortcut(resnet50):
    strided = {x.name: x.kernel_size for x in convs_of(resnet50) if x.strides == (2, 2)}
    expected = {"initial_conv": (7, 7)}
    for group in (2, 3, 4):
        expected[f"block_group{group}_block1_conv2"] = (3, 3)
        expected[f"block_group{group}_block1_shortcut_conv"] = (1, 1)
    assert strided == expected


def test_selective_kernels_bring_the_three_convolution_stem():
    encoder = resnet(18, width_multiplier=0.5, sk_ratio=0.0625)
    stem = [encoder.get_layer(n) for n in ("stem_conv1", "stem_conv2", "initial_conv")]
    assert [x.kernel_size for x in stem] == [(3, 3)] * 3
    assert [x.strides for x in stem] == [(2, 2), (1, 1), (1, 1)]
    assert [x.filters for x in stem] == [16, 16, 32]


def test_cifar_stem_ignores_the_resnet_d_stem():
    names = {x.name for x in resnet(18, 0.05, sk_ratio=0.1, stem="cifar").layers}
    assert "stem_conv1" not in names and "block_group1_block1_shortcut_pool" in names


def test_convolutions_have_no_bias_and_variance_one_over_fan_in(resnet18_cifar):
    for layer in convs_of(resnet18_cifar):
        assert not layer.use_bias
        kernel = layer.kernel.numpy()
        if kernel.size > 30_000:
            expected = np.prod(kernel.shape[:3]) ** -0.5
            assert kernel.std() == pytest.approx(expected, rel=0.02)
            # Truncated at two standard deviations of the untruncated normal.
            assert np.abs(kernel).max() < 2 * expected / 0.879


def test_same_seed_same_values_whatever_happened_before(tiny_resnet18):
    keras.utils.set_random_seed(99)
    tf.random.normal([3])
    twin = resnet(18, width_multiplier=0.1, stem="cifar", seed=5)
    for mine, yours in zip(twin.weights, tiny_resnet18.weights, strict=True):
        np.testing.assert_array_equal(mine, yours, err_msg=mine.name)


def test_other_seed_other_kernels(tiny_resnet18):
    for seed in (6, None):
        other = resnet(18, width_multiplier=0.1, stem="cifar", seed=seed)
        for mine, yours in zip(convs_of(other), convs_of(tiny_resnet18), strict=True):
            assert not np.any(mine.kernel.numpy() == yours.kernel.numpy())


def test_no_two_kernels_of_a_network_share_their_values(tiny_resnet18):
    beginnings = [x.kernel.numpy().ravel()[:18] for x in convs_of(tiny_resnet18)]
    scaled = np.array([row / row[0] for row in beginnings])
    assert len(np.unique(scaled.round(4), axis=0)) == len(scaled) == 21


def test_batch_norm_has_the_constants_of_the_paper_or_of_the_caller(tiny_resnet18):
    assert {(x.momentum, x.epsilon) for x in norms_of(tiny_resnet18)} == {(0.9, 1e-5)}
    other = resnet(18, 0.05, batch_norm_momentum=0.8, batch_norm_epsilon=1e-3)
    assert {(x.momentum, x.epsilon) for x in norms_of(other)} == {(0.8, 1e-3)}


def test_batch_norm_is_fused_on_one_replica_and_synchronized_only_if_asked(
    tiny_resnet18,
):
    other = resnet(18, 0.05, stem="cifar", synchronized=True)
    assert len(norms_of(other)) == len(norms_of(tiny_resnet18)) == 21
    assert all(x.fused for x in norms_of(tiny_resnet18) + norms_of(other))
    assert {type(x) for x in norms_of(tiny_resnet18)} == {
        keras.layers.BatchNormalization
    }
    assert {type(x) for x in norms_of(other)} == {SynchronizedBatchNormalization}


def test_training_moves_the_statistics_and_inference_does_not(images):
    encoder = resnet(18, width_multiplier=0.05, stem="cifar")
    layer = encoder.get_layer("initial_bn")
    inputs = encoder.get_layer("initial_conv")(images)
    encoder(images, training=False)
    assert not np.any(layer.moving_mean)
    encoder(images, training=True)
    mean = tf.reduce_mean(inputs, [0, 1, 2])
    np.testing.assert_allclose(layer.moving_mean, 0.1 * mean, rtol=1e-4, atol=1e-7)


def test_features_are_float32_under_mixed_bfloat16(mixed_bfloat16, images):
    encoder = resnet(18, 0.1, stem="small", seed=5)
    outputs = with_endpoints(encoder)(images)
    assert outputs["block_group4"].dtype == tf.bfloat16
    features = outputs["final_avg_pool"]
    assert features.dtype == tf.float32
    # Averaged in float32: the mean of bfloat16 numbers, not rounded to bfloat16.
    maps = tf.cast(outputs["block_group4"], tf.float32)
    np.testing.assert_allclose(features, tf.reduce_mean(maps, [1, 2]), rtol=1e-6)
    assert np.any(tf.cast(tf.cast(features, tf.bfloat16), tf.float32) != features)
    assert all(weight.dtype == tf.float32 for weight in encoder.weights)


def test_mixed_bfloat16_features_are_close_to_float32(
    mixed_bfloat16, tiny_resnet18, images
):
    mixed = resnet(18, width_multiplier=0.1, stem="cifar", seed=5)(images)
    np.testing.assert_allclose(mixed, tiny_resnet18(images), rtol=0.05, atol=0.01)


@pytest.mark.parametrize("training", [False, True])
def test_block_with_all_features_computes_in_bfloat16(mixed_bfloat16, images, training):
    outputs = []
    for policy in ("mixed_bfloat16", "float32"):
        keras.mixed_precision.set_global_policy(policy)
        net = ConvNorm(seed=0, synchronized=False, momentum=0.9, epsilon=1e-5)
        inputs = keras.Input((None, None, 3))
        options = {"strides": 2, "projection": True, "sk_ratio": 0.1, "se_ratio": 0.5}
        block = bottleneck_block(net, inputs, 4, **options, name="block")
        model = keras.Model(inputs, block)
        randomize(model)
        outputs.append(model(images, training=training))
    assert [output.dtype for output in outputs] == [tf.bfloat16, tf.float32]
    difference = tf.cast(outputs[0], tf.float32) - outputs[1]
    assert tf.norm(difference) < 0.02 * tf.norm(outputs[1])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"depth": 51}, "Did you mean 50.*Choices: 10, 18, 34, 50, 101, 152, 200.*=51"),
        ({"depth": "fifty"}, "Choices: 10, 18"),
        ({"stem": "imagnet"}, "Did you mean imagenet"),
        ({"width_multiplier": 0}, "`width_multiplier` must.*=0"),
        ({"width_multiplier": -1.5}, "`width_multiplier` must.*=-1.5"),
        ({"width_multiplier": float("nan")}, "`width_multiplier` must.*=nan"),
        ({"width_multiplier": "2x"}, "`width_multiplier` must.*='2x'"),
        ({"sk_ratio": -0.1}, "`sk_ratio` must be in"),
        ({"sk_ratio": 1.5}, "`sk_ratio` must be in"),
        ({"se_ratio": 2}, "`se_ratio` must be in"),
        ({"channels": 0}, "`channels` must"),
        ({"channels": 1.5}, "`channels` must"),
        ({"batch_norm_momentum": 1.0}, "`batch_norm_momentum` must"),
        ({"batch_norm_epsilon": 0.0}, "`batch_norm_epsilon` must"),
    ],
)
def test_bad_arguments_are_named_in_one_line(arguments, words):
    with pytest.raises(ConfigError, match=words) as caught:
        resnet(**{"depth": 18, **arguments})
    assert "\n" not in str(caught.value)
