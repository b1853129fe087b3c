"""Keras's `fit` from any step of a training, with checkpoints on the way.

What pretraining has for a run (`stages.py`), trainings with labels and of students have
for one training: SIGTERM saves and stops, and after a kill the last checkpoint counts.
"""

import contextlib
import dataclasses
import hashlib
import json
import pathlib
import shutil
from collections.abc import Callable

import numpy as np

from simclr_tf import durations
from simclr_tf.errors import WorkdirError
from simclr_tf.training.checkpoints import CheckpointStore
from simclr_tf.training.continuation import ContinueMetrics, find_start
from simclr_tf.training.interruption import Interruption, StopWhenSaved
from simclr_tf.training.saving import SaveCheckpoints
from simclr_tf.training.step_clock import StepCallback, StepClock
from simclr_tf.training.workdir import versions


@dataclasses.dataclass(frozen=True)
class TrainingFolder:
    """The folder of one training's checkpoints, which goes when the training is done.

    Attributes:
      path: pathlib.Path.
      every_seconds: float, time between checkpoints.
      say: function that prints a line (str).
      at_end: bool, save after the last step, for others that need the weights.
      identity: dict, JSON: what a continued training must share.
    """

    path: pathlib.Path
    every_seconds: float = 60.0
    say: Callable = print
    at_end: bool = False
    identity: dict = dataclasses.field(default_factory=dict)

    def of(self, **identity):
        """Return the folder, inside this one, of the training with an identity."""
        text = json.dumps(identity, sort_keys=True)
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        return dataclasses.replace(self, path=self.path / name, identity=identity)

    def remove(self):
        """Remove the checkpoints, and the folder around them if nothing else is there.

        Example:
          >>> TrainingFolder(pathlib.Path("/nowhere/at_all")).remove()
        """
        shutil.rmtree(self.path, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.path.parent.rmdir()


class EpochRecords(StepCallback):
    """Keep each epoch's figures as {"step": int, name: float}, also of earlier lives.

    Args:
      clock: StepClock.
      records: list of dicts to go on from.

    Attributes:
      records: list of dicts, one an epoch.
    """

    def __init__(self, clock, records=()):
        super().__init__()
        self._clock, self.records = clock, list(records)

    def on_epoch_end(self, epoch, logs=None):
        figures = {name: float(value) for name, value in logs.items()}
        self.records.append({"step": self._clock.step, **figures})


class ResumableFit:
    """One training of a model, from its last checkpoint to its last step.

    Args:
      model: ReplicatedModel, compiled, with the weights and the optimizers of step 0;
        those of the checkpoint are restored.
      total_steps, epoch_steps: int.
      folder: TrainingFolder, or None: nothing is saved, and a signal ends at once.
      keeper: object with `variables` (a list), `record()` and `restore(record)`: a
        callback with a state that must be saved too; or None.

    Attributes:
      clock: StepClock, at the step where the training begins.
      records: list of dicts, one an epoch that is done: its step and its figures.

    Raises:
      WorkdirError: the folder holds another training, or only damaged checkpoints.
    """

    def __init__(self, model, total_steps, epoch_steps, folder=None, keeper=None):
        self._model, self._folder, self._keeper = model, folder, keeper
        self._store = None if folder is None else CheckpointStore(folder.path)
        self._objects = {} if keeper is None else {"kept": keeper.variables}
        self._identity = {
            "training": None if folder is None else _as_read(folder.identity),
            "versions": versions(),
            "replicas": model.distribute_strategy.num_replicas_in_sync,
        }
        self._start = self._restored()
        manifest = self._start.manifest if self._start else {}
        self.clock = StepClock(
            total_steps, epoch_steps, start_step=manifest.get("step", 0)
        )
        self._epochs = EpochRecords(self.clock, manifest.get("history", ()))
        if keeper is not None and self._start:
            keeper.restore(manifest["kept"])
        if self._start:
            folder.say(
                f"Continuing  from step {self.clock.step:,} of {total_steps:,} "
                f"({self._start.path})"
            )

    @property
    def records(self):
        return self._epochs.records

    def run(self, batches, callbacks=(), **options):
        """Train from the present step to the last one, or until a callback stops.

        Args:
          batches: function of (first, last) to the data set of these steps.
          callbacks: Keras callbacks; they run after each epoch's figures are kept, and
            before anything is saved.
          **options: of `keras.Model.fit`.

        Returns:
          list of dicts, `records`.

        Raises:
          Interrupted: a signal; the training is saved.
          NonFiniteError: a weight that was to be saved is not finite.
        """
        if self._folder is None:
            return self._run(batches, [self.clock, self._epochs, *callbacks], options)
        interruption = Interruption()
        saving = self._saving(interruption)
        around = [self.clock, self._epochs, *callbacks, *saving]
        with interruption:
            self._run(batches, [*around, StopWhenSaved(interruption)], options)
            is_new = self._start is None or self.clock.step > self._start.step
            if interruption.is_requested or (self._folder.at_end and is_new):
                saving[-1].save()
        return self.records

    def _run(self, batches, callbacks, options):
        clock = self.clock
        for first, last, steps in durations.segments(
            clock.step, clock.total_steps, clock.epoch_steps
        ):
            epoch = first // clock.epoch_steps
            self._model.fit(
                batches(first, last),
                initial_epoch=epoch,
                epochs=epoch + (last - first) // steps,
                steps_per_epoch=steps,
                callbacks=callbacks,
                verbose=0,
                **options,
            )
            if self._model.stop_training:
                break
        return self.records

    def _restored(self):
        """Restore the newest checkpoint, and return it; None without one."""
        if self._store is None:
            return None
        start = find_start(self._store, self._identity, _require_same_training)
        if start is not None:
            start.restore(
                model=self._model, optimizer=self._model.optimizer, **self._objects
            )
        return start

    def _saving(self, interruption):
        """Return the callbacks that restore an epoch's means and save the training."""
        path = self._folder.path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WorkdirError(f"Cannot make {path.parent}: {error.strerror}.") from (
                error
            )
        self._store.remove_unfinished()
        start = self._start
        is_within_epoch = start is not None and start.step % self.clock.epoch_steps
        saving = SaveCheckpoints(
            self._store,
            self.clock,
            every_seconds=self._folder.every_seconds,
            at_end=False,  # See `run`: early stopping ends before the last step.
            details=self._details,
            interruption=interruption,
            **self._objects,
        )
        saving.set_model(self._model)  # It may be needed without a step.
        return [
            ContinueMetrics(start.manifest.get("metrics") if is_within_epoch else None),
            saving,
        ]

    def _details(self):
        kept = {} if self._keeper is None else {"kept": self._keeper.record()}
        return {**self._identity, "history": self.records, **kept}


def sha256_of_weights(network):
    """Compute the SHA-256 of a network's weights and statistics, as hexadecimals."""
    digest = hashlib.sha256()
    for weights in network.get_weights():
        digest.update(np.ascontiguousarray(weights).tobytes())
    return digest.hexdigest()


def _as_read(identity):
    """Return an identity as it is read back from a manifest."""
    return json.loads(json.dumps(identity))


def _require_same_training(checkpoint, run):
    """Refuse the checkpoint of a training with other settings."""
    before, now = checkpoint.manifest.get("training") or {}, run["training"]
    changed = [
        f"{name} (there {before.get(name)!r}, now {now.get(name)!r})"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
    if changed:
        raise WorkdirError(
            f"Checkpoint {checkpoint.path} is of another training: "
            f"{', '.join(changed)[:600]}. Use the same options to continue, another "
            f"--output, or delete {checkpoint.path.parent}."
        )
