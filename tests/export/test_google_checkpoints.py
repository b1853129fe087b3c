"""The reference's checkpoints become encoders that compute what the reference does."""

import json
import math

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf import load_encoder
from simclr_tf.errors import WorkdirError
from simclr_tf.export import conversion
from simclr_tf.export.conversion.google_tf1 import find_architecture
from simclr_tf.export.conversion.google_tf2 import Reference
from simclr_tf.training import CheckpointStore
from tests.oracles import google_checkpoints as files
from tests.oracles.google_networks import Network

READ = {False: conversion.read_google_tf2, True: conversion.read_google_tf1}
# Real depths and selective kernels, a sixteenth of the width: 2x is an eighth.
NETWORKS = {
    "resnet18_cifar": {"depth": 18, "width": 1 / 16, "cifar": True},
    "resnet18_2x": {"depth": 18, "width": 1 / 8},
    "resnet50": {"depth": 50, "width": 1 / 16},
    "resnet50_sk": {"depth": 50, "width": 1 / 16, "sk": 0.0625},
}
TF2_ONLY = {
    "resnet18_sk": {"depth": 18, "width": 1 / 16, "sk": 0.0625},
    "resnet18_cifar_sk_se": {
        "depth": 18,
        "width": 1 / 16,
        "sk": 0.0625,
        "se": 0.25,
        "cifar": True,
    },
    "resnet50_se": {"depth": 50, "width": 1 / 16, "se": 0.0625},
}


@pytest.fixture(scope="module")
def images():
    """float32 `[2, 33, 40, 3]`: the max pool sees an odd and an even side."""
    return np.random.default_rng(1).uniform(size=(2, 33, 40, 3)).astype(np.float32)


def small(images, tf1=False, head=(2, 8), classes=5, **options):
    return Network(
        images,
        18,
        width=1 / 16,
        cifar=True,
        tf1=tf1,
        head=head,
        classes=classes,
        **options,
    )


def assert_computes_the_same(source, network, images):
    """Features, projections and logits; float32 against float64, 53 layers deep."""
    encoder, head = source.objects["encoder"], source.objects["projection_head"]
    features = encoder(images, training=False)
    found = {
        "features": features,
        "projections": head(features, training=False),
        "logits": source.objects["probe"](features),
    }
    for name, values in found.items():
        expected = getattr(network, name).numpy()
        assert expected.std() > 1e-2, f"{name} are too dull to compare"
        np.testing.assert_allclose(
            values,
            expected,
            rtol=1e-4,
            atol=2e-6 * np.abs(expected).max(),
            err_msg=name,
        )


@pytest.mark.parametrize(
    "tf1, name",
    [
        *((tf1, name) for name in NETWORKS for tf1 in (False, True)),
        *((False, name) for name in TF2_ONLY),
    ],
)
def test_converted_network_computes_what_the_source_does(tf1, name, images, tmp_path):
    options = {**NETWORKS, **TF2_ONLY}[name]
    network = Network(images, tf1=tf1, head=(3, 16), classes=7, **options)
    prefix = files.write_names(tmp_path / "model.ckpt-5", network.variables)
    source = READ[tf1](prefix)
    assert_computes_the_same(source, network, images)
    assert sorted(source.names.values()) == sorted(network.variables)
    found = source.architecture
    assert (found.depth, found.width_multiplier, found.stem) == (
        options["depth"],
        options["width"],
        "cifar" if options.get("cifar") else "imagenet",
    )
    assert (found.head_layers, found.head_out, found.num_classes) == (3, 16, 7)
    assert bool(found.sk_ratio) == bool(options.get("sk"))
    assert bool(found.se_ratio) == bool(options.get("se"))


class Shapes:
    """Variables of real size, without their values."""

    has_graph, prefix = False, "shapes"

    def __init__(self, network):
        self.shapes = {name: value.shape for name, value in network.variables.items()}

    def parameters(self):
        """Millions in the encoder, as the published table counts them."""
        return (
            sum(
                math.prod(shape)
                for name, shape in self.shapes.items()
                if ("base_model" in name or "resnet_model" in name)
                and "moving_" not in name
            )
            / 1e6
        )


# Depth, width, SK and parameters in millions, of the published models' table and of
# the reference as it runs.
PUBLISHED = [
    (50, 1, 0.0, 23.508),
    (50, 1, 0.0625, 35.216),
    (50, 2, 0.0, 93.907),
    (50, 2, 0.0625, 140.306),
    (101, 1, 0.0, 42.500),
    (152, 3, 0.0625, 795),
]


@pytest.mark.parametrize("tf1", [False, True])
@pytest.mark.parametrize("depth, width, sk, millions", PUBLISHED)
def test_published_networks_are_recognised_at_their_real_size(
    tf1, depth, width, sk, millions
):
    shapes = Shapes(Network(None, depth, width=width, sk=sk, tf1=tf1, classes=1000))
    assert shapes.parameters() == pytest.approx(millions, abs=1 if width == 3 else 1e-3)
    found = find_architecture(shapes)[0] if tf1 else Reference(shapes).architecture()
    assert found == conversion.Architecture(
        depth=depth,
        width_multiplier=width,
        sk_ratio=sk,
        head_layers=3,
        head_hidden=2048 * width,
        head_out=128,
        num_classes=1000,
    )


def test_training_checkpoint_is_read_by_its_object_graph(images, tmp_path):
    network = small(images)
    prefix = files.write_training_checkpoint(tmp_path, network.variables, step=250228)
    source = conversion.read_google_tf2(prefix)
    assert_computes_the_same(source, network, images)
    assert source.step == 250228
    reasons = [reason for _, _, reason in source.left_out]
    assert reasons.count("optimizer slot") == len(network.variables)
    left_out = {name for name, _, _ in source.left_out}
    assert {"global_step" + files.VALUE, "save_counter" + files.VALUE} <= left_out
    assert conversion.read_google_tf2(tmp_path).path == prefix  # The newest there.


def test_saved_model_is_read_without_its_program(images, tmp_path):
    network = small(images)
    folder = files.write_saved_model(tmp_path / "saved_model", network.variables)
    (tmp_path / "saved_model" / "saved_model.pb").write_bytes(b"not a program")
    for path in (folder, tmp_path):  # Published ones lie in a folder saved_model/.
        source = conversion.read_google_tf2(path)
        assert_computes_the_same(source, network, images)
    shortest = [name.split("/")[0] for name in source.names.values()]
    assert shortest.count("trainable_variables_list") == sum(
        "moving_" not in name for name in network.variables
    )


def momentum_of(variables):
    return {
        f"{name}/Momentum": np.zeros_like(value) for name, value in variables.items()
    }


def test_raw_and_averaged_copy_are_told_apart(images, tmp_path):
    raw = small(images, tf1=True, seed=1)
    ema = small(images, tf1=True, seed=2, prefix="ema_model/", classes=None)
    prefix = files.write_names(
        tmp_path / "model.ckpt-9",
        {
            **raw.variables,
            **momentum_of(raw.variables),
            **ema.variables,
            "global_step": np.int64(9),
        },
    )
    source = conversion.read_google_tf1(prefix)
    assert_computes_the_same(source, raw, images)
    assert source.step == 9
    assert sum("--copy=ema" in why for _, _, why in source.left_out) == len(
        ema.variables
    )
    average = conversion.read_google_tf1(prefix, copy="ema")
    features = average.objects["encoder"](images)
    np.testing.assert_allclose(features, ema.features.numpy(), rtol=1e-4, atol=1e-5)
    assert average.architecture.num_classes is None  # There is none under ema_model/.
    assert len(average.names) + len(average.left_out) == len(
        [*raw.variables, *raw.variables, *ema.variables, "global_step"]
    )


def test_first_version_has_no_projection_head(images, tmp_path):
    network = small(images, tf1=True, head=None)
    prefix = files.write_names(tmp_path / "variables" / "variables", network.variables)
    source = conversion.read_google_tf1(tmp_path)  # As in a Hub module's folder.
    assert source.path == prefix and source.architecture.head_layers == 0
    features = source.objects["encoder"](images)
    np.testing.assert_array_equal(source.objects["projection_head"](features), features)


def test_head_that_was_never_built_is_no_head(images, tmp_path):
    """Fine-tuned SavedModels have the objects of the head, without variables."""
    network = small(images, head=None, classes=None)
    root, _ = files.object_tree(network.variables)
    empty = {"kernel_size": None}
    root.model._projection_head = files.objects(
        {"linear_layers": {"0": {"dense": empty, "bn_relu": {"bn": empty}}}}
    )
    root.model.supervised_head = files.objects({"linear_layer": {"dense": empty}})
    prefix = tf.train.Checkpoint(model=root.model).write(str(tmp_path / "ckpt"))
    source = conversion.read_google_tf2(prefix)
    assert set(source.objects) == {"encoder", "projection_head"}
    assert source.architecture.head_layers == 0
    np.testing.assert_allclose(
        source.objects["encoder"](images),
        network.features.numpy(),
        rtol=1e-4,
        atol=1e-5,
    )


def test_supervised_head_on_another_layer_is_left_out_when_said(images, tmp_path):
    network = small(images)
    prefix = files.write_names(tmp_path / "ckpt-1", network.variables)
    source = conversion.read_google_tf2(prefix, probe_layer=1)
    assert "probe" not in source.objects
    left_out = {name: reason for name, _, reason in source.left_out}
    assert len(left_out) == 2
    for weight in ("kernel", "bias"):
        name = f"model/supervised_head/linear_layer/dense/{weight}{files.VALUE}"
        assert "layer 1" in left_out[name]


def test_workdir_of_a_conversion_is_a_workdir(images, tmp_path):
    network = small(images)
    prefix = files.write_training_checkpoint(tmp_path, network.variables, step=12)
    source = conversion.read_google_tf2(prefix)
    folder = tmp_path / "run"
    conversion.write_workdir(source, folder, data="tfds:cifar10")
    np.testing.assert_allclose(
        load_encoder(folder)(images), network.features.numpy(), rtol=1e-4, atol=1e-5
    )
    record = json.loads((folder / "conversion.json").read_text())
    table = {row["source"]: row for row in record["variables"]}
    assert set(table) == set(network.variables)
    for name, value in network.variables.items():
        assert table[name]["shape"] == list(value.shape)
    text = (folder / "conversion.md").read_text()
    assert all(
        f"`{name}`" in text
        for name in [*network.variables, *(row["source"] for row in record["left_out"])]
    )
    assert (folder / "checkpoints" / "step-00000012").is_dir()
    own = conversion.read_own_run(folder)
    assert own.step == 12
    with pytest.MonkeyPatch.context() as patch:  # A run in progress saves another.
        store = CheckpointStore(folder / "checkpoints")
        found = [store.latest()]
        patch.setattr(CheckpointStore, "latest", lambda self: found.pop())
        assert conversion.read_own_run(folder).step == 12
    for name, variable in own.variables.items():
        np.testing.assert_array_equal(variable, source.variables[name])


@pytest.mark.parametrize(
    "write", [conversion.write_workdir, conversion.write_torchvision]
)
def test_nothing_is_left_when_the_disk_is_full(write, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    network = Network(np.zeros((1, 8, 8, 3)), 18, cifar=True, head=None)
    prefix = files.write_names(tmp_path / "from" / "ckpt-1", network.variables)
    source = conversion.read_google_tf2(prefix)
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(WorkdirError, match="No space left on device"):
        write(source, tmp_path / "to")
    assert [path.name for path in tmp_path.iterdir()] == ["from"]


def test_batch_norm_keeps_statistics_and_epsilon(images, tmp_path):
    """A variance of zero divides by the square root of epsilon alone."""
    network = small(images)
    stem = "model/resnet_model/initial_conv_relu_max_pool"
    name = f"{stem}/2/bn/moving_variance{files.VALUE}"
    network.variables[name][:] = 0
    source = conversion.read_google_tf2(
        files.write_names(tmp_path / "ckpt-1", network.variables)
    )
    layer = source.objects["encoder"].get_layer("initial_bn")
    mean, gamma, beta = (
        network.variables[name.replace("moving_variance", weight)]
        for weight in ("moving_mean", "gamma", "beta")
    )
    found = layer(np.broadcast_to(mean + 1, (1, 1, 1, mean.size)), training=False)
    np.testing.assert_allclose(found[0, 0, 0], gamma / 1e-5**0.5 + beta, rtol=1e-4)
