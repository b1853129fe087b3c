"""`evaluate --step=N`: weights and number are of one checkpoint, also in a live run."""

import shutil

import numpy as np
import pytest

from simclr_tf import load_encoder
from simclr_tf.commands import evaluate as module
from simclr_tf.evaluation import read_results
from simclr_tf.tools import command_line
from simclr_tf.training.checkpoints import Checkpoint
from simclr_tf.training.load import encoder_and_checkpoint
from simclr_tf.training.path_contents import inspect_path
from tests.tools.test_bad_input import TINY, images

OLD, NEW = "step-00000001", "step-00000002"
KNN = ("--protocols=knn", "--knn.k=3")


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """A run of two steps, with a checkpoint of each."""
    folder = tmp_path_factory.mktemp("origin")
    pixels, labels = images(24), np.arange(24) % 3
    halves = {"x_test": pixels[:12], "y_test": labels[:12]}
    np.savez(folder / "ok.npz", x_train=pixels, y_train=labels, **halves)
    arguments = [f"--data=npz:{folder}/ok.npz", f"--workdir={folder}/run", "--steps=2"]
    arguments.append("--checkpoint.every_steps=1")
    assert command_line.main(["pretrain", *TINY, *arguments]) == 0
    return folder / "run"


@pytest.fixture
def run(origin, tmp_path):
    return shutil.copytree(origin, tmp_path / "run")


def weights(encoder):
    return np.concatenate([array.ravel() for array in encoder.get_weights()])


def test_a_chosen_step_is_read_and_its_results_have_their_own_folder(run, monkeypatch):
    (run / "evaluation.json").write_text("of the newest")
    measured = []
    compare = module.compare
    monkeypatch.setattr(
        module, "compare", lambda e, *a, **k: measured.append(e) or compare(e, *a, **k)
    )
    assert command_line.main(["evaluate", f"--workdir={run}", "--step=1", *KNN]) == 0
    expected = load_encoder(run / "checkpoints" / OLD)
    np.testing.assert_array_equal(weights(measured[0]), weights(expected))
    assert (weights(expected) != weights(load_encoder(run))).any()
    folder = run / "evaluations" / OLD
    assert read_results(folder / "evaluation.json").step == 1
    assert (folder / "evaluation.md").is_file()
    assert (run / "evaluation.json").read_text() == "of the newest"


def test_a_checkpoint_saved_meanwhile_does_not_change_the_recorded_step(
    run, monkeypatch
):
    later = run.parent / "later"
    (run / "checkpoints" / NEW).rename(later)
    labelled_data = module.labelled_data

    def slow(*arguments, **options):
        later.rename(run / "checkpoints" / NEW)
        return labelled_data(*arguments, **options)

    monkeypatch.setattr(module, "labelled_data", slow)
    assert command_line.main(["evaluate", f"--workdir={run}", *KNN]) == 0
    assert read_results(run / "evaluation.json").step == 1


def deleting(run, monkeypatch, step):
    """Let the run delete the checkpoint of a step while it is read the first time."""
    restore, todo = Checkpoint.restore, [step]

    def slow(self, **objects):
        if self.step in todo:
            todo.remove(self.step)
            shutil.rmtree(self.path)
        return restore(self, **objects)

    monkeypatch.setattr(Checkpoint, "restore", slow)


def test_a_newest_checkpoint_deleted_while_it_is_read_gives_way_to_another(
    run, monkeypatch
):
    old = weights(load_encoder(run / "checkpoints" / OLD))
    deleting(run, monkeypatch, 2)
    encoder, checkpoint = encoder_and_checkpoint(inspect_path(run))
    assert checkpoint.step == 1
    np.testing.assert_array_equal(weights(encoder), old)


def test_a_chosen_checkpoint_deleted_while_it_is_read_is_one_line(
    run, monkeypatch, capsys
):
    deleting(run, monkeypatch, 1)
    arguments = ["evaluate", f"--workdir={run}", "--step=1", *KNN]
    assert command_line.main(arguments) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert "was deleted while it was being read" in told and OLD in told
    assert command_line.main(arguments) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert "has no checkpoint of this step; it has those of 2." in told
    assert not (run / "evaluations").exists()
