"""Runs that cannot succeed are recognised, healthy ones are left in peace."""

import math
import types

import pytest

from simclr_tf.errors import NonFiniteError
from simclr_tf.objectives import NTXent
from simclr_tf.training.health import HealthCheck
from simclr_tf.training.step_clock import StepClock
from tests.training.callback_lists import after_steps

STUCK = math.log(2 * 256 - 1)


class Check(HealthCheck):
    """A check after a clock of its own."""

    def __init__(self, start_step=0, **kwargs):
        self.clock = StepClock(1000, 1000, start_step=start_step)
        super().__init__(self.clock, global_batch_size=256, **kwargs)
        self.set_model(types.SimpleNamespace(objective=NTXent()))

    def after_step(self, logs):
        after_steps(0, logs, self.clock, self)


def findings(**logs):
    return [name for name, _ in Check().findings(logs)]


def test_a_loss_at_ln_2g_minus_1_with_chance_accuracy_is_stuck():
    assert findings(contrastive_loss=STUCK, contrastive_accuracy=0.0) == ["stuck"]
    assert findings(contrastive_loss=STUCK * 1.01, contrastive_accuracy=0.002) == [
        "stuck"
    ]


@pytest.mark.parametrize(
    "loss, accuracy",
    [
        (STUCK * 0.9, 0.0),  # It moved.
        (STUCK, 0.3),  # A high temperature keeps the loss near, but it learns.
    ],
)
def test_a_learning_run_is_not_called_stuck(loss, accuracy):
    assert findings(contrastive_loss=loss, contrastive_accuracy=accuracy) == []


def test_equal_features_are_called_collapsed():
    assert findings(feature_std=0.01, effective_rank=30.0) == ["collapsed"]
    assert findings(feature_std=0.6, effective_rank=1.1) == ["collapsed"]
    assert findings(feature_std=0.6, effective_rank=30.0) == []


def test_a_finding_is_said_once_after_patience_in_plain_words(caplog):
    callback = Check(patience_epochs=2)
    logs = {"contrastive_loss": STUCK, "contrastive_accuracy": 0.0}
    callback.on_epoch_end(0, logs)
    assert caplog.text == ""
    for epoch in (1, 2, 3):
        callback.on_epoch_end(epoch, logs)
    assert len(caplog.records) == 1
    assert "nothing is being learned" in caplog.text
    assert "6.236" in caplog.text


@pytest.mark.parametrize(
    "logs, what",
    [
        ({"loss": float("nan")}, "loss became nan"),
        ({"loss": float("inf")}, "loss became inf"),
        ({"loss": 1.0, "gradient_norm": float("nan")}, "gradient became nan"),
    ],
)
def test_a_non_finite_number_stops_the_run_at_its_step(logs, what):
    callback = Check(start_step=40, last_checkpoint=lambda: "runs/x/step-00000040")
    callback.after_step({"loss": 1.0, "gradient_norm": 2.0})
    with pytest.raises(NonFiniteError) as error:
        callback.after_step(logs)
    assert what in str(error.value) and "at step 42" in str(error.value)
    assert "runs/x/step-00000040" in str(error.value)


def test_the_message_names_the_examples_of_the_batch():
    callback = Check(start_step=40, ids_of_batch=lambda k: [k, 7, 3])
    with pytest.raises(NonFiniteError, match=r"held the examples 40, 7, 3\. ") as error:
        callback.after_step({"loss": float("nan")})
    assert "\n" not in str(error.value) and "at step 41" in str(error.value)
    callback = Check(ids_of_batch=lambda k: range(100))
    with pytest.raises(NonFiniteError, match="62, 63 and 36 more"):
        callback.after_step({"loss": float("nan")})


def test_skipped_steps_are_said_one_by_one_and_limited(caplog):
    callback = Check(
        max_skipped_steps=2,
        ids_of_batch=lambda k: [k],
        last_checkpoint=lambda: "runs/x/step-00000040",
    )
    for skipped in (0, 1, 1, 2):
        callback.after_step({"loss": 1.0, "skipped_steps": float(skipped)})
    assert [
        (
            "step 2" in r.message,
            "step 4" in r.message,
            "held the examples 3" in r.message,
        )
        for r in caplog.records
    ] == [(True, False, False), (False, True, True)]
    with pytest.raises(NonFiniteError, match="max_skipped_steps=2") as error:
        callback.after_step({"loss": 1.0, "skipped_steps": 3.0})
    assert "runs/x/step-00000040" in str(error.value) and "step 5" in str(error.value)


def test_steps_skipped_by_earlier_starts_of_a_run_are_not_said_again(caplog):
    class Model:
        skipped_steps = 4

    callback = Check(max_skipped_steps=5)
    callback.set_model(Model())
    callback.on_train_begin()
    callback.after_step({"loss": 1.0, "skipped_steps": 4.0})
    assert not caplog.records
    callback.after_step({"loss": 1.0, "skipped_steps": 5.0})
    assert len(caplog.records) == 1
