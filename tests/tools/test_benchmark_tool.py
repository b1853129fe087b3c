"""`simclr-tf benchmark`: a file, its table, and mistakes in one line."""

import pytest

from simclr_tf.benchmarks import read_record
from simclr_tf.tools import benchmark


def test_a_benchmark_writes_a_file_whose_table_can_be_printed_again(tmp_path, capsys):
    path = tmp_path / "new" / "loss.json"
    assert (
        benchmark.main(
            [
                "loss",
                "--sizes=4,8",
                "--projection_head.out_features=4",
                "--rounds=2",
                "--nomemory",
                f"--output={path}",
                f"--profile={tmp_path / 'profile'}",
            ]
        )
        == 0
    )
    said = capsys.readouterr().out
    assert f"Done: {path}. " in said and path.with_suffix(".png").exists()
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))
    record = read_record(path)
    assert record.command.startswith("simclr-tf benchmark --benchmark=loss ")
    assert "--sizes=4,8" in record.command
    assert record.settings["out_features"] == 4
    assert benchmark.main(["table", f"--results={path}"]) == 0
    table = capsys.readouterr().out.strip()
    assert table in said and "G = 8, D = 4, forward" in table


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            [],
            "--benchmark is required: views, step, end_to_end, loss, memory, "
            "data_scale, probes, collectives or table",
        ),
        (["vews"], "Did you mean views?"),
        (["table"], "--results is required"),
        (["table", "--results=nowhere.json"], "Cannot read nowhere.json"),
        (["loss", "--sizes=4,many"], "`sizes` must be an int. Received: sizes='many'"),
        (["loss", "--sizes=4,1"], "`sizes` must be >= 2"),
        (["loss", "--rounds=0"], "`rounds` must be >= 1"),
        (
            ["loss", "--only=G = 5", "--nomemory"],
            "`only` must be in the name of a case",
        ),
        (["loss", "views"], "Unexpected argument 'views'"),
        (["loss", "--round=3"], "Did you mean --rounds"),
    ],
)
def test_mistakes_get_one_line(arguments, words, capsys):
    assert benchmark.main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
