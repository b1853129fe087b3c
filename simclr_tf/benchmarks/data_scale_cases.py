"""Benchmark: reading an image from small and from large sets.

The large sets take little space and are made quickly: arrays are sparse files, image
files are hard links to a few files, and record files are links to one file.
"""

import os

import numpy as np
import tensorflow as tf

from simclr_tf.augment import plan_views
from simclr_tf.benchmarks.measuring import Case, Variant
from simclr_tf.benchmarks.view_cases import random_images
from simclr_tf.config.image_size import as_size, size_text
from simclr_tf.data import open_source, training_dataset
from simclr_tf.data.sources.tfds import RecordSource
from simclr_tf.data.tfrecords import index_records
from simclr_tf.seeding import epoch_order

_DISTINCT_FILES = 64
_FILES_A_FOLDER = 1000
_RECORDS_A_FILE = 1000
_PAGE_BYTES = 4096
# A pipeline fetches some batches while other variants are timed; these must be few
# compared with the timed batches.
_TIMES_AS_MANY = 8


def cases(config, folder):
    """Return one case a kind of source; its variants are the sizes.

    Args:
      config: BenchmarkConfig.
      folder: pathlib.Path for the sets, which the caller removes.

    Returns:
      list of Case.
    """
    images = _TIMES_AS_MANY * config.batches * config.batch_size
    found = [
        Case(
            kind,
            _of_sizes(config, kind, _reader(make, config, folder)),
            images,
            "images",
        )
        for kind, make in (
            ("arrays", _array_file),
            ("folders", _folder_of_links),
            ("records", _record_files),
        )
    ]
    # The order of an epoch is computed once, at its beginning; it is timed separately.
    units = max(config.sizes_of("data_scale", "epoch order"))
    found.append(
        Case(
            "epoch order",
            _of_sizes(config, "epoch order", lambda size: _orders(size, units)),
            units,
            "images",
        )
    )
    return found


def _of_sizes(config, kind, work_of):
    return tuple(
        Variant(f"{size:,}", lambda size=size: work_of(size), size, kind)
        for size in config.sizes_of("data_scale", kind)
    )


def _orders(size, units):
    def work():
        for epoch in range(-(-units // size)):
            epoch_order(0, epoch, size)

    return work


def _reader(make, config, folder):
    """Return a function of a size that reads the next batches of a set of that size."""

    def work_of(size):
        batch_size = min(config.batch_size, size)
        dataset = training_dataset(
            make(folder, size, config.image_size_pixels),
            global_batch_size=batch_size,
            seed=0,
            total_steps=2**40,
            plan=plan_views(config.recipe, config.image_size_pixels),
        )
        batches = iter(dataset)
        steps = -(-_TIMES_AS_MANY * config.batches * config.batch_size // batch_size)

        def work():
            for _ in range(steps):
                next(batches)

        return work

    return work_of


def _array_file(folder, size, pixels):
    path = folder / f"{size}_{size_text(pixels)}.npy"
    if not path.exists():
        np.lib.format.open_memmap(
            path, "w+", np.uint8, (size, *as_size(pixels), 3)
        ).flush()
    source = open_source(f"npz:{path}")
    # One byte of each page is written, so that the pipeline is timed, not the disk.
    source.images.reshape(-1)[::_PAGE_BYTES].max()
    return source


def _folder_of_links(folder, size, pixels):
    root = folder / f"files_{size}_{pixels}"
    if not root.is_dir():
        originals = _jpegs(pixels)
        for start in range(0, size, _FILES_A_FOLDER):
            part = root / f"{start:08}"
            part.mkdir(parents=True)
            for index in range(start, min(start + _FILES_A_FOLDER, size)):
                path = part / f"{index:08}.jpg"
                if index < len(originals):
                    path.write_bytes(originals[index])
                else:
                    source = index % len(originals)
                    os.link(root / f"{0:08}" / f"{source:08}.jpg", path)
    return open_source(f"folder:{root}", memory_limit_bytes=0)


def _record_files(folder, size, pixels):
    path = folder / f"{pixels}.tfrecord"
    if not path.exists():
        contents = _jpegs(pixels)
        with tf.io.TFRecordWriter(str(path)) as writer:
            for index in range(_RECORDS_A_FILE):
                feature = tf.train.Feature(
                    bytes_list=tf.train.BytesList(
                        value=[contents[index % len(contents)]]
                    )
                )
                writer.write(
                    tf.train.Example(
                        features=tf.train.Features(feature={"image": feature})
                    ).SerializeToString()
                )
    paths = []
    for number in range(-(-size // _RECORDS_A_FILE)):
        paths.append(str(folder / f"{pixels}-{number:05}.tfrecord"))
        if not os.path.exists(paths[-1]):
            os.link(path, paths[-1])
    places = index_records(str(path), "image")
    index = np.concatenate(
        [
            np.repeat(np.arange(len(paths)), len(places))[:, np.newaxis],
            np.tile(places, (len(paths), 1)),
        ],
        axis=1,
    )
    return RecordSource(
        f"{size:,} records",
        paths,
        index[:size],
        identity="benchmark",
        labelled=False,
        channels=3,
        split="train",
    )


def _jpegs(pixels):
    return [
        tf.io.encode_jpeg(image).numpy()
        for image in random_images(_DISTINCT_FILES, pixels)
    ]
