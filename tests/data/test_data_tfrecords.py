"""Pieces of large files."""

import pytest
import tensorflow as tf

from simclr_tf.data.tfrecords import read_piece

FAR = 1 << 38  # A quarter of a tebibyte.


def test_a_piece_far_inside_a_file_is_read_without_what_lies_before(tmp_path):
    """Whoever read through the file would not come back within hours."""
    path = tmp_path / "sparse"
    with path.open("wb") as stream:
        stream.seek(FAR)
        stream.write(b"image\0\0rest")
    assert read_piece(str(path), FAR, 7) == b"image\0\0"


def test_a_piece_beyond_the_end_is_refused(tmp_path):
    path = tmp_path / "short"
    path.write_bytes(b"abc")
    with pytest.raises(ValueError, match="short ends inside a record"):
        read_piece(str(path), 1, 3)


def test_bytes_survive_the_way_through_a_pipeline(tmp_path):
    from simclr_tf.data.sources.tfds import RecordSource

    path = tmp_path / "shard"
    path.write_bytes(b"..a\0b\0\0..")
    dataset = tf.data.Dataset.from_tensors((str(path), 2, 5))
    read = dataset.map(lambda *place: RecordSource.read_encoded(None, *place))
    assert [piece.numpy() for piece in read] == [b"a\0b\0\0"]
