"""An exported folder: what it holds, and what its SavedModel can do."""

import hashlib
import json
import re

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.export import export_saved_model, saved_model
from simclr_tf.models import ProjectionHead
from tests.export.tiny_encoder import tiny_encoder

CARD = {
    "title": "A tiny encoder",
    "data": "embedded:freedoom_12, 6,007 images",
    "data_licence": "BSD-3-Clause",
    "command": "simclr-tf pretrain --preset=demo",
    "metrics": [{"metric": "kNN", "value": "73.2 (71.4 to 74.9)", "num_test": 2534}],
}


@pytest.fixture(scope="module")
def encoder():
    return tiny_encoder()


@pytest.fixture(scope="module")
def head(encoder):
    return ProjectionHead(num_layers=2, out_features=6, seed=1)


@pytest.fixture(scope="module")
def exported(encoder, head, tmp_path_factory):
    """Folder and record of one export, checked in a fresh process."""
    folder = tmp_path_factory.mktemp("exports") / "tiny"
    record = export_saved_model(
        encoder, folder, config={"preset": "demo"}, card=CARD, projection_head=head
    )
    return folder, record


@pytest.fixture
def loaded(exported):
    return tf.saved_model.load(str(exported[0] / "saved_model"))


@pytest.fixture
def images():
    rng = np.random.default_rng(1)
    return rng.uniform(size=(3, 12, 17, 3)).astype(np.float32)


def test_folder_holds_saved_model_config_and_card(exported):
    folder, record = exported
    names = {path.name for path in folder.iterdir()}
    assert names == {"saved_model", "config.json", "card.md"}
    assert (folder / "saved_model" / "saved_model.pb").is_file()
    assert json.loads((folder / "config.json").read_text()) == json.loads(
        json.dumps(record)
    )
    assert [path.name for path in folder.parent.iterdir()] == ["tiny"]


def test_config_states_the_contract(exported):
    _, record = exported
    assert record["config"] == {"preset": "demo"}
    assert record["input"]["shape"] == [None, None, None, 3]
    assert record["input"]["dtype"] == "float32"
    assert record["input"]["side_multiple"] == 1
    assert record["background"] == "white"
    shapes = {name: output["shape"] for name, output in record["outputs"].items()}
    assert shapes == {
        "default": [None, 5],
        "initial_conv": [None, None, None, 4],
        "block_group1": [None, None, None, 4],
        "final_avg_pool": [None, 5],
        "projection_layer1": [None, 5],
        "projection_layer2": [None, 6],
        "projections": [None, 6],
    }
    assert record["parity"]["max_abs_difference"] <= 1e-5
    assert record["versions"]["tensorflow"] == tf.__version__


def test_checksums_are_those_of_the_files(exported):
    folder, record = exported
    found = {
        path.relative_to(folder).as_posix(): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "config.json"
    }
    assert record["sha256"] == found


def test_features_equal_the_models_at_any_size(loaded, encoder, images):
    for batch in (images, images[:1, :5, :9]):
        np.testing.assert_allclose(loaded(batch), encoder(batch), atol=1e-5)
        np.testing.assert_array_equal(loaded(batch, training=False), loaded(batch))


def test_both_signatures_return_features_and_endpoints(loaded, encoder, head, images):
    first_conv = encoder.get_layer("initial_conv")(images)
    for name in ("serving_default", "image_feature_vector"):
        outputs = loaded.signatures[name](images=tf.constant(images))
        np.testing.assert_allclose(outputs["default"], encoder(images), atol=1e-5)
        np.testing.assert_array_equal(outputs["final_avg_pool"], outputs["default"])
        np.testing.assert_allclose(outputs["initial_conv"], first_conv, atol=1e-5)
        layers = head.layer_outputs(encoder(images))
        for output, layer in zip(
            ("projection_layer1", "projection_layer2", "projections"),
            (layers[1], layers[2], head(encoder(images))),
            strict=True,
        ):
            np.testing.assert_allclose(outputs[output], layer, atol=1e-5)


def test_gradient_reaches_the_first_convolution(loaded, exported, images):
    names = exported[1]["variables"]
    kernel = loaded.variables[names.index("initial_conv/kernel:0")]
    assert kernel.shape == (3, 3, 3, 4)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(loaded(images, training=True) ** 2)
    assert np.abs(tape.gradient(loss, kernel)).max() > 1e-6


def test_trainable_variables_are_the_encoders_but_for_moving_statistics(
    loaded, exported
):
    names = exported[1]["variables"]
    assert len(loaded.variables) == 12 and len(loaded.head_variables) == 9
    assert len(names) == 12 + 9
    moving = sum("moving" in name for name in names[:12])
    assert len(loaded.trainable_variables) == 12 - moving
    assert all(variable.trainable for variable in loaded.trainable_variables)


def test_batch_norm_statistics_move_in_training_only(loaded, exported, images):
    encoder_names = exported[1]["variables"][:12]
    before = [variable.numpy() for variable in loaded.variables]
    loaded(images)
    loaded.signatures["serving_default"](images=tf.constant(images))
    for old, variable in zip(before, loaded.variables, strict=True):
        np.testing.assert_array_equal(old, variable)
    loaded(images, training=True)
    moved = [
        name
        for name, old, new in zip(encoder_names, before, loaded.variables, strict=False)
        if (old != new.numpy()).any()
    ]
    assert sorted(moved) == [
        "bn1/moving_mean:0",
        "bn1/moving_variance:0",
        "bn2/moving_mean:0",
        "bn2/moving_variance:0",
    ]


def test_training_uses_batch_statistics(loaded, encoder, images):
    expected = encoder(images, training=False)
    assert np.abs(loaded(images, training=True) - expected).max() > 0.01


def test_regularization_losses_follow_the_weights(loaded, exported):
    (penalty,) = loaded.regularization_losses
    kernel = loaded.variables[0]
    assert exported[1]["variables"][0] == "initial_conv/kernel:0"
    np.testing.assert_allclose(penalty(), 0.01 * np.sum(kernel.numpy() ** 2), rtol=1e-5)
    before = penalty().numpy()
    kernel.assign(2 * kernel)
    np.testing.assert_allclose(penalty(), 4 * before, rtol=1e-5)


def test_loading_example_of_the_card_has_five_lines_and_runs(exported, monkeypatch):
    folder, _ = exported
    text = (folder / "card.md").read_text()
    example = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    imports, code = example.split("\n\n")
    assert len(imports.splitlines()) == 2 and len(code.splitlines()) == 3
    monkeypatch.chdir(folder)
    names = {}
    exec(example, names)
    assert names["features"].shape == (1, 5)


def test_export_inside_a_strategy_knows_nothing_of_it(
    encoder, images, tmp_path, monkeypatch
):
    # Spares the fresh process, which `exported` had.
    monkeypatch.setattr(saved_model, "check_in_fresh_process", lambda *args: 0.0)
    tf.distribute.MirroredStrategy._collective_key_base += 100_000
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        export_saved_model(encoder, tmp_path / "new")
    loaded = tf.saved_model.load(str(tmp_path / "new" / "saved_model"))
    np.testing.assert_allclose(loaded(images), encoder(images), atol=1e-5)
    assert len(loaded.variables) == 12
    assert not any(
        isinstance(v, tf.distribute.DistributedValues) for v in loaded.variables
    )
