"""`similar`: what the csv files and the page hold, against loops over all pairs."""

import base64
import csv
import dataclasses
import html
import io
import re

import numpy as np
import pytest
from PIL import Image

import simclr_tf
from simclr_tf._keras import keras
from simclr_tf.commands.similar import similar_and_report
from simclr_tf.config.similar import SimilarOptions
from simclr_tf.errors import ConfigError, DataError, WorkdirError
from simclr_tf.evaluation.feature_files import (
    ImageFeatures,
    read_features,
    write_features,
)
from simclr_tf.tools import command_line
from tests.oracles import metrics_knn as oracle

HOSTILE = "cat/1<b>&'.png"
NAMES = [HOSTILE, "cat/2.png", "dog/1.png", "dog/copy.png", "dog/turned.jpg"]
SIZE = 8


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with pictures/, queries/, an encoder, and the features of pictures/."""
    place = tmp_path_factory.mktemp("similar")
    rng = np.random.default_rng(0)
    for name in NAMES[:3]:
        pixels = Image.fromarray(rng.choice([0, 255], (2, 2, 3)).astype("uint8"))
        (place / "pictures" / name).parent.mkdir(parents=True, exist_ok=True)
        pixels.resize((32, 32), Image.Resampling.BICUBIC).save(
            place / "pictures" / name
        )
    one = Image.open(place / "pictures" / "dog/1.png")
    one.save(place / "pictures" / "dog/copy.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # Stored on its side; people see it as dog/1.png.
    turned = place / "pictures" / "dog/turned.jpg"
    one.rotate(90).save(turned, exif=exif, quality=100, subsampling=0)
    (place / "queries").mkdir()
    one.save(place / "queries" / "query.png")
    encoder = keras.Sequential([keras.Input((SIZE, SIZE, 3))])
    encoder.add(keras.layers.Conv2D(3, 1))  # The pixels, around 0.
    encoder.add(keras.layers.Flatten())
    encoder.set_weights([np.eye(3)[np.newaxis, np.newaxis], np.full(3, -0.5)])
    encoder.save(place / "encoder.keras")
    found = simclr_tf.embed(f"folder:{place}/pictures", encoder, image_size_pixels=SIZE)
    write_features(place / "features.npz", found)
    return place


def lines_of(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream))


def run(place, output, **options):
    """Find what is similar in the pictures with the encoder."""
    given = {
        "data": f"folder:{place}/pictures",
        "output": str(output),
        "encoder": str(place / "encoder.keras"),
        "image_size_pixels": SIZE,
        **options,
    }
    return similar_and_report(SimilarOptions(**given), say=lambda line: None)


def test_the_csv_files_hold_every_neighbour_and_every_group(tmp_path):
    features = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    features[3], features[4] = 2 * features[2], features[2] + 0.01
    labels = np.full(5, -1, np.int32)
    write_features(tmp_path / "a.npz", ImageFeatures(features, NAMES, labels))
    output = tmp_path / "similar.csv"
    arguments = ["similar", f"--features_file={tmp_path}/a.npz", f"--output={output}"]
    assert command_line.main([*arguments, "--k=2"]) == 0
    expected = []
    for row in range(5):
        others = [i for i in range(5) if i != row]
        near = oracle.neighbours(features[others], features[row], 2)
        for rank, (similarity, j) in enumerate(near):
            names = [NAMES[row], str(rank + 1), NAMES[others[j]]]
            expected.append([*names, pytest.approx(similarity, abs=2e-6)])
    header, *lines = lines_of(output)
    assert header == ["query", "rank", "name", "similarity"]
    assert [[*cells, float(similarity)] for *cells, similarity in lines] == expected
    header, *lines = lines_of(tmp_path / "similar_duplicates.csv")
    assert header == ["group", "set", "name", "similarity"]
    assert oracle.duplicate_groups(features, 0.98) == [[2, 3, 4]]
    groups = [["1", "data", NAMES[row]] for row in (2, 3, 4)]
    assert [cells[:3] for cells in lines] == groups
    assert float(lines[0][3]) == pytest.approx(1, abs=1e-6)
    assert command_line.main(arguments) == 2  # Nothing is overwritten.


def test_queries_find_their_neighbours_in_features_of_a_file(place, tmp_path):
    options = {"features_file": str(place / "features.npz"), "data": None, "k": 1}
    run(place, tmp_path / "a.csv", queries=f"folder:{place}/queries", **options)
    _, line = lines_of(tmp_path / "a.csv")
    assert line[:3] == ["query.png", "1", "dog/1.png"]
    assert float(line[3]) == pytest.approx(1, abs=1e-4)
    _, *groups = lines_of(tmp_path / "a_duplicates.csv")
    found = {tuple(cells[1:3]) for cells in groups if cells[0] == "1"}
    names = ("dog/1.png", "dog/copy.png", "dog/turned.jpg")
    assert found == {("queries", "query.png"), *(("data", name) for name in names)}


@pytest.fixture(scope="module")
def page(place):
    output = place / "similar.html"
    assert run(place, output, k=9) == [output]
    return output.read_text(encoding="utf-8")


def tiles_of(page):
    """(name, pixels) of every picture of a page."""

    for uri, name in re.findall(
        r'<img src="data:[^,]*,([^"]*)"[^>]*title="([^"]*)"', page
    ):
        image = Image.open(io.BytesIO(base64.b64decode(uri)))
        yield html.unescape(name), np.asarray(image.convert("RGB"), np.int16)


def test_the_page_shows_every_picture_with_its_name_and_no_markup_in_it(page):
    assert {name for name, _ in tiles_of(page)} == set(NAMES)
    assert "<b>&'" not in page and "Near-duplicates" in page
    assert page.count('class="row"') >= len(NAMES) + 1


def test_thumbnails_are_upright(page):
    pictures = dict(tiles_of(page))
    distance = np.abs(pictures["dog/1.png"] - pictures["dog/turned.jpg"]).mean()
    assert distance < 8
    turned = np.rot90(pictures["dog/1.png"])
    assert np.abs(turned - pictures["dog/turned.jpg"]).mean() > 2 * distance


def test_a_page_shows_some_of_many_images(place, tmp_path):
    options = {"features_file": str(place / "features.npz"), "encoder": None}
    run(place, tmp_path / "a.html", num_shown=2, k=1, duplicates=None, **options)
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert page.count('class="row"') == 2 and "Near-duplicates" not in page


@pytest.mark.parametrize(
    "options, words",
    [
        ({"encoder": None}, "Exactly one of --workdir and --encoder"),
        ({"features_file": "a.npz"}, "has the features: leave --workdir and --encoder"),
        ({"features_file": "a.npz", "encoder": None, "data": None}, "add --data"),
        ({"output": "a.txt"}, "must end in one of .html, .csv"),
        ({"duplicates": 1.5}, "`duplicates` must be in"),
        ({"k": 0}, "`k` must be >= 1"),
    ],
)
def test_what_does_not_fit_together_is_refused(options, words):
    given = {"data": "folder:a", "encoder": "b", "output": "a.html", **options}
    with pytest.raises(ConfigError, match=words):
        SimilarOptions(**given)


def test_features_of_another_encoder_or_of_other_images_are_refused(place, tmp_path):
    names, labels = ["a.png", "b.png"], np.zeros(2, np.int32)
    features, one = str(tmp_path / "other.npz"), str(tmp_path / "one.npz")
    rows = np.ones([2, 3], np.float32)
    write_features(features, ImageFeatures(rows, names, labels))
    write_features(one, ImageFeatures(rows[:1], names[:1], labels[:1]))
    with pytest.raises(DataError, match="have 3 numbers an image, and those of"):
        queries = f"folder:{place}/queries"
        run(place, tmp_path / "a.csv", features_file=features, queries=queries)
    with pytest.raises(DataError, match="has no `[ab].png`, which is in"):
        run(place, tmp_path / "a.html", features_file=features, encoder=None)
    with pytest.raises(DataError, match="only one image"):
        run(place, tmp_path / "a.csv", features_file=one, encoder=None)
    assert {path.name for path in tmp_path.iterdir()} == {"other.npz", "one.npz"}


@pytest.mark.parametrize(
    "change", ["weights_sha256", "image_size_pixels", "background"]
)
def test_features_that_this_encoder_would_not_compute_are_refused(
    place, tmp_path, change
):
    found = read_features(place / "features.npz")
    found = dataclasses.replace(found, encoder={**found.encoder, change: "16"})
    write_features(tmp_path / "a.npz", found)
    options = {"features_file": str(tmp_path / "a.npz"), "data": None}
    options["queries"] = f"folder:{place}/queries"
    words = f"are not those of .*{change}=16 in the file, {change}="
    with pytest.raises(DataError, match=words) as told:
        run(place, tmp_path / "a.csv", **options)
    assert "\n" not in str(told.value) and not (tmp_path / "a.csv").exists()


def test_a_file_that_does_not_name_its_encoder_is_taken_with_a_line(place, tmp_path):
    with np.load(place / "features.npz") as archive:
        arrays = {name: archive[name] for name in archive if name != "encoder"}
    np.savez(tmp_path / "old.npz", **arrays)
    options = SimilarOptions(
        features_file=str(tmp_path / "old.npz"),
        queries=f"folder:{place}/queries",
        encoder=str(place / "encoder.keras"),
        image_size_pixels=SIZE,
        output=str(tmp_path / "a.csv"),
    )
    told = []
    similar_and_report(options, say=told.append)
    assert any("cannot be checked" in line for line in told)


def test_groups_of_an_earlier_table_do_not_stay_beside_a_new_one(place, tmp_path):
    (tmp_path / "a_duplicates.csv").write_text("mine")
    run(place, tmp_path / "a.csv", duplicates=None)
    assert (tmp_path / "a_duplicates.csv").exists()  # Nothing may be replaced.
    run(place, tmp_path / "a.csv", duplicates=None, overwrite=True)
    assert not (tmp_path / "a_duplicates.csv").exists()


def test_the_second_file_is_not_overwritten_either(place, tmp_path):
    (tmp_path / "a_duplicates.csv").write_text("mine")
    with pytest.raises(WorkdirError, match="a_duplicates.csv exists already"):
        run(place, tmp_path / "a.csv")
