"""One export in every format, loaded and trained by those who do not know us."""

import json
import os
import pathlib
import re
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from simclr_tf import load_encoder
from simclr_tf._keras import ADDONS_LANE, keras
from simclr_tf.data import evaluation_batches, open_source
from simclr_tf.errors import ConfigError
from simclr_tf.export import export_saved_model
from simclr_tf.models import ProjectionHead, resnet, with_endpoints
from simclr_tf.models.resnet import ENDPOINTS

ROOT = pathlib.Path(__file__).parents[2]
SIZE = 16
SIDES = (12, 20)  # Of the views of encoded files.
PENALTY = 1e-3
# The second lane has no Keras 3: TensorFlow 2.15 brings Keras 2.
FORMATS = ("saved_model", "litert", "safetensors", "onnx") + (
    () if ADDONS_LANE else ("keras3",)
)

HUB_PROGRAM = """
import functools, http.server, json, re, sys, threading
import numpy as np
import tensorflow as tf
import tensorflow_hub as hub
from tensorflow_hub.keras_layer import keras

cases, facts = np.load(sys.argv[1]), {}
folder = "saved_model/3"

def difference(module):
    return float(np.abs(module(cases["images"]).numpy() - cases["features"]).max())

facts["hub.load"] = difference(hub.load(folder))
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=".")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_address[1]}/saved_model.tar.gz"
facts["archive"] = difference(hub.load(url))
server.shutdown()

from ai_edge_litert.interpreter import Interpreter
import onnxruntime
runner = Interpreter("encoder.tflite").get_signature_runner()
facts["litert"] = difference(lambda images: tf.constant(
    runner(images=images)["default"]))
session = onnxruntime.InferenceSession("encoder.onnx")
facts["onnx"] = difference(lambda images: tf.constant(
    session.run(["default"], {"images": images})[0]))

served = tf.saved_model.load(folder).signatures["image_feature_vector_bytes"]
found = served(image_bytes=tf.constant(list(cases["files"])))
facts["bytes"] = float(np.abs(
    found["default"].numpy() - cases["features_of_files"]).max())
try:
    served(image_bytes=tf.constant([b"no image"]))
except tf.errors.InvalidArgumentError as error:
    facts["bad bytes"] = str(error)

def moving(layer):
    return [v.numpy() for v in layer.non_trainable_variables]

def moved(before, after):
    return max(float(np.abs(a - b).max()) for a, b in zip(before, after))

def train(trainable):
    layer = hub.KerasLayer(folder, trainable=trainable)
    images = keras.Input((None, None, 3))
    model = keras.Model(images, keras.layers.Dense(2)(layer(images)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss)
    before = [v.numpy() for v in layer.variables]
    stem, statistics = layer.variables[0], moving(layer)
    penalties = [float(loss) for loss in layer.losses]
    history = model.fit(cases["train_images"], cases["train_labels"], batch_size=8,
                        epochs=4, verbose=0, shuffle=False).history["loss"]
    after = moving(layer)
    model.predict(cases["train_images"], verbose=0)
    return {
        "stem": list(stem.shape), "losses": history, "penalties": penalties,
        "stem moved": moved(before[:1], [stem.numpy()]),
        "any moved": moved(before, [v.numpy() for v in layer.variables]),
        "statistics moved by fit": moved(statistics, after) if after else 0.0,
        "statistics moved by predict": moved(after, moving(layer)) if after else 0.0}

facts["trainable"] = train(True)
facts["frozen"] = train(False)
facts["ours"] = [name for name in sys.modules if name.startswith("simclr_tf")]
facts["blocks"] = []
for block in re.findall(r"```python\\n(.*?)```", open("card.md").read(), re.S):
    if "import keras\\n" not in block:  # Keras 3 has a process of its own.
        names = {}
        exec(block, names)
        lines = [line for line in block.splitlines() if line]
        facts["blocks"].append([len(lines), list(
            np.shape(names.get("features", names.get("weights"))))])
print(json.dumps(facts))
"""

KERAS3_PROGRAM = """
import json, re, sys
import keras, numpy as np

cases, facts = np.load(sys.argv[1]), {"version": keras.__version__}
blocks = re.findall(r"```python\\n(.*?)```", open("card.md").read(), re.S)
(block,) = [block for block in blocks if "import keras\\n" in block]
names = {}
exec(block, names)
encoder, facts["block"] = names["encoder"], list(names["features"].shape)
found = keras.ops.convert_to_numpy(encoder(cases["images"], training=False))
facts["difference"] = float(np.abs(found - cases["features"]).max())
facts["layers"] = [layer.name for layer in encoder.layers]
model = keras.Sequential([encoder, keras.layers.Dense(2)])
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.SGD(0.1), loss)
stem = encoder.get_layer("initial_conv").kernel
before = keras.ops.convert_to_numpy(stem)
facts["losses"] = model.fit(
    cases["train_images"], cases["train_labels"], batch_size=8, epochs=4, verbose=0,
    shuffle=False).history["loss"]
facts["stem moved"] = float(np.abs(keras.ops.convert_to_numpy(stem) - before).max())
facts["others"] = [name for name in sys.modules if name in ("tf_keras", "simclr_tf")]
print(json.dumps(facts))
"""


NAMES = ("cat", "it's\na dog", "Löwe")  # A folder's name may hold a line break.


@pytest.fixture(scope="module")
def encoder():
    """A tiny network whose batch norms are far from their initial values."""
    model = resnet(
        10,
        width_multiplier=0.0625,
        input_normalization="imagenet",
        symmetric_max_pool=True,
        identity_shortcuts=True,
        seed=0,
    )
    rng = np.random.default_rng(0)
    for variable in model.weights:
        if "gamma" in variable.name or "variance" in variable.name:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif "kernel" not in variable.name:
            variable.assign(rng.normal(scale=0.1, size=variable.shape))
    # Of a graph that is built already the config alone changes, which is copied.
    model.get_layer("initial_conv").kernel_regularizer = keras.regularizers.L2(PENALTY)
    return model


@pytest.fixture(scope="module")
def heads():
    head = ProjectionHead(num_layers=2, out_features=6, seed=1)
    return head, keras.layers.Dense(3, name="linear_probe")


@pytest.fixture(scope="module")
def exported(encoder, heads, tmp_path_factory):
    """Folder and record of one export with everything in it."""
    folder = tmp_path_factory.mktemp("formats") / "everything"
    record = export_saved_model(
        encoder,
        folder,
        projection_head=heads[0],
        classifier=heads[1],
        class_names=NAMES,
        image_size_pixels=SIDES,
        formats=FORMATS,
        version=3,
        archive=True,
    )
    return folder, record


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Pictures of three sizes and formats: colour, grey, and with transparency."""
    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(2)
    for name, size, mode in (
        ("a.jpg", (31, 40), "RGB"),
        ("b.png", (20, 25), "L"),
        ("c.png", (50, 17), "RGBA"),
    ):
        pixels = rng.integers(0, 256, (*size, len(mode)), "uint8").squeeze()
        Image.fromarray(pixels, mode).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def cases(encoder, files, tmp_path_factory):
    """An npz for the other processes: images, features, a task that can be learnt."""
    rng = np.random.default_rng(1)
    labels = np.arange(32) % 2
    levels = (0.3 + 0.4 * labels)[:, None, None, None]
    images = rng.uniform(size=(2, 23, 17, 3)).astype(np.float32)
    source = open_source(f"folder:{files}", channels=3)
    (batch,) = evaluation_batches(source, 8, SIDES)
    path = tmp_path_factory.mktemp("cases") / "cases.npz"
    np.savez(
        path,
        images=images,
        features=encoder(images),
        train_images=rng.normal(levels, 0.1, (32, SIZE, SIZE, 3)).astype(np.float32),
        train_labels=labels,
        files=np.array(
            [(files / name).read_bytes() for name in ("a.jpg", "b.png", "c.png")],
            dtype="S",
        ),
        features_of_files=encoder(batch["images"]),
    )
    return path


def in_fresh_process(program, folder, cases, scratch):
    """What a program prints as JSON, run inside an export's folder."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {
        **os.environ,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "KERAS_BACKEND": "tensorflow",
        "TFHUB_CACHE_DIR": str(scratch),
        "PYTHONPATH": path.rstrip(os.pathsep),
    }
    done = subprocess.run(
        [sys.executable, "-c", program, str(cases)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def hub_facts(exported, cases, tmp_path_factory):
    return in_fresh_process(
        HUB_PROGRAM, exported[0], cases, tmp_path_factory.mktemp("cache")
    )


def test_every_format_has_its_file_and_passed_its_parity_check(exported):
    folder, record = exported
    assert set(record["parity"]["formats"]) == set(FORMATS)
    assert max(record["parity"]["formats"].values()) <= 1e-5
    names = {
        "card.md",
        "config.json",
        "saved_model",
        "saved_model.tar.gz",
        "encoder.tflite",
        "encoder.onnx",
        "weights.safetensors",
    }
    assert {path.name for path in folder.iterdir()} - {"encoder.keras"} == names
    assert (folder / "saved_model" / "3" / "saved_model.pb").is_file()
    assert (folder / "encoder.keras").is_file() == ("keras3" in FORMATS)


def test_outputs_are_the_endpoints_the_layers_of_the_head_and_the_logits(exported):
    assert list(exported[1]["outputs"]) == [
        "default",
        *ENDPOINTS,
        "projection_layer1",
        "projection_layer2",
        "projections",
        "logits",
    ]


def test_the_names_of_the_classes_are_in_record_card_saved_model_and_litert(exported):
    folder, record = exported
    assert record["class_names"] == list(NAMES)
    loaded = tf.saved_model.load(str(folder / "saved_model" / "3"))
    assert [name.decode() for name in loaded.class_names().numpy()] == list(NAMES)
    inside = folder / "saved_model" / "3" / "assets.extra" / "simclr_tf.json"
    assert json.loads(inside.read_text())["class_names"] == list(NAMES)
    with zipfile.ZipFile(folder / "encoder.tflite") as archive:
        lines = archive.read("labels.txt").decode()
    assert lines == "cat\nit's a dog\nLöwe\n"
    assert "in this order: cat, it's a dog, Löwe." in (folder / "card.md").read_text()


def test_card_and_record_name_the_files_without_the_heads(exported):
    folder, record = exported
    note = record["card"]["notes"][-1]
    assert note.endswith("the encoder alone, without the outputs projections, logits.")
    named = set(re.findall(r"[\w.]+\.(?:keras|safetensors|tflite|onnx)", note))
    assert named | {"encoder.keras"} == {"weights.safetensors", "encoder.keras"}
    assert ("encoder.keras" in named) == ("keras3" in FORMATS)
    assert note in (folder / "card.md").read_text()


def test_names_for_other_logits_are_refused(encoder, heads, tmp_path):
    for names, head in ((NAMES[:2], heads[1]), (NAMES, None)):
        with pytest.raises(ConfigError, match="name of each logit"):
            export_saved_model(
                encoder, tmp_path / "new", classifier=head, class_names=names
            )
    assert list(tmp_path.iterdir()) == []


def test_outputs_are_the_values_of_their_layers(exported, encoder, heads, cases):
    images = np.load(cases)["images"]
    loaded = tf.saved_model.load(str(exported[0] / "saved_model" / "3"))
    outputs = loaded.signatures["serving_default"](images=tf.constant(images))
    for name, expected in with_endpoints(encoder)(images).items():
        np.testing.assert_allclose(outputs[name], expected, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(outputs["logits"], heads[1](encoder(images)), atol=1e-5)


@pytest.mark.parametrize("way", ["hub.load", "archive", "litert", "onnx"])
def test_other_programs_give_the_features(hub_facts, way):
    assert hub_facts[way] <= 1e-5
    assert hub_facts["ours"] == []


def test_the_bytes_signature_does_what_evaluate_does(hub_facts):
    assert hub_facts["bytes"] <= 1e-5
    assert "Only JPEG and PNG" in hub_facts["bad bytes"]


def test_a_hub_layer_is_fine_tuned_by_fit_down_to_the_stem(hub_facts):
    facts = hub_facts["trainable"]
    assert facts["stem"] == [7, 7, 3, 4]
    assert facts["losses"][-1] < 0.7 * facts["losses"][0]
    assert facts["stem moved"] > 1e-4
    assert facts["statistics moved by fit"] > 1e-2
    assert facts["statistics moved by predict"] == 0


def test_penalties_are_those_of_a_hub_layer_that_is_trained(hub_facts, encoder):
    kernel = encoder.get_layer("initial_conv").kernel.numpy()
    np.testing.assert_allclose(
        hub_facts["trainable"]["penalties"], [PENALTY * np.sum(kernel**2)], rtol=1e-5
    )
    assert hub_facts["frozen"]["penalties"] == [0]


def test_a_frozen_hub_layer_is_bit_identical_after_fit(hub_facts):
    facts = hub_facts["frozen"]
    assert facts["losses"][-1] < facts["losses"][0]
    assert facts["any moved"] == 0


def test_every_loading_example_of_the_card_has_at_most_five_lines_and_runs(hub_facts):
    # TensorFlow, hub, bytes, this package, LiteRT, safetensors, ONNX.
    assert len(hub_facts["blocks"]) == 7
    for lines, shape in hub_facts["blocks"]:
        assert lines <= 5
        assert shape in ([1, 32], [])
    assert sum(shape == [1, 32] for _, shape in hub_facts["blocks"]) == 5


if not ADDONS_LANE:

    def test_keras_3_loads_and_fine_tunes_it_without_this_package(
        exported, cases, tmp_path
    ):
        facts = in_fresh_process(KERAS3_PROGRAM, exported[0], cases, tmp_path)
        assert facts["version"].startswith("3.") and facts["others"] == []
        assert facts["block"] == [1, 32] and facts["difference"] <= 1e-5
        assert set(ENDPOINTS) <= set(facts["layers"])
        assert facts["losses"][-1] < 0.7 * facts["losses"][0]
        assert facts["stem moved"] > 1e-4


@pytest.mark.parametrize(
    "place",
    [".", "saved_model", "saved_model/3", "saved_model.tar.gz", "weights.safetensors"],
)
def test_load_encoder_rebuilds_a_trainable_network_with_endpoints(
    exported, encoder, cases, place
):
    images = np.load(cases)["images"]
    loaded = load_encoder(exported[0] / place)
    np.testing.assert_allclose(loaded(images), encoder(images), atol=1e-5)
    expected = with_endpoints(encoder)(images)
    found = load_encoder(exported[0] / place, endpoints=True)(images)
    assert set(found) == set(expected) == set(ENDPOINTS)
    for name in ENDPOINTS:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(loaded(images, training=True) ** 2)
    stem = loaded.get_layer("initial_conv").kernel
    assert np.abs(tape.gradient(loss, stem)).max() > 1e-6


def test_our_own_export_is_loaded_without_running_its_program(
    exported, encoder, cases, monkeypatch
):
    def refuse(*args, **kwargs):
        raise AssertionError("the program was loaded")

    monkeypatch.setattr(tf.saved_model, "load", refuse)
    images = np.load(cases)["images"]
    loaded = load_encoder(exported[0] / "saved_model")
    np.testing.assert_allclose(loaded(images), encoder(images), atol=1e-5)


def test_weights_in_float16_are_half_as_large_and_say_how_much_they_differ(
    exported, cases, encoder, tmp_path
):
    record = export_saved_model(
        encoder,
        tmp_path / "half",
        formats=("saved_model", "safetensors"),
        float16_weights=True,
    )
    half, whole = (
        folder / "weights.safetensors" for folder in (tmp_path / "half", exported[0])
    )
    assert 0.45 < half.stat().st_size / whole.stat().st_size < 0.6
    differences = record["parity"]["formats"]
    tolerances = [record["parity"][name] for name in ("tolerance", "float16_tolerance")]
    assert tolerances == [1e-5, 0.01]
    assert 1e-6 < differences["safetensors"] < 0.01
    assert differences["saved_model"] < 1e-5
    card = (tmp_path / "half" / "card.md").read_text()
    assert f"at most {differences['safetensors']:.1e}" in card
    images = np.load(cases)["images"]
    expected = encoder(images)
    loaded = load_encoder(tmp_path / "half" / "saved_model")
    np.testing.assert_allclose(loaded(images), expected, atol=1e-5)
    loaded = load_encoder(tmp_path / "half")  # Its weights.safetensors.
    np.testing.assert_allclose(loaded(images), expected, rtol=0.01, atol=0.01)
    assert all(weight.dtype == "float32" for weight in loaded.weights)


def test_a_weight_beyond_float16_is_named(tmp_path):
    images = keras.Input((None, None, 3))
    maps = keras.layers.Conv2D(2, 1, name="wide", bias_initializer="ones")(images)
    encoder = keras.Model(images, keras.layers.GlobalAveragePooling2D()(maps))
    encoder.get_layer("wide").bias.assign([1.0, 7e4])
    with pytest.raises(ConfigError, match="wide/bias is too large for float16.*7e.04"):
        export_saved_model(
            encoder, tmp_path / "new", formats=("safetensors",), float16_weights=True
        )
    assert list(tmp_path.iterdir()) == []


def test_what_was_loaded_can_be_exported_again(exported, tmp_path):
    record = export_saved_model(
        load_encoder(exported[0]), tmp_path / "again", formats=("safetensors",)
    )
    assert {path.name for path in (tmp_path / "again").iterdir()} == {
        "weights.safetensors",
        "config.json",
        "card.md",
    }
    assert record["weights"] == exported[1]["weights"]
    assert record["signatures"] == [] and list(record["outputs"]) == ["default"]
    card = (tmp_path / "again" / "card.md").read_text()
    assert "load_file" in card
    assert not re.search("saved_model|hub|signature|block_group", card)
