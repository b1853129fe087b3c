"""A folder gets its name when it is whole; what killed processes left is cleared."""

import os
import signal

import pytest

from simclr_tf.encoder_zoo import EXPORT_FORMAT
from simclr_tf.errors import WorkdirError
from simclr_tf.export.publication import publishing

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
    assert not folder.exists() and len(names(tmp_path)) == len(mine) + 1
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
    assert not folder.exists() and len(names(tmp_path)) == 2

    with pytest.raises(WorkdirError, match="not empty"):
        export(folder, "third")  # The older one is there again, and may stay.
    assert names(tmp_path) == ["tiny"]
    assert (folder / "word.txt").read_text() == "older"


def test_folder_that_another_process_is_making_is_left_alone(tmp_path):
    folder, found = tmp_path / "tiny", []

    def another():
        export(folder, "second")
        found.extend(names(tmp_path))

    with pytest.raises(WorkdirError, match="not empty"):
        export(folder, "first", meanwhile=another)
    assert len(found) == 2 and "tiny" in found  # The first's was still there.
    assert names(tmp_path) == ["tiny"]
    assert (folder / "word.txt").read_text() == "second"


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_nothing_is_left_of_an_export_that_is_broken_off(tmp_path, error):
    def break_off():
        raise error

    with pytest.raises(error):
        export(tmp_path / "tiny", "first", meanwhile=break_off)
    assert names(tmp_path) == []
