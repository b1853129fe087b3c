"""Markdown tables."""

import pytest

from simclr_tf.errors import ConfigError
from simclr_tf.evaluation import Measurement, Results
from simclr_tf.report import markdown_table, results_markdown


def measurement(representation, protocol, value, **others):
    settings = {
        "weighted_knn": {"k": 20, "temperature": 0.07},
        "few_label_ridge": {"per_class": 10, "draws": 5},
    }.get(protocol, {})
    return Measurement(
        representation,
        protocol,
        "accuracy_percent",
        value,
        2534,
        6007,
        settings=settings,
        **others,
    )


RESULTS = Results(
    "embedded:freedoom_12",
    "runs/demo",
    (
        measurement("this encoder", "weighted_knn", 73.2, low_95=71.44, high_95=74.9),
        measurement("this encoder", "few_label_ridge", 66.16, std=1.76),
        measurement("untrained encoder", "weighted_knn", 52.4),
        measurement("raw pixels", "weighted_knn", 66.69),
        measurement("raw pixels", "few_label_ridge", 52.46, std=2.17),
    ),
)


def test_columns_are_padded_to_one_width():
    text = markdown_table(["name", "n"], [["a", 1], ["longer", 1000]])
    assert text.splitlines() == [
        "| name   |    n |",
        "|:-------|-----:|",
        "| a      |    1 |",
        "| longer | 1000 |",
    ]


def test_alignment_can_be_chosen():
    lines = markdown_table(["aaaa", "bbbb"], [[1, 2]], align="rl").splitlines()
    assert lines[1:] == ["|-----:|:-----|", "|    1 | 2    |"]


def test_bars_in_cells_do_not_end_them():
    assert "| a\\|b |" in markdown_table(["x"], [["a|b"]])


def test_row_of_another_length_is_refused():
    with pytest.raises(ConfigError, match="2 cells"):
        markdown_table(["a", "b"], [["only one"]])


def test_results_become_one_row_a_representation_and_one_column_a_protocol():
    lines = results_markdown(RESULTS).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["accuracy (%)", "kNN", "10 labels a class"]
    assert cells[2] == ["this encoder", "73.2 (71.4 to 74.9)", "66.2 ± 1.8"]
    assert cells[3] == ["untrained encoder", "52.4", ""]
    assert cells[4] == ["raw pixels", "66.7", "52.5 ± 2.2"]
    assert cells[5] == ["gain over raw pixels", "+6.5", "+13.7"]
    assert len({len(line) for line in lines[:6]}) == 1


def test_results_name_their_settings_and_test_size():
    legend = results_markdown(RESULTS).splitlines()[-1]
    for part in ("20 neighbours", "temperature 0.07", "5 draws", "2,534 test images"):
        assert part in legend


def test_trained_layers_and_ridge_are_explained_where_they_are_shown():
    settings = {"base_learning_rate": 0.1, "epochs": 90}
    found = [
        Measurement(
            "this encoder",
            protocol,
            "accuracy_percent",
            90.0,
            100,
            50,
            settings=settings if protocol.startswith("linear_") else {},
        )
        for protocol in ("ridge", "linear_sgd", "linear_lars_views")
    ]
    lines = results_markdown(Results("mine", "resnet18", tuple(found))).splitlines()
    for title in ("ridge", "linear, SGD", "linear, LARS on views"):
        assert f"| {title} |" in lines[0]
    assert "SGD, LARS on views: 90 epochs, learning rate chosen on" in lines[-1]
    for words in ("ridge: on all labels", "views: random crops and flips"):
        assert words in lines[-1]
    old = results_markdown(RESULTS)
    assert "epochs" not in old and "crops" not in old
