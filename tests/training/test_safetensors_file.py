"""Safetensors: what the format's own package writes is read, wrong claims are not."""

import json

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import save_file

from simclr_tf.errors import DataError
from simclr_tf.limits import LARGEST_JSON
from simclr_tf.training.safetensors_file import SafetensorsFile

RNG = np.random.default_rng(0)


def written(path, header, content=b"", length=None):
    """A file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    length = len(text) if length is None else length
    path.write_bytes(length.to_bytes(8, "little") + text + content)
    return path


def entry(dtype="F32", shape=(2,), span=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(span)}


@pytest.mark.parametrize(
    "dtype",
    [
        *(np.float16, np.float32, np.float64, np.int8, np.int16, np.int32, np.int64),
        *(np.uint8, np.uint16, np.uint32, np.uint64, np.bool_),
    ],
)
def test_arrays_of_the_formats_own_package_are_read(dtype, tmp_path):
    arrays = {
        "kernel": RNG.integers(0, 2, (3, 2, 4)).astype(dtype),
        "scalar": np.array(1, dtype),
        "empty": np.zeros((0, 3), dtype),
    }
    save_file(arrays, tmp_path / "a.safetensors", metadata={"format": "pt"})
    file = SafetensorsFile(tmp_path / "a.safetensors")
    assert set(file.shapes) == set(arrays)
    for name, value in arrays.items():
        assert file.dtypes[name] == dtype
        np.testing.assert_array_equal(file.read(name), value)


def test_bfloat16_is_the_upper_half_of_float32(tmp_path):
    values = RNG.normal(size=6).astype(np.float32)
    halves = (values.view(np.uint32) >> 16).astype("<u2")
    path = written(
        tmp_path / "a.safetensors",
        {"x": entry("BF16", (6,), (0, 12))},
        halves.tobytes(),
    )
    file = SafetensorsFile(path)
    assert file.dtypes["x"] == tf.bfloat16.as_numpy_dtype
    expected = (halves.astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_array_equal(file.read("x").astype(np.float32), expected)


WRONG = {
    "no list": (b"[]", b"", "no list of arrays"),
    "no JSON": (b"{", b"", "Cannot read"),
    "not finite": (b'{"x": NaN}', b"", "not a finite number"),
    "no entry": ({"x": 3}, b"", "wrong entry"),
    "long name": ({"x" * 1001: entry()}, bytes(8), "wrong entry"),
    "unknown type": ({"x": entry("F8_E4M3", (8,))}, bytes(8), "unknown type"),
    "no type": ({"x": entry(["F32"])}, bytes(8), "unknown type"),
    "negative shape": ({"x": entry(shape=(-1, -2))}, bytes(8), "wrong shape"),
    "a bool as a size": ({"x": entry(shape=(2, True))}, bytes(8), "wrong shape"),
    "many axes": ({"x": entry(shape=(1,) * 40)}, bytes(8), "wrong shape"),
    "a huge shape": ({"x": entry(shape=(2**62, 2**62))}, bytes(8), "number of bytes"),
    "a negative offset": ({"x": entry(span=(-8, 0))}, b"", "wrong range"),
    "one offset": ({"x": entry(span=(8,))}, bytes(8), "wrong range"),
    "backwards": ({"x": entry(span=(8, 0))}, bytes(8), "number of bytes"),
    "behind the end": ({"x": entry(span=(8, 16))}, bytes(8), "leave a gap"),
    "longer than the file": ({"x": entry()}, bytes(4), "do not end"),
    "bytes that no array has": ({"x": entry()}, bytes(9), "do not end"),
    "overlapping": (
        {"x": entry(), "y": entry(span=(4, 12))},
        bytes(12),
        "overlap others",
    ),
    "twice the same bytes": ({"x": entry(), "y": entry()}, bytes(8), "overlap others"),
    "a gap": ({"x": entry(), "y": entry(span=(12, 20))}, bytes(20), "leave a gap"),
}


@pytest.mark.parametrize("header, content, words", WRONG.values(), ids=list(WRONG))
def test_a_wrong_claim_is_refused_when_the_file_is_opened(
    header, content, words, tmp_path
):
    path = written(tmp_path / "a.safetensors", header, content)
    with pytest.raises(DataError, match=words) as caught:
        SafetensorsFile(path)
    assert "damaged or not safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("length", [1, 100, LARGEST_JSON + 1, 2**63])
def test_a_wrong_length_of_the_header_is_refused(length, tmp_path):
    path = written(tmp_path / "a.safetensors", {"x": entry()}, bytes(8), length)
    with pytest.raises(DataError, match="damaged or not safetensors"):
        SafetensorsFile(path)


def test_damaged_bytes_are_read_or_refused_and_nothing_else(tmp_path):
    arrays = {name: RNG.normal(size=(2, 3)).astype(np.float32) for name in "abc"}
    path = tmp_path / "a.safetensors"
    save_file(arrays, path)
    whole, refused = path.read_bytes(), 0
    for _ in range(400):
        data = bytearray(whole)
        data[RNG.integers(len(data) // 2)] = RNG.integers(256)
        path.write_bytes(bytes(data[: RNG.integers(4 * len(data))]))
        try:
            file = SafetensorsFile(path)
            assert sum(file.read(name).nbytes for name in file.shapes) < len(whole)
        except DataError:
            refused += 1
    assert 100 < refused < 400


def test_a_folder_and_a_missing_file_are_one_line(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere.safetensors"):
        with pytest.raises(DataError, match="there is no such file"):
            SafetensorsFile(path)
