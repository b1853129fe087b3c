"""One process writes a run: a second is refused, a killed one is followed."""

import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.commands.finetune import LOCK_FILE, finetune_and_report
from simclr_tf.config import Config
from simclr_tf.config.few_label_options import FineTuneOptions
from simclr_tf.errors import InUseError, SimCLRError
from simclr_tf.export.publication import check_new
from simclr_tf.locks import lock_of, sole_writer
from simclr_tf.tools.command_line import export_of
from simclr_tf.training import CheckpointStore, Workdir, load_encoder
from simclr_tf.training.records import read_metrics
from simclr_tf.training.stored_variables import StoredVariables
from tests.training.faulty_runs import AtEpoch, an_encoder, contents, run

STAYS = textwrap.dedent("""
    import sys
    from tests.training.faulty_runs import AtEpoch, run

    def stay():
        print("trains", flush=True)
        sys.stdin.read()

    run(sys.argv[1], callbacks=[AtEpoch(1, stay)])
""")
LEFT = "checkpoints/.step-00000006-" + 32 * "0"


def test_a_second_process_is_refused_until_the_first_is_killed_and_then_goes_on(
    tmp_path,
):
    folder = tmp_path / "run"
    first = subprocess.Popen(
        [sys.executable, "-c", STAYS, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert first.stdout.readline() == "trains\n"
        before = contents(folder)
        with pytest.raises(InUseError, match=f"written by process {first.pid} on '"):
            run(folder)
        assert contents(folder) == before
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    (folder / LEFT).mkdir()
    steps = []
    run(folder, say=steps.append)
    assert any("from step 2 " in line for line in steps)
    assert [record["step"] for record in read_metrics(folder / "metrics.jsonl")] == [
        2,
        4,
        6,
    ]
    done = contents(folder)
    assert not (folder / LEFT).exists() and not (folder / ".lock").exists()
    assert CheckpointStore(folder / "checkpoints").latest().step == 6
    # The same again: nothing is left to do but what a killed run left.
    (folder / LEFT).mkdir()
    run(folder)
    assert contents(folder) == done and not (folder / LEFT).exists()


def test_a_refused_run_leaves_no_folder(tmp_path):
    with pytest.raises(SimCLRError, match="nothing_here"):
        run(tmp_path / "runs" / "new", init_from=str(tmp_path / "nothing_here"))
    assert list(tmp_path.iterdir()) == []


def test_a_lock_file_that_was_left_makes_no_folder_somebody_elses(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    lock_of(folder, inside=True).write_text("{}")
    assert check_new(folder) == folder
    with Workdir(folder).held():
        data = {"num_examples": 8, "channels": 3, "fingerprint": "f"}
        Workdir(folder).claim(Config(), data, "x")
    assert (folder / "config.json").is_file()


def test_a_second_finetune_is_refused_and_a_pretraining_beside_it_is_not(tmp_path):
    an_encoder().save(tmp_path / "encoder.keras")
    with sole_writer(tmp_path / "out" / LOCK_FILE, "it"):
        with pytest.raises(InUseError, match="out is being written by process"):
            finetune_and_report(
                FineTuneOptions(
                    encoder=str(tmp_path / "encoder.keras"),
                    data="embedded:freedoom_12",
                    image_size_pixels=16,
                    labels_per_class=(1,),
                    output=str(tmp_path / "out"),
                )
            )
        with Workdir(tmp_path / "out").held():
            assert Workdir(tmp_path / "out")._is_new()


@pytest.mark.parametrize(("name", "beside"), [("lr[0.1]", "lr0"), ("a*b?\\c", "a_b_c")])
def test_a_run_whose_name_is_a_pattern_is_continued_and_read(tmp_path, name, beside):
    folder = tmp_path / name

    def cut():
        raise ConnectionError

    with pytest.raises(ConnectionError):
        run(folder, callbacks=[AtEpoch(2, cut)])
    shutil.copytree(folder, tmp_path / beside)  # What the pattern would find.
    for path in (tmp_path / beside).rglob("ckpt.*"):
        path.write_bytes(b"")
    lines = []
    run(folder, say=lines.append)
    assert any("from step 4 " in line for line in lines)
    checkpoint = CheckpointStore(folder / "checkpoints").latest()
    assert checkpoint.step == 6
    stored = StoredVariables(checkpoint.prefix)
    key = next(name for name in stored.shapes if "encoder" in name and "kernel" in name)
    kernel = load_encoder(folder, encoder=an_encoder()).weights[0].numpy()
    np.testing.assert_array_equal(stored.read(key), kernel)


def test_the_links_to_such_runs_are_removed(tmp_path, monkeypatch):
    (tmp_path / "links").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "links"))
    store = CheckpointStore(tmp_path / "[x]")
    store.save(1, model=tf.train.Checkpoint(weight=tf.Variable(3.0)))
    stored = StoredVariables(store.latest().prefix)
    assert stored.read(next(iter(stored.shapes))) is not None
    assert len(list((tmp_path / "links").iterdir())) == 1
    del stored
    assert list((tmp_path / "links").iterdir()) == []
    assert pathlib.Path(store.latest().path).is_dir()


def test_the_advice_to_export_names_a_folder_that_is_not_refused(tmp_path):
    output = export_of(str(tmp_path / "lr[0.1]"))["output"]
    assert str(output).endswith("lr_0.1_")
