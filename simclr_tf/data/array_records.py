"""ArrayRecord files of TensorFlow Datasets: images by number, and their labels.

A record is a `tf.train.Example`, as in a TFRecord file. The library `array_record`,
which TensorFlow Datasets installs, finds a record by its number and reads all of it.
"""

import functools
import threading

from simclr_tf.errors import DataError, received_text
from simclr_tf.lazy import module, np, tf

_reading = module("array_record.python.array_record_module")
_AT_ONCE = 64
_MOST_OPEN = 256


def index_array_records(path, image_key, label_key=None):
    """Find the images in one ArrayRecord file, and their labels; all of it is read.

    Args:
      path: str, the file.
      image_key: str, the feature that holds the encoded image.
      label_key: str, the feature that holds the integer label, or None.

    Returns:
      int64 NumPy array `[n, 3]`: number of each record, bytes of its image (0 for
      none), and its label (-1 for none).

    Raises:
      DataError: the file is damaged, or `array_record` is not installed.
    """
    rows = []
    try:
        reader = _reader(path)
        total = reader.num_records()
        for start in range(0, total, _AT_ONCE):
            for record in reader.read(start, min(start + _AT_ONCE, total)):
                feature = tf.train.Example.FromString(record).features.feature
                label = feature[label_key].int64_list.value if label_key else []
                image = feature[image_key].bytes_list.value
                rows.append(
                    (
                        len(rows),
                        len(image[0]) if image else 0,
                        label[0] if label else -1,
                    )
                )
    except ImportError as error:
        raise DataError(
            "ArrayRecord files need array_record; install it with `pip install "
            f"array_record`. Received: error={str(error)!r}."
        ) from error
    except Exception as error:  # Whatever the reader does with damage.
        raise DataError(
            f"An ArrayRecord file is damaged at record {len(rows)}; prepare the data "
            "set again. " + received_text(file=path)
        ) from error
    return np.array(rows, np.int64).reshape(-1, 3)


def read_image_of_record(path, number, image_key):
    """Read the encoded image of one record.

    Args:
      path: str, the file.
      number: int, of the record.
      image_key: str, the feature that holds the encoded image.

    Returns:
      bytes.

    Raises:
      ValueError: there is no such image in the file.
    """
    try:
        reader, lock = _kept_reader(path)
        with lock:
            (record,) = reader.read([number])
        feature = tf.train.Example.FromString(record).features.feature
        return feature[image_key].bytes_list.value[0]
    except Exception as error:  # Whatever the reader does with damage.
        raise ValueError(f"{path} cannot be read at record {number}") from error


def _reader(path, options=""):
    return _reading.ArrayRecordReader(path, options)


@functools.lru_cache(maxsize=_MOST_OPEN)
def _kept_reader(path):
    """Keep a file open for single records, with a lock: threads share the reader."""
    reader = _reader(path, "readahead_buffer_size:0,max_parallelism:0")
    return reader, threading.Lock()
