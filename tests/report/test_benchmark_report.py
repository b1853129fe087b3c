"""The table and the plot of a benchmark come from its file."""

import dataclasses
import json

import pytest
from matplotlib.image import imread

from simclr_tf.benchmarks import (
    MessageRecord,
    Record,
    VariantTimes,
    read_record,
    write_record,
)
from simclr_tf.benchmarks.benchmark_record import Counted
from simclr_tf.distribution import ExpectedStep
from simclr_tf.errors import DataError
from simclr_tf.report import benchmark_markdown, cost_figure

MACHINE = {
    "versions": {"tensorflow": "2.21.0"},
    "processor": "Abacus",
    "usable_cores": 2,
    "devices": ["CPU"],
    "intra_op_threads": 0,
    "inter_op_threads": 3,
    "load_average": [0.25, 0.5, 0.5],
}


def row(variant="dense", seconds=(2.0, 2.0, 6.0), size=None, **changes):
    return VariantTimes(
        **{
            "case": "a case",
            "variant": variant,
            "units": 1000,
            "unit": "pairs",
            "size": size,
            "line": None if size is None else variant,
            "baseline": "dense",
            "seconds": seconds,
            "baseline_seconds": (2.0, 2.0, 6.0),
            **changes,
        }
    )


def record(*rows):
    return Record("loss", rows, "simclr-tf benchmark loss", {"rounds": 3}, MACHINE)


def test_a_record_is_the_same_after_reading_it_again(tmp_path):
    path = tmp_path / "new" / "benchmark.json"
    written = record(row(), row("streamed", size=8, peak_bytes=5, added_bytes=3))
    write_record(path, written)
    assert read_record(path) == written
    assert json.loads(path.read_text())["rows"][1]["seconds"] == [2.0, 2.0, 6.0]


@pytest.mark.parametrize(
    "content",
    [
        None,
        "no json",
        "[]",
        "{}",
        '{"schema": "simclr_tf.evaluation"}',
        '{"schema": "simclr_tf.benchmark", "schema_version": 1, "rows": [{}]}',
        '{"schema": "simclr_tf.collectives", "schema_version": 1, "counted": []}',
        '{"schema": "simclr_tf.collectives", "schema_version": 2, "counted": []}',
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, content):
    path = tmp_path / "other.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match="other.json") as caught:
        read_record(path)
    assert "\n" not in str(caught.value)


def test_the_table_shows_rate_cost_and_the_median_of_the_rounds_ratios():
    table = benchmark_markdown([record(row(), row("streamed", (1.0, 0.5, 2.0)))])
    header, _, baseline, other = table.splitlines()[:4]
    assert "peak" not in header
    assert "500 pairs/s" in baseline and "2.00 ms (2.00 to 4.00)" in baseline
    assert "1 (baseline)" in baseline
    # Of the ratios 2, 4 and 3; the ratio of the medians would be 2.
    assert "3.00 (2.50 to 3.50)" in other and "1,000 pairs/s" in other


def test_memory_has_columns_where_it_was_measured():
    table = benchmark_markdown(
        [record(row(), row("streamed", peak_bytes=3 << 30, added_bytes=1 << 20))]
    )
    assert "peak memory" in table and "3,072 MiB" in table and "1 MiB" in table


def test_the_machine_is_named_once_below_the_table():
    table = benchmark_markdown([record(row()), record(row())])
    assert table.count("Abacus") == 1
    assert "inter-op threads 3" in table and "load before: 0.2" in table


def test_a_table_of_nothing_is_refused():
    with pytest.raises(DataError, match="at least one measurement"):
        benchmark_markdown([record(), MessageRecord((), (), "", {})])


def messages_of(replicas, term_bytes):
    step = ExpectedStep(64, 4096, 3, term_bytes, 0.064, dict.fromkeys(term_bytes, 0.5))
    return MessageRecord((Counted(replicas, (8, 16), (8, 16)),), (step,), "", {})


def test_messages_have_tables_of_their_own_after_that_of_the_times():
    written = [messages_of(2, {"gradients": 2**20}), messages_of(4, {"state": 2**21})]
    times, _, *tables = benchmark_markdown([*written, record(row())]).split("\n\n")
    assert "a case" in times and len(tables) == 4
    assert [table.splitlines()[-1].split("|")[1].strip() for table in tables] == [
        *("2", "4,096"),
        *("4", "4,096"),
    ]
    assert "gradients, MiB" in tables[1] and "gradients" not in tables[3]
    assert "2.00" in tables[3] and "500.0" in tables[3] and "11%" in tables[3]


def test_damaged_figures_of_messages_are_refused():
    with pytest.raises(DataError, match="damaged"):
        benchmark_markdown([messages_of(2, {"gradients": "many"})])


def test_cost_is_plotted_where_sizes_are_compared(tmp_path):
    path = tmp_path / "cost.png"
    lines = [
        row(name, size=size) for name in ("dense", "streamed") for size in (100, 10)
    ]
    cost_figure(record(*lines)).save(path)
    assert imread(path).ndim == 3
    for rows in ([row()], [row(size=10), row("streamed", size=100)]):
        with pytest.raises(DataError, match="compared no sizes"):
            cost_figure(record(*rows))


def test_a_record_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        row().units = 3
