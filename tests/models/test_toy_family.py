"""Families of encoders in training; one is added here and goes through the house.

This is the list "how to add an encoder" of CONTRIBUTING.md: a subclass of
`EncoderOptions`, a subclass of `Family`, and a line in `ENCODERS`.
"""

import dataclasses
import json

import numpy as np
import pytest

from simclr_tf import load_encoder, pretrain
from simclr_tf.commands.evaluate import evaluate_and_report
from simclr_tf.commands.finetune import finetune_and_report
from simclr_tf.commands.run_card import card_of_run
from simclr_tf.config.evaluate import EvaluateOptions, KNNConfig
from simclr_tf.config.few_label_options import FineTuneOptions
from simclr_tf.config.schema import option
from simclr_tf.errors import ConfigError
from simclr_tf.export import export_saved_model, saved_model
from simclr_tf.lazy import keras
from simclr_tf.models import ENCODERS
from simclr_tf.models.family import EncoderOptions, Family
from simclr_tf.models.initializers import ENCODER_STREAM, kernel_seed
from simclr_tf.models.vision_transformer import SIZES
from simclr_tf.training.keras_files import load_classifier
from simclr_tf.training.workdir import Workdir


@dataclasses.dataclass(frozen=True)
class ToyOptions(EncoderOptions):
    """Two convolutions."""

    name: str = option("toy", "Name of the encoder.")
    features: int = option(6, "Width of the features.")


class Toy(Family):
    """Two convolutions, of which the first is an endpoint."""

    Options = ToyOptions
    endpoint_names = "early|late"

    def build(self, options, *, image_shape, synchronized=False, seed=None):
        """Build it."""
        images = x = keras.Input((None, None, image_shape[-1]), name="images")
        for place, name in enumerate(("early", "late_maps")):
            kernel = keras.initializers.GlorotUniform(
                kernel_seed(seed, place, ENCODER_STREAM)
            )
            x = keras.layers.Conv2D(
                options.features,
                3,
                2,
                "same",
                "channels_last",
                (1, 1),
                1,
                "relu",
                kernel_initializer=kernel,
                name=name,
            )(x)
        x = keras.layers.GlobalAveragePooling2D(dtype="float32", name="late")(x)
        return keras.Model(images, x, name=options.name)

    def describe(self, options, image_size_pixels=None):
        """Describe it."""
        return f"Toy ({options.features})"


def images_of_two_classes(folder):
    """An npz with splits whose classes differ in brightness."""
    rng, arrays = np.random.default_rng(0), {}
    for split in ("train", "test"):
        labels = np.arange(24) % 2
        images = (
            rng.integers(0, 100, (24, 16, 16, 3)) + 120 * labels[:, None, None, None]
        )
        arrays |= {f"x_{split}": images.astype("uint8"), f"y_{split}": labels}
    np.savez(folder / "two.npz", **arrays)
    return f"npz:{folder / 'two.npz'}"


def run(folder, data, encoder="toy", **options):
    return pretrain(
        data,
        folder,
        encoder=encoder,
        say=lambda line: None,
        **{
            "epochs": 1,
            "global_batch_size": 8,
            "precision": "float32",
            "data.image_size_pixels": 16,
            "projection_head": {"num_layers": 1, "out_features": 4},
            "augment.recipe": "finetune",
            "compile_views": False,
            "strategy": "one_device",
            **options,
        },
    )


def test_a_family_of_a_test_is_trained_evaluated_fine_tuned_and_exported(
    tmp_path, monkeypatch
):
    monkeypatch.setitem(ENCODERS, "toy", Toy())
    # The features of the export are compared below, in this process.
    monkeypatch.setattr(saved_model, "check_in_fresh_process", lambda *args: 0.0)
    data, folder = images_of_two_classes(tmp_path), tmp_path / "run"
    trained = run(folder, data, **{"encoder.features": 5}).encoder
    workdir = Workdir(folder)
    assert workdir.config().encoder == ToyOptions(features=5)
    record = json.loads((folder / "config.json").read_text())
    assert record["config"]["encoder"]["features"] == 5
    loaded = load_encoder(folder, endpoints=True)
    assert list(loaded.output) == ["early", "late"]
    images = np.random.default_rng(0).random((2, 16, 16, 3)).astype("float32")
    np.testing.assert_allclose(loaded(images)["late"], trained(images), atol=1e-6)

    found = evaluate_and_report(
        EvaluateOptions(workdir=str(folder), protocols=("knn",), knn=KNNConfig(k=3)),
        say=lambda line: None,
    )
    assert {m.representation for m in found.measurements} >= {
        "untrained encoder",
        "this encoder",
    }

    frozen = FineTuneOptions(
        workdir=str(folder),
        label_fraction=(1.0,),
        epochs=(1,),
        batch_size=8,
        freeze_until="early",
        layer_decay=0.5,
        methods=("fine_tune",),
        strategy="one_device",
    )
    finetune_and_report(frozen, say=lambda line: None)
    (file,) = folder.glob("classifiers/*/classifier.keras")
    tuned = load_classifier(file)
    for name, stays in (("early", True), ("late_maps", False)):
        same = (
            tuned.get_layer(name).get_weights()[0]
            == trained.get_layer(name).get_weights()[0]
        )
        assert same.all() == stays, name
    with pytest.raises(ConfigError, match="Choices: none, early, late. Received"):
        finetune_and_report(
            dataclasses.replace(frozen, freeze_until="block_group1"),
            say=lambda line: None,
        )

    card = card_of_run(workdir)
    assert card["architecture"] == "Toy (5)" and "(Toy (5))" in card["summary"]
    exported = export_saved_model(load_encoder(folder), tmp_path / "export", card=card)
    assert list(exported["outputs"]) == ["default", "early", "late"]
    again = load_encoder(tmp_path / "export")
    np.testing.assert_allclose(again(images), trained(images), atol=1e-5)


def test_a_transformer_trains_alike_on_one_and_on_two_replicas(tmp_path, monkeypatch):
    monkeypatch.setitem(SIZES, "vit_nano", (8, 1, 2))
    monkeypatch.setitem(ENCODERS, "vit_nano", ENCODERS["vit_tiny"])
    data = images_of_two_classes(tmp_path)
    # Adam would blow up what is rounding alone: the gradient of the last norm's beta,
    # which the head's batch norm takes away.
    sgd = {"name": "sgd", "scaling": "none", "base_learning_rate": 0.01}
    # Small views of 8 px, of 8 images, would lead rounding to other places.
    full = {"objective.small_views": 0}
    one, two, short = (
        run(None, data, "vit_nano", optimizer=sgd, **full, **options).encoder
        for options in (
            {},
            {"strategy": "mirrored", "replicas": 2},
            {"precision": "bfloat16"},
        )
    )
    start = ENCODERS["vit_nano"].build(
        ENCODERS["vit_nano"].Options("vit_nano"), image_shape=(16, 16, 3), seed=0
    )
    for first, weight, other in zip(
        *(network.weights for network in (start, one, two)), strict=True
    ):
        moved = np.abs(weight - first).max()
        np.testing.assert_allclose(other, weight, atol=1e-3 * moved + 1e-7)
    # In bfloat16 it goes the same way, if not to the same place: ways of chance would
    # have a cosine of about 0.03 in so many dimensions.
    way, short_way = (
        np.concatenate(
            [
                np.ravel(w - f)
                for w, f in zip(network.weights, start.weights, strict=True)
            ]
        )
        for network in (one, short)
    )
    cosine = way @ short_way / (np.linalg.norm(way) * np.linalg.norm(short_way))
    assert cosine > 0.5, cosine
    assert one.get_layer("block1_query").compute_dtype == "float32"
