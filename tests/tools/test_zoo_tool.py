"""`simclr-tf zoo`: the list, and README.md written from it."""

import json

from simclr_tf.report import zoo_readme
from simclr_tf.tools import command_line


def an_export(folder, name, **entries):
    (folder / name).mkdir()
    (folder / name / "config.json").write_text(
        json.dumps({"format": "simclr_tf.export/1", **entries})
    )


def test_it_prints_the_encoders_of_a_folder(tmp_path, capsys):
    an_export(tmp_path, "shirts", num_parameters=1_234)
    assert command_line.main(["zoo", f"--folder={tmp_path}"]) == 0
    assert "shirts" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["shirts"]


def test_it_writes_the_readme_and_leaves_out_what_is_not_published(tmp_path, capsys):
    an_export(tmp_path, "demo")
    (tmp_path / "README.md").write_text("old")
    assert command_line.main(["zoo", f"--folder={tmp_path}", "--readme"]) == 0
    assert (tmp_path / "README.md").read_text() == zoo_readme([])
    assert f"Done: {tmp_path / 'README.md'}." in capsys.readouterr().out


def test_a_folder_in_the_home_is_written_there(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "z").mkdir()
    assert command_line.main(["zoo", "--folder=~/z", "--readme"]) == 0
    assert (tmp_path / "z" / "README.md").read_text() == zoo_readme([])
    assert not (tmp_path / "~").exists()


def test_an_export_that_must_not_ship_leaves_the_readme_as_it_was(tmp_path, capsys):
    an_export(tmp_path, "shirts", published=True)
    (tmp_path / "README.md").write_text("old")
    assert command_line.main(["zoo", f"--folder={tmp_path}", "--readme"]) == 2
    assert (tmp_path / "README.md").read_text() == "old"
    assert "encoder='shirts'" in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_one_line(tmp_path, capsys):
    assert command_line.main(["zoo", f"--folder={tmp_path}/nowhere"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
