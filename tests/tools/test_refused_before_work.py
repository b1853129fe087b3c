"""What can be judged is judged before anything is computed or written."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.errors import NonFiniteError, WorkdirError
from simclr_tf.files import require_writable
from simclr_tf.tools import command_line
from tests.tools.test_bad_input import TINY, contents, images

HUGE = "99999999999999999999"
FIT = "simclr_tf.training.stages.PretrainingRun._fit"


def diverge(*arguments):
    raise NonFiniteError("The loss became nan at step 1.")


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """A folder with labelled images, ok.npz, and a run of one step on them."""
    folder = tmp_path_factory.mktemp("origin")
    pixels, labels = images(24), np.arange(24) % 3
    np.savez(
        folder / "ok.npz",
        x_train=pixels,
        y_train=labels,
        x_test=pixels[:12],
        y_test=labels[:12],
    )
    arguments = [f"--data=npz:{folder}/ok.npz", f"--workdir={folder}/run", "--steps=1"]
    assert command_line.main(["pretrain", *TINY, *arguments]) == 0
    return folder


@pytest.fixture
def place(origin, tmp_path, monkeypatch):
    """A copy of the folder of `origin`, which is the folder that verbs are run in."""
    shutil.copytree(origin, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def no_work(monkeypatch):
    """Any training step or feature fails the test."""

    def work(*arguments, **keywords):
        raise AssertionError("Something was computed before the refusal.")

    for name in (
        "simclr_tf.evaluation.comparison.extract_features",
        "simclr_tf.evaluation.few_label_runs.extract_features",
        "simclr_tf.commands.embed.extract_features",
        "simclr_tf.training.classifier_training.ClassifierTraining.run",
        FIT,
        "simclr_tf.commands.show_views.view_pairs",
        "simclr_tf.commands.report.view_pairs",
        "simclr_tf.commands.benchmark.run_benchmark",
        "simclr_tf.export.saved_model.ReusableModule",
    ):
        monkeypatch.setattr(name, work, raising=False)


# What each verb needs beside the flag that is wrong.
BASES = {
    "pretrain": [*TINY, "--data=npz:ok.npz", "--workdir=new"],
    "evaluate": ["--workdir=run", "--data=npz:ok.npz", "--output=out"],
    "embed": ["--workdir=run", "--data=npz:ok.npz", "--output=out.npz"],
    "similar": ["--workdir=run", "--data=npz:ok.npz", "--output=out.csv"],
    "finetune": [
        "--workdir=run",
        "--data=npz:ok.npz",
        "--output=out",
        "--epochs=1",
    ],
    "transfer": [
        "--workdir=run",
        "--datasets=npz:ok.npz",
        "--output=out",
        "--epochs=1",
    ],
    "distill": [
        "--teacher=nowhere",
        "--data=npz:ok.npz",
        "--output=out",
        "--image_size_pixels=16",
    ],
    "predict": ["--classifier=nowhere", "--data=npz:ok.npz", "--output=out.csv"],
    "export": ["--workdir=run", "--output=out", "--formats=safetensors"],
    "convert_checkpoint": [
        "--source=simclr_tf",
        "--checkpoint=run",
        "--target=torchvision",
        "--output=out",
    ],
    "report": ["--workdir=run", "--output=out"],
    "show_views": ["--data=npz:ok.npz", "--output=out", "--image_size_pixels=16"],
    "ablate": ["--study=temperature", "--data=npz:ok.npz", "--workdir=out", *TINY[1:]],
    "benchmark": ["--benchmark=loss", "--sizes=8", "--output=out.json"],
    "zoo": [],
}
WRONG = [
    ("pretrain", f"--epochs={HUGE}", "at most 2,147,483,647"),
    ("pretrain", f"--steps={HUGE}", "at most"),
    ("pretrain", f"--seed={HUGE}", "`seed` must be at most"),
    ("pretrain", "--image_size_pixels=65536", "at most 65,535"),
    ("pretrain", "--encoder.width_multiplier=1e300", "width_multiplier"),
    ("pretrain", "--optimizer.warmup_epochs=1e308", "warmup_epochs"),
    ("pretrain", f"--replicas={HUGE}", "at most 1,024"),
    ("pretrain", "--init_parts=encoder_and_head", "needs `init_from`"),
    ("pretrain", "--data.cache_dir=cache", "needs `data.cache=disk`"),
    ("pretrain", "--init_from=nowhere", "does not exist"),
    ("pretrain", "--workdir=ok.npz/new", "Cannot"),
    ("evaluate", "--knn.k=0", "`k` must be >= 1"),
    (
        "evaluate",
        "--knn.k=25",
        "`k` must be between 1 and the number of training images (24)",
    ),
    ("evaluate", "--knn.temperature=0", "`temperature` must be > 0"),
    ("evaluate", "--few.draws=0", "`draws` must be >= 1"),
    ("evaluate", "--labels_per_class=-1", "`labels_per_class` must be >= 0"),
    ("evaluate", "--labels_per_class=9", "`labels_per_class` must be at most 8"),
    ("evaluate", "--protocols=", "needs at least one of knn"),
    ("evaluate", "--protocols=few --labels_per_class=0", "Nothing is left to measure"),
    ("evaluate", f"--batch_size={HUGE}", "at most"),
    ("evaluate", "--output=ok.npz", "Cannot write to ok.npz"),
    ("evaluate", "--data=npz:nowhere.npz", "No such file"),
    ("embed", "--output=out.txt", "must end in one of .npz, .csv, .parquet"),
    ("embed", "--output=ok.npz", "ok.npz exists already"),
    ("embed", "--output=ok.npz/x.csv", "Cannot write to ok.npz"),
    ("embed", "--step=9", "has no checkpoint of this step; it has those of 1."),
    ("embed", "--split=test,nowhere", "x_nowhere"),
    ("embed", "--data.max_corrupt_fraction=2", "`max_corrupt_fraction` must be in [0"),
    ("embed", "--encoder=run", "Exactly one of --workdir and --encoder"),
    ("similar", "--output=ok.npz/x.html", "Cannot write to ok.npz"),
    ("similar", "--queries=npz:nowhere.npz", "No such file"),
    ("similar", "--duplicates=0", "`duplicates` must be in (0, 1]"),
    ("finetune", "--replicas=0", "`replicas` must be >= 1"),
    ("finetune", "--methods=", "needs at least one of fine_tune"),
    ("finetune", "--label_fraction=1e-9", "enough images to hold some out"),
    ("finetune", "--label_list=nowhere", "Cannot read the list of images"),
    ("finetune", "--freeze_until=nope", "freeze_until"),
    ("finetune", "--head_layer=9", "`head_layer` must be a whole number from 0 to"),
    ("finetune", f"--label_fraction=1.0 --seeds={HUGE}", "at most 10,000"),
    ("finetune", f"--epochs={HUGE}", "at most"),
    ("finetune", "--early_stopping_epochs=1 --methods=scratch", "too few to hold"),
    ("transfer", "--labels_per_class=9", "No class has 9 labelled examples"),
    ("transfer", "--methods=", "needs at least one of"),
    ("transfer", "--datasets=npz:ok.npz,npz:nowhere.npz", "No such file"),
    ("distill", "--teacher=nowhere", "There is no classifier at nowhere"),
    ("distill", f"--epochs={HUGE}", "at most"),
    ("distill", "--output=ok.npz/x", "Cannot write to"),
    ("predict", "--output=out.txt", "must end in .csv"),
    ("predict", "--output=ok.npz/x.csv", "Cannot write to ok.npz"),
    ("predict", "--top=0", "`top` must be >= 1"),
    ("predict", "--data.max_corrupt_fraction=2", "`max_corrupt_fraction` must be in"),
    ("predict", "--classifier=nowhere", "There is no classifier at nowhere"),
    ("predict", "--classifier=run", "neither classifier.keras nor student.keras"),
    ("export", "--version=-1", "`version` must be >= 0"),
    ("export", "--with_preprocessing", "add saved_model to the formats"),
    ("export", "--output=ok.npz/x", "Cannot write to ok.npz/x"),
    ("export", "--output=run", "not empty"),
    (
        "export",
        "--classifier=nowhere --formats=saved_model",
        "There is no classifier at nowhere",
    ),
    ("convert_checkpoint", "--output=ok.npz/x", "Cannot write to"),
    ("convert_checkpoint", "--checkpoint=nowhere", "no config.json"),
    ("report", "--seed=-1", "`seed` must be >= 0"),
    ("report", "--seed=4294967296", "`seed` must be at most"),
    ("report", "--num_images=3", "`num_images` and `map_images` must be >= 4"),
    ("report", "--data=npz:nowhere.npz", "No such file"),
    ("report", "--output=ok.npz", "Cannot write to ok.npz"),
    ("show_views", "--num_pairs=1", "`num_pairs` must be >= 2"),
    ("show_views", "--split=nowhere", "x_nowhere"),
    ("show_views", "--output=ok.npz/x", "Cannot write to"),
    ("ablate", f"--seeds={HUGE}", "at most 10,000"),
    ("ablate", "--batch_size=25", "use at most 24"),
    ("ablate", "--init_from=nowhere", "does not exist"),
    ("benchmark", f"--sizes={HUGE}", "at most"),
    ("benchmark", "--output=run", "it is a folder"),
    ("benchmark", "--profile=ok.npz/x", "Cannot write to ok.npz/x"),
    ("zoo", "--folder=nowhere", "There is no zoo at nowhere"),
]


@pytest.mark.parametrize("verb, flags, words", WRONG, ids=lambda text: text[:45])
def test_a_wrong_flag_costs_no_work_and_leaves_nothing(
    verb, flags, words, place, no_work, capsys
):
    before = contents(place)
    wrong = {flag.partition("=")[0] for flag in flags.split()}
    base = [flag for flag in BASES[verb] if flag.partition("=")[0] not in wrong]
    code = command_line.main([verb, *base, *flags.split()])
    error = capsys.readouterr().err.strip().splitlines()
    assert code == 2 and words in error[-1], error
    assert error[-1].startswith("simclr-tf: ")
    assert contents(place) == before


def test_every_verb_has_a_wrong_flag_here():
    assert {verb for verb, _, _ in WRONG} == set(command_line.VERBS) == set(BASES)


def test_a_folder_that_cannot_be_written_is_refused_before_the_features(
    place, no_work, capsys, monkeypatch
):
    def read_only(path, *arguments, **keywords):
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr("pathlib.Path.touch", read_only)  # Root may write anywhere.
    assert command_line.main(["evaluate", "--workdir=run"]) == 2
    error = capsys.readouterr().err
    assert "Cannot write to run: Read-only file system" in error
    assert len(error.strip().splitlines()) == 1


def test_whether_files_can_be_written_is_asked_without_a_trace(tmp_path):
    (tmp_path / "file").write_text("")
    assert require_writable(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    for name in ("file", "file/below", "n" * 300):
        with pytest.raises(WorkdirError, match="Cannot write to"):
            require_writable(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    "error, words",
    [
        (MemoryError(), "Out of memory"),
        (type("ResourceExhaustedError", (Exception,), {})("OOM"), "Out of memory: OOM"),
        (
            tf.errors.InternalError(None, None, "CUDA_ERROR_OUT_OF_MEMORY: 3 GiB"),
            "Out of memory: CUDA_ERROR_OUT_OF_MEMORY: 3 GiB. Use a smaller batch (--m",
        ),
        (OSError(12, "Cannot allocate memory"), "Out of memory: "),
        (OSError(28, "No space left on device", "a.png"), "a.png: No space left"),
        (PermissionError(13, "Permission denied", "b"), "b: Permission denied"),
    ],
)
def test_what_memory_and_disks_refuse_is_one_line(error, words, capsys, monkeypatch):
    def refused(folder):
        raise error

    monkeypatch.setattr("simclr_tf.tools.zoo.zoo", refused)
    assert command_line.main(["zoo"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and words in lines[0]


def test_a_bug_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr("simclr_tf.tools.zoo.zoo", lambda folder: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        command_line.main(["zoo"])


def test_what_has_little_effect_is_said(place, capsys, caplog, monkeypatch):
    arguments = ["--optimizer.warmup_epochs=9", "--split=train[:200%]", "--steps=1"]
    monkeypatch.setattr(FIT, diverge)
    assert command_line.main(["pretrain", *BASES["pretrain"], *arguments]) == 2
    told = capsys.readouterr().out
    assert "Warm-up     54 steps, more than the 1 of the run" in told
    assert "`train[:200%]` reaches beyond the 24 images of `npz:ok.npz`" in caplog.text


def test_an_old_run_with_an_option_without_effect_continues(place, capsys):
    path = place / "run" / "config.json"
    record = json.loads(path.read_text())
    record["config"]["init_parts"] = "encoder_and_head"
    path.write_text(json.dumps(record))
    # The option is of the run: only its checkpoint holds against it.
    assert command_line.main(["pretrain", "--workdir=run"]) == 2
    assert "Checkpoint run/checkpoints" in capsys.readouterr().err
    flag = ["--data.cache_dir=cache"]
    assert command_line.main(["pretrain", "--workdir=run", *flag]) == 2
    assert "needs `data.cache=disk`" in capsys.readouterr().err


@pytest.mark.parametrize("more", [[], ["--init_from=run"]], ids=["fresh", "warm"])
def test_a_run_that_diverged_at_once_holds_nobody_back(
    more, place, capsys, monkeypatch
):
    arguments = [*BASES["pretrain"], *more]  # A warm start saves step 0 at once.
    monkeypatch.setattr(FIT, diverge)
    assert command_line.main(["pretrain", *arguments, "--base_learning_rate=9"]) == 2
    assert "Replacing" not in capsys.readouterr().out
    assert command_line.main(["pretrain", *arguments, "--base_learning_rate=0.1"]) == 2
    told = capsys.readouterr().out
    assert "Replacing   the run in new, which ended before its first" in told
    assert told.count("Warm start  from") == len(more)
    record = json.loads((place / "new" / "config.json").read_text())
    assert record["config"]["optimizer"]["base_learning_rate"] == 0.1
    # The same options are the same run; what was trained stays.
    assert command_line.main(["pretrain", *arguments, "--base_learning_rate=0.1"]) == 2
    assert "Replacing" not in capsys.readouterr().out
    before = contents(place / "run")
    flags = ["--workdir=run", "--steps=1", "--base_learning_rate=9"]
    assert command_line.main(["pretrain", *BASES["pretrain"][:-1], *flags]) == 2
    assert "holds a run of another config" in capsys.readouterr().err
    assert contents(place / "run") == before


DAMAGES = {  # Entry of config.json, and what it became.
    "precision": [1],
    "versions": [1],
    "command": {"a": 1},
}


@pytest.mark.parametrize("name", DAMAGES)
def test_an_entry_of_another_kind_in_config_json_is_called_damage(
    name, place, no_work, capsys
):
    path = place / "run" / "config.json"
    record = json.loads(path.read_text()) | {name: DAMAGES[name]}
    path.write_text(json.dumps(record))
    before = contents(place)
    for verb in (["pretrain"], ["evaluate"], ["report", "--nofeatures"]):
        assert command_line.main([*verb, "--workdir=run"]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert f"config.json is damaged: `{name}` is" in lines[-1]
    assert contents(place) == before


def test_a_text_that_is_no_npz_gets_no_dangerous_advice(place, capsys):
    (place / "text.npz").write_text("hello world")
    arguments = [*BASES["pretrain"][:-2], "--data=npz:text.npz", "--workdir=new"]
    assert command_line.main(["pretrain", *arguments]) == 2
    error = capsys.readouterr().err
    assert "not an array file" in error and "allow_pickle" not in error
