"""Batches for evaluation: all images in order, each once, nothing random."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from simclr_tf.array_types import Dataset
from simclr_tf.augment import crop_view, finish_view, one_view
from simclr_tf.data.corruption import CorruptionLog
from simclr_tf.data.host_calls import on_host
from simclr_tf.data.pipelines import batch_form, parallel_images
from simclr_tf.data.pixels import blank_image, first_success
from simclr_tf.data.prefetching import prefetched
from simclr_tf.data.streams import StreamSource, checked_image
from simclr_tf.errors import require
from simclr_tf.machine import usable_cores

if TYPE_CHECKING:
    from simclr_tf.augment.recipes import Recipe
    from simclr_tf.data.random_access import Source


_LOCATED = 256  # Examples located in one call.


def evaluation_batches(
    source: Source | StreamSource,
    batch_size: int,
    image_size_pixels: int | tuple[int, int],
    recipe: str | Recipe = "evaluate",
) -> Dataset:
    """Return all images of a source in order, prepared for the encoder.

    An image that cannot be decoded is left out and recorded, see `CorruptionLog`.

    Args:
      source: Source, or a finite StreamSource, see `open_source`.
      batch_size: int >= 1; the last batch may be smaller.
      image_size_pixels: int or (height, width).
      recipe: name or Recipe of `simclr_tf.augment`, by default resize and centre crop.

    Returns:
      tf.data.Dataset of dicts: `images` float32 `[<= batch_size, S, S, C]` in [0, 1],
      `ids` int64, and `labels` int32 (-1: unlabelled) if the source has labels.

    Raises:
      ConfigError: for a batch size below 1, or an infinite stream.

    Example:
      >>> from simclr_tf.data import ArraySource
      >>> source = ArraySource("mine", np.zeros([5, 8, 8, 3], np.uint8))
      >>> [len(batch["ids"]) for batch in evaluation_batches(source, 4, 8)]
      [4, 1]
    """
    require(batch_size >= 1, "`batch_size` must be >= 1.", batch_size=batch_size)
    if isinstance(source, StreamSource):
        return _stream_batches(source, batch_size, image_size_pixels, recipe)
    if batch_form(source) == "images":
        dataset = _array_batches(source, batch_size, image_size_pixels, recipe)
    else:
        dataset = _file_batches(source, batch_size, image_size_pixels, recipe)
    if source.labels is not None:
        table = tf.constant(source.labels, tf.int32)
        dataset = dataset.map(
            lambda batch: {**batch, "labels": tf.gather(table, batch["ids"])}
        )
    return prefetched(dataset)


def _array_batches(source, batch_size, size, recipe):
    def prepare(ids):
        images = on_host(source.read_images, [ids], source.dtype)
        images.set_shape([None, *source.image_shape])
        seeds = tf.zeros([tf.shape(ids)[0], 2], tf.int32)
        return {
            "ids": ids,
            "images": one_view(images, seeds, recipe, image_size_pixels=size),
        }

    ids = tf.data.Dataset.range(source.num_examples).batch(batch_size)
    return ids.map(prepare, num_parallel_calls=usable_cores())


def _file_batches(source, batch_size, size, recipe):
    log = CorruptionLog(source)
    seed = tf.zeros([2], tf.int32)

    def cropped(image):
        return crop_view(image, seed, recipe, size)

    def read(*location):
        return tf.constant(True), cropped(source.read_image(*location))

    def unreadable(example):
        def record(number):
            log.record(number)
            return np.bool_(False)

        found = on_host(record, [example], tf.bool)
        return tf.reshape(found, []), blank_image(size, source.channels)

    def load(example, *location):
        readable, image = first_success(
            tf.data.Dataset.from_tensors(location),
            read,
            tf.data.Dataset.from_tensors(example).map(unreadable),
        )
        return readable, {"ids": example, "images": image}

    def places(ids):
        columns = on_host(
            lambda numbers: list(source.locations(numbers)),
            [ids],
            list(source.location_types),
        )
        for column in columns:
            column.set_shape([None])
        return (ids, *columns)

    ids = tf.data.Dataset.range(source.num_examples).batch(_LOCATED)
    images = ids.map(places).unbatch()
    images = images.map(load, num_parallel_calls=parallel_images(source))
    images = images.filter(lambda readable, _: readable).map(lambda _, image: image)
    return images.batch(batch_size).map(lambda batch: _finished(batch, recipe))


def _stream_batches(source, batch_size, size, recipe):
    require(
        source.dataset.cardinality() != tf.data.INFINITE_CARDINALITY,
        "An infinite data set cannot be evaluated; use `.take`.",
        data=source.name,
    )

    def load(example, element):
        image = checked_image(element[0], source.name)
        image = crop_view(image, tf.zeros([2], tf.int32), recipe, size)
        batch = {"ids": example, "images": image}
        if source.has_labels:
            batch["labels"] = tf.cast(tf.reshape(element[1], []), tf.int32)
        return batch

    images = source.dataset.enumerate().map(load, num_parallel_calls=usable_cores())
    batches = images.batch(batch_size).map(lambda batch: _finished(batch, recipe))
    return prefetched(batches)


def _finished(batch, recipe):
    seeds = tf.zeros([tf.shape(batch["ids"])[0], 2], tf.int32)
    return {**batch, "images": finish_view(batch["images"], seeds, recipe)}
