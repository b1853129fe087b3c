"""What a file claims is compared with a limit before memory is taken for it."""

import ast
import io
import json
import pathlib
import struct
import tarfile
import zipfile
import zlib

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf import limits, load_encoder
from simclr_tf.data import open_source
from simclr_tf.data.image_files import inspect_files
from simclr_tf.errors import DataError
from simclr_tf.evaluation import read_results
from simclr_tf.models import describe_network, network_from_description, resnet

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.parametrize(
    "text, words",
    [
        ("[" * 100_000 + "]" * 100_000, "nested more than 100 deep"),
        ("[" * 101 + "]" * 101, "nested more than 100 deep"),
        ('{"a": ' * 500 + "1" + "}" * 500, "nested more than 100 deep"),
        ("1" * 401, "401 digits"),
        ("1" * 10**6, "digits"),
        ("1e400", "not a finite number"),
        ("[Infinity]", "not a finite number"),
        ("NaN", "not a finite number"),
        ('"' + "x" * (limits.LARGEST_JSON) + '"', "longer than"),
        ("{", "Expecting"),
        ("", "Expecting"),
    ],
    ids=["deep", "101", "dicts", "digits", "more digits", *"abcdef"],
)
def test_json_beyond_the_limits_is_a_value_error(text, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        limits.parse_json(text)
    (tmp_path / "file.json").write_text(text)
    with pytest.raises(ValueError, match=words):
        limits.read_json(tmp_path / "file.json")


def test_json_at_the_limits_is_read():
    deep = "[" * 99 + "1" + "]" * 99
    assert str(limits.parse_json(deep)) == deep
    assert limits.parse_json(str(2**64 - 1)) == 2**64 - 1
    assert limits.parse_json(b'{"loss": NaN}', finite=False)["loss"] != 0
    with pytest.raises(ValueError, match="decode"):
        limits.parse_json(b'"\xff"')


def test_json_of_files_is_read_by_one_function():
    inside = {"loads", "load"}
    allowed = {
        "simclr_tf/limits.py",  # The function itself.
        "simclr_tf/models/description.py",  # These copy their own data.
        "simclr_tf/training/resumable_fit.py",
        "simclr_tf/evaluation/run_log.py",
        "simclr_tf/studies/study_folder.py",
        "simclr_tf/data/sources/embedded.py",  # Files of the package.
        "simclr_tf/benchmarks/fresh_process.py",  # Between our own processes.
        "simclr_tf/benchmarks/benchmark_runner.py",
        "simclr_tf/benchmarks/programs/time_steps.py",
        "simclr_tf/export/programs/make_keras3.py",
    }
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in ("simclr_tf", "tools")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr in inside
        and getattr(node.value, "id", "") == "json"
        and not path.is_relative_to(ROOT / "simclr_tf" / "tools")
    }
    assert found - allowed == set()


def header(shape, dtype="|u1"):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    return file.getvalue()


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("shape", [(300 * 2**40, 1, 1, 3), (2**32, 2**32, 1, 1), (5,)])
@pytest.mark.parametrize("key", ["x_train", "y_train"])
def test_arrays_that_claim_more_than_they_hold_are_refused(
    key, shape, compression, tmp_path
):
    arrays = {"x_train": np.zeros([4, 8, 8, 3], np.uint8), "y_train": np.zeros(4, int)}
    with zipfile.ZipFile(tmp_path / "a.npz", "w", compression) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.save(content, array)
            whole = header(shape) if name == key else content.getvalue()
            archive.writestr(f"{name}.npy", whole)
    with pytest.raises(DataError, match="header claims"):
        open_source(f"npz:{tmp_path}/a.npz")


def test_npy_that_claims_more_than_it_holds_is_refused(tmp_path):
    (tmp_path / "a.npy").write_bytes(header((2**45, 8, 8, 3)))
    with pytest.raises(DataError, match="header claims"):
        open_source(f"npz:{tmp_path}/a.npy")


def test_compressed_arrays_larger_than_memory_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x_train=np.zeros([64, 8, 8, 3], np.uint8))
    assert open_source(f"npz:{path}").num_examples == 64
    monkeypatch.setattr("simclr_tf.data.sources.npz.memory_bytes", lambda: 2**13)
    with pytest.raises(DataError, match="more than this machine has memory"):
        open_source(f"npz:{path}")


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_archive_that_unpacks_to_far_more_is_refused(suffix, tmp_path, monkeypatch):
    path = tmp_path / f"encoder{suffix}"
    with tarfile.open(path, "w:gz" if suffix == ".tar.gz" else "w") as archive:
        member = tarfile.TarInfo("padding")
        member.size = 2**20
        archive.addfile(member, io.BytesIO(bytes(2**20)))
    monkeypatch.setattr(limits, "ALWAYS_UNPACKED", 2**10)
    monkeypatch.setattr(limits, "MOST_UNPACKED", 1 / 2)
    with pytest.raises(DataError, match="nothing was unpacked"):
        load_encoder(path)


def images_with(sizes):
    """Small files of each format whose headers claim a size."""
    width, height = sizes
    png = bytearray(tf.io.encode_png(tf.zeros([4, 4, 3], tf.uint8)).numpy())
    png[16:24] = struct.pack(">II", width, height)
    png[29:33] = struct.pack(">I", zlib.crc32(bytes(png[12:29])))
    bmp = b"BM" + struct.pack("<IHHI", 62, 0, 0, 54)
    bmp += struct.pack("<IiiHHIIiiII", 40, width, -height, 1, 24, 0, 8, 0, 0, 0, 0)
    webp = b"RIFF" + struct.pack("<I", 30) + b"WEBPVP8X" + struct.pack("<II", 10, 0)
    webp += (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return {"png": bytes(png), "bmp": bmp + bytes(8), "webp": webp + bytes(8)}


@pytest.mark.parametrize("kind", ["png", "bmp", "gif", "webp"])
def test_decompression_bombs_are_named_and_not_decoded(kind, tmp_path, monkeypatch):
    def decode(*arguments, **options):
        raise AssertionError("An image was decoded.")

    gif = b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + bytes(9) + b";"
    content = {**images_with((100_000, 2_000)), "gif": gif}[kind]
    (tmp_path / "bomb").write_bytes(content)
    monkeypatch.setattr("simclr_tf.data.image_files.tf.io.decode_image", decode)
    reasons, _, _ = inspect_files([str(tmp_path / "bomb")])
    assert "178,956,970 pixels" in reasons[0]


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_images_of_a_usual_size_are_no_bombs(kind, tmp_path):
    (tmp_path / "image").write_bytes(images_with((10_000, 2_000))[kind])
    reasons, _, _ = inspect_files([str(tmp_path / "image")])
    assert "pixels" not in str(reasons)


def test_jpeg_beyond_the_limit_is_refused_by_tensorflow():
    side = int(limits.MOST_PIXELS**0.5) + 1
    jpeg = bytearray(tf.io.encode_jpeg(tf.zeros([64, 64, 3], tf.uint8)).numpy())
    place = jpeg.index(b"\xff\xc0") + 5
    jpeg[place : place + 4] = struct.pack(">HH", side, side)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Uncompress failed"):
        tf.io.decode_image(bytes(jpeg), expand_animations=False)


def test_description_with_more_weights_than_the_file_is_refused_before_building():
    description = describe_network(resnet(10, width_multiplier=0.0625))
    number = sum(
        array.size for array in resnet(10, width_multiplier=0.0625).get_weights()
    )
    assert network_from_description(description, values=number).count_params() == number
    for layer in description["config"]["layers"]:
        if layer["class_name"] == "Conv2D":
            layer["config"]["filters"] = 10**10
    with pytest.raises(DataError, match="more weights than the .* numbers in the file"):
        network_from_description(description, values=number)


@pytest.mark.parametrize(
    "change",
    [
        {"value": "73"},
        {"value": None},
        {"value": True},
        {"value": 10**400},
        {"value": float("inf")},
        {"value": float("nan")},
        {"num_test": 2.5},
        {"protocol": 5},
        {"settings": []},
        {"low_95": [1]},
        {"std": {"a": 1}},
    ],
)
def test_figures_of_others_are_numbers_or_refused(change, tmp_path):
    record = {"schema": "simclr_tf.evaluation", "schema_version": 1}
    record |= {"data": "mine", "encoder": "r"}
    sound = {
        "representation": "this encoder",
        "protocol": "ridge",
        "metric": "accuracy_percent",
        "value": 73,
        "num_test": 10,
        "num_train_labels": None,
    }
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps({**record, "measurements": [sound]}))
    assert read_results(path).measurements[0].value == 73
    path.write_text(json.dumps({**record, "measurements": [{**sound, **change}]}))
    with pytest.raises(DataError, match="evaluation.json"):
        read_results(path)
