"""Metrics of each epoch: measured, and written to metrics.jsonl and TensorBoard."""

import concurrent.futures
import contextlib
import json
import logging
import os
import pathlib

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from simclr_tf._keras import keras
from simclr_tf.distribution import is_distributed
from simclr_tf.errors import WorkdirError
from simclr_tf.files import plain_reason, write_atomically
from simclr_tf.limits import parse_json
from simclr_tf.metrics import alignment, effective_rank, uniformity
from simclr_tf.training.views_of_batch import ViewsOfBatch
from simclr_tf.training.workdir import METRICS_FILE, TENSORBOARD

LOG = logging.getLogger("simclr_tf")
SAMPLE_SIZE = 256  # Images: enough for a rank, little beside an epoch.
GRID_IMAGES = 12


class MetricsLog(keras.callbacks.Callback):
    """One record an epoch: in memory, as a JSON line, and as TensorBoard scalars.

    Lines and scalars beyond the clock's first step, of an earlier, interrupted process,
    are dropped, so that no step is recorded twice.

    Args:
      folder: path of the run; None keeps the records in memory only.
      clock: StepClock.
      learning_rate: function of a step to the learning rate.
      throughput: Throughput, for images/s and data wait.
      sample: RepresentationSample, measured at the end of each epoch.
      grid_every_epochs: int, epochs between pictures of view pairs; 0: only one.
    """

    _supports_tf_logs = True  # As of StepClock: no step waits for its figures.

    def __init__(
        self,
        folder,
        clock,
        *,
        learning_rate,
        throughput,
        sample,
        grid_every_epochs=0,
    ):
        super().__init__()
        self.records, self._clock = [], clock
        self._path = self._events = self._writer = None
        if folder is not None:
            self._path = pathlib.Path(folder) / METRICS_FILE
            self._events = pathlib.Path(folder) / TENSORBOARD
            with _plain_problems(self._path):
                keep_lines_up_to(self._path, clock.step)
                self.records = read_metrics(self._path)
        self._learning_rate = learning_rate
        self._throughput = throughput
        self._sample = sample
        self._grid_every = grid_every_epochs
        self._begins = False

    def on_train_begin(self, logs=None):
        if self._events is not None and self._writer is None:
            with _plain_problems(self._events):
                keep_events_up_to(self._events, self._clock.step)
                self._writer = tf.summary.create_file_writer(str(self._events))
                self._writer.init()  # Opens the file; errors of the disk appear here.
            self._begins = self._clock.step == 0

    def on_train_batch_end(self, batch, logs=None):
        if self._begins:  # Not earlier: the views are compiled beside the step.
            self._begins = False
            self._write_grid(step=0)  # The pairs do not change later.

    def close(self):
        """Close the TensorBoard file."""
        if self._writer is not None:
            try:
                self._writer.close()
            except (
                OSError,
                tf.errors.OpError,
            ) as error:  # Do not hide an earlier error.
                LOG.warning(
                    "TensorBoard's file in %s is not complete: %s",
                    self._events,
                    plain_reason(error),
                )

    def on_epoch_begin(self, epoch, logs=None):
        self._throughput.mark()

    def on_epoch_end(self, epoch, logs=None):
        # Later callbacks see these figures too.
        logs.update(self._throughput.read())
        logs.update(self._sample.measure())
        logs["learning_rate"] = float(self._learning_rate(self._clock.step))
        record = {
            "step": self._clock.step,
            "epoch": epoch + 1,
            **{name: float(value) for name, value in logs.items()},
        }
        self.records.append(record)
        if self._path is not None:
            self._write(record)
        if self._grid_every and (epoch + 1) % self._grid_every == 0:
            self._write_grid(self._clock.step)

    def _write(self, record):
        with _plain_problems(self._path), self._path.open("a") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())  # On the disk before the checkpoint of this step.
        with _plain_problems(self._events):
            self._write_scalars(record)

    def _write_scalars(self, record):
        with self._writer.as_default(step=self._clock.step):
            for name, value in record.items():
                if name not in ("step", "epoch"):
                    tf.summary.scalar(name, value)
        self._writer.flush()

    def _write_grid(self, step):
        if self._writer is not None:
            with _plain_problems(self._events), self._writer.as_default(step):
                tf.summary.image("view_pairs", self._sample.grid()[tf.newaxis])
                self._writer.flush()


class RepresentationSample:
    """A fixed batch of views on which every epoch is measured.

    On one device they are made beside what follows: XLA compiles the views while
    TensorFlow traces the step, which then finds them compiled.

    Args:
      model: PretrainingModel.
      batch: dict, one element of the training data; the views of its first
        `SAMPLE_SIZE` rows are kept.
    """

    def __init__(self, model, batch):
        self._model = model
        rows = {name: batch[name] for name in ViewsOfBatch.COLUMNS if name in batch}
        in_parts = model.micro_batch_size is not None
        replicated = is_distributed(model.distribute_strategy)
        if in_parts or replicated:
            rows = _first_rows(rows)  # All may be more than one device holds.
        thread = concurrent.futures.ThreadPoolExecutor(1)
        self._made = thread.submit(self._make_views, rows)
        thread.shutdown(wait=replicated)
        self._embed = tf.function(self._features_and_projections)

    def _make_views(self, rows):
        # Inside a function, and of the shapes of a step: what XLA compiles here is what
        # the step calls. Called by itself it would be compiled for each.
        views = tf.function(self._model.views_of, autograph=False)(rows)
        plan = self._model.views_of.plan
        return _first_rows(views if plan is None else views[: plan.num_full_views])

    @property
    def views(self):
        """tuple of `[N, h, w, C]`, the views of the sample."""
        return self._made.result()

    def measure(self):
        """Measure the features and projections.

        Returns:
          dict: effective_rank of the features, uniformity of the projections and, of
          two views or more, alignment of the first two.
        """
        features, projections = self._embed()
        figures = {
            "effective_rank": float(effective_rank(features)),
            "uniformity": float(uniformity(projections[0])),
        }
        if len(projections) > 1:
            figures["alignment"] = float(alignment(*projections[:2]))
        return figures

    def grid(self):
        """Stack views of some images above each other, `[V S, GRID_IMAGES * S, C]`."""
        rows = [
            np.concatenate(list(view[:GRID_IMAGES].numpy()), axis=1)
            for view in self.views
        ]
        grid = np.concatenate(rows, axis=0)
        # TensorBoard draws 1, 3 or 4 channels.
        return grid if grid.shape[-1] in (1, 3, 4) else grid[..., :1]

    def _features_and_projections(self):
        stacked = tf.concat(self.views, axis=0)
        features = self._model.encoder(stacked, training=False)
        projections = self._model.projection_head(features, training=False)
        return features, tf.split(projections, len(self.views))


def _first_rows(batch):
    return tf.nest.map_structure(lambda rows: rows[:SAMPLE_SIZE], batch)


@contextlib.contextmanager
def _plain_problems(path):
    """Turn errors of the disk into one line with a remedy."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        if not path.parent.is_dir():
            raise WorkdirError(
                f"Cannot write {path}: {path.parent} is gone. Was it deleted, renamed "
                "or unmounted during the run?"
            ) from error
        reason = getattr(error, "strerror", None) or plain_reason(error)
        raise WorkdirError(
            f"Cannot write {path}: {reason}. Free some space, or make it writable; "
            "the same command continues from the last checkpoint."
        ) from error


def keep_events_up_to(folder, step):
    """Remove events after `step` from the TensorBoard files of a run.

    An event file is a sequence of records [length: 8 bytes, its checksum: 4, event, its
    checksum: 4] with rising steps. An incomplete last record is removed too.

    Args:
      folder: pathlib.Path; need not exist.
      step: int, finished steps; 0 removes the files.
    """
    for path in folder.glob("events.out.tfevents.*"):
        if step == 0:
            path.unlink()
            continue
        content = path.read_bytes()
        length = _length_up_to(content, step)
        if length < len(content):
            os.truncate(path, length)


def _length_up_to(content, step):
    """Measure the bytes of an event file before its first event after `step`."""
    start = 0
    while start + 12 <= len(content):
        end = start + 12 + int.from_bytes(content[start : start + 8], "little")
        if end + 4 > len(content):
            break
        try:
            event = tf.compat.v1.Event.FromString(content[start + 12 : end])
        except DecodeError:  # A damaged file: the events before the damage are kept.
            break
        if event.step > step:
            break
        start = end + 4
    return start


def keep_lines_up_to(path, step):
    """Drop lines of a metrics file after `step`, and damaged lines."""
    if path.exists():
        records = [r for r in read_metrics(path) if r["step"] <= step]
        write_atomically(path, "".join(json.dumps(r) + "\n" for r in records))


def read_metrics(path):
    """Read the records of a metrics.jsonl, oldest first.

    A damaged line is left out and named in the log. The last one is left out without a
    word if it has no end: a killed process was writing it.

    Args:
      path: path of the file; need not exist.

    Returns:
      list of dicts.

    Raises:
      OSError: the file cannot be read.
    """
    if not pathlib.Path(path).is_file():  # A device would be read without an end.
        return []
    records = []
    content = pathlib.Path(path).read_bytes()
    for number, line in enumerate(content.split(b"\n"), start=1):
        record = record_of_line(line.decode("utf-8", errors="replace"))
        if record is not None:
            records.append(record)
        elif line.strip() and number <= content.count(b"\n"):
            LOG.warning(
                "%s: line %d is damaged and left out: %.80r", path, number, line
            )
    return records


def record_of_line(line):
    """Read one line of a metrics.jsonl; None for a torn or damaged one.

    Args:
      line: str.

    Returns:
      dict of str to a number (or None), with the int "step"; or None.

    Example:
      >>> record_of_line('{"step": 5, "loss": 0.25}')
      {'step': 5, 'loss': 0.25}
      >>> record_of_line('{"step": "5"}'), record_of_line('{"step": 5, "loss": [1]}')
      (None, None)
    """
    try:
        record = parse_json(line, finite=False)
    except ValueError:
        return None
    if not isinstance(record, dict) or type(record.get("step")) is not int:
        return None
    numbers = [value for value in record.values() if value is not None]
    if not all(type(number) in (int, float) for number in numbers):
        return None
    # No step and no figure needs more; float() of a larger one fails.
    return record if all(abs(n) < 2**63 or type(n) is float for n in numbers) else None
