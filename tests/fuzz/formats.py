"""Damage to arrays, images, archives, records and safetensors, by their formats.

Each changes one file in place, with a `random.Random` and nothing else, so that a seed
repeats it.
"""

import gzip
import io
import os
import struct
import tarfile
import zipfile
import zlib

import numpy as np

from tests.fuzz.damage import EXTREME, Runs, any_bytes, json_text
from tests.fuzz.harness import CANARY


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
        arrays[name] = np.array([Runs()] * len(array), object)
    elif what == "drop":
        del arrays[name]
    np.savez(path, **arrays)
    if what in ("shape", "bomb", "header", "twice"):
        _rewrite_npy(rng, path, name, what)
    return f"npz: {what} of {name}"


def entry_without_date(name, archive):
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
                archive.writestr(entry_without_date(entry, archive), content)


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
