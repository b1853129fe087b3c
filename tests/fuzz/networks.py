"""Hostile networks: in Keras files, and as the program of a SavedModel.

Each changes one file in place, with a `random.Random` and nothing else, so that a seed
repeats it.
"""

import base64
import json
import marshal
import shutil
import zipfile

import h5py

from tests.fuzz.damage import SHELL, any_bytes, json_text
from tests.fuzz.formats import entry_without_date
from tests.fuzz.harness import CANARY

_CONSTANT = "_CONSTANT_VALUE"  # What a layer is called on, in Keras's files.


def keras_file(rng, path):
    """Change a `.keras` or `.h5` file: a hostile layer, one value, or bytes."""
    what = rng.choice(("hostile", "hostile", "hostile", "value", "value", "bytes"))
    if what == "bytes":
        return any_bytes(rng, path)
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            text = file.attrs["model_config"]
            text, told = _other_network(rng, text, what)
            try:
                file.attrs["model_config"] = text
            except OSError:  # HDF5 keeps no attribute as long as that.
                file.attrs["model_config"] = "[" * 30_000
        return f"h5: {told}"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(("config.json",) * 5 + ("metadata.json",))
    if name == "metadata.json":
        what = "value"
    text, told = _other_network(rng, members[name].decode(), what)
    members[name] = text.encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, content in members.items():
            archive.writestr(entry_without_date(entry, archive), content)
    return f"keras: {told}"


def _other_network(rng, text, what):
    if what == "value":
        return json_text(rng, text)
    tree = json.loads(text)
    name = rng.choice(list(HOSTILE_LAYERS))
    layers = tree["config"]["layers"]
    layers.insert(rng.randrange(1, len(layers)), HOSTILE_LAYERS[name]())
    return json.dumps(tree), f"hostile {name}"


def _layer(kind, config, call=None, module="keras.layers"):
    return {
        "module": module,
        "class_name": kind,
        "name": "stranger",
        "config": {"name": "stranger", "trainable": True, "dtype": "float32", **config},
        "registered_name": None,
        "inbound_nodes": [call] if call else [],
    }


def _lambda(function, kind, argument, **more):
    """A Lambda layer that is called on a constant while the network is put together."""
    config = {"function": function, "function_type": kind, **more}
    config |= {"output_shape": None, "output_shape_type": "raw", "arguments": {}}
    return _layer("Lambda", config, [_CONSTANT, -1, argument, {}])


def _function(module, name):
    kinds = {"class_name": "function", "registered_name": "function"}
    return {"module": module, "config": name, **kinds}


def _eval_by_name():
    code = f"__import__('os').system({SHELL!r})"
    return _lambda(_function("builtins", "eval"), "function", code)


def _system_through_keras():
    return _lambda(
        _function("keras.src.utils.data_utils", "os.system"), "function", SHELL
    )


def _python_code():
    code = marshal.dumps(compile(f"open({CANARY!r}, 'w')", "x", "exec"))
    text = base64.b64encode(code).decode()
    return _lambda([text, None, None], "lambda", "x")


def _write_file():
    call = [_CONSTANT, -1, CANARY, {"contents": "x"}]
    return _layer("TFOpLambda", {"function": "io.write_file"}, call)


def _within(layer):
    def nested():
        inner = {"name": "inner", "layers": [layer()], "input_layers": []}
        return _layer("Functional", {**inner, "output_layers": []})

    return nested


def _activation():
    return _layer("Activation", {"activation": _function("builtins", "exec")})


def _wide(units):
    return lambda: _layer("Dense", {"units": units}, [[_CONSTANT, -1, [[1.0]], {}]])


HOSTILE_LAYERS = {
    "eval by name": _eval_by_name,
    "system through keras": _system_through_keras,
    "python code": _python_code,
    "write_file": _write_file,
    "nested eval": _within(_eval_by_name),
    "nested write_file": _within(_write_file),
    "activation": _activation,
    "wide": _wide(10**10),
    "wider": _wide(10**30),
    "unknown": lambda: _layer("Stranger", {}, module="stranger"),
    "long name": lambda: _layer("ReLU", {"name": "x" * 10**6}),
}


def saved_model(rng, path):
    """Replace the program of a SavedModel by one that is never to be run."""
    hostile = path.parents[3] / "stranger" / "saved_model.pb"
    if rng.random() < 0.5:
        return any_bytes(rng, path)
    shutil.copyfile(hostile, path)
    return "saved_model: another program"
