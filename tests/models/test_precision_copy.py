"""A copy in bfloat16 computes what a network that was built in bfloat16 computes."""

import numpy as np
import pytest

from simclr_tf.config import Config
from simclr_tf.config.schema import override
from simclr_tf.models import classifier_network
from simclr_tf.models.precision_copy import precision_copy
from simclr_tf.training.assembly import build_encoder

NETWORKS = {
    "resnet10": {"width_multiplier": 0.0625, "stem": "small", "se_ratio": 0.25},
    "vit_tiny": {"patch_size": 8},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_copy_equals_the_network_that_is_built_in_bfloat16(name):
    options = {"encoder": {"name": name, **NETWORKS[name]}}
    config = override(Config(), {**options, "data.image_size_pixels": 16})
    plain, built = (
        build_encoder(override(config, {"precision": precision}), 3)
        for precision in ("float32", "bfloat16")
    )
    copy = precision_copy(plain, "bfloat16")
    differ = {
        one.name
        for one, other in zip(built.layers, copy.layers, strict=True)
        if one.compute_dtype != other.compute_dtype
    }
    # Zeros around the images, and means over an image, which the copy takes in float32.
    assert not [n for n in differ if not n.endswith(("initial_conv_pad", "se_pool"))]
    assert {v.dtype.name for v in copy.weights} == {"float32"}
    images = np.random.default_rng(0).random((4, 16, 16, 3), np.float32)
    found, expected, exact = (n(images).numpy() for n in (copy, built, plain))
    spread = np.abs(expected - exact).max()
    assert 0 < spread and np.abs(found - expected).max() <= spread
    classifier = precision_copy(classifier_network(plain, 3), "bfloat16")
    assert classifier.layers[-1].compute_dtype == "float32"
