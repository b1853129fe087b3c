"""What a model takes from stored weights, what it leaves, and what it says of it."""

import json

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.commands.run_card import card_of_run
from simclr_tf.errors import ConfigError, DataError, WorkdirError
from simclr_tf.models import ProjectionHead, resnet
from simclr_tf.objectives import NTXent, SimSiam
from simclr_tf.training import CheckpointStore, PretrainingModel
from simclr_tf.training.checkpoints import MANIFEST
from simclr_tf.training.stored_weights import open_stored_weights
from simclr_tf.training.warm_start import (
    read_warm_start,
    warm_start,
    write_warm_start,
)
from simclr_tf.training.workdir import Workdir
from tests.training.warm_models import (
    STEM,
    a_model,
    a_workdir,
    assert_same,
    own_net,
    saved,
    values,
    write,
)


def reasons(result, part="encoder"):
    return {
        row.name: row.reason for row in result.rows if row.part == part and row.reason
    }


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A trained model and its workdir."""
    model = a_model(seed=5)
    return model, a_workdir(tmp_path_factory.mktemp("source"), model)


def test_the_encoder_equals_the_sources_bit_by_bit_with_its_statistics(source):
    trained, folder = source
    fresh = a_model(trained=False)
    head, probe = values(fresh.projection_head), values(fresh.probe)
    result = warm_start(fresh, folder)
    assert_same(values(fresh.encoder), values(trained.encoder))
    x = np.random.default_rng(0).random((2, 16, 16, 3), "float32")
    np.testing.assert_array_equal(fresh.encoder(x), trained.encoder(x))
    # The head was not asked for, and the probe learns its labels anew.
    assert_same(values(fresh.projection_head), head)
    assert_same(values(fresh.probe), probe)
    assert reasons(result) == {} and result.source.step == 7
    assert len(set(result.parameters("encoder"))) == 1


def test_the_head_comes_along_when_it_is_asked_for(source):
    trained, folder = source
    fresh = a_model(trained=False)
    warm_start(fresh, folder, "encoder_and_head")
    assert_same(values(fresh.encoder), values(trained.encoder))
    assert_same(values(fresh.projection_head), values(trained.projection_head))


@pytest.mark.parametrize(
    "objective, line",
    [
        (NTXent(), None),
        (
            NTXent(memory_size=4),
            "objective: its own state starts anew (averaged, memory)",
        ),
        (
            SimSiam(predictor_features=4),
            "objective: its own state starts anew (predictor)",
        ),
    ],
    ids=["nothing", "queue", "predictor"],
)
def test_an_objective_with_state_of_its_own_is_told_to_start_anew(
    source, objective, line
):
    model = PretrainingModel(
        resnet(10, width_multiplier=0.0625, stem="small"),
        ProjectionHead(num_layers=2, out_features=8),
        objective,
    )
    model.build_from_shape((16, 16, 3))
    result = warm_start(model, source[1], "encoder_and_head")
    assert list(result.summary())[2:] == ([] if line is None else [line])
    assert (line is None) or line in result.table()
    assert result.record()["summary"] == list(result.summary())


def test_another_number_of_classes_is_fine(source):
    trained, folder = source
    for num_classes in (None, 11):
        fresh = a_model(trained=False, num_classes=num_classes)
        assert reasons(warm_start(fresh, folder)) == {}
        assert_same(values(fresh.encoder), values(trained.encoder))


def test_of_another_head_the_layers_that_fit_are_taken_and_the_others_named(source):
    trained, folder = source
    fresh = a_model(trained=False, out_features=6)
    before = fresh.projection_head.dense_layers[1].kernel.numpy()
    result = warm_start(fresh, folder, "encoder_and_head")
    head = reasons(result, "projection_head")
    assert head.pop("projection_head/dense2/kernel") == "the shape differs"
    assert set(head) == {
        f"projection_head/bn2/{name}"
        for name in ("gamma", "moving_mean", "moving_variance")
    }
    np.testing.assert_array_equal(fresh.projection_head.dense_layers[1].kernel, before)
    np.testing.assert_array_equal(
        fresh.projection_head.dense_layers[0].kernel,
        trained.projection_head.dense_layers[0].kernel,
    )


def test_a_deeper_head_names_what_the_source_lacks(source):
    result = warm_start(
        a_model(trained=False, num_layers=3), source[1], "encoder_and_head"
    )
    head = reasons(result, "projection_head")
    assert head["projection_head/dense3/kernel"] == "missing in the source"
    assert head["projection_head/dense2/kernel"] == "the shape differs"
    assert "projection_head/dense1/kernel" not in head
    linear = warm_start(
        a_model(trained=False, kind="linear"), source[1], "encoder_and_head"
    )
    assert reasons(linear, "projection_head")["projection_head/dense2/kernel"] == (
        "only in the source"
    )


def test_other_channels_leave_the_stem_alone_fresh_and_say_so(source, caplog):
    trained, folder = source
    fresh = a_model(trained=False, channels=1)
    stem = fresh.encoder.get_layer("initial_conv").kernel.numpy()
    result = warm_start(fresh, folder)
    assert reasons(result) == {STEM: "the shape differs"}
    assert_same(values(fresh.encoder)[1:], values(trained.encoder)[1:])
    np.testing.assert_array_equal(values(fresh.encoder)[0], stem)
    taken, total = result.parameters("encoder")
    assert total - taken == stem.size
    assert f"Only {taken:,} of {total:,} parameters" in caplog.text
    line = next(line for line in result.table().splitlines() if STEM in line)
    assert line.split() == [
        f"encoder/{STEM}",
        "3x3x1x4",
        "3x3x3x4",
        "the",
        "shape",
        "differs",
    ]


def test_a_deeper_network_takes_the_blocks_of_the_same_name(source):
    trained, folder = source
    fresh = a_model(trained=False, depth=18)
    result = warm_start(fresh, folder)
    assert set(reasons(result).values()) == {"missing in the source"}
    assert all("_block2_" in name for name in reasons(result))
    for name in ("block_group1_block1_conv2", "block_group4_block1_conv1"):
        np.testing.assert_array_equal(
            fresh.encoder.get_layer(name).kernel, trained.encoder.get_layer(name).kernel
        )
    table = result.table().splitlines()
    assert table[-1].strip().startswith("... and ")


def test_another_width_is_refused_with_both_shapes(source):
    fresh = a_model(trained=False, width=0.125)
    before = values(fresh)
    with pytest.raises(ConfigError) as error:
        warm_start(fresh, source[1])
    text = str(error.value)
    assert f"{STEM} has the shape 3x3x3x8 here and 3x3x3x4 there" in text
    assert "--encoder and its options" in text and "\n" not in text
    assert_same(values(fresh), before)


def test_another_network_is_refused_with_a_name_of_each(source):
    with pytest.raises(ConfigError, match="no variable has the same name.*conv2d"):
        warm_start(a_model(trained=False, encoder=own_net()), source[1])


def test_a_users_own_network_is_matched_in_order_whatever_keras_calls_its_layers(
    tmp_path,
):
    trained = a_model(encoder=own_net())
    saved(tmp_path, trained)
    fresh = a_model(encoder=own_net(), trained=False)
    assert fresh.encoder.weights[0].name != trained.encoder.weights[0].name
    assert reasons(warm_start(fresh, tmp_path / "checkpoints")) == {}
    assert_same(values(fresh.encoder), values(trained.encoder))
    grey = a_model(encoder=own_net(channels=1), channels=1, trained=False)
    result = warm_start(grey, tmp_path / "checkpoints")
    assert list(reasons(result).values()) == ["the shape differs"]
    assert_same(values(grey.encoder)[1:], values(trained.encoder)[1:])


def test_a_keras_file_gives_its_encoder(tmp_path):
    trained = a_model(seed=2)
    trained.encoder.save(tmp_path / "net.h5")
    fresh = a_model(trained=False)
    result = warm_start(fresh, tmp_path / "net.h5", "encoder_and_head")
    assert_same(values(fresh.encoder), values(trained.encoder))
    # A Keras file of an encoder has no head: it stays as it is.
    assert set(reasons(result, "projection_head").values()) == {"missing in the source"}


@pytest.mark.parametrize("encoder", [None, own_net])
def test_an_export_gives_encoder_and_head(tmp_path, encoder):
    from simclr_tf.export.plain_copy import plain_copy, plain_head
    from simclr_tf.export.reusable import ReusableModule

    def model(**options):
        return a_model(encoder=None if encoder is None else encoder(), **options)

    trained = model(seed=3)
    # As export_saved_model does, without its check in a fresh process.
    copy = plain_copy(trained.encoder)
    module = ReusableModule(
        copy,
        plain_head(trained.projection_head, copy.output_shape[-1], "projection_head"),
    )
    tf.saved_model.save(
        module.root, str(tmp_path / "saved_model"), signatures=module.signatures
    )
    fresh = model(trained=False)
    result = warm_start(fresh, tmp_path, "encoder_and_head")
    assert reasons(result) == {} and reasons(result, "projection_head") == {}
    assert_same(values(fresh.encoder), values(trained.encoder))
    assert_same(values(fresh.projection_head), values(trained.projection_head))


def test_precision_may_differ_both_ways(tmp_path):
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        short, short_too = a_model(seed=1), a_model(trained=False)
    finally:
        keras.mixed_precision.set_global_policy(before)
    full = a_model(trained=False)
    saved(tmp_path / "short", short)
    assert reasons(warm_start(full, tmp_path / "short" / "checkpoints")) == {}
    assert_same(values(full.encoder), values(short.encoder))
    saved(tmp_path / "full", full)
    assert reasons(warm_start(short_too, tmp_path / "full" / "checkpoints")) == {}
    assert_same(values(short_too.encoder), values(full.encoder))


def test_every_replica_gets_the_weights(source):
    tf.distribute.MirroredStrategy._collective_key_base += 100_000
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        fresh = a_model(trained=False)
        assert reasons(warm_start(fresh, source[1])) == {}
    for ours, theirs in zip(
        fresh.encoder.variables, source[0].encoder.variables, strict=True
    ):
        for copy in strategy.experimental_local_results(ours):
            np.testing.assert_array_equal(copy, theirs)


def test_a_damaged_newest_checkpoint_of_the_source_is_passed_over(tmp_path, caplog):
    older = a_model(seed=1)
    a_workdir(tmp_path, older, step=4)
    newest = saved(tmp_path, a_model(seed=2), step=8)
    data = next(newest.glob("*.data-*"))
    data.write_bytes(data.read_bytes()[:-1])
    fresh = a_model(trained=False)
    assert warm_start(fresh, tmp_path).source.step == 4
    assert_same(values(fresh.encoder), values(older.encoder))
    assert "step-00000008 is damaged" in caplog.text
    # Asked for by its own name, it is refused: nothing else was meant.
    with pytest.raises(WorkdirError, match="step-00000008 is damaged"):
        warm_start(fresh, newest)
    assert warm_start(fresh, newest.with_name("step-00000004")).source.step == 4


@pytest.mark.parametrize(
    "make, error, words",
    [
        (lambda path: path / "nowhere", DataError, "does not exist"),
        (lambda path: path, WorkdirError, "neither a workdir"),
        (
            lambda path: write(path / "config.json", "{}").parent,
            WorkdirError,
            "no complete checkpoint yet",
        ),
        (
            lambda path: write(path / "a.txt", "hello"),
            DataError,
            "not a file with an encoder",
        ),
        (
            lambda path: write(path / "step-00000003" / "x", "").parent,
            WorkdirError,
            "damaged",
        ),
        (
            lambda path: write(path / "saved_model" / "saved_model.pb", "x").parent,
            DataError,
            "Cannot read the checkpoint",
        ),
    ],
)
def test_bad_places_get_one_line(tmp_path, make, error, words):
    with pytest.raises(error, match=words) as caught:
        open_stored_weights(make(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_foreign_checkpoint_holds_no_model(tmp_path):
    path = CheckpointStore(tmp_path).save(1, other=tf.Variable(1.0)).path
    with pytest.raises(WorkdirError, match="holds no model"):
        open_stored_weights(path)


def test_the_card_says_where_the_run_started(tmp_path, source):
    record = {
        "config": {},
        "command": "x",
        "data": {"num_examples": 9, "channels": 3, "fingerprint": "f"},
    }
    write(tmp_path / "config.json", json.dumps(record))
    assert "notes" not in card_of_run(Workdir(tmp_path))
    write_warm_start(tmp_path, warm_start(a_model(trained=False), source[1]))
    notes = card_of_run(Workdir(tmp_path))["notes"]
    assert len(notes) == 1 and "step-00000007" in notes[0]
    write(tmp_path / "warm_start.json", '{"source": ')
    with pytest.raises(WorkdirError, match="damaged"):
        read_warm_start(tmp_path)


def test_the_manifest_of_the_source_is_part_of_the_account(source):
    folder = source[1] / "checkpoints" / "step-00000007"
    manifest = json.loads((folder / MANIFEST).read_text())
    assert open_stored_weights(folder).sha256 == {
        name: file["sha256"] for name, file in manifest["files"].items()
    }
