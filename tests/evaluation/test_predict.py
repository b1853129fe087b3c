"""`predict`: classes of every readable image, as the exported classifier has them."""

import csv
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import simclr_tf
from simclr_tf._keras import keras
from simclr_tf.commands.predict import open_classifier
from simclr_tf.errors import ConfigError, DataError
from simclr_tf.export import export_saved_model, saved_model
from simclr_tf.models import LOGITS, classifier_network, split_classifier
from simclr_tf.tools import command_line
from simclr_tf.training.classifier_records import ClassifierRecord, add_record
from tests.export.tiny_encoder import tiny_encoder

SIZE = 16
CLASSES = ("cat", "dog", "owl\n")  # A folder's name may hold a line break.
PICTURES = ("cat/b.png", "cat/ä.jpg", "dog/10.png", "dog/9.png")
BROKEN = "dog/99.jpg"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for name in PICTURES:
        (folder / name).parent.mkdir(exist_ok=True)
        pixels = rng.integers(0, 256, (4, 4, 3), "uint8")
        Image.fromarray(pixels).resize((40, 21)).save(folder / name)
    (folder / BROKEN).write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def network():
    network = classifier_network(tiny_encoder(), len(CLASSES))
    rng = np.random.default_rng(1)
    network.get_layer(LOGITS).set_weights([rng.normal(size=(5, 3)), np.zeros(3)])
    return network


@pytest.fixture(scope="module")
def classifier(network, tmp_path_factory):
    """The folder that finetune writes for a label budget."""
    place = tmp_path_factory.mktemp("classifier")
    network.save(place / "classifier.keras")
    add_record(place / "classifier.keras", ClassifierRecord(CLASSES, SIZE))
    return place


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    place = tmp_path_factory.mktemp("exported") / "out"
    encoder, head = split_classifier(network)
    with pytest.MonkeyPatch.context() as patch:
        # The check in a fresh process has its own tests.
        patch.setattr(saved_model, "check_in_fresh_process", lambda *args: 0.0)
        export_saved_model(
            encoder,
            place,
            card={"image_size_pixels": SIZE},
            classifier=head,
            class_names=CLASSES,
            image_size_pixels=SIZE,
        )
    return place


def table(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_table_has_the_first_classes_of_every_image_as_the_export_has_them(
    folder, classifier, exported, tmp_path, capsys
):
    output = tmp_path / "predictions.csv"
    arguments = [f"--classifier={classifier}", f"--data=folder:{folder}", "--top=2"]
    arguments += [f"--output={output}", "--batch_size=3"]
    assert command_line.main(["predict", *arguments]) == 0
    rows = table(output)
    assert list(rows[0]) == ["name", "rank", "class", "probability"]
    assert [row["name"] for row in rows] == [n for n in PICTURES for _ in range(2)]
    assert [row["rank"] for row in rows] == ["1", "2"] * 4
    files = tf.constant([(folder / name).read_bytes() for name in PICTURES])
    serve = tf.saved_model.load(str(exported / "saved_model")).signatures
    logits = serve["image_feature_vector_bytes"](image_bytes=files)["logits"]
    expected = tf.nn.softmax(logits).numpy()
    order = np.argsort(-expected, axis=1)[:, :2]
    shown = ("cat", "dog", "owl\\x0a")
    assert [row["class"] for row in rows] == [shown[i] for i in order.ravel()]
    np.testing.assert_allclose(
        [float(row["probability"]) for row in rows],
        np.take_along_axis(expected, order, axis=1).ravel(),
        atol=1e-5,
    )
    told = capsys.readouterr().out
    right = 100 * np.mean(order[:, 0] == [0, 0, 1, 1])
    assert f"Accuracy    {right:.1f} % of 4 labelled images" in told
    listed = tmp_path / "predictions_left_out_files.txt"
    assert BROKEN in listed.read_text() and str(listed) in told
    before = output.read_bytes()
    assert command_line.main(["predict", *arguments]) == 2
    assert "exists already" in capsys.readouterr().err
    assert output.read_bytes() == before


def test_an_exported_classifier_predicts_the_same(folder, classifier, exported):
    ours, theirs = (
        simclr_tf.predict(f"folder:{folder}", place) for place in (classifier, exported)
    )
    assert ours.names == theirs.names == list(PICTURES)
    assert ours.class_names == theirs.class_names == CLASSES
    assert ours.labels.tolist() == theirs.labels.tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(ours.probabilities.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-5)


def test_the_classes_of_a_network_of_its_own_layers_are_named(tmp_path):
    class Twice(keras.layers.Layer):
        def call(self, x):
            return 2 * x

    images = keras.Input((None, None, 3))
    maps = Twice(name="twice")(keras.layers.Conv2D(2, 1)(images))
    encoder = keras.Model(images, keras.layers.GlobalAveragePooling2D()(maps))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saved_model, "check_in_fresh_process", lambda *args: 0.0)
        export_saved_model(
            encoder,
            tmp_path / "out",
            card={"image_size_pixels": SIZE},
            classifier=keras.layers.Dense(3),
            class_names=CLASSES,
            version=2,
        )
    (tmp_path / "out" / "saved_model" / "2").rename(tmp_path / "moved")
    loaded = open_classifier(tmp_path / "moved")
    assert loaded.class_names == CLASSES and loaded.image_size_pixels == SIZE
    # Exports of earlier versions of this package have the record above only.
    shutil.rmtree(tmp_path / "moved" / "assets.extra")
    (tmp_path / "moved").rename(tmp_path / "out" / "saved_model" / "2")
    loaded = open_classifier(tmp_path / "out")
    assert loaded.class_names == CLASSES and loaded.image_size_pixels == SIZE


def test_other_classes_have_no_accuracy_and_are_named(
    folder, classifier, tmp_path, capsys
):
    for old, new in (("cat", "2023"), ("dog", "2024")):
        (tmp_path / "new").mkdir(exist_ok=True)
        (tmp_path / "new" / new).symlink_to(folder / old)
    arguments = [f"--data=folder:{tmp_path}/new", f"--output={tmp_path}/out.csv"]
    arguments += [f"--classifier={classifier}"]
    assert command_line.main(["predict", *arguments]) == 0
    told = capsys.readouterr().out
    assert "other classes (2023, 2024) than" in told and "Accuracy " not in told
    assert len(table(tmp_path / "out.csv")) == 4


def test_numbers_match_numbers_where_nothing_has_a_name(network, tmp_path):
    network.save(tmp_path / "classifier.keras")
    images = np.random.default_rng(2).integers(0, 256, (4, SIZE, SIZE, 3), "uint8")
    with pytest.raises(ConfigError, match="--image_size_pixels is required"):
        simclr_tf.predict(images, tmp_path)
    found = simclr_tf.predict((images, [2, 0, -1, 1]), tmp_path, image_size_pixels=SIZE)
    assert found.class_names == ("0", "1", "2")
    assert found.labels.tolist() == [2, 0, -1, 1]
    assert found.names[0] == "train/0"


def test_labels_without_names_do_not_match_classes_with_names(classifier):
    images = np.zeros((2, SIZE, SIZE, 3), "uint8")
    assert simclr_tf.predict((images, [0, 1]), classifier).labels.tolist() == [-1, -1]


def test_what_is_no_classifier_is_refused(network, exported, tmp_path):
    images = np.zeros((2, SIZE, SIZE, 3), "uint8")
    tf.saved_model.save(tf.train.Checkpoint(), str(tmp_path / "saved_model"))
    with pytest.raises(DataError, match="has no output `logits`"):
        simclr_tf.predict(images, tmp_path)
    network.save(tmp_path / "classifier.keras")
    add_record(tmp_path / "classifier.keras", ClassifierRecord(("cat",), SIZE))
    with pytest.raises(DataError, match="1 names for 3 classes"):
        simclr_tf.predict(images, tmp_path / "classifier.keras")
