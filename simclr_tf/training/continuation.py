"""Resuming: the step at which a run continues, and checks that it is the same run.

Batch k is a function of (seed, k), so the step defines the position in the data. The
variables are in TensorFlow's files; the manifest has the running means of an unfinished
epoch and the description of the run.
"""

import hashlib
import json
import logging

from simclr_tf.config import from_dict
from simclr_tf.config.schema import (
    flatten,
    is_resumable,
    to_dict,
    walk_options,
)
from simclr_tf.data.pixels import READING
from simclr_tf.distribution import local_copies
from simclr_tf.errors import WorkdirError
from simclr_tf.training.same_run import changed_options
from simclr_tf.training.step_clock import StepCallback
from simclr_tf.training.workdir import versions

LOG = logging.getLogger("simclr_tf")


def describe_data(model, source, probe_source):
    """Describe the images for a workdir and its checkpoints.

    Args:
      model: PretrainingModel.
      source: Source of the pretraining images.
      probe_source: Source of the online probe's own set, or None.

    Returns:
      dict, JSON-able.
    """
    probe = model.probe
    parts = getattr(source, "parts", ())
    return {
        "name": source.name,
        "num_examples": source.num_examples,
        "channels": source.channels,
        "classes": source.classes,
        "num_classes": None if probe is None else int(probe.units),
        "fingerprint": source.fingerprint(),
        "reading": READING,
        "probe_fingerprint": (
            None if probe_source is None else probe_source.fingerprint()
        ),
        **({"parts": list(map(_describe_part, parts))} if parts else {}),
    }


def _describe_part(source):
    return {
        "name": source.name,
        "num_examples": source.num_examples,
        "fingerprint": source.fingerprint(),
    }


def describe_run(config, data, model):
    """Describe a run, for the manifests of its checkpoints.

    Args:
      config: Config.
      data: dict that describes the images (num_examples, fingerprint, ...).
      model: PretrainingModel.

    Returns:
      dict, ready for JSON.
    """
    strategy = model.distribute_strategy
    return {
        "config_hash": config_hash(config),
        "config": to_dict(config),
        "versions": versions(),
        "data": {name: data[name] for name in ("name", "num_examples", "fingerprint")},
        "strategy": type(strategy).__name__.lstrip("_"),
        "replicas": strategy.num_replicas_in_sync,
    }


def config_hash(config):
    """Compute the SHA-256 over the options that a continued run must share.

    Args:
      config: Config.

    Returns:
      str, 64 hexadecimal digits.

    Example:
      >>> from simclr_tf.config import CheckpointConfig, Config
      >>> plain, often = Config(), Config(checkpoint=CheckpointConfig(every_steps=5))
      >>> config_hash(plain) == config_hash(often) != config_hash(Config(seed=1))
      True
    """
    values = flatten(config)
    fixed = {
        name: values[name]
        for name, item, _ in walk_options(config)
        if not is_resumable(item)
    }
    return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()


def find_start(store, run, check=None):
    """Find the checkpoint from which a run continues; None if there is none yet.

    Args:
      store: CheckpointStore.
      run: dict of `describe_run`, of the run that is to continue.
      check: function of (Checkpoint, run) that refuses those of other runs; None: the
        config and the images are compared.

    Returns:
      Checkpoint or None.

    Raises:
      WorkdirError: a checkpoint of another config or of other images; or all
        checkpoints are damaged.
    """
    checkpoint = store.latest()
    if checkpoint is None:
        if store.paths():
            raise WorkdirError(
                f"None of the {len(store.paths())} checkpoints in {store.folder} is "
                "complete. Delete that folder to train again from the first step."
            )
        return None
    (check or _check_same_run)(checkpoint, run)
    _warn_of_other_arithmetic(checkpoint, run)
    return checkpoint


def metric_state(model):
    """Return the running means of the epoch so far: {metric: [its variables' values]}.

    Metrics are global, so all replicas have the same values. The values of the first
    replica are taken, which needs no collective.
    """
    return {
        metric.name: [float(local_copies(v)[0].numpy()) for v in metric.variables]
        for metric in model.metrics
    }


class ContinueMetrics(StepCallback):
    """Restore the running means of an unfinished epoch, once.

    Keras resets the metrics when it begins an epoch, even if the epoch is continued.

    Args:
      state: dict of `metric_state`, or None.
    """

    def __init__(self, state):
        super().__init__()
        self._state = state or {}

    def on_epoch_begin(self, epoch, logs=None):
        for metric in self.model.metrics:
            for variable, value in zip(
                metric.variables, self._state.get(metric.name, ()), strict=False
            ):
                for copy in local_copies(variable):
                    copy.assign(value)
        self._state = {}


def _check_same_run(checkpoint, run):
    saved = checkpoint.manifest
    if saved.get("config_hash", run["config_hash"]) != run["config_hash"]:
        # An option that is newer than the checkpoint changes only the hash.
        changed = changed_options(from_dict(saved["config"]), from_dict(run["config"]))
        if changed:
            fields = ", ".join(
                f"{name} (there {old!r}, now {new!r})" for name, old, new in changed
            )
            raise WorkdirError(
                f"Checkpoint {checkpoint.path} is of another config: {fields}. Use "
                "another --workdir, or the same options to continue."
            )
    fingerprint = run["data"]["fingerprint"]
    if saved.get("data", {}).get("fingerprint", fingerprint) != fingerprint:
        raise WorkdirError(
            f"The images have changed since checkpoint {checkpoint.path} was written "
            f"({saved['data']['num_examples']} then, {run['data']['num_examples']} "
            "now). Use another --workdir."
        )


def _warn_of_other_arithmetic(checkpoint, run):
    """Warn of versions or replicas that make the run equal only up to rounding."""
    saved = checkpoint.manifest
    changed = [
        f"{name} {saved.get('versions', {}).get(name, now)} there, {now} now"
        for name, now in run["versions"].items()
        if saved.get("versions", {}).get(name, now) != now
    ]
    if saved.get("replicas", run["replicas"]) != run["replicas"]:
        changed.append(f"{saved['replicas']} replicas there, {run['replicas']} now")
    if changed:
        LOG.warning(
            "Checkpoint %s: %s. The run continues, equal up to rounding.",
            checkpoint.path,
            "; ".join(changed),
        )
