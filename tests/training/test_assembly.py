"""A config becomes the networks, the loss and the optimizer that it names."""

import numpy as np
import pytest

from simclr_tf.config import Config
from simclr_tf.config.method_presets import METHOD_PRESETS
from simclr_tf.config.presets import PRESETS, get_preset
from simclr_tf.config.schema import override
from simclr_tf.training import assembly
from tests.training.small_networks import small_encoder

BASE = override(
    Config(),
    {
        "global_batch_size": 16,
        "data.image_size_pixels": 16,
        "augment.recipe": "cifar",
        "encoder": {"name": "resnet10", "width_multiplier": 0.0625, "stem": "small"},
        "projection_head": {"num_layers": 2, "out_features": 8},
        "compile_views": False,
        "optimizer": {"scaling": "none", "weight_decay": 1e-6},
    },
)


def a_fixed_batch():
    rng = np.random.default_rng(0)
    image = rng.random((16, 16, 16, 3), "float32")
    noise = rng.normal(0, 0.05, (2, *image.shape))
    a, b = np.clip(image + noise, 0, 1).astype("float32")
    return {"view_a": a, "view_b": b}


# In every suite each optimizer has the first loss, and each loss the first optimizer.
@pytest.mark.parametrize(
    "optimizer, rate, loss",
    [
        pytest.param(
            optimizer, rate, loss, marks=[pytest.mark.slow] if row and column else []
        )
        for row, (optimizer, rate) in enumerate(
            [("lars", 1.0), ("lamb", 0.02), ("sgd", 0.02), ("adamw", 2e-3)]
        )
        for column, loss in enumerate(["nt_xent", "nt_logistic", "margin_triplet"])
    ],
)
def test_every_optimizer_lowers_every_loss_on_a_fixed_batch(optimizer, rate, loss):
    config = override(
        BASE,
        {
            "optimizer.name": optimizer,
            "optimizer.base_learning_rate": rate,
            "objective.name": loss,
            **({} if loss == "margin_triplet" else {"objective.temperature": 0.5}),
        },
    )
    model = assembly.build_model(config, (16, 16, 3), encoder=small_encoder())
    model.compile(
        optimizer=assembly.build_optimizer(
            config, model, warmup_steps=1, total_steps=100
        ),
        run_eagerly=True,
    )
    batch = a_fixed_batch()
    losses = []
    for _ in range(10):
        model.reset_metrics()
        losses.append(float(model.train_step(batch)["loss"]))
    assert min(losses[-3:]) < 0.95 * losses[0], losses


def test_the_schedule_starts_at_zero_peaks_after_warm_up_and_ends_at_zero():
    config = override(
        BASE,
        {
            "optimizer": {
                "base_learning_rate": 0.3,
                "scaling": "linear",
                "weight_decay": 0.0,
            }
        },
    )
    model = assembly.build_model(config, (16, 16, 3))
    optimizer = assembly.build_optimizer(
        config, model, warmup_steps=10, total_steps=110
    )
    rates = [float(optimizer._learning_rate(step)) for step in (0, 5, 10, 60, 110)]
    peak = 0.3 * 16 / 256
    np.testing.assert_allclose(
        rates, [0, peak / 2, peak, peak / 2, 0], atol=1e-8, rtol=1e-5
    )


def test_equal_seeds_give_equal_networks_and_other_seeds_others():
    def weights(seed):
        model = assembly.build_model(override(BASE, {"seed": seed}), (16, 16, 3))
        return [w.numpy() for w in model.trainable_variables]

    for first, again in zip(weights(3), weights(3), strict=True):
        np.testing.assert_array_equal(first, again)
    assert any((x != y).any() for x, y in zip(weights(3), weights(4), strict=True))


def test_options_of_the_views_reach_the_recipe():
    config = override(
        BASE,
        {
            "augment": {
                "crop_area_min_fraction": 0.3,
                "color_strength": 0.25,
                "blur_probability": 0.1,
                "rotate_probability": 0.5,
            }
        },
    )
    recipe = assembly.build_model(config, (16, 16, 3)).recipe
    assert recipe.crop_area_min_fraction == 0.3 and recipe.color_strength == 0.25
    assert recipe.blur_probability == 0.1 and recipe.rotate_probability == 0.5
    assert recipe.flip_probability == 0.5  # As the recipe says.


def test_options_of_large_batches_reach_the_model():
    config = override(
        BASE,
        {
            "objective.chunk_size": 3,
            "micro_batch_size": 4,
            "micro_batch_norm": "inference",
        },
    )
    model = assembly.build_model(config, (16, 16, 3))
    assert (model.objective.options.chunk_size, model.micro_batch_size) == (3, 4)
    before = [v.numpy() for v in model.non_trainable_variables]
    model.represent(a_fixed_batch(), training=True)
    for old, variable in zip(before, model.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(variable, old)  # Inference: nothing moves.


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_takes_a_step(name):
    # The preset's own views, loss, head and optimizer; a network of CPU size.
    preset = get_preset(name)
    channels = 1 if name == "fashion_mnist" else 3
    config = override(
        preset,
        {
            "encoder.width_multiplier": 0.03125,
            "global_batch_size": 4,
            "encoder": "resnet18",
            "data.image_size_pixels": 32,
            "compile_views": False,
            # Groups of two images.
            **(
                {"objective.batch_norm_groups": 2}
                if hasattr(preset.objective, "batch_norm_groups")
                else {}
            ),
        },
    )
    model = assembly.build_model(
        config,
        (32, 32, channels),
        num_classes=3,
        encoder=small_encoder() if name in METHOD_PRESETS else None,
        num_examples=20,
        total_steps=10,
        epoch_steps=5,
    )
    model.compile(
        optimizer=assembly.build_optimizer(
            config, model, warmup_steps=0, total_steps=10
        ),
        run_eagerly=True,
    )
    rng = np.random.default_rng(0)
    logs = model.train_step(
        {
            "images": rng.integers(0, 256, (4, 32, 32, channels)).astype("uint8"),
            "seeds": rng.integers(0, 1000, (4, 2)).astype("int32"),
            "ids": np.array([3, 19, 0, 8]),
            "labels": np.array([0, 1, 2, -1]),
        }
    )
    assert all(np.isfinite(value) for value in logs.values())


def test_a_fresh_average_computes_what_its_networks_do_in_bfloat16():
    """Nothing is rounded on the way that the trained networks get in float32."""
    changes = {
        "precision": "bfloat16",
        "objective": {"name": "moco", "queue_length": 8, "batch_norm_groups": 2},
        "projection_head.kind": "linear",
    }
    model = assembly.build_model(override(BASE, changes), (16, 16, 3))
    images = a_fixed_batch()["view_a"]
    _, (projections,), _ = model.forward((images, images), training=False)
    keys = model.objective.averaged(images, training=False)
    np.testing.assert_array_equal(keys, projections)
