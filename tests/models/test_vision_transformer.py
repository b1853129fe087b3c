"""Vision Transformers: their function, their sizes, their initial values."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.errors import ConfigError
from simclr_tf.export import export_saved_model
from simclr_tf.models import (
    ENCODERS,
    count_parameters,
    describe_network,
    flops_per_example,
    fresh_copy,
    network_from_description,
    set_weights_by_name,
    vision_transformer,
    weights_by_name,
    with_endpoints,
)
from simclr_tf.optim import variables_by_role
from tests.models.conftest import randomize
from tests.oracles import models_transformer as oracle

NANO = {"width": 8, "num_blocks": 2, "num_heads": 2, "patch_size": 4}


def nano(pooling="class_token", image_size_pixels=(8, 12), **options):
    return vision_transformer(
        **{**NANO, **options}, pooling=pooling, image_size_pixels=image_size_pixels
    )


def float64_weights(network):
    return {
        layer.name: [weight.astype(np.float64) for weight in layer.get_weights()]
        for layer in network.layers
    }


@pytest.mark.parametrize("pooling", ["class_token", "mean"])
@pytest.mark.parametrize("sides", [(8, 12), (16, 8)])
def test_every_endpoint_is_that_of_the_papers_at_its_own_and_at_another_size(
    pooling, sides
):
    network = nano(pooling, seed=3)
    randomize(network)
    images = np.random.default_rng(0).uniform(size=(2, *sides, 3))
    found = with_endpoints(network)(images.astype(np.float32))
    expected = oracle.vision_transformer(
        images,
        float64_weights(network),
        num_blocks=2,
        num_heads=2,
        patch=4,
        grid=(2, 3),
        pooling=pooling,
    )
    assert (
        list(found) == list(expected) == ["embedding", "block1", "block2", "features"]
    )
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=2e-4, atol=2e-5)


# Parameters of DeiT-Ti and DeiT-S without their classifier (5,717,416 - 192,000 - 1,000
# and 22,050,664 - 384,000 - 1,000), their learned positions of 14 x 14 + 1 tokens and
# the biases of the keys of 12 blocks.
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("vit_tiny", 5_524_416 - (197 + 12) * 192),
        ("vit_small", 21_665_664 - (197 + 12) * 384),
    ],
)
def test_the_named_sizes_have_as_many_parameters_as_published(name, parameters):
    family = ENCODERS[name]
    network = family.build(family.Options(name), image_shape=(224, 224, 3))
    assert count_parameters(network) == (parameters, 0)
    assert network.name == name
    assert network.output_shape == (
        None,
        family.num_features(family.Options(name), None),
    )


def test_operations_are_those_of_the_products_of_matrices():
    # 6 patches and a class token; per block: 4 projections, 2 products of attention in
    # both heads, 2 layers of the perceptron.
    width, tokens = 8, 7
    block = 4 * tokens * width**2 + 2 * tokens**2 * width + 8 * tokens * width**2
    expected = 6 * 4 * 4 * 3 * width + 2 * block
    images = (8, 12, 3)
    assert flops_per_example(nano(), images) == 2 * expected


def test_equal_seeds_give_equal_weights_and_no_two_kernels_are_alike():
    one, same, other = nano(seed=1), nano(seed=1), nano(seed=2)
    kernels = []
    for name, array in weights_by_name(one).items():
        np.testing.assert_array_equal(array, weights_by_name(same)[name])
        if array.ndim > 1:
            assert np.any(array != weights_by_name(other)[name]), name
            kernels.append(array)
    for index, kernel in enumerate(kernels):
        for later in kernels[index + 1 :]:
            assert kernel.shape != later.shape or np.any(kernel != later)
    assert np.any(
        fresh_copy(one, seed=1).get_layer("block1_query").kernel
        != one.get_layer("block1_query").kernel
    )


def test_kernels_and_nothing_else_decay_and_adapt():
    roles = variables_by_role(nano())
    names = {role: {v.name for v in found} for role, found in roles.items()}
    assert "class_token/embeddings:0" in names["bias"]
    assert all(name.endswith("/kernel:0") for name in names["kernel"])
    assert len(names["kernel"]) == 1 + 2 * 6
    assert len(names["normalization"]) == 2 * 5


def test_bfloat16_network_gives_float32_features_near_those_of_float32(mixed_bfloat16):
    short = nano(seed=1)
    assert short.get_layer("block1_query").compute_dtype == "bfloat16"
    keras.mixed_precision.set_global_policy("float32")
    images = tf.random.uniform([3, 8, 12, 3], seed=0)
    features = short(images)
    assert features.dtype == tf.float32
    np.testing.assert_allclose(features, nano(seed=1)(images), atol=0.05)


@pytest.mark.parametrize("call", ["eager", "traced"])
def test_images_that_the_patch_does_not_divide_are_refused_in_one_line(call):
    network = nano()
    run = network if call == "eager" else tf.function(network)
    with pytest.raises(
        ConfigError, match=r"multiples of the patch.*\(10, 12\)"
    ) as error:
        run(tf.zeros([1, 10, 12, 3]))
    if call == "eager":
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image_size_pixels": 10}, "multiple of the patch"),
        ({"patch_size": 0}, "`patch_size` must be a whole number"),
        ({"num_heads": 3}, "multiple of 4"),
        ({"pooling": "max"}, "class_token, mean"),
        ({"channels": 0}, "`channels` must be"),
    ],
)
def test_arguments_outside_their_range_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        nano(**options)


def test_network_as_data_is_the_same_function():
    network = nano(seed=1)
    copy = network_from_description(describe_network(network))
    set_weights_by_name(copy, weights_by_name(network))
    images = np.random.default_rng(0).uniform(size=(2, 16, 16, 3)).astype(np.float32)
    np.testing.assert_array_equal(copy(images), network(images))


def test_images_of_unknown_sides_are_refused_when_their_graph_runs():
    free = tf.TensorSpec([None, None, None, 3])
    run = tf.function(nano(), input_signature=[free])
    assert run(tf.zeros([1, 8, 16, 3])).shape == (1, 8)
    with pytest.raises(tf.errors.InvalidArgumentError, match="multiples of 4 pixels"):
        run(tf.zeros([1, 10, 16, 3]))


def test_files_of_a_vision_transformer_refuse_sides_with_a_part_of_a_patch(tmp_path):
    # Their loading takes seconds, and only this test needs them.
    import onnxruntime
    from ai_edge_litert.interpreter import Interpreter

    encoder = nano(num_blocks=1)
    export_saved_model(encoder, tmp_path / "out", formats=("litert", "onnx"))
    litert = Interpreter(str(tmp_path / "out" / "encoder.tflite"))
    onnx = onnxruntime.InferenceSession(tmp_path / "out" / "encoder.onnx")
    for run in (
        lambda images: litert.get_signature_runner()(images=images)["default"],
        lambda images: onnx.run(["default"], {"images": images})[0],
    ):
        whole = np.ones([2, 12, 8, 3], np.float32)
        np.testing.assert_allclose(run(whole), encoder(whole), atol=1e-5)
        with pytest.raises(Exception, match="(?i)reshape"):
            run(np.ones([2, 13, 8, 3], np.float32))
