"""Each verb ends with what it wrote and a next command, which works when typed."""

import json
import shlex

import numpy as np
import pytest
from PIL import Image

from simclr_tf.config.evaluate import EvaluateOptions
from simclr_tf.export import saved_model
from simclr_tf.tools import command_line

SMALL = (
    "--encoder=resnet10",
    "--encoder.width_multiplier=0.0625",
    "--image_size_pixels=12",
    "--batch_size=8",
    "--epochs=1",
    "--compile_views=false",
    "--precision=float32",
)


def pictures(folder, classes):
    rng = np.random.default_rng(0)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for place in range(16):
            image = rng.integers(0, 256, (12, 12, 3)).astype("uint8")
            Image.fromarray(image).save(folder / name / f"{place}.png")
    return folder


def following(capsys):
    """The arguments of the command on the last line of the screen."""
    return next_command(capsys.readouterr().out)


def next_command(told):
    line = told.strip().splitlines()[-1]
    assert line.startswith("Done: ") and ". Next: simclr-tf " in line
    return shlex.split(line.partition(". Next: simclr-tf ")[2])


def test_a_labelled_folder_leads_from_pretrain_to_evaluate_and_on(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    # That check is the claim of test_export_formats and of test_main_job.
    monkeypatch.setattr(saved_model, "check_in_fresh_process", lambda *args: 0.0)
    pictures(tmp_path / "my pictures", ("a", "b"))
    arguments = ["pretrain", "--data=folder:my pictures", "--workdir=runs/it's mine"]
    assert command_line.main([*arguments, *SMALL]) == 0
    command = following(capsys)
    assert command == ["evaluate", "--workdir=runs/it's mine"]
    assert command_line.main([*command, "--protocols=knn"]) == 0
    command = following(capsys)
    assert command == ["finetune", "--workdir=runs/it's mine"]
    small = ["--epochs=1", "--batch_size=4", "--label_fraction=0.5"]
    assert command_line.main([*command, *small, "--methods=linear"]) == 0
    encoder = following(capsys)
    assert encoder[0] == "export" and encoder[1] == "--workdir=runs/it's mine"
    assert command_line.main([*command, *small, "--methods=fine_tune"]) == 0
    told = capsys.readouterr().out
    predict = next_command(told)
    assert predict[:3] == [
        "predict",
        "--classifier=runs/it's mine/classifiers/50_percent",
        "--data=folder:my pictures",
    ]
    (line,) = [line for line in told.splitlines() if line.startswith("To export it: ")]
    classifier = shlex.split(line.partition("simclr-tf ")[2])
    assert classifier[2] == predict[1]
    assert command_line.main(predict) == 0
    told = capsys.readouterr().out
    assert " % of 32 labelled images" in told and "Done: predictions.csv" in told
    assert command_line.main(classifier) == 0
    assert following(capsys)[0] == "zoo"
    assert command_line.main(encoder) == 0
    assert command_line.main(following(capsys)) == 0
    assert "it's mine" in capsys.readouterr().out


def test_pictures_without_labels_lead_to_export(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path, ("all",))
    arguments = ["pretrain", "--data=folder:all", "--workdir=mine"]
    assert command_line.main([*arguments, *SMALL]) == 0
    assert following(capsys) == [
        "export",
        "--workdir=mine",
        "--output=exported_models/mine",
    ]


def test_show_views_leads_to_a_run_with_the_same_images_and_views(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path, ("all",))
    same = ["--data=folder:all", "--image_size_pixels=12", "--recipe=cifar"]
    views = ["--num_pairs=8", "--num_shown=4", "--output=views.md"]
    assert command_line.main(["show_views", *same, *views]) == 0
    command = following(capsys)
    assert command[0] == "pretrain" and {*same} < {*command}
    assert command[-1] == "--workdir=runs/mine" and len(command) == 5


def test_the_verbs_are_listed_in_the_order_of_the_work(capsys):
    assert command_line.main(["help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    verbs = [line.split()[0] for line in lines if line.startswith("  ")]
    work = ["pretrain", "evaluate", "embed", "similar", "finetune", "transfer"]
    work += ["distill", "predict", "export", "report"]
    assert verbs[: len(work)] == work
    assert set(verbs) == set(command_line.VERBS)


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_a_new_path_is_one_that_is_not_there(taken, tmp_path):
    for name in ("run", "run_2", "run_3")[:taken]:
        (tmp_path / name).mkdir()
    expected = ("run", "run_2", None, "run_4")[taken]
    assert command_line.new_path(tmp_path / "run") == tmp_path / expected


def test_results_of_a_run_stay_in_it_whichever_flag_names_it(tmp_path):
    data = {"num_examples": 2, "channels": 3, "fingerprint": "0"}
    record = {"config": {}, "data": data}
    (tmp_path / "config.json").write_text(json.dumps(record))
    for option in ("workdir", "encoder"):
        options = EvaluateOptions(**{option: str(tmp_path)})
        assert command_line.results_folder(options) == tmp_path
