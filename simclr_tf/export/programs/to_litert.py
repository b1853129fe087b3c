"""Convert a SavedModel to a LiteRT file, float32.

Arguments: the folder with saved_model.pb; the file to write.
"""

import pathlib
import sys

import tensorflow as tf


def main(folder, path):
    """Write what LiteRT's converter makes of the folder's model."""
    converter = tf.lite.TFLiteConverter.from_saved_model(
        folder, signature_keys=["serving_default"]
    )
    pathlib.Path(path).write_bytes(converter.convert())


if __name__ == "__main__":
    main(*sys.argv[1:])
