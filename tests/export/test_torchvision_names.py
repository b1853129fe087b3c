"""Encoders in torchvision's names, held against torchvision's network in NumPy."""

import json

import numpy as np
import pytest

from simclr_tf.errors import ConfigError
from simclr_tf.export import conversion
from simclr_tf.export.conversion.networks import Networks, config_of_architecture
from simclr_tf.export.conversion.torchvision import pytorch_loading_lines
from tests.models.conftest import randomize
from tests.oracles import google_checkpoints as files
from tests.oracles.google_networks import Network
from tests.oracles.torchvision_networks import torchvision_features


def source_of(**options):
    """An encoder with random weights everywhere, not read from any file."""
    architecture = conversion.Architecture(**options)
    networks = Networks(architecture, config_of_architecture(architecture))
    randomize(networks.objects["encoder"])
    variables = networks.variables()
    return conversion.SourceModel(
        "simclr_tf",
        "here",
        architecture,
        variables,
        networks.objects,
        {name: name for name in variables},
        [],
    )


def images_of(size, number=2):
    rng = np.random.default_rng(0)
    return rng.uniform(size=(number, size, size, 3)).astype(np.float32)


def close(found, expected):
    """Of features up to `expected.max()`: float32 against float64."""
    return np.abs(found - expected).max() < 2e-6 * np.abs(expected).max()


@pytest.fixture(scope="module")
def resnet50(tmp_path_factory):
    folder = tmp_path_factory.mktemp("torch") / "resnet50"
    source = source_of(depth=50)
    state = conversion.write_torchvision(source, folder)
    return folder, source.objects["encoder"], state


@pytest.mark.parametrize(
    "size, maxpool, same",
    [
        (33, "padding=1", True),  # 17 after the first convolution: odd.
        (32, "ceil_mode", True),  # 16: even, as of 224 pixels.
        (32, "padding=1", False),  # What torchvision does by itself.
    ],
)
def test_torchvisions_resnet50_computes_the_same_features(
    resnet50, size, maxpool, same
):
    _, encoder, state = resnet50
    images = images_of(size)
    found = torchvision_features(
        images, state, (3, 4, 6, 3), bottleneck=True, maxpool=maxpool
    )
    expected = encoder(images, training=False).numpy()
    assert expected.std() > 0.1
    assert close(found, expected) == same


def test_resnet50_has_torchvisions_318_entries_beside_the_classifier(resnet50):
    folder, _, state = resnet50
    with np.load(folder / "state_dict.npz") as stored:
        assert len(stored.files) == 318
        assert stored["conv1.weight"].shape == (64, 3, 7, 7)
        assert stored["layer3.5.conv2.weight"].shape == (256, 256, 3, 3)
        assert stored["layer2.0.downsample.0.weight"].shape == (512, 256, 1, 1)
        assert stored["layer4.2.bn3.num_batches_tracked"] == 0
        for name in stored.files:
            np.testing.assert_array_equal(stored[name], state[name])


def test_the_reference_reaches_torchvision_through_both_names(tmp_path):
    images = images_of(16)
    network = Network(images, 18, cifar=True, tf1=True, head=(2, 8), classes=3)
    prefix = files.write_names(tmp_path / "model.ckpt-3", network.variables)
    source = conversion.read_google_tf1(prefix)
    state = conversion.write_torchvision(source, tmp_path / "torch")
    found = torchvision_features(
        images, state, (2, 2, 2, 2), bottleneck=False, maxpool="none"
    )
    # Float32 weights, float64 arithmetic on both sides.
    np.testing.assert_allclose(found, network.features.numpy(), rtol=1e-9)
    assert len(state) == 126  # torchvision's 120, and a shortcut in layer1.0.
    record = json.loads((tmp_path / "torch" / "conversion.json").read_text())
    names = {row["source"]: row["target"] for row in record["variables"]}
    assert names["base_model/conv2d_1/kernel"] == "layer1.0.downsample.0.weight"
    left_out = {row["source"] for row in record["left_out"]}
    assert {*names, *left_out} == set(network.variables)
    assert all(name.startswith("head_") for name in left_out)


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"sk_ratio": 0.0625}, "selective kernels"),
        ({"se_ratio": 0.25}, "squeeze-and-excitation"),
        ({"width_multiplier": 0.0625}, "other widths"),
    ],
)
def test_what_torchvision_has_not_is_refused_and_nothing_written(
    wrong, words, tmp_path
):
    source = source_of(depth=18, stem="cifar", **{"width_multiplier": 1 / 16, **wrong})
    with pytest.raises(ConfigError, match=words):
        conversion.write_torchvision(source, tmp_path / "torch")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "options, lines",
    [
        ({"depth": 50}, ["resnet50()", "MaxPool2d(3, 2, ceil_mode=True)"]),
        ({"depth": 200}, ["Bottleneck, [3, 24, 36, 3])"]),
        ({"depth": 10}, ["BasicBlock, [1, 1, 1, 1])"]),
        (
            {"depth": 34, "stem": "cifar"},
            [
                "conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)",
                "maxpool = torch.nn.Id",
                "layer1[0].downsample = ",
            ],
        ),
        (
            {"depth": 101, "bottleneck_width": 2.0, "symmetric_max_pool": True},
            ["resnet101(width_per_group=128)"],
        ),
        ({"depth": 18, "identity_shortcuts": True}, ["resnet18()"]),
        (
            {"depth": 50, "stem": "small", "channels": 1},
            ["conv1 = torch.nn.Conv2d(1, 64, 3, 2, 1, bias=False)"],
        ),
    ],
)
def test_loading_lines_change_torchvisions_network_where_it_differs(options, lines):
    text = pytorch_loading_lines(conversion.Architecture(**options))
    compile(text, "loading", "exec")
    for line in lines:
        assert line in text
    is_shallow = options["depth"] < 50
    assert ("downsample" in text) == (
        is_shallow and not options.get("identity_shortcuts", False)
    )
    if options.get("symmetric_max_pool"):
        assert "maxpool" not in text
