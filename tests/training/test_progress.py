"""What a person sees, and how long the data were waited for."""

import io

import tensorflow as tf

from simclr_tf.models import ProjectionHead, resnet
from simclr_tf.training import SimCLR, cost_report, data_wait
from simclr_tf.training.data_wait import WaitMeter
from simclr_tf.training.peak_memory import costs_of_views
from simclr_tf.training.progress import Progress, Throughput
from simclr_tf.training.step_clock import StepClock
from tests.training.callback_lists import after_steps

LOGS = {"loss": 4.5, "contrastive_accuracy": 0.25, "probe_accuracy": 0.5}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def train(stream):
    clock = StepClock(total_steps=4, epoch_steps=2)
    progress = Progress(
        clock,
        Throughput(8, clock, WaitMeter()),
        shown={
            "contrastive_accuracy": "contrastive acc",
            "probe_accuracy": "probe acc",
        },
        stream=stream,
    )
    progress.on_train_begin()
    for epoch in range(2):
        progress.on_epoch_begin(epoch)
        for _ in range(2):
            after_steps(0, LOGS, clock, progress)
        progress.on_epoch_end(epoch, LOGS)
    progress.close()
    return stream.getvalue()


def test_without_a_terminal_there_is_one_line_an_epoch():
    lines = train(io.StringIO()).splitlines()
    assert len(lines) == 2
    for words in (
        "step 4/4",
        "loss 4.500",
        "contrastive acc 0.250",
        "probe acc 0.500",
        "images/s",
        "data wait 0%",
        "ETA 0:00",
    ):
        assert words in lines[1]


def test_a_terminal_gets_a_bar():
    text = train(Terminal())
    assert "4/4" in text and "loss 4.500" in text and "epoch 2" not in text


def test_the_wait_is_the_time_the_consumer_stood_still(monkeypatch):
    clock = [0.0]  # A clock that only this test moves.
    monkeypatch.setattr(data_wait.time, "perf_counter", lambda: clock[0])

    def slow(x):
        clock[0] += 2.0  # Reading an image takes two seconds.
        return x

    dataset = tf.data.Dataset.range(4).map(
        lambda x: tf.ensure_shape(tf.numpy_function(slow, [x], tf.int64), [])
    )
    meter = data_wait.WaitMeter()
    values = []
    for value in meter.measure(dataset):
        values.append(int(value))
        clock[0] += 100.0  # A training step: nobody waits for data.
    assert values == [0, 1, 2, 3]
    assert meter.seconds == 4 * 2.0


def test_the_cost_report_states_the_counts_it_can_be_checked_by():
    model = SimCLR(
        encoder=resnet(18, stem="cifar"), projection_head=ProjectionHead(num_layers=2)
    )
    model.build_from_shape((32, 32, 3))
    sizes = {
        "total_steps": 97_000,
    }
    costs = costs_of_views(model, (32, 32, 3))
    report = cost_report.cost_report(model, costs, global_batch_size=512, **sizes)
    # ResNet-18 with the CIFAR stem: 11.17 M parameters, 0.56 G multiply-adds.
    assert "11.2 M encoder" in report
    assert "1.12 GFLOP an image forward" in report


def test_the_time_is_estimated_once_after_warm_up(monkeypatch):
    seconds = [0.0]
    monkeypatch.setattr(cost_report.time, "perf_counter", lambda: seconds[0])
    said = []
    clock = StepClock(total_steps=105, epoch_steps=105)
    callback = cost_report.EstimatedTime(clock, say=said.append, skip=2, measure=3)
    for step in range(10):
        seconds[0] += 60.0 if step < 2 else 3.0  # Tracing is slow and left out.
        after_steps(step, {}, clock, callback)
    assert said == ["Time        3.000 s a step, about 5.0 minutes left"]
