"""PyTorch's state dicts: torchvision's forward pass in NumPy is the judge."""

import dataclasses
import json
import pickle
import sys
import types

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import save_file

import simclr_tf
from simclr_tf.errors import ConfigError, DataError, SimCLRError
from simclr_tf.export import conversion
from simclr_tf.export.conversion.state_dicts import (
    find_prefix_of_encoder,
    find_torch_architecture,
)
from simclr_tf.export.conversion.torch_file import StateDict
from simclr_tf.tools import convert_checkpoint
from simclr_tf.training.warm_start import check_same_network
from simclr_tf.training.workdir import Workdir
from tests.oracles.torchvision_networks import (
    BLOCKS,
    random_state,
    state_shapes,
    torchvision_features,
)

IMAGENET = {"mean": (0.485, 0.456, 0.406), "deviation": (0.229, 0.224, 0.225)}


def written(folder, state, prefix="", name="state.safetensors"):
    path = folder / name
    save_file({f"{prefix}{key}": value for key, value in state.items()}, path)
    return path


def images_of(size, number=2):
    rng = np.random.default_rng(size)
    return rng.uniform(size=(number, size, size + 2, 3)).astype(np.float32)


def refused(error, read, *words):
    with pytest.raises(error) as caught:
        read()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


@pytest.fixture(scope="module")
def tiny():
    """The state dict of a narrow ResNet-10."""
    return random_state(state_shapes(10, width=1 / 32, classes=7))


@pytest.mark.parametrize(
    "depth, bottleneck_width, stem",
    [(18, 1.0, 7), (50, 2.0, 7), (10, 1.0, 3)],
)
def test_features_equal_torchvisions_at_even_and_odd_sizes(
    depth, bottleneck_width, stem, tmp_path
):
    shapes = state_shapes(
        depth, width=1 / 16, bottleneck_width=bottleneck_width, stem=stem
    )
    state = random_state(shapes)
    source = conversion.read_torch(written(tmp_path, state))
    conversion.write_workdir(source, tmp_path / "run")
    encoder = simclr_tf.load_encoder(tmp_path / "run")
    # Half of them, where the max pool is, are even and odd too.
    for size in (32, 33) if depth == 50 else (32, 33, 34, 35):
        found = encoder(images_of(size), training=False).numpy()
        expected = torchvision_features(
            images_of(size),
            state,
            BLOCKS[depth],
            bottleneck=depth >= 50,
            maxpool="padding=1" if stem == 7 else "none",
            **IMAGENET,
        )
        assert expected.std() > 0.1
        assert np.abs(found - expected).max() < 1e-5 * max(1, expected.max())


def test_the_differences_of_architecture_are_in_config_json_and_can_be_seen(
    tiny, tmp_path
):
    source = conversion.read_torch(written(tmp_path, tiny))
    conversion.write_workdir(source, tmp_path / "run")
    record = json.loads((tmp_path / "run" / "config.json").read_text())
    options = record["config"]["encoder"]
    differences = {
        "input_normalization": "imagenet",
        "symmetric_max_pool": True,
        "identity_shortcuts": True,
    }
    assert options | differences == options
    encoder = simclr_tf.load_encoder(tmp_path / "run")
    features = encoder(images_of(32), training=False)
    others = simclr_tf.models.resnet(10, 1 / 32, identity_shortcuts=True)
    others.set_weights(encoder.get_weights())
    assert np.abs(others(images_of(32), training=False) - features).max() > 0.1


def fake_file(depth, prefix="", **options):
    shapes = {}
    for name, shape in state_shapes(depth, **options).items():
        if len(shape) == 4:
            shape = (*shape[2:], shape[1], shape[0])
        shapes[f"{prefix}{name}"] = shape
    return types.SimpleNamespace(shapes=shapes, prefix="file")


@pytest.mark.parametrize("depth", BLOCKS)
@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("bottleneck_width", [1.0, 2.0])
def test_depth_and_widths_are_found_from_the_shapes(depth, width, bottleneck_width):
    if depth < 50:
        bottleneck_width = 1.0
    file = fake_file(depth, "module.", width=width, bottleneck_width=bottleneck_width)
    found = find_torch_architecture(file, "module.")
    assert found == conversion.Architecture(
        depth=depth,
        width_multiplier=width,
        input_normalization="imagenet",
        symmetric_max_pool=True,
        identity_shortcuts=depth < 50,
        bottleneck_width=bottleneck_width,
    )


# Method: (prefix of the encoder, what else is in the file).
LAYOUTS = {
    "torchvision": ("", ["fc.weight", "fc.bias"]),
    "MoCo": (
        "state_dict.module.encoder_q.",
        [
            *("state_dict.module.encoder_q.fc.0.weight", "state_dict.module.queue"),
            *("state_dict.module.queue_ptr", "optimizer.state.0.momentum_buffer"),
            "state_dict.module.encoder_k.fc.2.bias",
            "state_dict.module.encoder_k.conv1.weight",
        ],
    ),
    "MoCo v3": (
        "state_dict.module.base_encoder.",
        [
            "state_dict.module.momentum_encoder.conv1.weight",
            "state_dict.module.predictor.0.weight",
        ],
    ),
    "SwAV": (
        "module.",
        [
            *(
                "module.projection_head.0.weight",
                "module.projection_head.1.running_var",
            ),
            "module.prototypes.weight",
        ],
    ),
    "instance discrimination": ("state_dict.module.", ["state_dict.module.fc.bias"]),
    "Barlow Twins": (
        "model.module.backbone.",
        ["model.module.projector.0.weight", "model.module.bn.running_mean"],
    ),
    "VICReg": ("model.module.backbone.", ["model.module.projector.4.running_var"]),
    "DINO": (
        "teacher.backbone.",
        [
            *("teacher.head.mlp.0.weight", "student.module.head.last_layer.weight_g"),
            *("student.module.backbone.conv1.weight", "dino_loss.center"),
        ],
    ),
}


@pytest.mark.parametrize("method", LAYOUTS)
def test_the_encoder_is_found_and_the_rest_is_listed_by_name(method, tiny, tmp_path):
    prefix, others = LAYOUTS[method]
    state = {
        f"{prefix}{name}": value for name, value in tiny.items() if "fc" not in name
    }
    for name in others:
        state[name] = np.zeros((2, 3), np.float32)
        if name.endswith("conv1.weight"):  # A whole second network.
            start = name.removesuffix("conv1.weight")
            state |= {
                f"{start}{key}": np.zeros_like(value) for key, value in tiny.items()
            }
    source = conversion.read_torch(written(tmp_path, state))
    assert source.names["encoder/initial_conv/kernel"] == f"{prefix}conv1.weight"
    kernel = source.variables["encoder/initial_conv/kernel"].numpy()
    np.testing.assert_array_equal(kernel.transpose(3, 2, 0, 1), tiny["conv1.weight"])
    left_out = {name for name, _, _ in source.left_out}
    assert set(others) <= left_out
    assert left_out | set(source.names.values()) == set(state)
    assert all(shape == state[name].shape for name, shape, _ in source.left_out)


def test_of_several_networks_one_is_named_or_the_conversion_stops(tiny, tmp_path):
    state = {f"{at}.{key}": v for at in ("one", "two") for key, v in tiny.items()}
    path = written(tmp_path, state)
    refused(
        conversion.ConversionError,
        lambda: conversion.read_torch(path),
        *("2 networks: one., two.", "--leave_out=two."),
    )
    source = conversion.read_torch(path, leave_out=["two."])
    assert source.names["encoder/initial_bn/gamma"] == "one.bn1.weight"


@pytest.mark.parametrize("dtype", [np.float16, tf.bfloat16.as_numpy_dtype])
def test_half_precision_is_converted(dtype, tiny, tmp_path):
    # With a bfloat16 that the package safetensors does not take from NumPy.
    halves = {name: value.astype(dtype) for name, value in tiny.items()}
    file = types.SimpleNamespace(shapes={}, dtypes={}, read=halves.get)
    for name, value in halves.items():
        file.shapes[name], file.dtypes[name] = value.shape, value.dtype
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conversion.torch_file, "SafetensorsFile", lambda path: file)
        source = conversion.read_torch("half.safetensors")
    kernel = source.variables["encoder/initial_conv/kernel"].numpy()
    expected = halves["conv1.weight"].astype(np.float32)
    np.testing.assert_array_equal(kernel.transpose(3, 2, 0, 1), expected)


def test_a_file_in_the_home_is_found(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    path = written(tmp_path, tiny)
    assert StateDict("~/state.safetensors").prefix == str(path)


def change(state, **values):
    return {**state, **{name.replace("__", "."): v for name, v in values.items()}}


MISTAKES = {
    "surplus": ({"layer1__0__conv4__weight": np.zeros(3, np.float32)}, "conv4"),
    "unknown": ({"somewhere": np.zeros(3, np.float32)}, "somewhere"),
    "grouped": (
        {"layer2__0__conv2__weight": np.zeros((4, 2, 3, 3), np.float32)},
        "layer2.0.conv2.weight, as [height, width, in, out], is (3, 3, 2, 4)",
    ),
    "not finite": ({"bn1__running_var": np.full(2, np.nan, np.float32)}, "not finite"),
    "float64": ({"bn1__weight": np.zeros(2)}, "float64"),
    "5x5": ({"conv1__weight": np.zeros((2, 3, 5, 5), np.float32)}, "3x3 or 7x7"),
    "missing": ({"layer3__0__bn1__running_mean": None}, "layer3.0.bn1.running_mean"),
    "a missing block": ({"layer4__0__conv1__weight": None}, "blocks=(1, 1, 1, 0)"),
    "another network": ({"layer1__0__conv1__weight": None}, "no ResNet"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_is_not_a_resnet_stops_the_conversion_in_one_line(
    mistake, tiny, tmp_path, capsys
):
    values, words = MISTAKES[mistake]
    state = change(tiny, **values)
    path = written(tmp_path, {k: v for k, v in state.items() if v is not None})
    code = convert_checkpoint.main(
        ["--source=torch", f"--checkpoint={path}", f"--output={tmp_path / 'run'}"]
    )
    lines = capsys.readouterr().err.strip().splitlines()
    assert code == 2 and len(lines) == 1 and words in lines[0], lines
    assert not (tmp_path / "run").exists()


class Tensor:
    """What is used of torch.Tensor."""

    def __init__(self, value):
        self.value = np.asarray(value)
        self.shape, self.dtype = self.value.shape, f"torch.{self.value.dtype}"

    def detach(self):
        return self

    def float(self):
        return Tensor(self.value.astype(np.float32))

    def numpy(self):
        return self.value


@pytest.fixture
def torch(monkeypatch):
    """A stand-in for PyTorch, which the tests do not install."""
    module = types.ModuleType("torch")
    module.__version__, module.Tensor = "2.14.1+cpu", Tensor
    monkeypatch.setitem(sys.modules, "torch", module)
    return module


def pth(tmp_path):
    path = tmp_path / "checkpoint.pth.tar"
    path.write_bytes(b"a program")
    return path


def test_pth_is_read_by_pytorch_with_weights_only(torch, tiny, tmp_path):
    content = {
        "epoch": 3,
        "state_dict": {f"module.{name}": Tensor(v) for name, v in tiny.items()},
        "optimizer": {"state": {0: {"step": Tensor(1)}}, "param_groups": [{"lr": 1}]},
    }

    def load(path, **options):
        assert options == {"map_location": "cpu", "weights_only": True}
        return content

    torch.load = load
    source = conversion.read_torch(pth(tmp_path))
    assert source.names["encoder/initial_bn/beta"] == "state_dict.module.bn1.bias"
    beta = source.variables["encoder/initial_bn/beta"].numpy()
    np.testing.assert_array_equal(beta, tiny["bn1.bias"])
    assert (
        "optimizer.state.0.step",
        (),
        "the state of the optimizer",
    ) in source.left_out


@pytest.mark.parametrize(
    "error, words",
    [
        (pickle.UnpicklingError("Weights only\nload failed"), "could run code"),
        (RuntimeError("PytorchStreamReader failed\nfor long"), "StreamReader failed."),
        (EOFError(), "damaged or not PyTorch's"),
    ],
)
def test_a_pickle_with_more_than_tensors_is_refused(torch, error, words, tmp_path):
    def load(path, **options):
        raise error

    torch.load = load
    refused(DataError, lambda: StateDict(pth(tmp_path)), words)


def test_containers_that_repeat_themselves_are_refused(torch, tmp_path):
    laughs = [Tensor(0.0)]
    for _ in range(60):
        laughs = [laughs, laughs]
    torch.load = lambda path, **options: laughs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conversion.torch_file, "_MOST_ENTRIES", 1000)
        refused(DataError, lambda: StateDict(pth(tmp_path)), "too many entries")


def test_a_pytorch_that_is_missing_or_unsafe_is_one_line(torch, monkeypatch, tmp_path):
    torch.__version__ = "2.5.1"
    refused(ConfigError, lambda: StateDict(pth(tmp_path)), "2.6 or later", "2.5.1")
    monkeypatch.setitem(sys.modules, "torch", None)
    refused(
        ConfigError,
        lambda: StateDict(pth(tmp_path)),
        '`pip install "simclr-tf[torch]"`',
    )
    refused(DataError, lambda: StateDict(tmp_path / "nowhere.pth"), "is not a file")


def test_a_3x3_stem_without_normalization_is_that_of_small_images(tmp_path):
    state = random_state(state_shapes(10, width=1 / 32, stem=3))
    source = conversion.read_torch(written(tmp_path, state), input_normalization="none")
    assert "stem cifar" in source.architecture.describe()
    assert "normalization" not in source.architecture.describe()


def test_only_the_right_networks_take_the_options():
    resnet = simclr_tf.models.resnet
    for options, words in (
        ({"depth": 50, "identity_shortcuts": True}, "ResNet-10, 18 and 34"),
        ({"depth": 18, "bottleneck_width": 2.0}, "ResNet-50 and deeper"),
        ({"depth": 18, "stem": "cifar", "symmetric_max_pool": True}, "no max pool"),
        ({"depth": 18, "channels": 1, "input_normalization": "imagenet"}, "colour"),
        ({"depth": 18, "input_normalization": "cifar"}, "none, imagenet"),
    ):
        refused(SimCLRError, lambda options=options: resnet(**options), words)


def test_prefixes_are_found_where_three_layers_are_together():
    file = fake_file(10, "a.b.")
    file.shapes["other.conv1.weight"] = file.shapes["layer1.bn1.weight"] = ()
    assert find_prefix_of_encoder(file) == ("a.b.", [])


def test_a_warm_start_needs_the_same_normalization_and_padding(tiny, tmp_path):
    source = conversion.read_torch(written(tmp_path, tiny))
    conversion.write_workdir(source, tmp_path / "run")
    options = Workdir(tmp_path / "run").config().encoder
    check_same_network(options, tmp_path / "run")
    other = dataclasses.replace(options, input_normalization="none")
    refused(
        ConfigError,
        lambda: check_same_network(other, tmp_path / "run"),
        "use --encoder.input_normalization=imagenet. Received: input_normalization=",
    )
    other = dataclasses.replace(options, symmetric_max_pool=False)
    refused(
        ConfigError,
        lambda: check_same_network(other, tmp_path / "run", section="student"),
        "use --student.symmetric_max_pool=True.",
    )
