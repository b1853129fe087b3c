"""Each mistake gets one clear line and exit code 2, and leaves nothing behind."""

import json

import numpy as np
import pytest
from PIL import Image

from simclr_tf.config import Config
from simclr_tf.config.schema import to_dict
from simclr_tf.tools import command_line, pretrain
from tests import fresh_process

TINY = [
    "--preset=demo",
    "--epochs=1",
    "--batch_size=4",
    "--precision=float32",
    "--encoder=resnet10",
    "--encoder.width_multiplier=0.0625",
    "--encoder.stem=small",
    "--image_size_pixels=16",
    "--nocompile_views",
    "--recipe=finetune",
]


def run(capsys, *arguments):
    """Exit code and stderr of `simclr-tf pretrain`."""
    given = {argument.partition("=")[0] for argument in arguments}
    tiny = [flag for flag in TINY if flag.partition("=")[0] not in given]
    code = pretrain.main([*tiny, *arguments])
    return code, capsys.readouterr().err


def save_images(folder, number=8, suffix=".png", size=16):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(number):
        pixels = rng.integers(0, 256, (size, size, 3), "uint8")
        Image.fromarray(pixels).save(folder / f"image{i}{suffix}")
    return folder


def save_npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def images(number=8, dtype="uint8"):
    return np.random.default_rng(0).integers(0, 256, (number, 16, 16, 3)).astype(dtype)


def missing_path(tmp):
    return [f"--data=folder:{tmp}/nowhere"], "nowhere"


def empty_folder(tmp):
    (tmp / "empty").mkdir()
    return [f"--data=folder:{tmp}/empty"], "empty"


def folder_of_text_files(tmp):
    (tmp / "texts").mkdir()
    for name in ("a.txt", "b.md"):
        (tmp / "texts" / name).write_text("hello")
    return [f"--data=folder:{tmp}/texts"], "texts"


def truncated_jpeg(tmp):
    folder = save_images(tmp / "jpegs", suffix=".jpg", size=64)
    broken = folder / "image3.jpg"
    broken.write_bytes(broken.read_bytes()[:-200])
    return [f"--data=folder:{folder}"], "image3.jpg"


def zero_byte_png(tmp):
    folder = save_images(tmp / "pngs")
    (folder / "image5.png").write_bytes(b"")
    return [f"--data=folder:{folder}"], "image5.png"


def npz_without_the_keys(tmp):
    save_npz(tmp / "other.npz", pictures=images())
    return [f"--data=npz:{tmp}/other.npz"], "x_train"


def floats_outside_the_unit_interval(tmp):
    save_npz(tmp / "floats.npz", x_train=images(dtype="float32"))
    return [f"--data=npz:{tmp}/floats.npz"], "[0, 1]"


def nan_pixels(tmp):
    pixels = images(dtype="float32") / 255
    pixels[2, 3, 4, 0] = np.nan
    save_npz(tmp / "nan.npz", x_train=pixels)
    return [f"--data=npz:{tmp}/nan.npz"], "NaN"


def one_image_only(tmp):
    return [f"--data=folder:{save_images(tmp / 'one', 1)}"], "at least 2"


def batch_larger_than_the_set(tmp):
    save_npz(tmp / "few.npz", x_train=images())
    return [f"--data=npz:{tmp}/few.npz", "--batch_size=9"], "at most 8"


def batch_of_one(tmp):
    return ["--batch_size=1"], "at least 2"


def temperature_zero(tmp):
    return ["--objective.temperature=0"], "temperature=0.0"


def temperature_negative(tmp):
    return ["--objective.temperature=-1"], "temperature=-1.0"


def unknown_preset(tmp):
    return ["--preset=dmeo"], "Did you mean demo?"


def unknown_data_scheme(tmp):
    return ["--data=foldr:somewhere"], "folder"


def flag_typo(tmp):
    return ["--objective.temprature=1"], "--objective.temperature"


def depth_51(tmp):
    return ["--encoder=resnet51"], "50"


def negative_epochs(tmp):
    return ["--epochs=-2"], "epochs=-2"


def workdir_below_a_file(tmp):
    (tmp / "file").write_text("")
    save_npz(tmp / "ok.npz", x_train=images())
    return [f"--data=npz:{tmp}/ok.npz", f"--workdir={tmp}/file/run"], "Cannot write"


def workdir_that_is_a_file(tmp):
    (tmp / "file").write_text("")
    save_npz(tmp / "ok.npz", x_train=images())
    return [f"--data=npz:{tmp}/ok.npz", f"--workdir={tmp}/file"], "is a file"


def workdir_with_other_things(tmp):
    (tmp / "home").mkdir()
    (tmp / "home" / "thesis.tex").write_text("precious")
    save_npz(tmp / "ok.npz", x_train=images())
    return [f"--data=npz:{tmp}/ok.npz", f"--workdir={tmp}/home"], "not empty"


def workdir_with_a_foreign_config(tmp):
    (tmp / "model").mkdir()
    (tmp / "model" / "config.json").write_text('{"model_type": "other"}')
    save_npz(tmp / "ok.npz", x_train=images())
    return [f"--data=npz:{tmp}/ok.npz", f"--workdir={tmp}/model"], "another kind"


def probe_set_without_labels(tmp):
    save_npz(tmp / "ok.npz", x_train=images())
    return [f"--data=npz:{tmp}/ok.npz", f"--probe.data=npz:{tmp}/ok.npz"], "no labels"


def workdir_with_a_truncated_config(tmp):
    (tmp / "run").mkdir()
    (tmp / "run" / "config.json").write_text('{"config": {"epo')
    save_npz(tmp / "ok.npz", x_train=images())
    return (
        [f"--data=npz:{tmp}/ok.npz", f"--workdir={tmp}/run"],
        "config.json is damaged",
    )


def start_from_nowhere(tmp):
    save_npz(tmp / "ok.npz", x_train=images())
    return [f"--data=npz:{tmp}/ok.npz", f"--init_from={tmp}/nowhere"], "does not exist"


def start_from_a_run_without_a_checkpoint(tmp):
    (tmp / "other").mkdir()
    data = {"num_examples": 8, "channels": 3, "fingerprint": "00"}
    record = json.dumps({"config": to_dict(Config()), "data": data})
    (tmp / "other" / "config.json").write_text(record)
    save_npz(tmp / "ok.npz", x_train=images())
    return (
        [f"--data=npz:{tmp}/ok.npz", f"--init_from={tmp}/other"],
        "no complete checkpoint yet",
    )


def start_from_parts_that_are_none(tmp):
    return ["--init_from=runs/other", "--init_parts=haed"], "encoder_and_head"


MISTAKES = [
    missing_path,
    empty_folder,
    folder_of_text_files,
    truncated_jpeg,
    zero_byte_png,
    npz_without_the_keys,
    floats_outside_the_unit_interval,
    nan_pixels,
    one_image_only,
    batch_larger_than_the_set,
    batch_of_one,
    temperature_zero,
    temperature_negative,
    unknown_preset,
    unknown_data_scheme,
    flag_typo,
    depth_51,
    negative_epochs,
    workdir_below_a_file,
    workdir_that_is_a_file,
    workdir_with_other_things,
    workdir_with_a_foreign_config,
    probe_set_without_labels,
    workdir_with_a_truncated_config,
    start_from_nowhere,
    start_from_a_run_without_a_checkpoint,
    start_from_parts_that_are_none,
]


def contents(folder):
    return sorted(
        (str(p.relative_to(folder)), p.stat().st_size) for p in folder.rglob("*")
    )


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda f: f.__name__)
def test_one_line_exit_code_2_and_nothing_left_behind(mistake, tmp_path, capsys):
    arguments, words = mistake(tmp_path)
    if not any(a.startswith("--workdir") for a in arguments):
        arguments.append(f"--workdir={tmp_path}/run")
    before = contents(tmp_path)
    code, error = run(capsys, *arguments)
    last = error.strip().splitlines()[-1]
    assert code == 2, error
    assert last.startswith("simclr-tf: ") and words in last, error
    assert "Traceback" not in error
    left = [entry for entry in contents(tmp_path) if entry not in before]
    if "--data.max_corrupt_fraction" in last:  # The list of what cannot be read.
        assert [name for name, _ in left] == ["run", "run/left_out_files.txt"]
    else:
        assert not left


def test_a_disk_that_fills_while_saving_loses_nothing_and_says_so(tmp_path):
    np.savez(tmp_path / "ok.npz", x_train=images())
    # A limit on the size of files stands for the full disk; a shell of its own.
    script = (
        "import resource, sys\n"
        "from simclr_tf.tools.command_line import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    done = fresh_process.run(
        [
            "-c",
            script,
            "pretrain",
            *TINY,
            f"--data=npz:{tmp_path}/ok.npz",
            f"--workdir={tmp_path}/run",
        ]
    )
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("simclr-tf: Cannot save the checkpoint"), done.stderr
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == []


def test_a_workdir_that_may_not_be_read_or_written_gets_one_line(tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0)
    script = (
        "import os, sys\n"
        "from simclr_tf.config import Config\n"
        "from simclr_tf.errors import WorkdirError\n"
        "from simclr_tf.training.workdir import Workdir\n"
        "if os.geteuid() == 0:\n"
        "    os.seteuid(65534)\n"  # Root may write everywhere.
        "for path in sys.argv[1:]:\n"
        "    try:\n"
        "        Workdir(path).claim(Config(), {}, 'x')\n"
        "    except WorkdirError as error:\n"
        "        print(error)\n"
    )
    done = fresh_process.run(["-c", script, locked, locked / "run"])
    locked.chmod(0o700)
    lines = done.stdout.splitlines()
    assert len(lines) == 2 and all("--workdir=" in line for line in lines), done.stderr


def test_a_missing_workdir_is_asked_for(capsys):
    code, error = run(capsys)
    assert code == 2 and "--workdir is required" in error


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["pretain"], "Did you mean pretrain?"),
        (["evaluate"], "--workdir"),
        (["export"], "--workdir"),
        (["pretrain", "runs/demo"], "Unexpected argument 'runs/demo'"),
        (["pretrain", "--epochs"], "Missing value for flag --epochs"),
    ],
)
def test_the_command_line_names_the_way_out(arguments, words, capsys):
    assert command_line.main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error and len(error.strip().splitlines()) == 1
