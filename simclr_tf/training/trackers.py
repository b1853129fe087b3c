"""Figures of each epoch for Weights & Biases or MLflow, beside metrics.jsonl.

A tracker gets the records that metrics.jsonl holds, each once, and a continued run goes
on in the tracked run that it began. A tracker that fails ends no training: it is one
line on the screen.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from simclr_tf._keras import keras
from simclr_tf.config.schema import flatten
from simclr_tf.extras import import_extra, require_extra
from simclr_tf.files import plain_reason, write_atomically
from simclr_tf.limits import read_json
from simclr_tf.training.workdir import TRACKER_FILE

if TYPE_CHECKING:
    from simclr_tf.config.pretrain import Config
    from simclr_tf.training.workdir import Workdir

_PROJECT = "simclr_tf"
_MOST_PARAMETERS = 100  # That MLflow takes at a time.


class WeightsAndBiases:
    """A run of Weights & Biases; WANDB_PROJECT, WANDB_MODE, ... hold as usual."""

    def __init__(self, name, identifier, config, folder):
        wandb = import_extra("wandb", extra="wandb", wanted="--track=wandb")
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            name=name,
            id=identifier,
            resume="allow",
            config=config,
            dir=None if folder is None else str(folder),
        )
        self.identifier = self._run.id

    def log(self, figures, step):
        """Send figures of a step."""
        self._run.log(figures, step=step)

    def close(self):
        """Wait until everything is sent."""
        self._run.finish()


class MLflow:
    """A run of MLflow; MLFLOW_TRACKING_URI, ... hold as usual."""

    def __init__(self, name, identifier, config, folder):
        self._mlflow = import_extra("mlflow", extra="mlflow", wanted="--track=mlflow")
        if identifier is None:
            self._mlflow.set_experiment(
                os.environ.get("MLFLOW_EXPERIMENT_NAME", _PROJECT)
            )
            run = self._mlflow.start_run(run_name=name)
            options = list(config.items())
            for first in range(0, len(options), _MOST_PARAMETERS):
                self._mlflow.log_params(dict(options[first : first + _MOST_PARAMETERS]))
        else:
            run = self._mlflow.start_run(run_id=identifier)
        self.identifier = run.info.run_id

    def log(self, figures, step):
        """Send figures of a step."""
        self._mlflow.log_metrics(figures, step=step)

    def close(self):
        """End the run."""
        self._mlflow.end_run()


TRACKERS = {"wandb": WeightsAndBiases, "mlflow": MLflow}


def require_tracker(name: str | None) -> None:
    """Raise unless the package of a tracker is installed.

    Args:
      name: str in TRACKERS, or None.

    Raises:
      ConfigError: the package is missing; with the command that installs it.

    Example:
      >>> require_tracker(None)
    """
    if name is not None:
        require_extra(name, extra=name, wanted=f"--track={name}")


class Tracking(keras.callbacks.Callback):
    """Send the records of a run to its tracker at the end of each epoch.

    Args:
      config: Config; its `track` is the name of the tracker.
      records: list of dicts, which grows: `MetricsLog.records`.
      workdir: Workdir, which keeps the tracked run's name; or None.
      say: function that prints a line (str).
    """

    def __init__(
        self,
        config: Config,
        records: list[dict[str, Any]],
        workdir: Workdir | None,
        say: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._config, self._records, self._say = config, records, say
        self._folder = None if workdir is None else workdir.path
        self._tracker: Any = None
        self._failed = False
        self._identifier, self._step = self._kept()

    def on_train_begin(self, logs: Any = None) -> None:
        if self._tracker is None:
            self._try(self._open)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._try(self._send)

    def close(self) -> None:
        """End the tracked run, however the training ended."""
        if self._tracker is not None:
            self._try(self._tracker.close)

    def _try(self, action):
        if self._failed:
            return
        try:
            action()
        except (Exception, SystemExit) as error:  # Whatever a foreign package raises.
            self._failed = True
            self._say(
                f"Tracker     {self._config.track} failed and is left out of this "
                "training; the next start sends what is missing. "
                f"{type(error).__name__}: {plain_reason(error)}"
            )

    def _open(self):
        name = "simclr_tf" if self._folder is None else self._folder.resolve().name
        options = {key: str(value) for key, value in flatten(self._config).items()}
        kind = TRACKERS[self._config.track]
        self._tracker = kind(name, self._identifier, options, self._folder)
        self._identifier = str(self._tracker.identifier)
        self._keep()

    def _send(self):
        for record in [r for r in self._records if r["step"] > self._step]:
            figures = {k: v for k, v in record.items() if k != "step"}
            self._tracker.log(figures, record["step"])
            self._step = record["step"]
        self._keep()

    def _kept(self):
        """Return (name of the tracked run or None, its last step)."""
        try:
            entry = read_json(self._folder / TRACKER_FILE)[self._config.track]
            identifier, step = entry["id"], entry["step"]
            if re.fullmatch(r"[\w-]{1,100}", identifier) and type(step) is int:
                return identifier, step
        except (OSError, ValueError, LookupError, TypeError):
            pass  # There is none, or it is damaged: a new tracked run.
        return None, 0

    def _keep(self):
        if self._folder is None:
            return
        path = self._folder / TRACKER_FILE
        try:
            record = read_json(path)
            record = record if isinstance(record, dict) else {}
        except (OSError, ValueError):
            record = {}
        entry = {"id": self._identifier, "step": self._step}
        write_atomically(path, json.dumps({**record, self._config.track: entry}))
