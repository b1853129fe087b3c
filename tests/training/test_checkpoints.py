"""A checkpoint is whole or not there."""

import json
import shutil
import textwrap

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.config import Config
from simclr_tf.config.schema import override, to_dict
from simclr_tf.errors import WorkdirError
from simclr_tf.training import checkpoints
from simclr_tf.training.checkpoints import (
    MANIFEST,
    CheckpointStore,
    DeletedCheckpointError,
)
from simclr_tf.training.continuation import config_hash, find_start
from tests import fresh_process


def a_model(value):
    return tf.train.Checkpoint(weight=tf.Variable([float(value)] * 50))


def test_a_checkpoint_gives_back_what_was_saved(tmp_path):
    store = CheckpointStore(tmp_path / "checkpoints")
    store.save(7, details={"note": "x"}, model=a_model(3))
    fresh = a_model(0)
    latest = store.latest()
    latest.restore(model=fresh)
    assert latest.step == 7 and latest.manifest["note"] == "x"
    np.testing.assert_array_equal(fresh.weight, [3.0] * 50)


def test_a_checkpoint_deleted_while_it_is_checked_is_passed_over(
    tmp_path, monkeypatch, caplog
):
    store = CheckpointStore(tmp_path)
    store.save(5, model=a_model(5))
    first_damage, left = checkpoints._first_damage, [1]

    def slow(folder, manifest):
        if left:
            left.pop()
            shutil.rmtree(folder)
            store.save(10, model=a_model(10))
        return first_damage(folder, manifest)

    monkeypatch.setattr(checkpoints, "_first_damage", slow)
    assert store.latest().step == 10 and not caplog.records


def test_a_deleted_checkpoint_is_called_so(tmp_path):
    found = CheckpointStore(tmp_path).save(5, model=a_model(5))
    shutil.rmtree(found.path)
    with pytest.raises(DeletedCheckpointError, match="checkpoint.keep"):
        found.restore(model=a_model(0))
    with pytest.raises(DeletedCheckpointError, match="step-00000005 was deleted"):
        checkpoints.open_checkpoint(found.path)


def test_only_the_newest_are_kept(tmp_path):
    store = CheckpointStore(tmp_path, keep=2)
    for step in (5, 10, 15):
        store.save(step, model=a_model(step))
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "step-00000010",
        "step-00000015",
    ]


@pytest.mark.parametrize(
    "damage",
    [
        "truncate",
        "flip",
        "delete",
        "no manifest",
        "torn manifest",
        "garbage manifest",
        "no files in the manifest",
        "manifest of another step",
        "null in the manifest",
        "empty folder",
    ],
)
def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_used(
    tmp_path, caplog, damage
):
    store = CheckpointStore(tmp_path)
    store.save(1, model=a_model(1))
    newest = store.save(2, model=a_model(2)).path
    data = next(newest.glob("*.data-*"))
    content = data.read_bytes()
    if damage == "truncate":
        data.write_bytes(content[:-1])
    elif damage == "flip":
        data.write_bytes(content[:20] + bytes([content[20] ^ 1]) + content[21:])
    elif damage == "delete":
        data.unlink()
    elif damage == "no manifest":
        (newest / MANIFEST).unlink()
    elif damage == "torn manifest":
        (newest / MANIFEST).write_text((newest / MANIFEST).read_text()[:30])
    elif damage == "garbage manifest":
        (newest / MANIFEST).write_bytes(b"\xff\xfe\x00[")
    elif damage == "no files in the manifest":
        (newest / MANIFEST).write_text(json.dumps({"step": 2}))
    elif damage == "manifest of another step":
        text = (newest / MANIFEST).read_text()
        (newest / MANIFEST).write_text(text.replace('"step": 2', '"step": 9'))
    elif damage == "null in the manifest":
        manifest = json.loads((newest / MANIFEST).read_text())
        (newest / MANIFEST).write_text(json.dumps({**manifest, "versions": None}))
    else:
        for path in newest.iterdir():
            path.unlink()
    latest, fresh = store.latest(), a_model(0)
    latest.restore(model=fresh)
    assert latest.step == 1 and fresh.weight[0] == 1.0
    assert str(newest) in caplog.text and "damaged" in caplog.text
    # The run that goes on from step 1 never mistakes the damaged one for its own.
    store.save(2, model=a_model(5))
    store.latest().restore(model=fresh)
    assert fresh.weight[0] == 5.0


def test_a_damaged_checkpoint_of_a_later_step_makes_way(tmp_path):
    store = CheckpointStore(tmp_path, keep=2)
    store.save(1, model=a_model(1))
    (store.save(9, model=a_model(9)).path / MANIFEST).unlink()
    store.save(2, model=a_model(2))
    assert [path.name for path in store.paths()] == ["step-00000001", "step-00000002"]


def test_every_mth_is_kept_beside_the_newest(tmp_path):
    store = CheckpointStore(tmp_path, keep=2, keep_every_steps=10)
    for step in range(5, 50, 5):
        store.save(step, model=a_model(step))
    assert [int(path.name[5:]) for path in store.paths()] == [10, 20, 30, 40, 45]


def a_run(**options):
    """What a manifest says about a run."""
    config = override(Config(), options)
    return {
        "config": to_dict(config),
        "config_hash": config_hash(config),
        "data": {"fingerprint": "abc", "num_examples": 9},
        "replicas": 1,
        "versions": {"tensorflow": "2.20.0"},
    }


def test_a_run_goes_on_from_its_newest_checkpoint(tmp_path, caplog):
    store = CheckpointStore(tmp_path / "none")
    assert find_start(store, a_run()) is None
    store.save(3, details=a_run(), model=a_model(3))
    store.save(4, details=a_run(), model=a_model(4))
    often = a_run(**{"checkpoint.every_steps": 5})
    assert find_start(store, often).step == 4
    assert caplog.text == ""


def test_a_checkpoint_of_another_config_is_refused_with_the_fields(tmp_path):
    store = CheckpointStore(tmp_path)
    store.save(3, details=a_run(**{"objective.temperature": 0.5}), model=a_model(3))
    with pytest.raises(WorkdirError) as error:
        find_start(store, a_run(seed=4))
    assert "seed (there 0, now 4)" in str(error.value)
    assert "objective.temperature (there 0.5, now 0.1)" in str(error.value)
    assert "step-00000003" in str(error.value) and "\n" not in str(error.value)


def test_an_option_that_is_newer_than_the_checkpoint_does_not_stop_the_run(tmp_path):
    old = a_run()
    del old["config"]["deterministic"]
    old["config_hash"] = "0" * 64
    CheckpointStore(tmp_path).save(3, details=old, model=a_model(3))
    assert find_start(CheckpointStore(tmp_path), a_run()).step == 3


def test_a_checkpoint_of_other_images_is_refused(tmp_path):
    store = CheckpointStore(tmp_path)
    store.save(3, details=a_run(), model=a_model(3))
    changed = {**a_run(), "data": {"fingerprint": "other", "num_examples": 8}}
    with pytest.raises(WorkdirError, match="9 then, 8 now"):
        find_start(store, changed)


def test_other_versions_and_replicas_are_said(tmp_path, caplog):
    store = CheckpointStore(tmp_path)
    store.save(3, details=a_run(), model=a_model(3))
    now = {**a_run(), "replicas": 2, "versions": {"tensorflow": "2.21.0"}}
    assert find_start(store, now).step == 3
    assert "tensorflow 2.20.0 there, 2.21.0 now" in caplog.text
    assert "1 replicas there, 2 now" in caplog.text


def test_when_no_checkpoint_is_whole_the_run_does_not_begin_anew(tmp_path):
    store = CheckpointStore(tmp_path)
    for step in (1, 2):
        (store.save(step, model=a_model(step)).path / MANIFEST).unlink()
    with pytest.raises(WorkdirError, match="None of the 2 checkpoints"):
        find_start(store, a_run())


def test_what_a_killed_save_left_is_ignored_and_then_removed(tmp_path):
    store = CheckpointStore(tmp_path)
    store.save(1, model=a_model(1))
    left = [tmp_path / f".step-00000009-{'0' * 32}", tmp_path / ".writing-of-0.1.0"]
    for folder in left:
        folder.mkdir()
    assert store.latest().step == 1
    store.save(2, model=a_model(2))
    assert not any(folder.exists() for folder in left)


def test_a_checkpoint_that_does_not_fit_the_model_is_refused(tmp_path):
    store = CheckpointStore(tmp_path)
    store.save(1, model=a_model(1))
    other = tf.train.Checkpoint(weight=tf.Variable(tf.zeros([3])))
    with pytest.raises(WorkdirError, match="does not fit"):
        store.latest().restore(model=other)
    missing = tf.train.Checkpoint(other=tf.Variable(tf.zeros([50])))
    with pytest.raises(WorkdirError, match="does not fit"):
        store.latest().restore(model=missing)


def test_a_full_disk_ends_in_one_line_and_leaves_the_one_before(tmp_path):
    # A limit on the size of files stands for the full disk; it needs a process of
    # its own.
    script = textwrap.dedent("""
        import resource, sys
        import tensorflow as tf
        from simclr_tf.errors import WorkdirError
        from simclr_tf.training.checkpoints import CheckpointStore
        store = CheckpointStore(sys.argv[1])
        store.save(1, model=tf.train.Checkpoint(w=tf.Variable(tf.zeros([10]))))
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            store.save(2, model=tf.train.Checkpoint(w=tf.Variable(tf.zeros([10**6]))))
        except WorkdirError as error:
            print("REFUSED", error)
        print("LATEST", store.latest().step)
        print("LEFT", sorted(p.name for p in store.folder.iterdir()))
    """)
    done = fresh_process.run(["-c", script, tmp_path / "c"])
    lines = done.stdout.splitlines()
    assert lines[0].startswith("REFUSED Cannot save the checkpoint of step 2"), (
        done.stdout + done.stderr
    )
    assert lines[1:] == ["LATEST 1", "LEFT ['step-00000001']"]


def a_saved_run(folder):
    """Two checkpoints, the second with all that a run writes into its manifest."""
    store = CheckpointStore(folder)
    store.save(1, model=a_model(1))
    details = {**a_run(), "metrics": {"loss": [1.25e-05, 3.0], "accuracy": [0.5]}}
    return store, store.save(2, details=details, model=a_model(2)).path / MANIFEST


# With a prime stride the bits of the sample differ from byte to byte.
@pytest.mark.parametrize(
    "stride", [997, pytest.param(1, marks=pytest.mark.slow)], ids=["some", "all"]
)
def test_no_flipped_bit_of_a_manifest_gives_another_value(tmp_path, caplog, stride):
    store, path = a_saved_run(tmp_path)
    written, content = store.latest().manifest, path.read_bytes()
    steps = []
    for bit in range(0, 8 * len(content), stride):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        latest = store.latest()
        steps.append(latest.step)
        # `1E-05` is the same number as `1e-05`.
        assert latest.step == 1 or latest.manifest == written, bit
    assert steps.count(1) > 0.95 * len(steps) > 10
    assert "differs from its checksum" in caplog.text
    path.write_bytes(content)
    assert store.latest().manifest == written and written["metrics"]["loss"][1] == 3.0


def test_the_checksum_of_a_manifest_cannot_lose_its_name(tmp_path):
    store, path = a_saved_run(tmp_path)
    path.write_text(path.read_text().replace('"checksum"', '"checksun"'))
    assert store.latest().step == 1


def test_a_manifest_of_version_0_1_0_has_no_checksum_and_is_read(tmp_path):
    store, path = a_saved_run(tmp_path)
    record = json.loads(path.read_text())
    del record["checksum"]
    path.write_text(json.dumps(record, indent=1))
    assert store.latest().manifest == record and record["step"] == 2
