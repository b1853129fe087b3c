"""`embed`: one row for every readable image, as the exported encoder computes it."""

import csv
import importlib
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import simclr_tf
from simclr_tf.commands.embed import encode_parts, open_parts
from simclr_tf.commands.encoder_at import open_encoder
from simclr_tf.config.data import DataConfig
from simclr_tf.config.embed import EmbedOptions, EncodedImages
from simclr_tf.errors import ConfigError, DataError, WorkdirError
from simclr_tf.evaluation.feature_files import (
    ImageFeatures,
    read_features,
    write_features,
)
from simclr_tf.export import ReusableModule, export_saved_model
from simclr_tf.models import classifier_network, split_classifier
from simclr_tf.tools import command_line
from simclr_tf.training.classifier_records import ClassifierRecord, add_record
from tests.export.tiny_encoder import tiny_encoder

SIZE = 16
# Name -> (height, width); the last of each class is turned by its EXIF orientation.
PICTURES = {
    "test/cat/z.png": (20, 33),
    "test/owl/1.png": (16, 16),
    "train/cat/b.png": (40, 21),
    "train/cat/ä.jpg": (48, 31),
    "train/dog/10.jpg": (17, 64),
    "train/dog/9.png": (30, 30),
}
BROKEN = ["train/cat/a.png", "train/dog/99.jpg"]


def save(path, shape, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), "uint8")
    image = Image.fromarray(small).resize(shape[::-1], Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6 if path.suffix == ".jpg" else 1
    image.save(path, exif=exif)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for seed, (name, shape) in enumerate(PICTURES.items()):
        save(folder / name, shape, seed)
    (folder / BROKEN[0]).write_bytes(b"no image")
    whole = (folder / "train/dog/10.jpg").read_bytes()
    (folder / BROKEN[1]).write_bytes(whole[: len(whole) // 2])
    return folder


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    place = str(tmp_path_factory.mktemp("encoder"))
    module = ReusableModule(tiny_encoder(), image_size_pixels=SIZE)
    tf.saved_model.save(module.root, place, signatures=module.signatures)
    return place


@pytest.fixture(scope="module")
def written(folder, saved_model, tmp_path_factory):
    """The folder of one run of the tool, which writes features.npz."""
    place = tmp_path_factory.mktemp("written")
    code = command_line.main(arguments_of(folder, saved_model, place / "features.npz"))
    assert code == 0
    return place


def arguments_of(folder, encoder, output):
    return [
        "embed",
        f"--encoder={encoder}",
        f"--data=folder:{folder}",
        f"--image_size_pixels={SIZE}",
        "--batch_size=4",
        f"--output={output}",
    ]


def test_there_is_one_row_for_every_readable_image_in_the_order_of_the_names(written):
    with np.load(written / "features.npz", allow_pickle=False) as archive:
        arrays = dict(archive)
    assert set(arrays) == {"features", "names", "labels", "classes", "encoder"}
    assert arrays["names"].tolist() == list(PICTURES)
    assert arrays["features"].shape == (6, 5)
    assert arrays["features"].dtype == np.float32
    assert arrays["labels"].dtype == np.int32
    classes = arrays["classes"].tolist()
    assert sorted(classes) == ["cat", "dog", "owl"]
    for name, label in zip(PICTURES, arrays["labels"], strict=True):
        assert classes[label] == name.split("/")[1]


def test_unreadable_images_are_counted_on_the_screen_and_named_in_a_file(
    folder, saved_model, tmp_path, capsys, written
):
    listed = (written / "features_left_out_files.txt").read_text()
    names = [line.partition("\t")[0] for line in listed.splitlines()[1:]]
    assert names == [name.removeprefix("train/") for name in BROKEN]
    output = tmp_path / "features.npz"
    allowed = "--data.max_corrupt_fraction=0.1"
    arguments = [*arguments_of(folder, saved_model, output), allowed]
    assert command_line.main(arguments) == 2
    assert "--data.max_corrupt_fraction" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["features_left_out_files.txt"]


def test_features_are_those_of_the_exported_signature_for_bytes(
    folder, saved_model, written
):
    files = tf.constant([(folder / name).read_bytes() for name in PICTURES])
    module = tf.saved_model.load(saved_model)
    (signature,) = [n for n in module.signatures if "bytes" in n]
    expected = module.signatures[signature](image_bytes=files)["default"]
    features = read_features(written / "features.npz").features
    np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-6)
    assert np.abs(features[2] - features[3]).max() > 1e-3


def test_an_existing_file_is_kept_unless_overwrite_is_given(
    folder, saved_model, written, capsys
):
    output = written / "features.npz"
    before = output.read_bytes()
    assert command_line.main(arguments_of(folder, saved_model, output)) == 2
    assert "features.npz exists already" in capsys.readouterr().err
    assert output.read_bytes() == before


def parts_of(spec, **options):
    options = EncodedImages(encoder="any", **options)
    images = DataConfig(source=spec) if isinstance(spec, str) else spec
    return open_parts(images, options, channels=3)


def names_of(parts):
    return [part.name(i) for part in parts for i in range(part.source.num_examples)]


def test_all_splits_are_taken_unless_some_are_chosen(folder, tmp_path):
    images = np.zeros([3, 8, 8, 3], np.uint8)
    np.savez(tmp_path / "a.npz", x_train=images, x_test=images[:2])
    spec = f"npz:{tmp_path}/a.npz"
    rows = ["test/0", "test/1", "train/0", "train/1", "train/2"]
    assert names_of(parts_of(spec)) == rows
    assert names_of(parts_of(spec, split=("train", "test"))) == rows[2:] + rows[:2]
    assert names_of(parts_of(f"folder:{folder}")) == list(PICTURES)
    train = parts_of(f"folder:{folder}", split=("train",))
    assert names_of(train) == list(PICTURES)[2:]
    inside = parts_of(f"folder:{folder}/train/dog")  # No labels, no splits.
    assert names_of(inside) == ["10.jpg", "9.png"]


def test_rows_without_labels_have_minus_one(folder):
    found = simclr_tf.embed(
        f"folder:{folder}/train/dog", tiny_encoder(), image_size_pixels=SIZE
    )
    assert found.labels.tolist() == [-1, -1] and found.classes == ()
    assert found.unreadable == ("99.jpg",) and found.class_names() == ["", ""]


def test_one_image_is_enough(tmp_path):
    save(tmp_path / "a.png", (9, 9), 0)
    found = simclr_tf.embed(f"folder:{tmp_path}", tiny_encoder(), image_size_pixels=8)
    assert found.names == ["a.png"] and found.features.shape == (1, 5)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """An export for black backgrounds, with its archive."""
    place = tmp_path_factory.mktemp("exports") / "tiny"
    with pytest.MonkeyPatch.context() as patch:
        # The check in a fresh process has its own tests.
        patch.setattr(
            "simclr_tf.export.saved_model.check_in_fresh_process", lambda *args: 0.0
        )
        card = {"image_size_pixels": (SIZE, 24)}
        export_saved_model(
            tiny_encoder(), place, card=card, background="black", archive=True
        )
    return place


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    """The folder of a distillation."""
    place = tmp_path_factory.mktemp("student")
    network = classifier_network(tiny_encoder(), 2)
    network.save(place / "student.keras")
    record = ClassifierRecord(None, (SIZE, 24), "black")
    add_record(place / "student.keras", record)
    split_classifier(network)[0].save(place / "encoder.keras")
    (place / "config.json").write_text('{"distillation": {}}')
    return place


@pytest.mark.parametrize("inside", ["", "saved_model", "saved_model.tar.gz"])
def test_every_part_of_an_export_has_the_size_and_the_background(exported, inside):
    place = open_encoder(EncodedImages(encoder=str(exported / inside)), {"data": "any"})
    assert place.config.data.image_size_pixels == (SIZE, 24)
    assert place.config.data.background == "black"
    images = np.zeros([2, 8, 8, 3], np.uint8)
    assert simclr_tf.embed(images, exported / inside).features.shape == (2, 5)


@pytest.mark.parametrize("inside", ["", "encoder.keras"])
def test_a_student_has_the_size_and_the_background(student, inside):
    place = open_encoder(EncodedImages(encoder=str(student / inside)), {"data": "any"})
    assert place.config.data.image_size_pixels == (SIZE, 24)
    assert place.config.data.background == "black"


def test_a_folder_of_broken_files_is_one_line(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="at least 1 readable image.*corrupt=1"):
        simclr_tf.embed(f"folder:{tmp_path}", tiny_encoder(), image_size_pixels=8)


def test_streams_and_arrays_have_rows_in_their_order():
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), "uint8")
    encoder = tiny_encoder()
    expected = encoder(images / np.float32(255), training=False)
    stream = tf.data.Dataset.from_tensor_slices((images, np.arange(5)))
    for data in (images, stream.filter(lambda image, label: True)):
        found = simclr_tf.embed(data, encoder, image_size_pixels=8, batch_size=2)
        np.testing.assert_allclose(found.features, expected, rtol=1e-5, atol=1e-6)
        assert found.names == [f"train/{i}" for i in range(5)]


def test_the_size_is_asked_for_where_the_encoder_takes_any():
    with pytest.raises(ConfigError, match="`image_size_pixels` is required"):
        simclr_tf.embed(np.zeros([2, 8, 8, 3], np.uint8), tiny_encoder())


FOUND = ImageFeatures(
    np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32) ** 9,
    ['a, "b"\n.png', "=1+1", "byte \udcff.jpg"],
    np.array([1, -1, 7], np.int32),
    ("cat", "dog"),
    encoder={"weights_sha256": "ab", "background": "white"},
)
NAMES = ['a, "b"\\x0a.png', "=1+1", "byte \\xff.jpg"]
CLASSES = ["dog", "", "7"]


def test_csv_is_read_back_exactly(tmp_path):
    write_features(tmp_path / "a.csv", FOUND)
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream)
    assert header == ["name", "label", "class", *(f"feature_{i}" for i in range(4))]
    assert [row[0] for row in rows] == NAMES
    assert [row[1:3] for row in rows] == [["1", "dog"], ["-1", ""], ["7", "7"]]
    values = np.array([row[3:] for row in rows]).astype(np.float32)
    np.testing.assert_array_equal(values, FOUND.features)


def test_parquet_is_read_back_exactly(tmp_path, monkeypatch):
    parquet = importlib.import_module("pyarrow.parquet")
    monkeypatch.setattr("simclr_tf.evaluation.feature_files._BLOCK", 2)
    write_features(tmp_path / "a.parquet", FOUND)
    table = parquet.read_table(tmp_path / "a.parquet")
    columns = table.to_pydict()
    assert columns["name"] == NAMES and columns["class"] == CLASSES
    assert columns["label"] == FOUND.labels.tolist()
    values = np.array(columns["features"], np.float32)
    np.testing.assert_array_equal(values, FOUND.features)
    assert json.loads(table.schema.metadata[b"classes"]) == ["cat", "dog"]


def test_npz_is_read_back_exactly(tmp_path):
    write_features(tmp_path / "a.npz", FOUND)
    found = read_features(tmp_path / "a.npz")
    assert found.names == FOUND.names and found.classes == FOUND.classes
    assert found.encoder == FOUND.encoder
    for name in ("features", "labels"):
        np.testing.assert_array_equal(getattr(found, name), getattr(FOUND, name))
        assert getattr(found, name).dtype == getattr(FOUND, name).dtype


@pytest.mark.parametrize("ending", [".npz", ".csv", ".parquet"])
def test_a_file_that_cannot_be_finished_leaves_the_earlier_one(
    ending, tmp_path, monkeypatch
):
    path = tmp_path / f"a{ending}"
    path.write_text("earlier")

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("simclr_tf.files.flush", full)
    with pytest.raises(WorkdirError, match="No space left"):
        write_features(path, FOUND)
    assert path.read_text() == "earlier" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "arrays, words",
    [
        ({}, "is not a file of features"),
        ({"features": np.zeros([2, 3, 1])}, "features \\[n, F\\]"),
        ({"labels": np.zeros([3], np.int32)}, "n labels"),
        ({"features": np.full([2, 3], np.nan)}, "NaN"),
        ({"names": np.array([b"a", b"b"], object)}, "is not a file of features"),
        ({"encoder": np.array("[1]")}, "what it has of its encoder is damaged"),
    ],
)
def test_other_files_are_no_features(arrays, words, tmp_path):
    good = {
        "features": np.zeros([2, 3], np.float32),
        "names": np.array(["a", "b"]),
        "labels": np.zeros([2], np.int32),
        "classes": np.array([], np.str_),
    }
    np.savez(tmp_path / "a.npz", **({**good, **arrays} if arrays else {}))
    with pytest.raises(DataError, match=words):
        read_features(tmp_path / "a.npz")


def test_a_missing_package_is_named_before_the_work(tmp_path, monkeypatch):
    from simclr_tf.commands.embed import embed_and_report

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    options = EmbedOptions(encoder="nowhere", output=f"{tmp_path}/a.parquet")
    with pytest.raises(ConfigError, match=r'pip install "simclr-tf\[parquet\]"'):
        embed_and_report(options)


def test_classes_of_several_parts_are_joined_by_their_names():
    images = np.zeros([2, 8, 8, 3], np.uint8)
    parts = parts_of(images) * 2
    for part, classes in zip(parts, (("dog", "cat"), ("owl", "dog")), strict=True):
        source = part.source.subset(np.arange(2))
        source.labels, source.classes = np.array([1, 0]), classes
        parts[parts.index(part)] = type(part)(source, part.split)
    found, rows = encode_parts(tiny_encoder(), parts, 8, 4)
    assert found.class_names() == ["cat", "dog", "dog", "owl"]
    assert [number for _, number in rows] == [0, 1, 0, 1]
