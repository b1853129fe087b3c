"""TFRecord files: positions of the images in them, for random access without a copy.

A TFRecord file is a sequence of (length, checksum, example, checksum); an example is a
`tf.train.Example` in protocol buffer wire format, a tree of (tag, length, content). One
walk over the lengths gives the place of the image's bytes and the label of every
example while skipping over the pixels, so that afterwards any image is one short read.

Source: TFRecord layout, tensorflow/core/lib/io/record_writer.h; wire format,
https://protobuf.dev/programming-guides/encoding/.
"""

import os

from simclr_tf.errors import DataError, received_text
from simclr_tf.lazy import np, tf

_BLOCK_BYTES = 4096
_HEADER_BYTES, _FOOTER_BYTES = 12, 4

# (field number << 3) | wire type; 2: a length and that many bytes, 0: a varint.
_FIRST_FIELD, _SECOND_FIELD, _THIRD_FIELD = 0x0A, 0x12, 0x1A
_UNPACKED_INTEGER = 0x08


def _open(path):
    # GFile reads from all file systems of TensorFlow, buckets included.
    return (
        tf.io.gfile.GFile(path, "rb")
        if "://" in path
        else open(path, "rb", buffering=0)
    )


class _Bytes:
    """A file as a sequence of bytes, read in pieces when needed."""

    def __init__(self, path):
        self._stream = _open(path)
        self.size = tf.io.gfile.stat(path).length
        self._start, self._block = 0, b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stream.close()

    def read(self, start, count):
        """Read `count` bytes from `start`; fewer at the end of the file."""
        inside = start - self._start
        if inside < 0 or inside + count > len(self._block):
            self._stream.seek(start)
            self._block = self._stream.read(max(count, _BLOCK_BYTES))
            self._start, inside = start, 0
        return self._block[inside : inside + count]

    def varint(self, start):
        """Decode the base-128 integer at `start`: (value, position behind it)."""
        value = 0
        for place, byte in enumerate(self.read(start, 10)):
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                return value, start + place + 1
        raise ValueError("a number does not end")

    def fields(self, start, stop):
        """Yield the fields of a message: (tag, content start, content stop)."""
        while start < stop:
            tag, start = self.varint(start)
            if tag & 7 == 2:
                length, start = self.varint(start)
                end = start + length
            elif tag & 7 == 0:
                end = self.varint(start)[1]
            else:
                raise ValueError(f"wire type {tag & 7} in a tf.train.Example")
            if end > stop:
                raise ValueError("a field reaches beyond its message")
            yield tag, start, end
            start = end


def read_piece(path, offset, length):
    """Read a piece of a file by seeking.

    (TensorFlow's FixedLengthRecordDataset reads everything before it.)

    Args:
      path: bytes or str, or an array of one, as a data pipeline gives it.
      offset, length: int, in bytes.

    Returns:
      bytes.

    Raises:
      OSError, tf.errors.OpError: the file cannot be read.
      ValueError: the file ends before the piece.
    """
    path = os.fsdecode(np.asarray(path).item())
    with _open(path) as stream:
        stream.seek(int(offset))
        content = stream.read(int(length))
    if len(content) != length:
        raise ValueError(f"{path} ends inside a record")
    return content


def index_records(path, image_key, label_key=None):
    """Find the positions of the images in one TFRecord file, and their labels.

    Args:
      path: str, the file.
      image_key: str, the feature that holds the encoded image.
      label_key: str, the feature that holds the integer label, or None.

    Returns:
      int64 NumPy array `[n, 3]`: offset and length of each image in bytes (length 0 for
      none), and its label (-1 for none).

    Raises:
      DataError: the file is cut off, or is not a TFRecord file of examples.
    """
    image_key = image_key.encode()
    label_key = None if label_key is None else label_key.encode()
    rows = []
    with _Bytes(path) as content:
        position = 0
        while position < content.size:
            start = position + _HEADER_BYTES
            length = int.from_bytes(content.read(position, 8), "little")
            position = start + length + _FOOTER_BYTES
            try:
                if position > content.size:
                    raise ValueError("it is cut off")
                rows.append(
                    _image_and_label(
                        content, start, start + length, image_key, label_key
                    )
                )
            except ValueError as error:
                raise DataError(
                    f"A TFRecord file is damaged at record {len(rows)} ({error}); "
                    "prepare the data set again. " + received_text(file=path)
                ) from error
    return np.array(rows, np.int64).reshape(-1, 3)


def _image_and_label(content, start, stop, image_key, label_key):
    """Find (offset, length, label) of one tf.train.Example in [start, stop)."""
    offset, length, label = start, 0, -1
    for _, features_start, features_stop in content.fields(start, stop):
        for _, *entry in content.fields(features_start, features_stop):
            # A map entry: field 1 is the key, field 2 the feature.
            places = {tag: (first, last) for tag, first, last in content.fields(*entry)}
            if not {_FIRST_FIELD, _SECOND_FIELD} <= places.keys():
                continue
            first, last = places[_FIRST_FIELD]
            key = content.read(first, last - first)
            if key == image_key:
                offset, length = _bytes_value(content, *places[_SECOND_FIELD])
            elif key == label_key:
                label = _integer_value(content, *places[_SECOND_FIELD])
    return offset, length, label


def _bytes_value(content, start, stop):
    """Find a feature's one byte string; the feature's field 1 lists them."""
    for kind, first, last in content.fields(start, stop):
        if kind == _FIRST_FIELD:
            for _, begin, end in content.fields(first, last):
                return begin, end - begin
    return start, 0


def _integer_value(content, start, stop):
    """Read a feature's one integer; the feature's field 3 lists them."""
    for kind, first, last in content.fields(start, stop):
        if kind == _THIRD_FIELD:
            for tag, begin, end in content.fields(first, last):
                if tag == _UNPACKED_INTEGER or end > begin:
                    value = content.varint(begin)[0]
                    return value - (1 << 64) if value >> 63 else value
    return -1
