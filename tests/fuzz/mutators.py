"""Damage and malice: one function for each kind of file, `(rng, path)` to what it did.

Each changes one file in place, with a `random.Random` and nothing else, so that a seed
repeats it. Hostile contents try to create `CANARY` in the working directory.
"""

import base64
import gzip
import io
import json
import marshal
import os
import pickle
import random
import shutil
import struct
import tarfile
import zipfile
import zlib

import h5py
import numpy as np

from tests.fuzz.harness import CANARY

EXTREME = (0, -1, 1, 2, 2**31 - 1, 2**31, 2**62, 2**63, 2**64 - 1, -(2**63), 10**30)
SHELL = f"touch {CANARY}"
_DEEP = 100_000
_CONSTANT = "_CONSTANT_VALUE"  # What a layer is called on, in Keras's files.


class _Runs:
    """Creates the canary when it is unpickled."""

    def __reduce__(self):
        return os.system, (SHELL,)


def hostile_pickle():
    """Bytes that run a shell command when they are unpickled."""
    return pickle.dumps(_Runs())


def any_bytes(rng, path):
    """Flip, cut, insert, repeat or overwrite bytes."""
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        place = rng.randrange(len(data) + 1)
        what = rng.choice(("flip", "flip", "cut", "drop", "insert", "number", "fill"))
        if what == "flip" and data:
            data[min(place, len(data) - 1)] ^= 1 << rng.randrange(8)
        elif what == "cut":
            del data[place:]
        elif what == "drop":
            del data[place : place + rng.choice((1, 7, 512))]
        elif what == "insert":
            data[place:place] = rng.randbytes(rng.choice((1, 7, 512)))
        elif what == "number":
            size = rng.choice((4, 8))
            value = rng.choice(EXTREME) % (1 << 8 * size)
            data[place : place + size] = value.to_bytes(
                size, rng.choice(("little", "big"))
            )
        else:
            data[place : place + 64] = rng.choice((b"\0", b"\xff")) * 64
    path.write_bytes(data)
    return f"bytes: {what} at {place}"


def not_a_file(rng, path, *more):
    """Put something else in the file's place."""
    what = rng.choice(
        (
            "nothing",
            "empty",
            "folder",
            "loop",
            "zeros",
            "text",
            "html",
            "pickle",
            *more,
        )
    )
    path.unlink()
    if what == "empty":
        path.write_bytes(b"")
    elif what == "folder":
        path.mkdir()
    elif what == "loop":
        path.symlink_to(path.name)
    elif what == "zeros":
        path.symlink_to("/dev/zero")
    elif what == "fifo":
        os.mkfifo(path)
    elif what == "text":
        path.write_text("hello\n" * rng.choice((1, 1_000)))
    elif what == "html":
        path.write_text("<!doctype html><title>404</title>")
    elif what == "pickle":
        path.write_bytes(hostile_pickle())
    return f"instead: {what}"


def json_value(rng):
    """A value that belongs nowhere."""
    return rng.choice(
        (
            None,
            True,
            "",
            "15",
            "none",
            "../../..",
            "/dev/zero",
            "a\nb\x1b[31m\u202e",
            "<script>alert(1)</script>",
            "[x](javascript:alert(1))",
            "x" * 1_000_000,
            [],
            [1],
            {},
            {"a": {}},
            [[[]]],
            float("nan"),
            float("inf"),
            1e308,
            -0.5,
            0.5,
            10**400,
            *EXTREME,
        )
    )


def json_text(rng, text):
    """(JSON text with one thing changed, what was changed)."""
    way = rng.choice(("value",) * 8 + ("drop", "add", "twice", "deep", "text", "top"))
    if way == "deep":
        bracket = rng.choice(("[", '{"a":'))
        return bracket * _DEEP, "deep"
    if way == "text":
        places = ("\ufeff" + text, text[: len(text) // 2], text + "}", f"[{text}]")
        return rng.choice((*places, text.replace(":", ": 1e400,", 1), "")), "text"
    tree = json.loads(text)
    if way == "top":
        tree = json_value(rng)
        return json.dumps(tree), f"top = {tree!r:.30}"
    place, key = _place(rng, tree)
    if place is None:
        return "null", "top"
    told = f"{way} {key!r:.40}"
    if way == "drop":
        del place[key]
    elif way == "add" and isinstance(place, dict):
        place[rng.choice(("unknown", "", "class_name", "__class__"))] = json_value(rng)
    elif way == "twice" and isinstance(place, dict):
        place[key] = [place[key], place[key]]
    else:
        place[key] = json_value(rng)
        told += f" = {place[key]!r:.30}"
    return json.dumps(tree), told


def _place(rng, tree):
    """A random (dict or list, key) in a tree: every depth as likely as the others."""
    found, pending = {}, [(tree, 0)]
    while pending:
        node, depth = pending.pop()
        keys = node if isinstance(node, dict) else range(len(node))
        for key in keys:
            found.setdefault(depth, []).append((node, key))
            if isinstance(node[key], (dict, list)):
                pending.append((node[key], depth + 1))
    return rng.choice(found[rng.choice(list(found))]) if found else (None, None)


def json_file(rng, path):
    """Change one value, key or the text of a JSON file."""
    text, told = json_text(rng, path.read_text())
    path.write_text(text)
    return f"json: {told}"


def json_lines(rng, path):
    """Change one line of a file of JSON lines, or the order of its lines."""
    lines = path.read_text().splitlines() or ["{}"]
    number = rng.randrange(len(lines))
    what = rng.choice(("json", "json", "json", "bytes", "twice", "empty", "backwards"))
    told = what
    if what == "json":
        lines[number], told = json_text(rng, lines[number])
    elif what == "bytes":
        lines[number] = lines[number][: rng.randrange(len(lines[number]))] + "\x00\x1b"
    elif what == "twice":
        lines.insert(number, lines[number])
    elif what == "empty":
        lines.insert(number, "")
    else:
        lines.reverse()
    path.write_text("\n".join(lines) + rng.choice(("\n", "")))
    return f"line {number}: {told}"


def npz_file(rng, path):
    """Change an array, or what the file says of it."""
    with np.load(path) as archive:
        arrays = dict(archive)
    name = rng.choice(list(arrays))
    array = arrays[name]
    what = rng.choice((*_ARRAYS, "shape", "pickle", "drop", "bomb", "twice", "header"))
    if what in _ARRAYS:
        arrays[name] = _ARRAYS[what](array)
    elif what == "pickle":
        arrays[name] = np.array([_Runs()] * len(array), object)
    elif what == "drop":
        del arrays[name]
    np.savez(path, **arrays)
    if what in ("shape", "bomb", "header", "twice"):
        _rewrite_npy(rng, path, name, what)
    return f"npz: {what} of {name}"


def _entry(name, archive):
    """A zip entry without a date, so that a case repeats to the byte."""
    entry = zipfile.ZipInfo(name)
    entry.compress_type = archive.compression
    return entry


_ARRAYS = {
    "float": lambda a: a.astype("float32") * 3,
    "nan": lambda a: np.full(a.shape, np.nan, "float32"),
    "infinite": lambda a: np.full(a.shape, np.inf, "float16"),
    "text": lambda a: a.astype("U3"),
    "complex": lambda a: a.astype("complex64"),
    "dates": lambda a: a.astype("int64").astype("datetime64[s]"),
    "records": lambda a: np.zeros(len(a), [("x", "u1"), ("y", "f4")]),
    "flat": lambda a: a.ravel(),
    "scalar": lambda a: a.ravel()[0],
    "no_rows": lambda a: a[:0],
    "one_row": lambda a: a[:1],
    "no_pixels": lambda a: a.reshape(*a.shape, 1)[..., :0],
    "fortran": lambda a: np.asfortranarray(a),
    "swapped": lambda a: a.astype(">i8"),
    "huge_labels": lambda a: a.astype("int64") + 10**9,
    "huger_labels": lambda a: a.astype("int64") + 2**62,
    "negative": lambda a: -a.astype("int64") - 2,
    "unlabelled": lambda a: np.full(a.shape, -1),
    "bool": lambda a: a.astype(bool),
    "channels": lambda a: np.repeat(a[..., None], 7, -1),
}


def _rewrite_npy(rng, path, name, what):
    with zipfile.ZipFile(path) as archive:
        members = {entry: archive.read(entry) for entry in archive.namelist()}
    data = members[f"{name}.npy"]
    if what == "shape":
        header = io.BytesIO()
        shape = rng.choice(((2**45, 8, 8, 3), (-1, 8, 8, 1), (10**7, 8, 8, 1), (3,)))
        np.lib.format.write_array_header_1_0(
            header, {"descr": "|u1", "fortran_order": False, "shape": shape}
        )
        data = header.getvalue() + data[128:]
    elif what == "header":
        text = rng.choice((b"(" * 5_000, b"__import__('os')", b"x" * 40_000))
        data = data[:8] + struct.pack("<H", min(len(text), 65_535)) + text + data[128:]
    elif what == "bomb":
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "|u1", "fortran_order": False, "shape": (2**22, 8, 8, 1)}
        )
        data = header.getvalue() + bytes(2**28)
    members[f"{name}.npy"] = data
    kind = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    kind = zipfile.ZIP_DEFLATED if what == "bomb" else kind
    with zipfile.ZipFile(path, "w", kind) as archive:
        for entry, content in members.items():
            for _ in range(1 + (what == "twice" and entry.startswith(name))):
                archive.writestr(_entry(entry, archive), content)


def image_file(rng, path):
    """Change the size that an image states, its kind, or put a bomb in its place."""
    data, suffix = bytearray(path.read_bytes()), path.suffix
    what = rng.choice(("size", "size", "bomb", "renamed", "trailing", "bytes"))
    if what == "size":
        at = {".png": 16, ".gif": 6, ".bmp": 18}.get(suffix, data.find(b"\xff\xc0") + 5)
        size = 2 if suffix in (".gif", ".jpg") else 4
        value = rng.choice((0, 1, 60_000, 2**31 - 1, 2**32 - 1)) % (1 << 8 * size)
        data[at : at + size] = value.to_bytes(size, rng.choice(("little", "big")))
    elif what == "bomb":
        side = rng.choice((5_000, 40_000))
        data = png_of(side, side)
    elif what == "renamed":
        path.rename(path.with_suffix(rng.choice((".png", ".jpg", ".gif", ".webp"))))
        return "image: renamed"
    elif what == "trailing":
        data += rng.randbytes(1_000)
    path.write_bytes(data)
    if what == "bytes":
        return any_bytes(rng, path)
    return f"image: {what}"


def png_of(width, height):
    """A grey PNG of zeros: a few kilobytes for gigabytes of pixels."""

    def chunk(kind, content):
        crc = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)

    packer = zlib.compressobj(9)
    row = bytes(width + 1)
    pixels = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def tar_file(rng, path):
    """Add a member that leaves the folder, is no file, or is too large."""
    what = rng.choice(
        ("slip", "absolute", "link", "hard", "device", "bomb", "lie", "bytes", "many")
    )
    if what == "bytes":
        return any_bytes(rng, path)
    with gzip.open(path) as stream:
        data = stream.read()
    extra = io.BytesIO()
    for number in range(20_000 if what == "many" else 1):
        member = tarfile.TarInfo(f"saved_model/{number}")
        member.size = 2**30 if what == "bomb" else 0
        if what == "slip":
            member.name = f"../{CANARY}"
        elif what == "absolute":
            member.name = os.path.realpath(path.parent) + f"/{CANARY}"
        elif what in _TAR_TYPES:
            member.type = _TAR_TYPES[what]
            member.linkname = rng.choice(("/etc/passwd", "../..", "0"))
        header = member.tobuf()
        if what == "lie":
            member.size = rng.choice((2**40, 2**62))
            header = member.tobuf()
        extra.write(header)
        if what == "bomb":
            extra.write(bytes(2**30))
    packed = gzip.compress(extra.getvalue() + data, 1, mtime=0)
    path.write_bytes(packed)
    return f"tar: {what}"


_TAR_TYPES = {
    "link": tarfile.SYMTYPE,
    "hard": tarfile.LNKTYPE,
    "device": tarfile.CHRTYPE,
}


def record_file(rng, path):
    """Change the lengths and numbers of a TFRecord file."""
    data = bytearray(path.read_bytes())
    places, at = [], 0
    while at + 12 <= len(data):
        places.append(at)
        at += 16 + int.from_bytes(data[at : at + 8], "little")
    at = rng.choice(places)
    what = rng.choice(("length", "tag", "bytes"))
    if what == "bytes":
        return any_bytes(rng, path)
    if what == "length":
        data[at : at + 8] = (rng.choice(EXTREME) % 2**64).to_bytes(8, "little")
    else:  # Tags and varints are in the first bytes of an example.
        data[at + 12 + rng.randrange(12)] = rng.choice((0, 0x7F, 0x80, 0xFF, 0x0F))
    path.write_bytes(data)
    return f"record at {at}: {what}"


def safetensors_file(rng, path):
    """Change the header of a safetensors file, or its length."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    what = rng.choice(("json", "json", "length", "bytes"))
    if what == "bytes":
        return any_bytes(rng, path)
    if what == "length":
        data = (rng.choice(EXTREME) % 2**64).to_bytes(8, "little") + data[8:]
    else:
        text, what = json_text(rng, data[8 : 8 + length].decode())
        text = text.encode()
        data = len(text).to_bytes(8, "little") + text + data[8 + length :]
    path.write_bytes(data)
    return f"safetensors: {what}"


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
            archive.writestr(_entry(entry, archive), content)
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


KINDS = {
    "bytes": any_bytes,
    "json": json_file,
    "lines": json_lines,
    "npz": npz_file,
    "image": image_file,
    "tar": tar_file,
    "record": record_file,
    "safetensors": safetensors_file,
    "keras": keras_file,
    "program": saved_model,
}


def change(rng: random.Random, path, kind):
    """Change a file of a kind, one of `KINDS`; a few words on what was done."""
    if not path.is_file():
        return "nothing"
    odds = rng.random()
    if odds < 0.08:
        return not_a_file(rng, path, *(["fifo"] if kind == "image" else []))
    if odds < 0.16:
        return any_bytes(rng, path)
    return KINDS[kind](rng, path)
