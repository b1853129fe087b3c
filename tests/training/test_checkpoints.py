"""A checkpoint is whole or not there."""

import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.errors import WorkdirError
from simclr_tf.training.checkpoints import MANIFEST, CheckpointStore


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


def test_only_the_newest_are_kept(tmp_path):
    store = CheckpointStore(tmp_path, keep=2)
    for step in (5, 10, 15):
        store.save(step, model=a_model(step))
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "step-00000010", "step-00000015"]


@pytest.mark.parametrize("damage", [
    "truncate", "flip", "delete", "no manifest", "torn manifest", "empty"])
def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_used(
        tmp_path, caplog, damage):
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
    else:
        (newest / MANIFEST).write_text(json.dumps({"step": 2}))
    assert store.latest().step == 1
    assert str(newest) in caplog.text and "damaged" in caplog.text


def test_what_a_killed_save_left_is_ignored_and_then_removed(tmp_path):
    store = CheckpointStore(tmp_path)
    store.save(1, model=a_model(1))
    (tmp_path / ".writing-dead").mkdir()
    assert store.latest().step == 1
    store.save(2, model=a_model(2))
    assert not (tmp_path / ".writing-dead").exists()


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
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "c")],
                          capture_output=True, text=True, timeout=300)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("REFUSED Cannot save the checkpoint of step 2"), (
        done.stdout + done.stderr)
    assert lines[1:] == ["LATEST 1", "LEFT ['step-00000001']"]
