"""Keras files made by an enemy: refused in one line, and nothing in them is run."""

import json
import pathlib
import shutil
import zipfile

import h5py
import numpy as np
import pytest

from simclr_tf import load_encoder
from simclr_tf._keras import keras
from simclr_tf.errors import DataError
from simclr_tf.models.closed_lists import LAYERS
from simclr_tf.tools import command_line
from simclr_tf.training import load_classifier

layers = keras.layers
GOLDEN = pathlib.Path(__file__).parents[1] / "golden/old_run/run"
FORMATS = ("encoder.keras", "encoder.h5")


def network():
    images = keras.Input((8, 8, 3), name="images")
    x = layers.Conv2D(4, 3, name="conv")(images)
    return keras.Model(images, layers.GlobalAveragePooling2D(name="pool")(x))


def written(path, change, save=network):
    """Save a network, and rewrite its config as an enemy would."""
    save().save(path)
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            file.attrs["model_config"] = json.dumps(change(config) or config)
        return path
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(files["config.json"])
    files["config.json"] = json.dumps(change(config) or config)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def layer(kind, options, calls, *, module="keras.layers", name="evil"):
    """The entry of one layer, put behind the input."""
    return {
        "module": module,
        "class_name": kind,
        "config": {"name": name, **options},
        "registered_name": None,
        "name": name,
        "inbound_nodes": calls,
    }


def added(entry):
    return lambda config: config["config"]["layers"].insert(1, entry)


ON_IMAGES = [[["images", 0, 0, {}]]]


def on_constant(value, **arguments):
    return [["_CONSTANT_VALUE", -1, value, arguments]]


def function(module, name):
    return {
        "module": module,
        "class_name": "function",
        "config": name,
        "registered_name": name,
    }


def inside(entry):
    """A nested network that holds an entry."""
    source = layer("InputLayer", {"batch_input_shape": [None, 8, 8, 3]}, [], name="x")
    return layer(
        "Functional",
        {
            "layers": [source, entry],
            "input_layers": [["x", 0, 0]],
            "output_layers": [["evil", 0, 0]],
        },
        ON_IMAGES,
        name="inner",
    )


def tricks(proof):
    """What an enemy writes to have the file `proof` made; name to change."""
    code = f"open({str(proof)!r}, 'w').close()"
    shell = f"touch {proof}"
    lambda_of = {"function_type": "function", "arguments": {}}
    write = {"function": "io.write_file"}
    system = "keras.src.engine.base_layer.os"
    return {
        "eval on a constant": added(
            layer(
                "Lambda",
                {**lambda_of, "function": function("builtins", "eval")},
                on_constant(code),
            )
        ),
        "eval by its bare name": added(
            layer("Lambda", {**lambda_of, "function": "eval"}, on_constant(code))
        ),
        "os.system below keras": added(
            layer(
                "Lambda",
                {**lambda_of, "function": function(f"{system}", "system")},
                on_constant(shell),
            )
        ),
        "os.system as activation": lambda config: config["config"]["layers"][1][
            "config"
        ].update(activation=function(system, "system")),
        "os.system as initializer": lambda config: config["config"]["layers"][1][
            "config"
        ].update(kernel_initializer=function("os", "system")),
        "os.system as a layer": added(layer("system", {}, ON_IMAGES, module="os")),
        "write_file on a constant": added(
            layer("TFOpLambda", write, on_constant(str(proof), contents="x"))
        ),
        "write_file on images": added(
            layer(
                "TFOpLambda",
                write,
                [["images", 0, 0, {"filename": str(proof), "contents": "x"}]],
            )
        ),
        "nested write_file": added(
            inside(layer("TFOpLambda", write, on_constant(str(proof), contents="x")))
        ),
        "wrapped Lambda": added(
            layer(
                "TimeDistributed",
                {
                    "layer": layer(
                        "Lambda",
                        {**lambda_of, "function": function("builtins", "eval")},
                        [],
                    )
                },
                on_constant(code),
            )
        ),
        "shape as Lambda": lambda config: config["config"]["layers"][0][
            "config"
        ].update(
            batch_input_shape=layer(
                "Lambda", {**lambda_of, "function": function("builtins", "eval")}, []
            )
        ),
        "SavedModel as a layer": added(
            layer("TFSMLayer", {"filepath": str(proof)}, ON_IMAGES)
        ),
        "vocabulary from a file": added(
            layer("StringLookup", {"vocabulary": "/etc/passwd"}, ON_IMAGES)
        ),
        "registered function": lambda config: config["config"]["layers"][1][
            "config"
        ].update(activation="test_hostile_keras_files>make_proof"),
        "method of the input": added(
            layer("InstanceMethod", {"attr_name": "__class__"}, ON_IMAGES)
        ),
        "Dense on a constant": added(
            layer("Dense", {"units": 2}, on_constant([[1.0]]))
        ),
        "typespec": lambda config: config["config"]["layers"][0]["config"].update(
            type_spec={
                "class_name": "__typespec__",
                "spec_name": "system",
                "module": "os",
                "registered_name": None,
                "config": [shell],
            }
        ),
    }


@keras.utils.register_keras_serializable(package="test_hostile_keras_files")
def make_proof(x):
    raise AssertionError("A function of a file was called.")


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("trick", tricks(""))
def test_what_runs_is_refused_and_not_run(trick, name, tmp_path):
    proof = tmp_path / "proof"
    path = written(tmp_path / name, tricks(proof)[trick])
    with pytest.raises(DataError, match="is refused") as caught:
        load_encoder(path)
    assert "\n" not in str(caught.value) and not proof.exists()


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("trick", ["eval on a constant", "write_file on a constant"])
def test_every_verb_refuses_with_exit_code_2(trick, name, tmp_path, capsys):
    proof = tmp_path / "proof"
    path = written(tmp_path / name, tricks(proof)[trick])
    planted = tmp_path / "planted"
    planted.mkdir()
    shutil.copy(GOLDEN / "config.json", planted)
    (planted / "encoder.keras").write_bytes(path.read_bytes())
    images = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3)).astype("uint8")
    np.savez(
        tmp_path / "images.npz",
        x_train=images,
        y_train=np.arange(16) % 2,
        x_test=images,
        y_test=np.arange(16) % 2,
    )
    data, output = f"--data=npz:{tmp_path}/images.npz", f"--output={tmp_path}/output"
    for arguments in (
        ["evaluate", f"--encoder={path}", "--image_size_pixels=8", data, output],
        ["evaluate", f"--workdir={planted}", "--image_size_pixels=8", data, output],
        ["export", f"--workdir={GOLDEN}", f"--classifier={path}", output],
        ["distill", f"--teacher={path}", "--image_size_pixels=8", data, output],
        [
            "pretrain",
            "--preset=demo",
            "--batch_size=8",
            data,
            f"--init_from={path}",
            f"--workdir={tmp_path}/run",
        ],
    ):
        assert command_line.main(arguments) == 2, arguments
        error = capsys.readouterr().err
        assert "is refused" in error and "Traceback" not in error, arguments
    with pytest.raises(DataError, match="is refused"):
        load_classifier(path)
    assert not proof.exists()


def chain(number, back=False, upside_down=False):
    """Change a config into a chain of layers that wait for each other."""

    def change(config):
        names = ["images", *(f"a{i}" for i in range(number))]
        config["config"]["layers"][1:-1] = [
            layer(
                "Activation",
                {"activation": "relu"},
                [[[names[(i + 1) % number + 1 if back else i], 0, 0, {}]]],
                name=names[i + 1],
            )
            for i in range(number)
        ]
        config["config"]["layers"][-1]["inbound_nodes"] = [[[names[-1], 0, 0, {}]]]
        if upside_down:
            config["config"]["layers"].reverse()

    return change


def nested(levels, times=20):
    """Change a config into networks in networks, each called several times."""

    def change(config):
        entry = layer("Activation", {"activation": "relu"}, [], name="a0")
        for level in range(levels):
            entry["inbound_nodes"] = [[["x", 0, 0, {}]]] * times
            source = layer(
                "InputLayer", {"batch_input_shape": [None, 8, 8, 3]}, [], name="x"
            )
            entry = layer(
                "Functional",
                {
                    "layers": [source, entry],
                    "input_layers": [["x", 0, 0]],
                    "output_layers": [[f"a{level}", int(level > 0), 0]],
                },
                ON_IMAGES,
                name=f"a{level + 1}",
            )
        config["config"]["layers"].insert(1, entry)

    return change


def conv(**options):
    return lambda config: config["config"]["layers"][1]["config"].update(options)


def deeply(config):
    inner = []
    for _ in range(300):
        inner = [inner]
    return conv(padding=inner)(config)


def renamed(name):
    def change(config):
        entry = config["config"]["layers"][1]
        entry["name"] = entry["config"]["name"] = name
        config["config"]["layers"][2]["inbound_nodes"] = [[[name, 0, 0, {}]]]

    return change


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "change, words",
    [
        (conv(filters=10**10), "more weights than"),
        (conv(padding="same", kernel_size=[10**6, 10**6]), "more weights than"),
        (conv(filters=10**400), "digits"),
        (conv(filters=float("inf")), "not a finite number"),
        (conv(rate=float("nan")), "not a finite number"),
        (renamed("x" * 10**6), "without a name, or with an endless one"),
        (conv(padding="x" * 10**6), "no usable value"),
        (deeply, "nested more than"),
        (chain(6_000), "without a list of layers"),
        (nested(5), "more than 20000 inputs"),
        (
            added(layer("Add", {}, [[["images", 0, 0, {}]] * 30_000])),
            "more than 20000 inputs",
        ),
        (chain(900, upside_down=True), "stand in no order"),
        (chain(5, back=True), "waits for an output for ever"),
        (
            added(layer("Add", {}, [[["images", 0, 0, {"y": ["conv", 0, 7]}]]])),
            "no layer gives",
        ),
        (lambda config: {"class_name": "Dense", "config": {"units": 3}}, "no network"),
        (lambda config: [config], "no network"),
        (lambda config: config.update(config=None), "without a config"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_sizes_and_shapes_are_checked_before_they_are_believed(
    change, words, name, tmp_path
):
    path = written(tmp_path / name, change)
    with pytest.raises(DataError, match=words) as caught:
        load_encoder(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


def test_100_000_levels_of_json_are_refused(tmp_path):
    path = tmp_path / "encoder.keras"
    network().save(path)
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    files["config.json"] = "[" * 100_000 + "]" * 100_000
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    with pytest.raises(DataError, match="nested more than 100 deep"):
        load_encoder(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_second_config_in_an_archive_is_refused(tmp_path):
    path = tmp_path / "encoder.keras"
    network().save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("config.json", archive.read("config.json"))
    with pytest.raises(DataError, match="two members of one name"):
        load_encoder(path)


def test_archive_that_unpacks_to_far_more_is_refused(tmp_path):
    path = tmp_path / "encoder.keras"
    network().save(path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("padding", "w") as member:
            for _ in range(257):
                member.write(bytes(2**20))
    with pytest.raises(DataError, match="unpacks to far more"):
        load_encoder(path)


def link(file):
    del file["model_weights"]["conv"]
    file["model_weights"]["conv"] = h5py.ExternalLink("/etc/passwd", "/")


def claim(file):
    file["model_weights"].create_dataset("more", shape=(2**60,), chunks=(2**10,))


def other_file(file):
    file["model_weights"].create_dataset(
        "more", shape=(4,), dtype="u1", external=[("/etc/passwd", 0, 4)]
    )


@pytest.mark.parametrize(
    "change, words",
    [(link, "links"), (claim, "claim"), (other_file, "not numbers in the file itself")],
)
def test_weights_outside_the_file_are_refused(change, words, tmp_path):
    path = tmp_path / "encoder.h5"
    network().save(path)
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(DataError, match=words):
        load_encoder(path)


def arithmetic():
    """A network with the operations that Keras writes for `+`, `*` and `-`."""
    images = keras.Input((8, 8, 3), name="images")
    x = layers.Conv2D(3, 3, padding="same", name="conv")(images)
    x = layers.ReLU(6.0)(x + 3.0) * (1 / 6) + images
    inner = keras.Sequential([layers.Conv2D(4, 1, activation="gelu")])
    x = layers.TimeDistributed(layers.Bidirectional(layers.LSTM(2)))(inner(1.0 - x))
    x = layers.MultiHeadAttention(2, 3)(x, value=x)
    return keras.Model(images, layers.GlobalAveragePooling1D()(x))


@pytest.mark.parametrize("name", FORMATS)
def test_arithmetic_wrappers_and_nested_networks_are_read(name, tmp_path):
    model = arithmetic()
    model.save(tmp_path / name)
    images = np.random.default_rng(0).uniform(size=(2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_array_equal(load_encoder(tmp_path / name)(images), model(images))


def test_networks_in_networks_within_the_limit_are_read(tmp_path):
    load_encoder(written(tmp_path / "encoder.keras", nested(2)))


def test_operation_on_constants_is_refused_even_if_it_is_arithmetic(tmp_path):
    entry = layer("TFOpLambda", {"function": "math.add"}, on_constant(1.0, y=2.0))
    path = written(tmp_path / "encoder.keras", added(entry))
    with pytest.raises(DataError, match="called on constants"):
        load_encoder(path)


def test_every_name_on_the_list_is_a_layer_of_keras():
    names = {name for name in dir(layers) if isinstance(getattr(layers, name), type)}
    assert set() == LAYERS - names
    assert not LAYERS & {"Lambda", "TFSMLayer", "TextVectorization", "StringLookup"}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("wrong", [["a", "a"], 1, "x" * 2_000])
def test_network_without_a_name_of_text_is_refused(name, wrong, tmp_path):
    path = written(tmp_path / name, lambda config: config["config"].update(name=wrong))
    with pytest.raises(DataError, match="a network with the name"):
        load_encoder(path)
