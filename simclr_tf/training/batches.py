"""The batches of a run: pretraining images, and labelled ones for the probe."""

import math

import tensorflow as tf

from simclr_tf.augment import ViewGroup, plan_views
from simclr_tf.data import (
    CorruptionLog,
    ImageCache,
    batch_ids,
    on_host,
    open_source,
    training_dataset,
)
from simclr_tf.data.pipelines import batch_form, decoding_bytes, do_not_convert
from simclr_tf.data.prefetching import prefetched
from simclr_tf.distribution import require_divisible
from simclr_tf.errors import DataError, received_text
from simclr_tf.training.views_of_batch import ViewsOfBatch


def open_training_source(config, data=None, say=lambda line: None):
    """Open the images of a config's training split.

    Args:
      config: Config.
      data: Python object with the images, or None for `config.data.source`.
      say: function that prints a line (str), for a line about the cache.
    """
    options = config.data
    source = open_source(
        options.source if data is None else data,
        split=options.split,
        slices=options.slices,
        data_dir=options.data_dir,
        channels=options.channels,
        max_corrupt_fraction=options.max_corrupt_fraction,
        background=options.background,
        labelled=False if options.labels == "none" else "auto",
        cache=_image_cache(options, say),
    )
    if source.num_examples == 1:
        raise DataError(
            f"`{source.name}` must hold at least 2 readable images: contrastive "
            "learning compares images with each other. "
            + received_text(num_examples=1, corrupt=len(source.corrupt))
        )
    return source


def open_probe_source(config, channels, say=lambda line: None):
    """Open the separate labelled set of the online probe; None without one.

    Args:
      config: Config.
      channels: int, of the pretraining images.
      say: as in `open_training_source`.
    """
    if not (config.probe.online and config.probe.data):
        return None
    source = open_source(
        config.probe.data,
        split=config.probe.split,
        slices=config.data.slices,
        data_dir=config.data.data_dir,
        channels=channels,
        max_corrupt_fraction=config.data.max_corrupt_fraction,
        background=config.data.background,
        cache=_image_cache(config.data, say),
    )
    if not source.has_labels:
        raise DataError(
            f"--probe.data={config.probe.data} has no labels: the online probe needs "
            "a labelled set, e.g. a folder with one sub-folder a class."
        )
    return source


def _image_cache(options, say):
    return ImageCache(options.cache, options.cache_dir, say)


class Batches:
    """The batches of a run by step, for any source of images.

    Args:
      config: Config.
      source: Source of the pretraining images.
      plan: ViewPlan.
      probe_source: Source of labelled images for the probe, or None.
      replicas: int, number of equal parts of a batch.

    Raises:
      ConfigError: the probe's batch size is not a multiple of the replicas.
    """

    def __init__(self, config, source, plan, probe_source=None, replicas=1):
        self._config, self._source, self._plan = config, source, plan
        self._probe_source = probe_source
        allowed = config.data.max_corrupt_fraction
        self._corruption = CorruptionLog(source, allowed)
        if probe_source is not None:
            self._probe_corruption = CorruptionLog(probe_source, allowed)
            self._probe_batch_size = min(
                config.probe.batch_size, probe_source.num_examples
            )
            require_divisible(
                self._probe_batch_size,
                replicas,
                name="probe.batch_size",
                largest=probe_source.num_examples,
            )

    def between(self, first, last, worker=0, workers=1):
        """Return a worker's rows of the batches `first` .. `last - 1` of the run.

        Args:
          first, last: int, steps.
          worker, workers: int; worker w of W gets rows [w G / W, (w + 1) G / W).

        Returns:
          tf.data.Dataset of dicts, as PretrainingModel takes them.
        """
        dataset = training_dataset(
            self._source,
            global_batch_size=self._config.global_batch_size,
            seed=self._config.seed,
            start_step=first,
            total_steps=last,
            plan=self._plan,
            shard_index=worker,
            num_shards=workers,
        )
        dataset = dataset.map(
            do_not_convert(lambda batch: note_corrupt(batch, self._corruption))
        )
        if self._probe_source is not None:
            dataset = self._with_probe_set(dataset, first, last, worker, workers)
        options = self._config.performance
        return prefetched(dataset, options.prefetch_batches, options.data_threads)

    def ids_of(self, step):
        """Return the ids of the examples in a step's global batch; see `batch_ids`."""
        return batch_ids(
            self._source,
            global_batch_size=self._config.global_batch_size,
            seed=self._config.seed,
            step=step,
        )

    def bytes_of_image(self):
        """Count the bytes of one image of a batch, with the crops of all its views."""
        source, views = self._source, self._plan.views
        if batch_form(source) == "images":
            return math.prod(source.image_shape) * tf.as_dtype(source.dtype).size
        return 4 * source.channels * sum(math.prod(view.size) for view in views)

    def decoding_bytes(self):
        """Estimate the memory of the images that are being decoded."""
        return decoding_bytes(self._source)

    def _with_probe_set(self, dataset, first, last, worker, workers):
        plan = plan_views(
            "evaluate", self._config.data.image_size_pixels, (ViewGroup(1),)
        )
        probe = training_dataset(
            self._probe_source,
            global_batch_size=self._probe_batch_size,
            seed=self._config.seed,
            start_step=first,
            total_steps=last,
            plan=plan,
            shard_index=worker,
            num_shards=workers,
        )
        view_of = ViewsOfBatch(plan, compile_views=False)

        def join(batch, labelled):
            labelled = note_corrupt(labelled, self._probe_corruption)
            return {
                **batch,
                "probe_images": view_of(labelled)[0],
                "probe_labels": labelled["labels"],
            }

        return tf.data.Dataset.zip((dataset, probe)).map(do_not_convert(join))


def note_corrupt(batch, corruption):
    """Record the unreadable images of a batch, and drop the column `skipped`.

    Args:
      batch: dict of `training_dataset`.
      corruption: CorruptionLog.

    Returns:
      dict without "skipped".
    """

    def note(skipped):
        corruption.record(skipped)
        return skipped[:0]

    noted = on_host(note, [batch["skipped"]], tf.int64, stateful=True)
    with tf.control_dependencies([noted]):
        ids = tf.identity(batch["ids"])
    return {
        name: value
        for name, value in {**batch, "ids": ids}.items()
        if name != "skipped"
    }
