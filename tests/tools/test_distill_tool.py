"""`simclr-tf distill` from a teacher's file to the student's folder, and mistakes."""

import json
import os
import signal

import numpy as np
import pytest

import simclr_tf
from simclr_tf._keras import keras
from simclr_tf.evaluation import read_results
from simclr_tf.models import LOGITS, classifier_network
from simclr_tf.tools import command_line, distill
from simclr_tf.training import load_classifier
from simclr_tf.training.classifier_records import (
    ClassifierRecord,
    add_record,
    classifier_record,
)
from simclr_tf.training.step_clock import StepClock

CLASSES, SIZE = 3, 8
NAMES = ("cat", "dog", "owl")


def some_images(seed, number, channels=1):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (number, SIZE, SIZE, channels)).astype("uint8")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a teacher, an encoder, and images in several forms."""
    home = tmp_path_factory.mktemp("home")
    images = keras.Input((None, None, 1), name="images")
    x = keras.layers.Conv2D(4, 3, 2, activation="relu", name="initial_conv")(images)
    x = keras.layers.BatchNormalization(name="bn")(x)
    x = keras.layers.GlobalAveragePooling2D(name="final_avg_pool")(x)
    encoder = keras.Model(images, x, name="tiny")
    encoder.save(home / "encoder.keras")
    teacher = classifier_network(encoder, CLASSES)
    rng = np.random.default_rng(0)
    teacher.get_layer(LOGITS).set_weights([rng.normal(size=(4, 3)), np.zeros(3)])
    teacher.save(home / "classifier.keras")
    add_record(home / "classifier.keras", ClassifierRecord(NAMES, SIZE))
    labels = np.arange(32) % CLASSES
    train, test = some_images(1, 32), some_images(2, 16)
    np.savez(
        home / "labelled.npz",
        x_train=train,
        y_train=labels,
        x_test=test,
        y_test=labels[:16],
        classes=NAMES[::-1],  # The same classes, in another order.
    )
    np.savez(home / "unlabelled.npz", x_train=train)
    np.savez(
        home / "more_classes.npz", x_train=train, x_test=test, y_test=np.arange(16) % 4
    )
    np.savez(home / "four_channels.npz", x_train=some_images(1, 32, 4))
    (home / "full").mkdir()
    (home / "full" / "thesis.tex").write_text("precious")
    return home


def arguments(home, output, **changes):
    flags = {
        "teacher": home,
        "data": f"npz:{home}/labelled.npz",
        "output": output,
        "batch_size": 8,
        "steps": 5,
        "compile_views": "false",
        **changes,
    }
    return [f"--{name}={value}" for name, value in flags.items() if value is not None]


def test_the_folder_holds_the_student_its_encoder_and_both_accuracies(
    home, tmp_path, capsys
):
    output = tmp_path / "student"
    before = (home / "classifier.keras").read_bytes()
    assert (
        distill.main(
            arguments(
                home,
                output,
                optimizer="adamw",
                base_learning_rate=0.01,
                **{"optimizer.scaling": "none"},
                alpha=0.5,
                label_fraction=0.5,
            )
        )
        == 0
    )
    assert sorted(path.name for path in output.iterdir()) == [
        "config.json",
        "distill.json",
        "distill.md",
        "encoder.keras",
        "student.keras",
    ]
    assert (home / "classifier.keras").read_bytes() == before

    images, labels = some_images(2, 16) / np.float32(255), 2 - np.arange(16) % CLASSES
    assert classifier_record(output / "student.keras") == ClassifierRecord(NAMES, SIZE)
    teacher, student = load_classifier(home), load_classifier(output)
    said, learned = (
        network(images).numpy().argmax(1) for network in (teacher, student)
    )
    results = read_results(output / "distill.json")
    assert [(m.representation, m.metric, m.value) for m in results.measurements] == [
        ("teacher", "accuracy_percent", 100 * (said == labels).mean()),
        ("student", "accuracy_percent", 100 * (learned == labels).mean()),
        ("student", "agreement_percent", 100 * (said == learned).mean()),
    ]
    assert [m.num_train_labels for m in results.measurements] == [None, 16, 16]
    assert results.step == 5

    features = simclr_tf.load_encoder(output)(images)
    np.testing.assert_allclose(
        features @ student.get_layer(LOGITS).kernel + student.get_layer(LOGITS).bias,
        student(images),
        atol=1e-5,
    )
    record = json.loads((output / "config.json").read_text())
    assert record["class_names"] == list(NAMES)
    assert record["image_size_pixels"] == SIZE  # Of the teacher's training.
    assert record["distillation"]["alpha"] == 0.5 and record["images"]["channels"] == 1
    assert [epoch["step"] for epoch in record["history"]] == [4, 5]
    text = (output / "distill.md").read_text()
    assert "\n| teacher " in text and "with 16 labels" in text
    assert text.split("\n\n", 1)[1].strip() in capsys.readouterr().out


def test_images_without_labels_are_enough_and_a_student_can_teach(home, tmp_path):
    labelled = f"npz:{home}/labelled.npz"
    first, second = tmp_path / "first", tmp_path / "second"
    assert (
        distill.main(
            arguments(
                home, first, data=f"npz:{home}/unlabelled.npz", test_data=labelled
            )
        )
        == 0
    )
    assert (
        distill.main(
            arguments(
                first, second, data=labelled, init_from=first, steps=1, temperature=0.1
            )
        )
        == 0
    )
    found = read_results(second / "distill.json")
    taught = read_results(first / "distill.json").find("student", "classify")
    assert found.find("teacher", "classify").value == taught.value
    assert found.find("student", "classify").num_train_labels == 0


def test_sigterm_saves_the_student_and_the_same_command_continues(
    home, tmp_path, monkeypatch, capsys
):
    output, count = tmp_path / "student", StepClock.on_train_batch_end

    def counted(clock, batch, logs=None):
        count(clock, batch, logs)
        if clock.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    command = arguments(home, output, precision="bfloat16")
    with monkeypatch.context() as patch:
        patch.setattr(StepClock, "on_train_batch_end", counted)
        assert distill.main(command) == 143
    assert not output.exists()
    saved = tmp_path / "student_checkpoints" / "step-00000002"
    assert f"saved it in {saved}; the same command" in capsys.readouterr().err

    assert distill.main([*command, "--temperature=2"]) == 2
    error = capsys.readouterr().err
    assert "of another training: temperature (there 1.0, now 2.0)" in error

    auto = arguments(home, output, precision="auto")  # It keeps the precision.
    assert distill.main(auto) == 0
    assert f"Continuing  from step 2 of 5 ({saved})" in capsys.readouterr().out
    assert not saved.parent.exists()
    assert classifier_record(output / "student.keras").precision == "bfloat16"
    layers = load_classifier(output).layers
    assert {layer.compute_dtype for layer in layers} == {"float32"}
    text = (output / "distill.md").read_text()
    assert "in bfloat16" in text


def nowhere(home):
    return {"teacher": home / "nowhere"}, "the path does not exist"


def an_encoder_as_teacher(home):
    return {"teacher": home / "encoder.keras"}, "ends in the layer `classifier_logits`"


def images_as_teacher(home):
    return {"teacher": home / "labelled.npz"}, "Cannot load a Keras model"


def more_classes(home):
    return {"data": f"npz:{home}/more_classes.npz"}, "teacher=3, labels=4"


def other_channels(home):
    return {"data": f"npz:{home}/four_channels.npz"}, "between 1 and 3 channels"


def no_test_images(home):
    return {"data": f"npz:{home}/unlabelled.npz"}, "tested on --test_data"


def no_labels_for_alpha(home):
    return (
        {"data": f"npz:{home}/unlabelled.npz", "alpha": 0.5},
        "Use --alpha=1 to learn from the teacher alone",
    )


MISTAKES = [
    nowhere,
    an_encoder_as_teacher,
    images_as_teacher,
    more_classes,
    other_channels,
    no_test_images,
    no_labels_for_alpha,
    *(
        lambda home, changes=changes, words=words: (changes, words)
        for changes, words in [
            ({"teacher": None}, "--teacher is required"),
            ({"data": None}, "--data is required"),
            ({"output": None}, "--output is required"),
            (
                {"image_size_pixels": "big"},
                "`image_size_pixels` must be a whole number",
            ),
            ({"temperature": 0}, "`temperature` must be > 0"),
            ({"temperature": -1}, "`temperature` must be > 0"),
            ({"alpha": 1.1}, "`alpha` must be in [0, 1]"),
            ({"alpha": -0.1}, "`alpha` must be in [0, 1]"),
            ({"student": "fashion_mnits"}, "Did you mean fashion_mnist"),
            ({"student.stem": "small"}, "needs --student=ENCODER"),
            ({"student.depth": 18}, "now spelled --student=resnet18"),
            ({"student": "resnet18", "student.stem": "smal"}, "Did you mean small"),
            ({"student": "vit_tiny", "student.stem": "small"}, "no option `stem`"),
            ({"init_from": "nowhere"}, "does not exist"),
            ({"batch_size": 64}, "use at most 32"),
            ({"strategy": "tpu"}, "Unknown `strategy`"),
        ]
    ),
]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(mistake, home, tmp_path, capsys):
    changes, words = mistake(home)
    code = distill.main(arguments(home, **{"output": tmp_path / "out", **changes}))
    error = capsys.readouterr().err
    assert code == 2, error
    last = error.strip().splitlines()[-1]
    assert last.startswith("simclr-tf: ") and words in last, error
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_taken_is_refused_before_anything_is_trained(home, capsys):
    for output in (home / "full", home / "classifier.keras", home / "labelled.npz/x"):
        assert distill.main(arguments(home, output)) == 2
        assert str(output) in capsys.readouterr().err
    assert [path.name for path in (home / "full").iterdir()] == ["thesis.tex"]


def test_the_encoder_of_a_preset_can_be_the_student_with_changes_on_top():
    arguments = [
        "--teacher=t",
        "--data=npz:x",
        "--image_size_pixels=8",
        "--output=o",
        "--student=fashion_mnist",
        "--student.se_ratio=0.25",
    ]
    config = distill.options_of(
        command_line.parse("distill", distill.SECTIONS, arguments)
    ).config()
    assert config.architecture == "other" and config.student.name == "resnet18"
    assert config.student.se_ratio == 0.25
    assert config.student.stem == "small" and config.student.width_multiplier == 0.25
