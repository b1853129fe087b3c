"""The whole step as one XLA program: what a TPU needs."""

import numpy as np
import tensorflow as tf

from simclr_tf.config import Config
from simclr_tf.config.schema import override
from simclr_tf.training import assembly
from tests.training.small_networks import small_encoder

SIZE, CLASSES, BATCH = 8, 3, 16
CONFIG = override(
    Config(),
    {
        "global_batch_size": BATCH,
        "on_nonfinite": "skip",
        "augment.recipe": "simclr_v2",
        "data.image_size_pixels": SIZE,
        "projection_head.out_features": 8,
        "objective.temperature": 1.0,
        "optimizer.scaling": "none",
        "optimizer.base_learning_rate": 0.1,
    },
)


# Relative. XLA adds in another order and fuses multiplications with additions. A
# temperature of 1 and sixteen images keep gradients from amplifying the rounding (with
# four images at 0.1 their norm was 1000, and the bound too tight on some processors).
# Measured: 4e-7 for the figures, 6e-6 for the change of the weights.
BOUND = 2e-5


def trained(jit_compile):
    """(figures of two steps, change of the weights) from uint8 images and seeds."""
    model = assembly.build_model(
        CONFIG, (SIZE, SIZE, 3), num_classes=CLASSES, encoder=small_encoder()
    )
    model.compile(
        optimizer=assembly.build_optimizer(CONFIG, model, warmup_steps=1, total_steps=9)
    )
    before = [v.numpy() for v in model.trainable_variables]
    rng, figures = np.random.default_rng(0), []
    step = tf.function(model.train_step, jit_compile=jit_compile, autograph=False)
    for _ in range(2):  # The first has a learning rate of 0.
        images = rng.integers(0, 256, (BATCH, SIZE, SIZE, 3)).astype("uint8")
        seeds = rng.integers(-(2**31), 2**31, (BATCH, 2)).astype("int32")
        figures.append(
            step(
                {
                    "images": tf.constant(images),
                    "seeds": tf.constant(seeds),
                    "labels": tf.constant([0, 2, -1, 1] * (BATCH // 4)),
                }
            )
        )
    changes = [
        np.ravel(v - old)
        for v, old in zip(model.trainable_variables, before, strict=True)
    ]
    return figures, np.concatenate(changes)


def test_augmentation_forward_loss_update_and_figures_compile_as_one_program():
    (found, change), (expected, plain_change) = trained(True), trained(False)
    for one, other in zip(found, expected, strict=True):
        assert sorted(one) == sorted(other)
        assert {"probe_loss", "skipped_steps", "gradient_norm"} < set(one)
        for name, value in other.items():
            np.testing.assert_allclose(one[name], value, rtol=BOUND, err_msg=name)
    size = np.linalg.norm(plain_change)
    assert size > 0.01
    assert np.linalg.norm(change - plain_change) <= BOUND * size
