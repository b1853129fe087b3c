"""An exported folder is whole or not there, and replaces nothing but an export."""

import json
import os

import pytest
import tensorflow as tf

from simclr_tf.errors import ConfigError, WorkdirError
from simclr_tf.export import (
    ParityError,
    export_saved_model,
    saved_model,
)
from tests.export.tiny_encoder import tiny_encoder


@pytest.fixture(scope="module")
def encoder():
    return tiny_encoder()


@pytest.fixture
def unchecked(monkeypatch):
    """Spares the fresh process of a test about something else."""
    monkeypatch.setattr(saved_model, "check_in_fresh_process", lambda *args: 0.0)


def test_nothing_is_left_when_the_parity_check_fails(encoder, tmp_path, monkeypatch):
    def differs(*args):
        raise ParityError("differ")

    monkeypatch.setattr(saved_model, "check_in_fresh_process", differs)
    with pytest.raises(ParityError):
        export_saved_model(encoder, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        tf.errors.ResourceExhaustedError(None, None, "No space left on device"),
    ],
)
@pytest.mark.parametrize("place", ["tf.saved_model.save", "os.fsync", "os.rename"])
def test_nothing_is_left_when_the_disk_is_full(
    encoder, tmp_path, monkeypatch, unchecked, error, place
):
    def full(*args, **kwargs):
        raise error

    if place.startswith("os."):
        monkeypatch.setattr(place, full)
    else:
        monkeypatch.setattr(tf.saved_model, "save", full)
    with pytest.raises(WorkdirError, match="No space left on device") as caught:
        export_saved_model(encoder, tmp_path / "new")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_existing_folder_is_refused_and_untouched(encoder, tmp_path, unchecked):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(WorkdirError, match="not empty"):
        export_saved_model(encoder, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(WorkdirError, match="is a file"):
        export_saved_model(encoder, tmp_path / "mine.txt")


def test_overwriting_replaces_the_folder_as_a_whole(encoder, tmp_path, unchecked):
    folder = tmp_path / "export"
    folder.mkdir()
    export_saved_model(encoder, folder)  # An empty folder is no obstacle.
    (folder / "stale.txt").write_text("old")
    export_saved_model(encoder, folder, config={"new": 1}, overwrite=True)
    assert not (folder / "stale.txt").exists()
    assert json.loads((folder / "config.json").read_text())["config"] == {"new": 1}
    assert list(tmp_path.iterdir()) == [folder]


def test_nothing_but_an_export_is_ever_overwritten(encoder, tmp_path, unchecked):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(WorkdirError, match="is not an export"):
        export_saved_model(encoder, tmp_path, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_failed_overwrite_keeps_the_older_export(
    encoder, tmp_path, unchecked, monkeypatch
):
    folder = tmp_path / "export"
    export_saved_model(encoder, folder)
    (folder / "older.txt").write_text("older")
    rename, calls = os.rename, []

    def second_fails(source, target):
        calls.append(target)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        rename(source, target)

    monkeypatch.setattr("os.rename", second_fails)
    with pytest.raises(WorkdirError, match="Input/output error"):
        export_saved_model(encoder, folder, overwrite=True)
    assert (folder / "older.txt").read_text() == "older"
    assert list(tmp_path.iterdir()) == [folder]


def test_wrong_card_is_refused_before_any_work(tmp_path):
    with pytest.raises(ConfigError, match="Did you mean metrics"):
        export_saved_model(None, tmp_path / "new", card={"metric": []})
    assert list(tmp_path.iterdir()) == []
