"""Small encoders shared by the tests of the networks: building one takes seconds."""

import numpy as np
import pytest

from simclr_tf._keras import keras
from simclr_tf.models import resnet


def randomize(model, seed=0):
    """Random weights everywhere, so that no zero or one can hide a mistake."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        for weight in layer.weights:
            role = weight.name.split("/")[-1].split(":")[0]
            if role in ("gamma", "moving_variance"):
                weight.assign(rng.uniform(0.5, 1.5, weight.shape))
            elif role in ("beta", "moving_mean", "bias"):
                weight.assign(rng.normal(0.0, 0.2, weight.shape))


@pytest.fixture(scope="session")
def tiny_resnet18():
    """As initialised, with seed 5; not to be changed."""
    return resnet(18, width_multiplier=0.1, stem="cifar", seed=5)


@pytest.fixture(scope="session")
def resnet18_cifar():
    """As initialised, at full width; not to be changed."""
    return resnet(18, stem="cifar", seed=0)


@pytest.fixture(scope="session")
def resnet50():
    """As initialised, at full width; not to be changed."""
    return resnet(50, seed=0)


@pytest.fixture(scope="session")
def full_featured():
    """Bottlenecks, selective kernels and squeeze-excitation with random weights."""
    encoder = resnet(
        50, width_multiplier=1 / 16, sk_ratio=0.0625, se_ratio=0.25, seed=5
    )
    randomize(encoder)
    return encoder


@pytest.fixture
def mixed_bfloat16():
    """The policy `mixed_bfloat16` for one test."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    yield
    keras.mixed_precision.set_global_policy(before)


@pytest.fixture(scope="session")
def images():
    """float32 `[2, 21, 24, 3]` in [0, 1]: an odd and an even side."""
    rng = np.random.default_rng(1)
    return rng.uniform(size=(2, 21, 24, 3)).astype(np.float32)
