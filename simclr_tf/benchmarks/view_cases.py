"""Benchmark: view pairs a second, batched against one image at a time."""

import time

import numpy as np
import tensorflow as tf

from simclr_tf.augment import finish_views, get_recipe, plan_views, two_views
from simclr_tf.benchmarks.measuring import Case, Timed, Variant
from simclr_tf.benchmarks.per_image import two_views_per_image
from simclr_tf.benchmarks.photographs import write_photographs
from simclr_tf.config.image_size import as_size, size_text
from simclr_tf.data import open_source, training_dataset

_LEAD = 2
PER_IMAGE, OURS = "tf.image in a per-image map", "simclr_tf"


def cases(config, folder):
    """Return the cases: in-memory images, and JPEG files.

    Args:
      config: BenchmarkConfig.
      folder: pathlib.Path for files, which the caller removes.

    Returns:
      list of Case.
    """
    size, recipe = config.image_size_pixels, get_recipe(config.recipe)
    make = _compiled(lambda images, seeds: two_views(images, seeds, recipe))
    return [
        Case(
            f"in memory, {size_text(size)} px, {config.recipe}",
            (
                Variant(PER_IMAGE, lambda: _memory_per_image(config)),
                Variant(OURS, lambda: _memory_in_batches(config, make)),
                Variant(f"{OURS}, the views alone", lambda: _views_alone(config, make)),
            ),
            config.batches * config.batch_size,
            "view pairs",
        ),
        Case(
            f"jpeg of {config.jpeg_width_pixels} px to "
            f"{size_text(config.jpeg_view_pixels)} px, {config.jpeg_recipe}",
            (
                Variant(PER_IMAGE, lambda: _files_per_image(config, folder)),
                Variant(OURS, lambda: _files_cropped_early(config, folder)),
                Variant(
                    "decoding alone, once a pair", lambda: _decoding(config, folder)
                ),
                Variant(
                    f"{OURS}, decoding and crops alone",
                    lambda: _crops_alone(config, folder),
                ),
                Variant(
                    f"{OURS}, all after the crops alone",
                    lambda: _finish_alone(config),
                ),
            ),
            config.batches * config.jpeg_batch_size,
            "view pairs",
        ),
    ]


def random_images(number, size, seed=0):
    """Draw uint8 `[number, height, width, 3]` of a size: int, or (height, width)."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (number, *as_size(size), 3), np.uint8)


def _memory_images(config):
    return random_images(4 * config.batch_size, config.image_size_pixels)


def _compiled(function):
    return tf.function(function, jit_compile=True, autograph=False)


def _consume(dataset, finish=lambda batch: batch):
    """Return a function that takes every batch of a finite data set once.

    The data set ends with its last batch, so nothing is fetched while another variant
    is timed. A run starts its pipeline once: the first `_LEAD` batches, which wait for
    the start, are not counted.
    """

    def work():
        for number, batch in enumerate(dataset):
            views = finish(batch)
            if number == _LEAD - 1:
                views[0].numpy()
                began = time.perf_counter()
        views[0].numpy()  # The last batch is finished, so all earlier ones are too.
        return Timed(time.perf_counter() - began)

    return work


def _memory_per_image(config):
    dataset = tf.data.Dataset.from_tensor_slices(_memory_images(config)).repeat()
    return _per_image(
        dataset.take((_LEAD + config.batches) * config.batch_size),
        lambda image: image,
        config.recipe,
        config.image_size_pixels,
        config.batch_size,
    )


def _per_image(dataset, decode, recipe, size, batch_size):
    def augment(element):
        return two_views_per_image(decode(element), recipe, size)

    dataset = dataset.map(augment, num_parallel_calls=tf.data.AUTOTUNE)
    return _consume(
        dataset.batch(batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
    )


def _memory_in_batches(config, make):
    source = open_source(_memory_images(config))
    dataset = training_dataset(
        source,
        global_batch_size=config.batch_size,
        seed=0,
        total_steps=_LEAD + config.batches,
    )
    return _consume(dataset, lambda batch: make(batch["images"], batch["seeds"]))


def _views_alone(config, make):
    images = tf.constant(random_images(config.batch_size, config.image_size_pixels))
    return _repeated(config, lambda seeds: make(images, seeds), config.batch_size)


def _repeated(config, make, batch_size):
    """Return a function that makes views of the same images, batch after batch."""
    seeds = tf.reshape(tf.range(2 * batch_size), [-1, 2])

    def work():
        for _ in range(config.batches):
            views = make(seeds)
        return views[0].numpy()

    return work


def _photographs(config, folder):
    folder = folder / "photographs"
    if not folder.is_dir():
        write_photographs(folder, config.jpeg_files, width=config.jpeg_width_pixels)
    return folder


def _paths(config, folder):
    paths = sorted(map(str, _photographs(config, folder).iterdir()))
    return tf.data.Dataset.from_tensor_slices(paths).shuffle(len(paths)).repeat()


def _decoded(path):
    return tf.io.decode_jpeg(tf.io.read_file(path), channels=3)


def _files_per_image(config, folder):
    dataset = _paths(config, folder)
    return _per_image(
        dataset.take((_LEAD + config.batches) * config.jpeg_batch_size),
        _decoded,
        config.jpeg_recipe,
        config.jpeg_view_pixels,
        config.jpeg_batch_size,
    )


def _decoding(config, folder):
    dataset = _paths(config, folder).map(
        lambda path: tf.shape(_decoded(path)), num_parallel_calls=tf.data.AUTOTUNE
    )
    dataset = dataset.take((_LEAD + config.batches) * config.jpeg_batch_size)
    return _consume(dataset.batch(config.jpeg_batch_size).prefetch(tf.data.AUTOTUNE))


def _files_cropped_early(config, folder):
    plan, dataset = _crops_of_files(config, folder)
    finish = _compiled(lambda crops, seeds: finish_views(crops, seeds, plan))
    return _consume(dataset, lambda batch: finish(batch["crops"], batch["seeds"]))


def _crops_alone(config, folder):
    _, dataset = _crops_of_files(config, folder)
    return _consume(dataset, lambda batch: batch["crops"])


def _crops_of_files(config, folder):
    source = open_source(f"folder:{_photographs(config, folder)}", memory_limit_bytes=0)
    plan = plan_views(config.jpeg_recipe, config.jpeg_view_pixels)
    dataset = training_dataset(
        source,
        global_batch_size=config.jpeg_batch_size,
        seed=0,
        total_steps=_LEAD + config.batches,
        plan=plan,
    )
    return plan, dataset


def _finish_alone(config):
    plan = plan_views(config.jpeg_recipe, config.jpeg_view_pixels)
    finish = _compiled(lambda crops, seeds: finish_views(crops, seeds, plan))
    images = random_images(config.jpeg_batch_size, config.jpeg_view_pixels)
    crops = tf.constant(images, tf.float32) / 255.0
    return _repeated(
        config, lambda seeds: finish((crops, crops), seeds), config.jpeg_batch_size
    )
