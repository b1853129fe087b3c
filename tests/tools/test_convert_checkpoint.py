"""convert_checkpoint from the command line: one workdir, or one line and nothing."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.export import saved_model
from simclr_tf.tools import command_line, convert_checkpoint, export
from tests.oracles import google_checkpoints as files
from tests.oracles.google_networks import Network

BLOCK = "model/resnet_model/block_groups/2/layers/1"
CONV = f"{BLOCK}/conv2d_bn_layers/0/conv2d/kernel{files.VALUE}"


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).uniform(size=(2, 16, 16, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def network(images):
    return Network(images, 18, width=1 / 16, cifar=True, head=(2, 8), classes=5)


@pytest.fixture(scope="module")
def tf1_network(images):
    return Network(images, 18, width=1 / 16, cifar=True, tf1=True, head=(2, 8))


def test_a_converted_run_is_exported_like_any_other(
    network, images, tmp_path, capsys, monkeypatch
):
    # The check in a fresh process has its own tests, and is repeated below.
    monkeypatch.setattr(saved_model, "check_in_fresh_process", lambda *args: 0.0)
    prefix = files.write_names(tmp_path / "ckpt-3", network.variables)
    assert (
        command_line.main(
            [
                "convert_checkpoint",
                "--source=google_tf2",
                f"--checkpoint={prefix}",
                f"--output={tmp_path / 'run'}",
            ]
        )
        == 0
    )
    assert "Found ResNet-18 0.0625x, stem cifar" in capsys.readouterr().out
    assert (
        export.main(
            [f"--workdir={tmp_path / 'run'}", f"--output={tmp_path / 'exported'}"]
        )
        == 0
    )
    module = tf.saved_model.load(str(tmp_path / "exported" / "saved_model"))
    np.testing.assert_allclose(
        module(images), network.features.numpy(), rtol=1e-4, atol=1e-5
    )
    card = (tmp_path / "exported" / "card.md").read_text()
    assert "converted from a google_tf2 checkpoint" in card
    assert "pretrained without labels" not in card  # Nobody knows that.


def without(name):
    def change(variables):
        del variables[name]

    return change


def with_another(name, shape=()):
    def change(variables):
        variables[name] = np.zeros(shape, np.float32)

    return change


def with_value(name, value):
    def change(variables):
        variables[name] = np.full_like(variables[name], value)

    return change


def in_half_precision(name):
    def change(variables):
        variables[name] = variables[name].astype(np.float16)

    return change


STEM = "model/resnet_model/initial_conv_relu_max_pool"
PROBE = f"model/supervised_head/linear_layer/dense/kernel{files.VALUE}"
HEAD = f"model/_projection_head/linear_layers/1/bn_relu/bn/beta{files.VALUE}"
LAST_BLOCK = "model/resnet_model/block_groups/3/layers/1"


def without_the_last_block(variables):
    for name in [name for name in variables if name.startswith(LAST_BLOCK)]:
        del variables[name]


TF2_MISTAKES = {
    "a missing kernel": (without(CONV), CONV),
    "a missing first kernel": (
        without(f"{STEM}/0/conv2d/kernel{files.VALUE}"),
        "1 variable is missing",
    ),
    "a missing statistic": (
        without(f"{STEM}/2/bn/moving_variance{files.VALUE}"),
        "moving_variance",
    ),
    "a missing block": (without_the_last_block, "(2, 2, 2, 1)"),
    "a missing probe kernel": (without(PROBE), PROBE),
    "an offset too much": (with_another(HEAD, (8,)), HEAD),
    "a layer too much": (
        with_another(f"{STEM}/7/conv2d/kernel{files.VALUE}"),
        f"{STEM}/7/conv2d",
    ),
    "another shape": (with_another(CONV, (3, 3, 4, 4)), "(3, 3, 4, 4)"),
    "a probe on something else": (with_another(PROBE, (9, 5)), "--probe_layer"),
    "a kernel without axes": (
        with_another(f"{STEM}/0/conv2d/kernel{files.VALUE}"),
        "with 4 axes",
    ),
    "a NaN": (with_value(CONV, np.nan), "not finite"),
    "half precision": (in_half_precision(CONV), "only float32"),
}
TF1_MISTAKES = {
    "a missing kernel": (without("base_model/conv2d_7/kernel"), "conv2d_7/kernel"),
    "the last kernel missing": (
        without("base_model/conv2d_20/kernel"),
        "numbers 20 convolutions",
    ),
    "a missing offset": (
        without("base_model/batch_normalization_4/beta"),
        "batch_normalization_4/beta",
    ),
    "a layer too much": (
        with_another("base_model/conv2d_21/kernel"),
        "22 convolutions",
    ),
    "a variable too much": (with_another("base_model/dense/kernel"), "dense/kernel"),
    "another shape": (
        with_another("base_model/conv2d_9/kernel", (1, 1, 8, 8)),
        "(1, 1, 8, 8)",
    ),
    "a dense kernel with nothing in it": (
        with_another("head_contrastive/nl_1/dense/kernel", (32, 0)),
        "with 2 axes",
    ),
    "a gap in the head": (
        with_another("head_contrastive/nl_3/dense/kernel", (8, 8)),
        "nl_3",
    ),
    "the slot of nothing": (
        with_another("base_model/none/kernel/Momentum"),
        "Momentum",
    ),
}


def refused(capsys, tmp_path, *arguments):
    """The one line of a refused conversion that left nothing behind."""
    before = sorted(tmp_path.rglob("*"))
    code = convert_checkpoint.main([*arguments, f"--output={tmp_path / 'run'}"])
    lines = capsys.readouterr().err.strip().splitlines()
    assert code == 2 and len(lines) == 1, lines
    assert sorted(tmp_path.rglob("*")) == before
    return lines[0]


@pytest.mark.parametrize(
    "source, mistake",
    [
        *(("google_tf2", name) for name in TF2_MISTAKES),
        *(("google_tf1", name) for name in TF1_MISTAKES),
    ],
)
def test_variables_that_are_not_those_of_a_network_stop_the_conversion(
    source, mistake, network, tf1_network, tmp_path, capsys
):
    mistakes, original = {
        "google_tf2": (TF2_MISTAKES, network),
        "google_tf1": (TF1_MISTAKES, tf1_network),
    }[source]
    change, words = mistakes[mistake]
    variables = dict(original.variables)
    change(variables)
    prefix = files.write_names(tmp_path / "ckpt-1", variables)
    line = refused(capsys, tmp_path, f"--source={source}", f"--checkpoint={prefix}")
    assert words in line, line


@pytest.mark.parametrize(
    "file, keep",
    [
        ("ckpt-1.data-00000-of-00001", 5000),
        ("ckpt-1.data-00000-of-00001", 0),
        ("ckpt-1.index", 100),
        ("ckpt-1.index", 0),
    ],
)
@pytest.mark.parametrize("graph", [False, True])
def test_truncated_files_get_one_line(file, keep, graph, network, tmp_path, capsys):
    if graph:
        prefix = files.write_training_checkpoint(tmp_path, network.variables)
    else:
        prefix = files.write_names(tmp_path / "ckpt-1", network.variables)
    path = tmp_path / file
    path.write_bytes(path.read_bytes()[:keep])
    line = refused(capsys, tmp_path, "--source=google_tf2", f"--checkpoint={prefix}")
    assert "Cannot read the checkpoint" in line


def test_a_missing_data_file_gets_one_line(network, tmp_path, capsys):
    prefix = files.write_names(tmp_path / "ckpt-1", network.variables)
    (tmp_path / "ckpt-1.data-00000-of-00001").unlink()
    assert "Cannot read the checkpoint" in refused(
        capsys, tmp_path, "--source=google_tf2", f"--checkpoint={prefix}"
    )


def test_wrong_paths_and_flags_get_one_line(network, tf1_network, tmp_path, capsys):
    tf2 = files.write_names(tmp_path / "two" / "ckpt-1", network.variables)
    tf1 = files.write_names(tmp_path / "one" / "model.ckpt-1", tf1_network.variables)
    files.write_names(tmp_path / "many" / "ckpt-1", {"a": 1.0})
    files.write_names(tmp_path / "many" / "ckpt-2", {"a": 1.0})
    (tmp_path / "empty").mkdir()
    cases = [
        (["--source=google_tf2", f"--checkpoint={tmp_path}/nowhere"], "nowhere.index"),
        (["--source=google_tf2", f"--checkpoint={tmp_path}/empty"], "no checkpoints"),
        (["--source=google_tf2", f"--checkpoint={tmp_path}/many"], "ckpt-1, ckpt-2"),
        (["--source=google_tf2", f"--checkpoint={tf1}"], "--source=google_tf1?"),
        (["--source=google_tf1", f"--checkpoint={tf2}"], "--source=google_tf2?"),
        (["--source=google_tf1", f"--checkpoint={tf1}", "--copy=ema"], "--copy=raw"),
        (
            ["--source=google_tf2", f"--checkpoint={tf2}", "--probe_layer=3"],
            "probe_layer=3",
        ),
        (
            ["--source=google_tf2", f"--checkpoint={tf2}", "--target=torchvision"],
            "other widths",
        ),
        (["--source=simclr_tf", f"--checkpoint={tf2}"], "are the same"),
        (
            [
                "--source=simclr_tf",
                f"--checkpoint={tmp_path}/empty",
                "--target=torchvision",
            ],
            "not a workdir",
        ),
        (
            ["--source=google_tf2", f"--checkpoint={tf2}", "--copy=ema"],
            "--copy has no effect",
        ),
        (["--source=pytorch", f"--checkpoint={tf2}"], "google_tf1"),
        ([f"--checkpoint={tf2}"], "--source is required"),
        (["--source=google_tf2"], "--checkpoint is required"),
    ]
    for arguments, words in cases:
        line = refused(capsys, tmp_path, *arguments)
        assert words in line, line


def test_an_output_that_is_there_is_never_overwritten(network, tmp_path, capsys):
    prefix = files.write_names(tmp_path / "ckpt-1", network.variables)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("precious")
    line = refused(capsys, tmp_path, "--source=google_tf2", f"--checkpoint={prefix}")
    assert "never overwritten" in line


def test_a_surplus_variable_can_be_given_up_by_name(network, tmp_path, capsys):
    variables = {**network.variables, "memory/queue": np.zeros(4, np.float32)}
    prefix = files.write_names(tmp_path / "ckpt-1", variables)
    code = convert_checkpoint.main(
        [
            "--source=google_tf2",
            f"--checkpoint={prefix}",
            "--leave_out=memory/,other",
            f"--output={tmp_path / 'run'}",
        ]
    )
    assert code == 0, capsys.readouterr().err
    assert (
        "`memory/queue` | [4] | asked for"
        in (tmp_path / "run" / "conversion.md").read_text()
    )
