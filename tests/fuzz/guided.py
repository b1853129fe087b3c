"""Coverage-guided fuzzing of the readers of strangers' bytes, by hand.

Beside the suite, as it never ends by itself and atheris is no dependency of the tests:

pip install atheris
python -m tests.fuzz.guided tar -max_total_time=300

Readers: json, network, records, tar, npz, image, keras. The other arguments are
libFuzzer's. A reader may return or raise a SimCLRError; anything else ends the fuzzing
and is kept as a file `crash-*` or `timeout-*`. What was found has a test beside the
reader: a NUL in a tar's names, an npz member that is no array, HDF5 read for ever.
"""

import io
import json
import pathlib
import sys
import tarfile
import tempfile

import atheris
import numpy as np
import tensorflow as tf

with atheris.instrument_imports(include=["simclr_tf"]):
    from simclr_tf._keras import keras
    from simclr_tf.data import image_files, open_source
    from simclr_tf.data.tfrecords import index_records
    from simclr_tf.errors import SimCLRError
    from simclr_tf.limits import parse_json
    from simclr_tf.models.description import KIND, network_from_description
    from simclr_tf.training import keras_files
    from simclr_tf.training.exports import unpacked


def read_json(path):
    try:
        json.dumps(parse_json(path.read_bytes()))
    except ValueError:
        pass  # What it raises; callers tell the file's name.


def read_network(path):
    try:
        tree = parse_json(path.read_bytes())
    except ValueError:
        return
    network_from_description({"kind": KIND, "config": tree}, values=100)


def read_tar(path):
    with unpacked(path) as folder:
        if any(inner.is_symlink() for inner in folder.rglob("*")):
            raise RuntimeError("a link was unpacked")


def read_keras(path):
    keras_files.require_end = lambda path: None  # A process for each would be slow.
    keras_files.encoder_of_keras_file(path)


READERS = {  # Name: (the name of the file, what reads it).
    "json": ("a.json", read_json),
    "network": ("config.json", read_network),
    "records": ("a.tfrecord", lambda path: index_records(str(path), "image", "label")),
    "tar": ("a.tar", read_tar),
    "npz": ("a.npz", lambda path: open_source(f"npz:{path}")),
    "image": ("a.png", lambda path: image_files.inspect_files([str(path)])),
    "keras": ("a.keras", read_keras),
}


def write_seeds(folder):
    """Write a valid file for each reader: what the fuzzer starts from."""
    folder.mkdir()
    images = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(1, 1, use_bias=False)(images)
    network = keras.Model(images, keras.layers.GlobalAveragePooling2D()(x))
    network.save(folder / "a.keras")
    (folder / "config.json").write_text(json.dumps(network.get_config()))
    (folder / "a.json").write_text('{"a": [1, -2.5e3, null, true, "\\u1234"]}')
    pixels = np.zeros((2, 2, 2, 1), np.uint8)
    np.savez(folder / "a.npz", x_train=pixels, y_train=np.arange(2))
    (folder / "a.png").write_bytes(tf.io.encode_png(pixels[0]).numpy())
    integers = tf.train.Feature(int64_list=tf.train.Int64List(value=[1]))
    content = tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"pixels"]))
    features = tf.train.Features(feature={"image": content, "label": integers})
    with tf.io.TFRecordWriter(str(folder / "a.tfrecord")) as writer:
        writer.write(tf.train.Example(features=features).SerializeToString())
    with tarfile.open(folder / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("saved_model/" + 120 * "x")
        member.size = 3
        archive.addfile(member, io.BytesIO(b"abc"))


def main():
    name, read = READERS[sys.argv.pop(1)]
    folder = pathlib.Path(tempfile.mkdtemp())
    write_seeds(folder / "seeds")
    path, corpus = folder / name, folder / "corpus"
    corpus.mkdir()
    (folder / "seeds" / name).rename(corpus / name)

    def one(content):
        path.write_bytes(content)
        try:
            read(path)
        except SimCLRError:
            pass

    atheris.Setup([*sys.argv, str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
