"""Batches for training: batch k of a run is a pure function of (run seed, k).

The host decides which examples a batch holds and gives each image a stateless seed
(`BatchSchedule`); the views are a function of that seed. The number of workers, the
timing of threads and the step at which a run was resumed change no image.

Arrays of images pass through unchanged, and the views are made in batches on the
device. Files are read, decoded once for all views and cropped here, one by one, in
parallel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from simclr_tf.array_types import Array, Dataset
from simclr_tf.augment import crop_draws, crop_views
from simclr_tf.data.batch_schedule import BatchSchedule, replacement_example
from simclr_tf.data.host_calls import on_host
from simclr_tf.data.pixels import WHITE, blank_image, decode_image, first_success
from simclr_tf.data.prefetching import prefetched
from simclr_tf.data.random_access import EncodedSource, fits_in_batches
from simclr_tf.data.streams import StreamSource, checked_image
from simclr_tf.errors import DataError, require
from simclr_tf.machine import free_memory_bytes, usable_cores

if TYPE_CHECKING:
    from simclr_tf.augment.view_plan import ViewPlan
    from simclr_tf.data.random_access import Source


_ATTEMPTS = 16
# Decoded images in flight may take a quarter of the free memory; each is there as the
# decoded part, a copy of it for a crop, and turned upright or as the crop of the next.
_USABLE, _COPIES_OF_IMAGE = 0.25, 3

# Autograph would double the time of tracing; there is no control flow to convert.
do_not_convert = tf.autograph.experimental.do_not_convert


def training_dataset(
    source: Source | StreamSource,
    *,
    global_batch_size: int,
    seed: int,
    total_steps: int,
    start_step: int = 0,
    plan: ViewPlan | None = None,
    shard_index: int = 0,
    num_shards: int = 1,
    with_labels: bool = True,
) -> Dataset:
    """Return the batches `start_step` to `total_steps` - 1 of a run.

    Args:
      source: Source or StreamSource, see `open_source`.
      global_batch_size: int G, images a step over all workers.
      seed: int, the run seed.
      total_steps: int, length of the run in steps.
      start_step: int, the first batch to return (where a resumed run continues).
      plan: ViewPlan of `simclr_tf.augment`, with known sizes; decides the crops of
        files, unused for images of one size.
      shard_index, num_shards: int; worker w of W gets B = G / W images of each batch,
        rows [w * B, (w + 1) * B).
      with_labels: bool, False leaves the labels out.

    Returns:
      tf.data.Dataset of exactly total_steps - start_step dicts of static shape:

      - `ids` int64 `[B]`, positions in the source;
      - `seeds` int32 `[B, 2]`, one stateless seed an image;
      - `labels` int32 `[B]`, -1 for unlabelled, if the source has labels;
      - `skipped` int64 `[B]`: the id of an example that could not be decoded and was
        replaced by the one in `ids`, else -1 (feed it to `CorruptionLog.record`);
      - `images` `[B, H, W, C]`, uint8 or float32 in [0, 1], where `batch_form` is
        "images" (`simclr_tf.augment.make_views` makes the views); or
      - `crops`, a tuple of float32 `[B, h, w, C]` in [0, 1], one a view, where it is
        "crops" (`simclr_tf.augment.finish_views` does the rest).

      An error about the data inside the pipeline becomes a `DataError` again in
      `simclr_tf.data.plain_errors`.

    Raises:
      ConfigError: a batch larger than the set or not divisible by the workers, steps
        out of range, or no plan with sizes although crops are needed.

    Example:
      >>> from simclr_tf.data import open_source
      >>> source = open_source(np.zeros([10, 8, 8, 3], np.uint8))
      >>> batches = training_dataset(source, global_batch_size=4, seed=0, total_steps=3)
      >>> [batch["ids"].shape[0] for batch in batches]
      [4, 4, 4]
    """
    require(
        0 <= start_step <= total_steps,
        "`start_step` must be between 0 and `total_steps`.",
        start_step=start_step,
        total_steps=total_steps,
    )
    in_order = isinstance(source, StreamSource)
    needs_crops = batch_form(source) == "crops"
    require(
        not needs_crops
        or (plan is not None and all(view.size is not None for view in plan.views)),
        "`plan` with the sizes of the views is needed for images that are not in "
        "memory with one size.",
        data=source.name,
        plan=plan,
    )
    schedule = BatchSchedule(
        source.num_examples,
        global_batch_size,
        seed,
        in_order=in_order,
        shard_index=shard_index,
        num_shards=num_shards,
    )
    steps = tf.data.Dataset.range(start_step, total_steps)
    crops = _Crops(plan, source) if needs_crops else None
    batch_size = global_batch_size // num_shards
    if in_order:
        first_row = start_step * global_batch_size
        shard = (shard_index * batch_size, batch_size, global_batch_size)
        dataset = _stream_batches(
            source, schedule, steps, crops, first_row, shard, with_labels
        )
    elif needs_crops:
        dataset = _file_batches(source, schedule, steps, crops, batch_size, with_labels)
    else:
        dataset = _array_batches(source, schedule, steps, batch_size, with_labels)
    dataset = dataset.apply(
        tf.data.experimental.assert_cardinality(total_steps - start_step)
    )
    options = tf.data.Options()
    options.deterministic = True
    # Every worker builds its own rows, so TensorFlow must not divide files.
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.OFF
    )
    return prefetched(dataset).with_options(options)


def batch_form(source):
    """Name the form in which a training batch of a source holds the images.

    "images": all images have one size; the views are made in batches on the device.
    "crops": files, images of several sizes and large ones are cropped one by one on the
    host, and the other operators run on the device.

    Args:
      source: Source or StreamSource.

    Returns:
      "images" or "crops".
    """
    if source.image_shape is None or isinstance(source, EncodedSource):
        return "crops"
    return "images" if fits_in_batches(source.image_shape) else "crops"


def parallel_images(source, free_bytes=None):
    """Return how many images are decoded at a time: fewer, where they are large.

    Args:
      source: Source.
      free_bytes: int, the memory that may be taken; None asks the machine.

    Returns:
      int, at most the cores.
    """
    free = free_memory_bytes() if free_bytes is None else free_bytes
    of_one = _COPIES_OF_IMAGE * source.channels * source.largest_pixels
    fitting = int(_USABLE * free) // max(of_one, 1)
    return max(min(fitting, usable_cores()), 1)


def decoding_bytes(source):
    """Estimate the memory of the images that are decoded at a time: int."""
    if batch_form(source) == "images" or isinstance(source, StreamSource):
        return 0
    of_one = _COPIES_OF_IMAGE * source.channels * source.largest_pixels
    return of_one * parallel_images(source)


def batch_ids(source: Source, *, global_batch_size: int, seed: int, step: int) -> Array:
    """List the examples in the global batch of a step, without reading them.

    (An unreadable example is replaced during training; see `CorruptionLog`.)

    Args:
      source, global_batch_size, seed: as for `training_dataset`.
      step: int >= 0.

    Returns:
      int64 `[G]`, in the order of the batch's rows.

    Example:
      >>> from simclr_tf.data import open_source
      >>> source = open_source(np.zeros([4, 8, 8, 3], np.uint8))
      >>> sorted(batch_ids(source, global_batch_size=4, seed=0, step=9).tolist())
      [0, 1, 2, 3]
    """
    schedule = BatchSchedule(
        source.num_examples,
        global_batch_size,
        seed,
        in_order=isinstance(source, StreamSource),
    )
    return schedule.examples(step)[1]


class _Crops:
    """The crops of one image, encoded or decoded, for all views of a plan."""

    def __init__(self, plan, source):
        self._plan = plan
        self._channels = source.channels
        self._formats = getattr(source, "formats", None)
        self._plain = getattr(source, "is_plain", False)
        self._background = getattr(source, "background", WHITE)
        self.blank = tuple(
            blank_image(view.size, source.channels) for view in plan.views
        )

    def draws(self, seeds):
        return crop_draws(seeds, self._plan)

    def of_image(self, image, seed, draws):
        return crop_views(image, seed, self._plan, draws=draws)

    def at(self, source, place, seed, draws):
        """Crop the image of a source at a location."""
        if isinstance(source, EncodedSource):
            return self.of_file(source.read_encoded(*place), seed, draws)
        return self.of_image(source.read_image(*place), seed, draws)

    def of_file(self, encoded, seed, draws):
        def from_jpeg():  # Only the part under the boxes is decoded.
            return crop_views(
                encoded,
                seed,
                self._plan,
                channels=self._channels,
                draws=draws,
                upright=self._plain,
            )

        def from_any():
            image = decode_image(encoded, self._channels, self._background, self._plain)
            return self.of_image(image, seed, draws)

        if self._formats == {"jpeg"}:
            return from_jpeg()
        if self._formats == {"png"}:
            return from_any()
        return tf.cond(tf.io.is_jpeg(encoded), from_jpeg, from_any)


def _array_batches(source, schedule, steps, batch_size, with_labels):
    """Gather pixels on the host, one NumPy call a batch."""
    has_labels = with_labels and source.labels is not None

    def gather(step):
        _, ids, seeds = schedule.examples(step)
        labels = source.labels[ids] if has_labels else np.zeros(0)
        return ids, seeds, source.read_images(ids), labels.astype(np.int32)

    def load(step):
        ids, seeds, images, labels = on_host(
            gather, [step], [tf.int64, tf.int32, source.dtype, tf.int32]
        )
        element = {
            "ids": tf.ensure_shape(ids, [batch_size]),
            "seeds": tf.ensure_shape(seeds, [batch_size, 2]),
            "skipped": tf.fill([batch_size], tf.constant(-1, tf.int64)),
            "images": tf.ensure_shape(images, [batch_size, *source.image_shape]),
        }
        if has_labels:
            element["labels"] = tf.ensure_shape(labels, [batch_size])
        return element

    return steps.map(do_not_convert(load), num_parallel_calls=2)


def _file_batches(source, schedule, steps, crops, batch_size, with_labels):
    """Read, decode and crop files one by one, in parallel, in a fixed order."""
    types = [tf.int64, tf.int32, *source.location_types]

    def draw(step):
        _, ids, seeds = schedule.examples(step)
        return (ids, seeds, *source.locations(ids))

    def with_draws(step):
        ids, seeds, *locations = columns(step)
        return (ids, seeds, crops.draws(seeds), *locations)

    def load(example, seed, draws, *location):
        used, made = _readable(source, crops, example, (seed, draws), location)
        return {
            "ids": used,
            "seeds": seed,
            "crops": made,
            "skipped": tf.where(used == example, tf.constant(-1, tf.int64), example),
        }

    # Bytes in the cache are fetched here for a whole batch, ahead of decoding.
    columns = _fixed_shapes(draw, types, batch_size)
    rows = steps.map(do_not_convert(with_draws)).prefetch(1).unbatch()
    images = rows.map(do_not_convert(load), num_parallel_calls=parallel_images(source))
    batches = images.batch(batch_size, drop_remainder=True)
    if with_labels and source.labels is not None:
        table = tf.constant(source.labels, tf.int32)
        batches = batches.map(
            lambda batch: {**batch, "labels": tf.gather(table, batch["ids"])}
        )
    return batches


def _readable(source, crops, example, seed_and_draws, location):
    """Return (id, crops) of `example`, or of the first readable replacement."""
    seed, _ = seed_and_draws

    def replacement_of(attempt):
        other = on_host(
            lambda *given: np.int64(replacement_example(*given, source.num_examples)),
            [seed, example, attempt],
            tf.int64,
        )
        other.set_shape([])
        return (other, *source.location_tensors(other))

    def crop(used, *place):
        return used, crops.at(source, place, *seed_and_draws)

    def give_up(number):
        raise DataError(
            f"{source.example_name(number)} cannot be read, nor can any of "
            f"{_ATTEMPTS - 1} other images of `{source.name}` that were tried in its "
            "place. Is the disk still mounted? Else repair the broken images."
        )

    def nothing(number):
        failed = on_host(give_up, [number], tf.int64)
        return tf.reshape(failed, []), crops.blank

    others = tf.data.Dataset.range(1, _ATTEMPTS).map(replacement_of)
    places = tf.data.Dataset.from_tensors((example, *location)).concatenate(others)
    return first_success(
        places, crop, tf.data.Dataset.from_tensors(example).map(nothing)
    )


def _stream_batches(source, schedule, steps, crops, first_row, shard, with_labels):
    """Read images in the order of a stream; drop the rows of other workers."""
    first, batch_size, global_batch_size = shard
    has_labels = with_labels and source.has_labels

    def draw(step):
        return schedule.examples(step)[1:]

    def is_ours(row, _):
        place = row % global_batch_size
        return (place >= first) & (place < first + batch_size)

    def numbers_of(step):
        ids, seeds = columns(step)
        draws = tf.zeros([batch_size]) if crops is None else crops.draws(seeds)
        return ids, seeds, draws

    def load(numbers, row_and_element):
        (example, seed, draws), (_, element) = numbers, row_and_element
        image = checked_image(element[0], source.name)
        result = {"ids": example, "seeds": seed, "skipped": tf.constant(-1, tf.int64)}
        if has_labels:
            result["labels"] = tf.cast(tf.reshape(element[1], []), tf.int32)
        if crops is None:
            return {**result, "images": image}
        return {**result, "crops": crops.of_image(image, seed, draws)}

    columns = _fixed_shapes(draw, [tf.int64, tf.int32], batch_size)
    numbers = steps.map(do_not_convert(numbers_of)).unbatch()
    elements = source.dataset.repeat().skip(first_row).enumerate().filter(is_ours)
    examples = tf.data.Dataset.zip((numbers, elements))
    images = examples.map(do_not_convert(load), num_parallel_calls=usable_cores())
    return images.batch(batch_size, drop_remainder=True)


def _fixed_shapes(draw, types, batch_size):
    """Return a graph function of the step that calls `draw` and sets shapes."""

    def rows(step):
        columns = on_host(draw, [step], types)
        for column in columns:
            column.set_shape(
                [batch_size, 2] if column.dtype == tf.int32 else [batch_size]
            )
        return tuple(columns)

    return rows
