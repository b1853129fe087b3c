"""Reports of runs and studies hold what their files, images and encoder say."""

import json
import re

import html5lib
import numpy as np
import pytest

from simclr_tf._keras import keras
from simclr_tf.commands.encoder_sections import confusion_section, neighbour_section
from simclr_tf.commands.feature_maps import plane_maps
from simclr_tf.commands.image_sample import ImageSample, encode_sample, sampled_sources
from simclr_tf.commands.run_files import read_run
from simclr_tf.data import open_source
from simclr_tf.tools import report
from simclr_tf.training import Workdir, load_encoder, load_probe
from tests.report.untrained_run import save_images, write_results_of, write_run


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    workdir = write_run(folder / "mine", save_images(folder / "x.npz"))
    write_results_of(workdir)
    return workdir


@pytest.fixture(scope="module")
def page(workdir):
    """The folder that the tool wrote for one run."""
    arguments = [f"--workdir={workdir.path}", "--num_images=20", "--map_images=12"]
    assert report.main(arguments) == 0
    return workdir.path / "report"


def sections_of(path):
    """Heading -> the text of its section, of strictly read HTML."""
    tree = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(
        path.read_text()
    )
    return {
        section.find("h2").text: " ".join(" ".join(section.itertext()).split())
        for section in tree.iter("section")
    }


def test_page_of_a_run_has_every_part(page, workdir):
    found = sections_of(page / "report.html")
    assert list(found) == [
        "Frozen features",
        "Transfer",
        "Nearest neighbours",
        "Maps of the features",
        "Mistakes of the probe",
        "Training curves",
        "At the end",
        "Pairs of views",
        "Environment and cost",
        "Configuration",
        "Command",
    ]
    assert "encoder.width_multiplier 0.25 0.0625" in found["Configuration"]
    assert "precision auto float32" in found["Configuration"]
    assert "optimizer.name" not in found["Configuration"]  # As in the preset.
    for figure in (
        "contrastive loss",
        "contrastive accuracy",
        "entropy",
        "probe",
        "learning rate",
        "alignment",
        "uniformity",
        "effective rank",
        "waiting for data",
    ):
        assert figure in found["Training curves"]
    assert "mine: 2.000 at epoch 2" in found["Training curves"]
    assert "contrastive loss 1.000" in found["At the end"]
    assert "70.0 (65.0 to 75.0)" in found["Frozen features"]
    assert "npz:birds 24 24 80.0 ± 1.5" in found["Transfer"]
    assert "this encoder: 70.0 (65.0 to 75.0)" in found["Frozen features"]
    assert "before training" in found["Nearest neighbours"]
    assert "5 of its class" in found["Nearest neighbours"]
    assert "dark · npz:" in found["Maps of the features"]
    assert "training time 6 s" in found["Environment and cost"]
    assert "evaluation.json, wall time 1 min 15 s" in found["Environment and cost"]
    weights = load_encoder(workdir.path).trainable_weights
    number = sum(int(np.prod(weight.shape)) for weight in weights)
    assert f"parameters of the encoder {number:,}" in found["Environment and cost"]


def test_confusion_counts_are_those_of_the_online_probe(page, workdir):
    text = sections_of(page / "report.html")["Mistakes of the probe"]
    train, test, _, data, _ = sampled_sources(
        workdir.config().data, {}, channels=3, number=20
    )
    encoder = load_encoder(workdir.path)
    images = test.read_images(np.arange(20)).astype("float32") / 255
    logits = load_probe(workdir, encoder)(encoder(images)).numpy()
    right = np.mean(logits.argmax(axis=1) == test.labels)
    assert f"By the run's online probe: {right:.1%} of 20 test images" in text
    names = np.array(["dark", "grey", "bright"])
    for true, taken in ((0, 0), (0, 1), (2, 2)):
        count = np.sum((test.labels == true) & (logits.argmax(axis=1) == taken))
        of = np.sum(test.labels == true)
        assert f"{names[true]} taken for {names[taken]}: {count} of {of}" in text


def test_markdown_has_its_figures_beside_it(page):
    text = (page / "report.md").read_text()
    shown = re.findall(r"\]\((figures/[^)]*)\)", text)
    assert len(shown) == 17 and all((page / name).is_file() for name in shown)


def test_making_a_report_leaves_the_run_as_it_was(page, workdir):
    assert {path.name for path in workdir.path.iterdir()} == {
        "config.json",
        "metrics.jsonl",
        "checkpoints",
        "evaluation.json",
        "transfer.json",
        "report",
    }
    assert Workdir(workdir.path).config() == workdir.config()


def test_several_runs_are_compared_side_by_side(workdir, tmp_path):
    other = write_run(
        tmp_path / "b" / "mine",
        workdir.config().data.source,
        model=False,
        epochs=2,
        **{"objective.temperature": 0.7},
    )
    write_results_of(other, knn=55.0)
    output = tmp_path / "out" / "comparison.html"
    assert (
        report.main(
            [
                f"--workdir={workdir.path}",
                f"--workdir={other.path}",
                f"--output={output}",
            ]
        )
        == 0
    )
    found = sections_of(output)
    parent = workdir.path.parent.name
    assert f"option {parent}/mine b/mine" in found["What differs"]
    assert "objective.temperature 0.2 0.7" in found["What differs"]
    assert "global_batch_size" not in found["What differs"]
    assert "b/mine: 2.000 at epoch 2" in found["Training curves"]
    assert (
        "kNN this encoder 70.0 (65.0 to 75.0) 55.0 (50.0 to 60.0)"
        in found["Evaluation, side by side"]
    )
    assert "No neighbours side by side" in found["Nearest neighbours"]
    text = output.read_text()
    assert '<span class="best">70.0 (65.0 to 75.0)</span>' in text
    assert text.count('<span class="best">') == 1
    assert "training time 6 s 4 s" in found["Environment and cost"]


def test_runs_of_the_same_images_show_their_neighbours_side_by_side(workdir, tmp_path):
    data = workdir.config().data.source
    other = write_run(tmp_path / "other", data)
    flags = [f"--workdir={path}" for path in (workdir.path, other.path)]
    assert report.main([*flags, "--num_images=20", f"--output={tmp_path}/c.html"]) == 0
    found = sections_of(tmp_path / "c.html")["Nearest neighbours"]
    for name in ("mine", "other"):
        assert len(re.findall(rf"{name}: \d of 5 of its class", found)) == 10
    (tmp_path / "b").mkdir()
    strange = write_run(tmp_path / "b" / "x", save_images(tmp_path / "b" / "x.npz"))
    flags[1] = f"--workdir={strange.path}"
    assert report.main([*flags, "--num_images=20", f"--output={tmp_path}/c.html"]) == 0
    found = sections_of(tmp_path / "c.html")["Nearest neighbours"]
    assert "choose images for all with --data" in found


def test_run_whose_images_are_gone_says_so_and_shows_the_rest(tmp_path, capsys):
    gone = write_run(tmp_path / "run", f"npz:{tmp_path}/gone.npz", model=False)
    assert report.main([f"--workdir={gone.path}"]) == 0
    found = sections_of(gone.path / "report" / "report.html")
    assert "No such file" in found["Images"] and "Training curves" in found
    assert "Not evaluated yet" in found["Evaluation"]
    assert "No images on the page" in capsys.readouterr().out


def test_run_without_a_checkpoint_or_labels_shows_views_and_says_why(tmp_path):
    data = save_images(tmp_path / "x.npz", labels=False, test=False)
    young = write_run(tmp_path / "run", data, model=False)
    (young.path / "evaluation.json").write_text("{")
    assert report.main([f"--workdir={young.path}", f"--output={tmp_path}/r.html"]) == 0
    found = sections_of(tmp_path / "r.html")
    assert "view a" in found["Pairs of views"]
    assert "No complete checkpoint yet" in found["Features"]
    assert "evaluation.json" in found["Results that cannot be read"]


def test_results_of_another_step_carry_a_warning(workdir, tmp_path):
    run = write_run(tmp_path / "run", "npz:gone", model=False)
    write_results_of(run, step=6)
    (run.path / "checkpoints").symlink_to(workdir.path / "checkpoints")
    assert report.main([f"--workdir={run.path}", "--features=false"]) == 0
    found = sections_of(run.path / "report" / "report.html")
    assert "of step 6; the newest checkpoint is of step 9" in found["Frozen features"]
    assert "Images" not in found


def plane_of(brightness):
    """ImageSample whose features are a direction a class."""
    angle = np.asarray(brightness, np.float32)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def looked_at(angles, labels):
    number = len(angles)
    return ImageSample(
        plane_of(angles),
        np.zeros([number, 4, 4, 1], "uint8"),
        None if labels is None else np.array(labels),
        [str(place) for place in range(number)],
        ("a", "b"),
    )


def test_neighbours_are_framed_by_class_and_stand_before_and_after():
    gallery = looked_at([0.0, 1.5, 0.1], [0, 1, 1])
    test = looked_at([0.02, 1.4], [0, 1])
    section = neighbour_section(
        gallery,
        test,
        lambda rows: {
            "before training": (
                plane_of([1.5, 0.0, 1.4]),
                plane_of(np.array([0.02, 1.4])[rows]),
            )
        },
    )
    rows = {
        (tiles[0].caption, title.split(":")[0]): [tile.mark for tile in tiles[1:]]
        for title, tiles in section.blocks[1].rows
    }
    assert rows == {
        ("a", "after training"): ["same", "other", "other"],
        ("a", "before training"): ["other", "other", "same"],
        ("b", "after training"): ["same", "same", "other"],
        ("b", "before training"): ["same", "other", "same"],
    }
    unlabelled = neighbour_section(
        looked_at([0.0, 1.5], None), looked_at([0.02], None), None
    )
    assert [
        [tile.mark for tile in tiles] for _, tiles in unlabelled.blocks[1].rows
    ] == [[None] * 3]


def test_without_an_online_probe_ridge_on_the_features_is_asked(workdir):
    gallery = looked_at([0.0, 0.1, 1.5, 1.4], [0, 0, 1, 1])
    section = confusion_section(
        read_run(workdir.path),
        keras.Sequential(),
        gallery,
        looked_at([0.05, 1.45, 0.1], [0, 1, 1]),
        own_images=False,
    )
    assert section.blocks[0].text.startswith(
        "By ridge regression on 4 training images: 66.7% of 3"
    )
    ((_, (worst,)),) = section.blocks[1].rows
    assert (worst.caption, worst.detail, worst.group) == ("b → a", "2", "b")
    assert section.blocks[2].counts.tolist() == [[1, 0], [1, 1]]
    assert section.blocks[3].rows == (("b", "a", "1", "50.0%"),)
    assert (
        confusion_section(
            read_run(workdir.path),
            None,
            gallery,
            looked_at([0.0], None),
            own_images=True,
        )
        is None
    )


def test_the_confusion_of_many_classes_is_as_large_as_those_that_occur(workdir):
    gallery = looked_at([0.0, 0.1, 1.5, 1.4], [3, 3, 10**6, 10**6])
    test = looked_at([0.05, 1.45, 0.1], [3, 10**6, 10**6])
    section = confusion_section(
        read_run(workdir.path), keras.Sequential(), gallery, test, own_images=False
    )
    assert section.blocks[-1].rows[0][2:] == ("1", "50.0%")


def test_maps_keep_groups_apart():
    rng = np.random.default_rng(0)
    centers = np.eye(3, 16)[np.arange(60) % 3]
    maps = plane_maps(centers + 0.05 * rng.normal(size=(60, 16)))
    assert [title.split(" ")[0] for title in maps] == ["PCA", "t-SNE"]
    for places in maps.values():
        middles = np.stack([places[g::3].mean(axis=0) for g in range(3)])
        nearest = np.linalg.norm(places[:, None] - middles, axis=2).argmin(axis=1)
        assert (nearest == np.arange(60) % 3).all()


def test_held_out_images_are_never_in_the_gallery(tmp_path):
    data = save_images(tmp_path / "x.npz", test=False)
    run = write_run(tmp_path / "run", data, model=False)
    train, test, every, _, note = sampled_sources(
        run.config().data, {}, channels=3, number=100
    )
    names = [
        {part.example_name(i) for i in range(part.num_examples)}
        for part in (train, test, every)
    ]
    assert names[0] | names[1] == names[2] and not names[0] & names[1]
    assert "are training images" in note


def test_images_that_are_looked_at_keep_their_names_and_labels():
    images = np.arange(5 * 64 * 64, dtype=np.int64).reshape(5, 64, 64, 1) % 256
    source = open_source((images.astype("uint8"), np.arange(5)))
    encoder = keras.Sequential([keras.layers.GlobalAveragePooling2D()])
    found = encode_sample(source.subset(np.array([4, 2])), encoder, 64)
    assert found.labels.tolist() == [4, 2] and found.names == ["array#4", "array#2"]
    assert found.thumbnails.shape == (2, 64, 64, 1)
    np.testing.assert_allclose(
        found.features[:, 0], images[[4, 2]].mean(axis=(1, 2, 3)) / 255, rtol=1e-5
    )


def write_study(folder, workdir):
    folder.mkdir()
    (folder / "study.json").write_text(
        json.dumps(
            {
                "study": "temperature",
                "title": "Table 5 in miniature",
                "budget": "small",
                "paper": "0.1 is best",
                "question": "Which?",
                "tables": [{"header": ["t", "kNN"], "rows": [["0.1", "71 | <b>"]]}],
                "cells": [
                    {
                        "name": "t=0.1",
                        "workdir": str(workdir.path),
                        "seed": 0,
                        "status": "done",
                        "values": {"knn_percent": 71.25},
                        "wall_seconds": 75.0,
                        "error": None,
                    },
                    {
                        "name": "t=1",
                        "workdir": "cells/t1",
                        "seed": 0,
                        "status": "failed",
                        "values": {},
                        "wall_seconds": 3.0,
                        "error": "ValueError:\nno",
                    },
                ],
            }
        )
    )
    return folder


def test_page_of_a_study_shows_every_cell_and_what_failed(workdir, tmp_path):
    folder = write_study(tmp_path / "study", workdir)
    assert report.main([f"--study={folder}"]) == 0
    text = (folder / "report" / "report.html").read_text()
    found = sections_of(folder / "report" / "report.html")
    assert "Table 5 in miniature" in text and "1 of 2 cells done" in text
    assert "Failed cells (1): t=1, seed 0." in found["Outcome"]
    assert "0.1 is best" in found["Outcome"]
    assert "Which? t kNN 0.1 71 | <b>" in found["Outcome"]
    assert "t=0.1 0 done 71.25 1 min 15 s" in found["All cells"]
    assert "t=1 0 failed 3 s ValueError: no" in found["All cells"]
    assert "t=0.1, seed 0: 1.000 at epoch 3" in found["Training curves"]


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], "Exactly one of --workdir"),
        (["--workdir=a", "--study=b"], "Exactly one"),
        (["--workdir=nowhere"], "not a workdir"),
        (["--study=nowhere"], "is not a study"),
        (["--workdir=RUN", "--workdir=RUN"], "--output is required"),
        (["--workdir=RUN", "--data=folder:nowhere"], "nowhere"),
        (["--workdir=RUN", "--map_images=3"], "map_images"),
        (["--workdir=RUN", "--workdir=RUN", "--output=x.html", "--split=no"], "no"),
        (["--workdir=RUN", "--output=/proc/no/r.html"], "Cannot write"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(
    arguments, words, workdir, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    code = report.main([a.replace("RUN", str(workdir.path)) for a in arguments])
    error = capsys.readouterr().err.strip()
    assert code == 2 and words in error.splitlines()[-1] and "Traceback" not in error
    assert list(tmp_path.iterdir()) == []
