"""Small models and what lies of them on a disk, for the tests of warm starts."""

import json

import numpy as np

from simclr_tf._keras import keras
from simclr_tf.models import ProjectionHead, resnet
from simclr_tf.training import CheckpointStore, SimCLR

STEM = "initial_conv/kernel"


def a_model(
    *,
    seed=0,
    depth=10,
    width=0.0625,
    stem="small",
    channels=3,
    encoder=None,
    num_classes=3,
    trained=True,
    **head,
):
    """A SimCLR; `trained` ones have every variable at a value of its own."""
    if encoder is None:
        encoder = resnet(
            depth, width_multiplier=width, stem=stem, channels=channels, seed=seed
        )
    model = SimCLR(
        encoder=encoder,
        num_classes=num_classes,
        projection_head=ProjectionHead(
            **{"num_layers": 2, "out_features": 8, **head}, seed=seed
        ),
    )
    model.build_from_shape((16, 16, channels))
    if trained:
        rng = np.random.default_rng(seed + 1)
        for variable in model.variables:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    return model


def saved(folder, model, step=7):
    """A checkpoint as a run writes it."""
    folder.mkdir(exist_ok=True)
    return CheckpointStore(folder / "checkpoints").save(step, model=model).path


def a_workdir(folder, model, step=7):
    saved(folder, model, step)
    data = {"num_examples": 8, "channels": 3, "fingerprint": "00"}
    (folder / "config.json").write_text(json.dumps({"config": {}, "data": data}))
    return folder


def own_net(channels=3, filters=4):
    """A user's network; Keras numbers its layers anew each time it is made."""
    pictures = keras.Input((None, None, channels))
    x = keras.layers.Conv2D(filters, 3)(pictures)
    x = keras.layers.Conv2D(filters, 3)(keras.layers.BatchNormalization()(x))
    return keras.Model(pictures, keras.layers.GlobalAveragePooling2D()(x))


def values(layer):
    return [variable.numpy() for variable in layer.variables]


def assert_same(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
