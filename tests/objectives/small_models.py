"""Tiny models of any objective, and steps of them on one or more replicas."""

import numpy as np
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.models import ProjectionHead, SynchronizedBatchNormalization
from simclr_tf.optim import LARS
from simclr_tf.training import PretrainingModel

SIZE, CLASSES, BATCH, EXAMPLES = 8, 3, 8, 20
ONE = tf.distribute.get_strategy


def mirrored(num_replicas):
    # Groups of another size in one process need other keys for their collectives.
    tf.distribute.MirroredStrategy._collective_key_base += 100_000
    return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(num_replicas)])


def an_encoder(batch_norm=True):
    start = keras.initializers.GlorotUniform
    images = keras.Input((None, None, 3))
    # No bias before batch norm: its gradient is 0, so rounding alone would move it.
    x = keras.layers.Conv2D(
        4, 3, 2, use_bias=not batch_norm, kernel_initializer=start(0)
    )(images)
    if batch_norm:
        x = SynchronizedBatchNormalization(momentum=0.5)(x)
    x = keras.layers.Activation("swish")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    last = keras.layers.Dense(6, use_bias=not batch_norm, kernel_initializer=start(1))
    return keras.Model(images, last(x))


def a_model(
    objective,
    strategy=None,
    *,
    batch_norm=True,
    build=True,
    encoder=None,
    learning_rate=0.5,
    **kwargs,
):
    """A tiny pretraining model; `objective` is an object of its class."""
    with (strategy or ONE()).scope():
        model = PretrainingModel(
            encoder=encoder or an_encoder(batch_norm),
            projection_head=ProjectionHead(
                num_layers=2,
                out_features=5,
                batch_norm=batch_norm,
                synchronized=True,
                seed=3,
            ),
            objective=objective,
            recipe="finetune",
            image_size_pixels=SIZE,
            num_classes=CLASSES,
            compile_views=False,
            **kwargs,
        )
        if build:
            model.build_from_shape(
                (SIZE, SIZE, 3),
                num_examples=EXAMPLES,
                total_steps=20,
                epoch_steps=2,
                global_batch_size=BATCH,
                synchronized=True,
            )
            model.compile(
                optimizer=LARS(learning_rate, weight_decay=0.1, trust_coefficient=0.1)
            )
            model.optimizer.build(model.trainable_variables)
    return model


def a_batch(seed=0, rows=BATCH):
    rng = np.random.default_rng(seed)
    return {
        "images": rng.random((rows, 12, 12, 3)).astype("float32"),
        "seeds": rng.integers(0, 2**31, (rows, 2)).astype("int32"),
        "ids": rng.permutation(EXAMPLES)[:rows].astype("int64"),
        "labels": rng.integers(-1, CLASSES, rows).astype("int32"),
    }


def stepper(model):
    """batch -> the figures after one step on it, of which each replica has its rows."""
    strategy = model.distribute_strategy
    rows = BATCH // strategy.num_replicas_in_sync
    run = tf.function(
        lambda batch: strategy.run(model.train_step, (batch,)), autograph=False
    )

    def step(batch):
        parts = {
            name: strategy.experimental_distribute_values_from_function(
                lambda c, whole=whole: tf.constant(
                    whole[c.replica_id_in_sync_group * rows :][:rows]
                )
            )
            for name, whole in batch.items()
        }
        logs = run(parts)
        return {
            name: float(strategy.experimental_local_results(value)[0])
            for name, value in logs.items()
        }

    return step


def state_of(model):
    """Every variable that a step changes, but figures and counters, by its place."""
    parts = (model.encoder, model.projection_head, model.objective, model.probe)
    return [*(v for part in parts for v in part.variables), *model.optimizer.momentums]


def values(variables):
    return [v.numpy() for v in variables]
