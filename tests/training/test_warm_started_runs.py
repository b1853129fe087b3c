"""Whole runs that start from another: step 0, resume without the source, refusal."""

import shutil

import numpy as np
import pytest

from simclr_tf._keras import keras
from simclr_tf.errors import ConfigError, DataError, WorkdirError
from simclr_tf.training import pretrain
from simclr_tf.training.warm_start import read_warm_start
from tests.training.warm_models import a_model, a_workdir, assert_same, own_net, values

RUN = {
    "epochs": 1,
    "global_batch_size": 8,
    "precision": "float32",
    "preset": "demo",
    "projection_head": {"out_features": 8, "num_layers": 2},
    "data.image_size_pixels": 16,
    "compile_views": False,
    "optimizer.base_learning_rate": 0.01,
    "optimizer.warmup_epochs": 0,
    "augment.recipe": "finetune",  # See faulty_runs.
}


def run(workdir=None, lines=None, **options):
    pictures = np.random.default_rng(0).integers(0, 256, (16, 16, 16, 3), "uint8")
    return pretrain(
        pictures,
        workdir,
        encoder=own_net(),
        say=lambda line: lines is not None and lines.append(line),
        **{**RUN, **options},
    )


class Interrupt(keras.callbacks.Callback):
    """Ctrl-C in the middle of the first epoch; keeps the weights it saw before."""

    def on_train_begin(self, logs=None):
        self.weights = values(self.model.encoder)

    def on_train_batch_end(self, batch, logs=None):
        raise KeyboardInterrupt


def test_a_warm_started_run_begins_at_step_0_and_goes_on_without_its_source(tmp_path):
    source, cold = run(tmp_path / "source", epochs=2), Interrupt()
    with pytest.raises(KeyboardInterrupt):
        run(callbacks=[cold])
    assert any(
        (one != other).any()
        for one, other in zip(cold.weights, values(source.encoder), strict=True)
    )
    lines, seen = [], Interrupt()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", lines, init_from=tmp_path / "source", callbacks=[seen])
    assert_same(seen.weights, values(source.encoder))
    table = next(line for line in lines if line.startswith("Warm start"))
    assert "step-00000004 (step 4)" in table and "8 of 8 variables" in table

    # Interrupted before its first epoch: step 0 is a checkpoint, the source may go.
    shutil.rmtree(tmp_path / "source")
    lines, seen = [], Interrupt()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", lines, init_from=tmp_path / "source", callbacks=[seen])
    assert_same(seen.weights, values(source.encoder))
    assert not any(line.startswith("Warm start") for line in lines)
    assert any(line.startswith("Continuing  from step 0") for line in lines)

    done = run(tmp_path / "run", init_from=tmp_path / "source")
    assert int(done.model.optimizer.iterations) == 2
    record = read_warm_start(tmp_path / "run")
    assert record["step"] == 4 and record["source"].endswith("step-00000004")
    assert len(record["variables"]) == 8 and len(record["sha256"]) == 2
    summary = (tmp_path / "run" / "SUMMARY.md").read_text()
    assert "## Started from" in summary and "8 of 8 variables" in summary
    with pytest.raises(WorkdirError, match=r"init_from \(there '.*/source', now None"):
        run(tmp_path / "run")


@pytest.mark.parametrize("spoil", ["missing", "other network"])
def test_a_source_that_will_not_do_leaves_no_workdir(tmp_path, spoil):
    path = tmp_path / "gone"
    if spoil == "other network":
        path.mkdir()
        a_workdir(path, a_model())
    with pytest.raises((DataError, ConfigError)):
        run(tmp_path / "run", init_from=path)
    assert not (tmp_path / "run").exists()
