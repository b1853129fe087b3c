"""A folder gets its name when it is whole; what killed processes left is cleared."""

import os
import signal

import pytest

from simclr_tf.commands.distill import distill_and_report
from simclr_tf.config.distill import DistillOptions
from simclr_tf.encoder_zoo import EXPORT_FORMAT, undamaged_export_record
from simclr_tf.errors import DataError, InUseError, WorkdirError
from simclr_tf.export.publication import check_free, check_new, publishing
from simclr_tf.locks import lock_of, sole_writer

RECORD = f'{{"format": "{EXPORT_FORMAT}"}}'


def killed(action):
    """Do something in another process, which kills itself in there."""
    child = os.fork()
    if child == 0:
        try:
            action()
        finally:  # It was to be killed before.
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def kill_me():
    os.kill(os.getpid(), signal.SIGKILL)


def export(folder, word, overwrite=False, meanwhile=lambda: None):
    """What `export_saved_model` does with its folder."""
    with publishing(folder, overwrite) as temporary:
        (temporary / "config.json").write_text(RECORD)
        (temporary / "word.txt").write_text(word)
        meanwhile()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_export_killed_while_it_is_made_has_no_name_and_is_cleared_by_the_next(
    tmp_path,
):
    folder = tmp_path / "tiny"
    (tmp_path / ".tiny-notes").mkdir()  # Not ours: it stays.
    (tmp_path / (".other-" + "0" * 32)).mkdir()
    mine = names(tmp_path)
    killed(lambda: export(folder, "first", meanwhile=kill_me))
    assert not folder.exists() and len(names(tmp_path)) == len(mine) + 2
    assert ".tiny.lock" in names(tmp_path)
    export(folder, "second")
    assert names(tmp_path) == sorted([*mine, "tiny"])
    assert (folder / "word.txt").read_text() == "second"


def test_export_killed_between_two_names_gives_the_older_one_back(
    tmp_path, monkeypatch
):
    folder, rename = tmp_path / "tiny", os.rename
    export(folder, "older")

    def kill_at_the_second(source, target):
        if target == folder:
            kill_me()
        rename(source, target)

    monkeypatch.setattr(os, "rename", kill_at_the_second)
    killed(lambda: export(folder, "newer", overwrite=True))
    monkeypatch.setattr(os, "rename", rename)
    assert not folder.exists() and len(names(tmp_path)) == 3  # With the lock file.

    with pytest.raises(WorkdirError, match="not empty"):
        export(folder, "third")  # The older one is there again, and may stay.
    assert names(tmp_path) == ["tiny"]
    assert (folder / "word.txt").read_text() == "older"


def test_a_second_export_is_refused_while_the_first_is_made(tmp_path):
    folder = tmp_path / "tiny"

    def another():
        before = names(tmp_path)
        with pytest.raises(InUseError, match=f"process {os.getpid()} on "):
            export(folder, "second", overwrite=True)
        assert names(tmp_path) == before

    export(folder, "first", meanwhile=another)
    assert names(tmp_path) == ["tiny"]
    assert (folder / "word.txt").read_text() == "first"


def test_a_distillation_is_refused_before_it_begins_while_another_is_made(tmp_path):
    with (
        sole_writer(lock_of(tmp_path / "student"), "student"),
        pytest.raises(InUseError, match="student is being written by process"),
    ):
        distill_and_report(
            DistillOptions(
                teacher="teacher.keras",
                image_size_pixels=16,
                data="embedded:freedoom_12",
                output=str(tmp_path / "student"),
            )
        )
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["lr[0.1]", "a*b", "b?", "back\\slash"])
def test_an_export_that_tensorflow_could_not_read_is_refused(tmp_path, name):
    with pytest.raises(WorkdirError, match="pattern.*Choose another folder"):
        check_free(tmp_path / name, overwrite=False)
    with pytest.raises(WorkdirError, match="pattern.*Choose another folder"):
        check_new(tmp_path / name)  # Before the training of `distill`.


def test_another_version_is_not_deleted_and_the_way_out_is_named(tmp_path):
    folder = tmp_path / "m"
    for version in ("1", "3"):
        (folder / "saved_model" / version).mkdir(parents=True)
        (folder / "saved_model" / version / "saved_model.pb").touch()
    (folder / "config.json").write_text(RECORD)
    for version, others in ((2, "1, 3"), (3, "1"), (None, "1, 3")):
        for overwrite in (False, True):  # Without it, it is not advised either.
            with pytest.raises(WorkdirError, match=f"holds version {others}, ") as told:
                check_free(folder, overwrite, version)
            move = f"move its saved_model/{version} into {folder}/saved_model"
            assert (move in str(told.value)) == (version is not None)
            assert "delete the other versions" in str(told.value)
    (folder / "saved_model" / "1" / "saved_model.pb").unlink()
    check_free(folder, overwrite=True, version=3)


def test_a_damaged_record_is_named_before_anything_is_overwritten(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(WorkdirError, match="or its config.json is damaged.*another"):
        check_free(tmp_path, overwrite=True)
    with pytest.raises(DataError, match="is damaged.*or export to another folder"):
        undamaged_export_record(tmp_path)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_nothing_is_left_of_an_export_that_is_broken_off(tmp_path, error):
    def break_off():
        raise error

    with pytest.raises(error):
        export(tmp_path / "tiny", "first", meanwhile=break_off)
    assert names(tmp_path) == []
