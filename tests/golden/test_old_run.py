"""A run of version 0.1.0, stopped at step 211 of 276: it still is what it was.

`old_run/expected.json` holds what its encoder gave, then and at the run's end. The run
is continued with its own config.json, in a process of its own: it asks for determinism,
which would stay on for the tests after it.
"""

import json
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf import load_encoder
from simclr_tf.commands.evaluate import evaluate_and_report
from simclr_tf.config.evaluate import EvaluateOptions
from simclr_tf.evaluation import THIS_ENCODER, UNTRAINED
from simclr_tf.tools import command_line
from simclr_tf.training import CheckpointStore
from simclr_tf.training.records import read_metrics
from tests.fresh_process import run

OLD_RUN = pathlib.Path(__file__).parent / "old_run"
EXPECTED = json.loads((OLD_RUN / "expected.json").read_text())
CONTINUE = """
import sys
from simclr_tf.training import Workdir, pretrain_from_config
workdir = Workdir(sys.argv[1])
pretrain_from_config(workdir.config(), workdir=workdir.path)
"""


@pytest.fixture
def workdir(tmp_path):
    """A copy of the old run."""
    return pathlib.Path(shutil.copytree(OLD_RUN / "run", tmp_path / "run"))


def features_of(encoder):
    """Of the input that expected.json names, `[4, 64]`."""
    images = tf.random.stateless_uniform([4, 32, 32, 3], [1, 2])
    return np.asarray(encoder(images))


def test_its_encoder_is_loaded_and_gives_the_same_features(workdir):
    features = features_of(load_encoder(workdir))
    np.testing.assert_allclose(features, EXPECTED["features_at_step_211"], 1e-5, 1e-5)


def test_it_is_evaluated_beside_its_encoder_before_training(workdir):
    results = evaluate_and_report(
        EvaluateOptions(
            workdir=str(workdir),
            split="train[:256]",
            test_split="test[:128]",
            protocols=("knn",),
        ),
        say=lambda line: None,
    )
    accuracies = {found.representation: found.value for found in results.measurements}
    # Of 12 classes; the figures of version 0.1.0, give or take two test images.
    assert accuracies[THIS_ENCODER] == pytest.approx(45.3125, abs=1.6)
    assert accuracies[UNTRAINED] == pytest.approx(23.4375, abs=1.6)
    assert (workdir / "evaluation.json").exists()


def test_it_is_exported_and_the_export_gives_the_same_features(workdir, tmp_path):
    output = tmp_path / "export"
    arguments = ["export", f"--workdir={workdir}", f"--output={output}"]
    assert command_line.main(arguments) == 0
    exported = tf.saved_model.load(str(output / "saved_model"))
    np.testing.assert_allclose(
        features_of(exported), EXPECTED["features_at_step_211"], 1e-5, 1e-5
    )


def test_it_continues_with_its_own_config_to_the_end_that_it_had(workdir):
    done = run(["-c", CONTINUE, workdir])
    assert done.returncode == 0, done.stderr
    assert "from step 211" in done.stdout
    assert CheckpointStore(workdir / "checkpoints").latest().step == 276
    now = features_of(load_encoder(workdir))
    then = np.array(EXPECTED["features_at_step_276"])
    norms = np.linalg.norm(now, axis=1) * np.linalg.norm(then, axis=1)
    assert ((now * then).sum(axis=1) / norms).min() > 0.99
    records = {
        record["step"]: record for record in read_metrics(workdir / "metrics.jsonl")
    }
    assert list(records) == [record["step"] for record in EXPECTED["metrics_by_epoch"]]
    for record in EXPECTED["metrics_by_epoch"]:
        assert records[record["step"]]["contrastive_loss"] == pytest.approx(
            record["contrastive_loss"], rel=0.02
        )
