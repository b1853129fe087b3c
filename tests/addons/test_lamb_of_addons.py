"""Our LAMB is Addons' LAMB, with equal layers in the exclusion lists."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_addons as tfa

from simclr_tf.models import ProjectionHead, resnet
from simclr_tf.optim import LAMB, apply_exclusions


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_equal_weights_after_five_steps_of_a_resnet_and_its_head(weight_decay):
    def network():
        encoder = resnet(10, width_multiplier=0.0625, stem="small", seed=0)
        head = ProjectionHead(num_layers=2, out_features=8, seed=1)
        head(encoder(tf.zeros([1, 8, 8, 3])))
        return [encoder, head]

    ours, theirs = network(), network()
    lamb = LAMB(0.01, weight_decay=weight_decay, epsilon=1e-6)
    roles = apply_exclusions(lamb, ours)
    # Addons excludes by patterns over names; these name the same variables.
    spared = [v.name for role in ("normalization", "bias") for v in roles[role]]
    patterns = ["gamma", "beta", "bias"]
    everything = [v.name for layer in ours for v in layer.trainable_variables]
    assert sorted(spared) == sorted(
        name for name in everything if any(p in name for p in patterns)
    )
    assert 0 < len(spared) < len(everything)
    addons = tfa.optimizers.LAMB(
        0.01,
        epsilon=1e-6,
        weight_decay=weight_decay,
        exclude_from_weight_decay=patterns,
        exclude_from_layer_adaptation=patterns,
    )
    rng = np.random.default_rng(0)
    first = [v for layer in ours for v in layer.trainable_variables]
    second = [v for layer in theirs for v in layer.trainable_variables]
    before = [v.numpy() for v in first]
    for _ in range(5):
        gradients = [tf.constant(rng.normal(size=v.shape), tf.float32) for v in first]
        lamb.apply_gradients(zip(gradients, first, strict=True))
        addons.apply_gradients(zip(gradients, second, strict=True))
    for variable, other, start in zip(first, second, before, strict=True):
        np.testing.assert_allclose(
            variable, other, rtol=1e-5, atol=1e-6, err_msg=variable.name
        )
        assert np.abs(variable.numpy() - start).max() > 1e-4
