"""The results file: intervals, round trip, and what is refused."""

import json

import pytest

from simclr_tf.errors import ConfigError, DataError, WorkdirError
from simclr_tf.evaluation import (
    Measurement,
    Results,
    read_results,
    wilson_interval,
    write_results,
)

RESULTS = Results(
    data="embedded:freedoom_12",
    encoder="runs/demo",
    measurements=(
        Measurement(
            "this encoder",
            "weighted_knn",
            "accuracy_percent",
            73.2,
            2534,
            6007,
            num_features=128,
            low_95=71.4,
            high_95=74.9,
            settings={"k": 20, "temperature": 0.07},
            wall_seconds=0.25,
        ),
        Measurement(
            "raw pixels",
            "few_label_ridge",
            "accuracy_percent",
            52.9,
            2534,
            120,
            std=1.8,
            settings={"accuracies_percent": [51.0, 54.8]},
        ),
    ),
    command="simclr-tf evaluate --workdir=runs/demo",
    versions={"tensorflow": "2.21.0"},
    wall_seconds=12.5,
)


@pytest.mark.parametrize(
    "successes, trials, low, high",
    [  # Newcombe (1998), Table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_equals_published_values(successes, trials, low, high):
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=5e-5)


def test_wilson_interval_is_symmetric_and_stays_in_range():
    low, high = wilson_interval(3, 40)
    assert wilson_interval(37, 40) == pytest.approx((1 - high, 1 - low))
    assert wilson_interval(5, 5)[1] == 1.0 and wilson_interval(0, 5)[0] == 0.0
    with pytest.raises(ConfigError, match="successes=6"):
        wilson_interval(6, 5)


def test_results_survive_the_file(tmp_path):
    path = tmp_path / "new_folder" / "evaluation.json"
    write_results(path, RESULTS)
    assert read_results(path) == RESULTS
    assert [p.name for p in path.parent.iterdir()] == ["evaluation.json"]


def test_file_names_its_schema_version_and_units(tmp_path):
    write_results(tmp_path / "e.json", RESULTS)
    record = json.loads((tmp_path / "e.json").read_text())
    assert (record["schema"], record["schema_version"]) == ("simclr_tf.evaluation", 1)
    assert {m["metric"] for m in record["measurements"]} == {"accuracy_percent"}


def test_find_gives_the_measurement_or_none():
    assert RESULTS.find("this encoder", "weighted_knn").value == 73.2
    assert RESULTS.find("this encoder", "few_label_ridge") is None


def test_failed_write_keeps_the_old_file_and_leaves_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "evaluation.json"
    write_results(path, RESULTS)
    before = path.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(WorkdirError, match="No space left"):
        write_results(path, Results("other", "other", ()))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "text, reason",
    [
        ("", "Cannot read"),
        ("[1, 2]", "no results"),
        ('{"schema": "other"}', "no results"),
        ('{"schema": "simclr_tf.evaluation", "schema_version": 99}', "version 99"),
        ('{"schema": "simclr_tf.evaluation", "schema_version": 1}', "damaged"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, text, reason):
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(DataError, match=reason) as caught:
        read_results(path)
    assert "\n" not in str(caught.value)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.json"):
        read_results(tmp_path / "nowhere.json")
