"""Every benchmark runs, and measures what its name says."""

import inspect
import logging
import subprocess
import sys
import time
import types

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.augment import two_views
from simclr_tf.benchmarks import (
    Case,
    Variant,
    benchmark_runner,
    data_scale_cases,
    loss_cases,
    memory_cases,
    read_record,
    run_benchmark,
    step_cases,
)
from simclr_tf.benchmarks.cases import cases_of
from simclr_tf.benchmarks.fresh_process import measure_here
from simclr_tf.benchmarks.per_image import two_views_per_image
from simclr_tf.benchmarks.photographs import write_photographs
from simclr_tf.benchmarks.work_budget import budget_of_profile
from simclr_tf.commands.benchmark import benchmark_and_report
from simclr_tf.config.benchmark import BENCHMARKS, BenchmarkConfig
from simclr_tf.config.schema import override
from simclr_tf.errors import ConfigError, DataError
from simclr_tf.objectives import OBJECTIVES
from simclr_tf.report.benchmark_report import benchmark_markdown
from simclr_tf.training import assembly, peak_memory

TINY = {
    "rounds": 2,
    "warmup_rounds": 1,
    "batch_size": 4,
    "batches": 1,
    "image_size_pixels": 8,
    "recipe": "finetune",
    "jpeg_files": 2,
    "jpeg_width_pixels": 24,
    "jpeg_view_pixels": 8,
    "jpeg_recipe": "finetune",
    "jpeg_batch_size": 2,
    "precision": "float32",
    "out_features": 4,
    "sizes": (8,),
}


@pytest.fixture(autouse=True)
def tiny_encoder(monkeypatch):
    """A convolution with batch norm in the place of a ResNet."""

    def build_encoder(config, channels, *, synchronized=False):
        with assembly.precision_policy(config.precision):
            return keras.Sequential(
                [
                    keras.Input((None, None, channels)),
                    keras.layers.Conv2D(
                        4,
                        3,
                        kernel_initializer=(keras.initializers.GlorotUniform(seed=0)),
                    ),
                    keras.layers.BatchNormalization(),
                    keras.layers.GlobalAveragePooling2D(),
                ]
            )

    monkeypatch.setattr(assembly, "build_encoder", build_encoder)


# The others are run below.
@pytest.mark.parametrize(
    "benchmark", sorted(set(BENCHMARKS) - {"memory", "step", "probes", "objectives"})
)
def test_every_benchmark_measures_each_of_its_cases(benchmark):
    config = BenchmarkConfig(**TINY)
    asked = []

    def peak_of(*request):
        asked.append(request)
        return 3, 2

    record = run_benchmark(benchmark, config, memory=True, peak_of=peak_of)
    cases = cases_of(benchmark, config, None)
    assert [(row.case, row.variant) for row in record.rows] == [
        (case.name, variant.name) for case in cases for variant in case.variants
    ]
    assert asked == [(benchmark, config, row.case, row.variant) for row in record.rows]
    for row in record.rows:
        assert len(row.seconds) == len(row.baseline_seconds) == 2
        assert min(row.seconds) > 0 and (row.peak_bytes, row.added_bytes) == (3, 2)
        assert (row.seconds == row.baseline_seconds) == (row.variant == row.baseline)
    assert record.settings["jpeg_view_pixels"] == 8
    assert record.machine["versions"]["tensorflow"] == tf.__version__


def test_a_step_of_each_objective_is_a_variant(monkeypatch):
    config = BenchmarkConfig(**{**TINY, "batch_size": 16, "image_size_pixels": 16})
    (case,) = cases_of("objectives", config, None)
    assert [variant.name for variant in case.variants] == list(OBJECTIVES)
    # Those that need more of a batch than its views: numbers and labels.
    few = {name: OBJECTIVES[name] for name in ("instance_discrimination", "sup_con")}
    monkeypatch.setattr(step_cases, "OBJECTIVES", few)
    record = run_benchmark("objectives", config)
    assert [row.variant for row in record.rows] == list(few)
    assert min(row.seconds[0] for row in record.rows) > 0


def test_a_run_for_its_memory_times_the_steps_after_the_first(monkeypatch):
    def trained(config, data, say):
        assert len(data) == config.global_batch_size == 32 and config.steps == 5
        assert (config.micro_batch_size, config.encoder.name) == (8, "resnet50")
        speeds = (1.0, 64.0, 16.0, 64.0, 64.0)
        history = [{"images_per_second": speed} for speed in speeds]
        memory = types.SimpleNamespace(total=7)
        return types.SimpleNamespace(history=history, memory=memory)

    monkeypatch.setattr(memory_cases, "pretrain_from_config", trained)
    answer = measure_here(
        {
            "benchmark": "memory",
            "config": {},
            "case": "resnet50, stem cifar, 32 px, batch 32, micro-batches of 8",
            "variant": "bfloat16",
        }
    )
    assert (answer["estimated_bytes"], answer["seconds"]) == (7, 0.5)
    assert answer["peak_bytes"] >= answer["added_bytes"]


def test_estimated_and_measured_memory_stand_side_by_side():
    answer = {"peak_bytes": 2**22, "added_bytes": 2**20, "estimated_bytes": 2**21}
    config = BenchmarkConfig(only="224", precision="float32")
    record = run_benchmark(
        "memory", config, alone=lambda *request: {**answer, "seconds": 3.0}
    )
    assert {row.variant for row in record.rows} == {"float32"}
    (head, _, *rows) = benchmark_markdown([record]).splitlines()
    assert "estimated / peak" in head
    assert "4 MiB | 1 MiB | 2 MiB | 0.50" in " ".join(rows[0].split())


def test_a_benchmark_that_is_stopped_has_written_the_cases_so_far(
    tmp_path, monkeypatch
):
    def stopped():
        raise KeyboardInterrupt

    works = (lambda: None, lambda: None, stopped)
    cases = [
        Case(f"case {n}", (Variant("only", lambda w=work: w),), 1, "step")
        for n, work in enumerate(works)
    ]
    monkeypatch.setattr(benchmark_runner, "cases_of", lambda *request: cases)
    config, output = BenchmarkConfig(rounds=1), tmp_path / "found.json"
    with pytest.raises(KeyboardInterrupt):
        benchmark_and_report("step", config, output, say=lambda line: None)
    assert [row.case for row in read_record(output).rows] == ["case 0", "case 1"]


@pytest.mark.parametrize(
    "probe, size, points",
    [("knn", 1500, 0), ("linear", 1500, 3), ("ridge", 1500, 0), ("linear_sgd", 400, 5)],
)
def test_probes_of_scikit_learn_reach_the_accuracy_of_ours(probe, size, points):
    config = BenchmarkConfig(sizes=(size,), out_features=16, only=f"{probe},")
    (case,) = cases_of("probes", config, None)
    theirs, ours = (variant.make()() for variant in case.variants)
    assert theirs > 60
    assert abs(theirs - ours) <= points


def test_the_clock_of_the_processors_leaves_out_waiting(monkeypatch):
    def waits():
        time.sleep(0.2)

    case = Case("waiting", (Variant("asleep", lambda: waits),), 1, "nap")
    monkeypatch.setattr(benchmark_runner, "cases_of", lambda *request: [case])
    seconds = {
        clock: run_benchmark(
            "loss", BenchmarkConfig(rounds=1, warmup_rounds=0, clock=clock)
        )
        .rows[0]
        .seconds[0]
        for clock in ("wall", "processor")
    }
    assert seconds["wall"] >= 0.2 > 2 * seconds["processor"]


def test_probes_take_turns_with_those_of_scikit_learn():
    config = BenchmarkConfig(sizes=(100,), only="ridge", rounds=1, warmup_rounds=0)
    record = run_benchmark("probes", config)
    assert [row.variant for row in record.rows] == ["scikit-learn", "simclr_tf"]
    assert {row.case for row in record.rows} == {"ridge, 100 x 128"}
    assert {(row.units, row.unit) for row in record.rows} == {(1, "probes")}


def test_probes_without_scikit_learn_name_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(ConfigError, match=r"needs the package `sklearn`.*\[report\]"):
        cases_of("probes", BenchmarkConfig(), None)


def test_steps_differ_in_speed_and_precision_only():
    (case,) = cases_of("step", BenchmarkConfig(**TINY), None)
    first_losses = {variant.name: variant.make()() for variant in case.variants}
    plain, rounded = first_losses.pop("float32"), first_losses.pop("bfloat16")
    assert next(iter(first_losses)) == "float32, unfused batch norm"
    np.testing.assert_allclose(rounded, plain, rtol=0.05)
    assert rounded != plain
    for name, loss in first_losses.items():
        same = rounded if name.startswith("bfloat16") else plain
        np.testing.assert_allclose(loss, same, rtol=1e-5)


def test_a_profile_tells_the_kinds_of_work_of_each_step(tmp_path):
    config = BenchmarkConfig(**{**TINY, "rounds": 1, "warmup_rounds": 0})
    record = run_benchmark("step", config, profile=tmp_path)
    budgets = {row.variant: row.budget for row in record.rows}
    for budget in budgets.values():
        assert min(budget.values()) > 0
        assert {"convolutions, forward", "gradients of kernels"} <= set(budget)
    assert "batch norm" not in budgets["float32, unfused batch norm"]
    assert "batch norm" in budgets["bfloat16"]
    lines = benchmark_markdown([record]).splitlines()
    (line,) = (line for line in lines if line.startswith("| gradients of kernels "))
    shown = [cell.strip() for cell in line.split("|")[2:-1]]
    expected = [f"{1e3 * b['gradients of kernels']:,.1f}" for b in budgets.values()]
    assert shown == expected


def test_a_folder_without_a_profile_is_an_error(tmp_path):
    with pytest.raises(DataError, match="There is no profile in"):
        budget_of_profile(tmp_path)


def test_the_baseline_of_the_views_has_the_distribution_of_ours():
    images = np.full((2400, 8, 8, 3), (40, 120, 160), np.uint8)
    seeds = tf.reshape(tf.range(4800), [2400, 2])
    ours = np.stack(two_views(images, seeds, "cifar"))
    baseline = np.stack(
        list(
            zip(
                *tf.data.Dataset.from_tensor_slices(images)
                .map(
                    lambda image: two_views_per_image(image, "cifar", 8),
                    num_parallel_calls=2,
                )
                .as_numpy_iterator(),
                strict=True,
            )
        )
    )
    assert baseline.shape == ours.shape and baseline.dtype == np.float32
    assert baseline.min() >= 0.0 and baseline.max() <= 1.0
    # 4,800 views of one colour, of a standard deviation of 0.2: the standard error of
    # a difference is 0.004.
    for measure in (np.mean, np.std):
        np.testing.assert_allclose(
            measure(baseline, axis=(0, 1, 2, 3)),
            measure(ours, axis=(0, 1, 2, 3)),
            atol=0.025,
        )
    assert np.abs(baseline[0] - baseline[1]).mean() > 0.02


def test_photographs_are_as_large_as_those_of_imagenet(tmp_path):
    paths = write_photographs(tmp_path, 3, width=500)
    sizes = [len(tf.io.read_file(path).numpy()) for path in paths]
    assert tf.io.decode_jpeg(tf.io.read_file(paths[0])).shape == (375, 500, 3)
    assert 60_000 < np.mean(sizes) < 180_000


def test_the_streamed_loss_is_measured_as_soon_as_there_is_one(monkeypatch):
    def nt_xent(a, b, *, temperature, chunk_size=None):
        return tf.fill([a.shape[0]], float(chunk_size)) + 0.0 * tf.reduce_sum(a * b)

    monkeypatch.setattr(loss_cases, "nt_xent", nt_xent)
    config = override(
        BenchmarkConfig(sizes=(8, 16), out_features=4), {"objective.chunk_size": 12}
    )
    cases = cases_of("loss", config, None)
    names = [variant.name for case in cases for variant in case.variants]
    assert names == [loss_cases.DENSE, loss_cases.STREAMED] * 4
    value, of_a, of_b = cases[3].variants[1].make()()
    assert of_a.shape == of_b.shape == (16, 4)
    # In chunks of 12, or of all 8.
    assert value == 12.0 and cases[0].variants[1].make()() == [8.0]
    assert np.any(cases[3].variants[0].make()()[1] != 0.0)


def test_a_dense_loss_that_does_not_fit_is_left_out_and_that_is_said(
    monkeypatch, caplog
):
    monkeypatch.setattr(loss_cases, "_free_bytes", lambda: 1 << 30)
    with caplog.at_level(logging.WARNING, logger="simclr_tf"):
        cases = cases_of("loss", BenchmarkConfig(sizes=(16, 32768)), None)
    dense = [
        case.name
        for case in cases
        if loss_cases.DENSE in [variant.name for variant in case.variants]
    ]
    assert dense and all("G = 16," in name for name in dense)
    assert "G = 32768 is left out: it needs about 48 GiB" in caplog.text


def test_large_sets_are_links_and_every_image_can_be_read(tmp_path):
    folder = data_scale_cases._folder_of_links(tmp_path, 1070, 8)
    records = data_scale_cases._record_files(tmp_path, 1500, 8)
    assert (folder.num_examples, records.num_examples) == (1070, 1500)
    for source in (folder, records):
        last = source.locations(np.array([source.num_examples - 1]))
        image = source.read_image(*(column[0] for column in last))
        assert image.shape == (8, 8, 3)
    arrays = data_scale_cases._array_file(tmp_path, 10_000, 8)
    assert arrays.read_images(np.array([9_999])).shape == (1, 8, 8, 3)


def test_memory_is_what_the_work_adds_to_a_process():
    peak_bytes, added_bytes = benchmark_runner.peak_memory(
        "loss", BenchmarkConfig(**TINY), "G = 8, D = 4, forward", loss_cases.DENSE
    )
    assert peak_bytes > 2**26 > added_bytes >= 0  # TensorFlow; a few numbers.


def test_a_process_that_dies_is_named_in_one_line(monkeypatch, tmp_path):
    script = tmp_path / "python"
    script.write_text('#!/bin/sh\necho "out of memory" >&2\nexit 9\n')
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    with pytest.raises(DataError, match=r"`one`, `two` ended with 9: out of memory$"):
        benchmark_runner.peak_memory("loss", BenchmarkConfig(), "one", "two")
    script.write_text('#!/bin/sh\necho \'{"peak_bytes": 7, "added_bytes": 5}\'\n')
    found = benchmark_runner.peak_memory("loss", BenchmarkConfig(), "one", "two")
    assert found == (7, 5)


def test_only_the_wanted_cases_are_measured():
    config = BenchmarkConfig(**TINY, only="jpeg")
    assert [case.name.split()[0] for case in cases_of("views", config, None)] == [
        "jpeg"
    ]
    with pytest.raises(ConfigError, match="in memory.*jpeg of.*only='tiff'"):
        cases_of("views", BenchmarkConfig(only="tiff"), None)


def test_the_peak_of_a_process_leaves_out_what_its_parent_holds():
    script = (
        "import pathlib, re, resource, sys\n"
        + inspect.getsource(peak_memory.peak_bytes)
        + "print(peak_bytes())"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], check=True, text=True, capture_output=True
    ).stdout
    # TensorFlow alone, in this process, is several hundred million.
    assert 1e6 < int(found) < 1e8 < peak_memory.peak_bytes()
