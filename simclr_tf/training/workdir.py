"""The folder of a run: config.json, and who may continue it.

Evaluation, fine-tuning and export read config.json, so that nobody retypes a depth.
"""

import importlib.metadata
import json
import pathlib
import platform
import uuid

from simclr_tf import __version__
from simclr_tf.config import from_dict
from simclr_tf.errors import WorkdirError
from simclr_tf.options import differences, to_dict
from simclr_tf.training.durable_files import remove_leftovers, write_atomically

CONFIG_FILE = "config.json"
CHECKPOINTS = "checkpoints"
METRICS_FILE = "metrics.jsonl"
SUMMARY_FILE = "SUMMARY.md"
_PROBE = "writable"
_OWN_FILES = (CONFIG_FILE, METRICS_FILE, SUMMARY_FILE, _PROBE)


class Workdir:
    """One run's folder.

    Args:
      path: path; need not exist yet.
    """

    def __init__(self, path):
        self.path = pathlib.Path(path).expanduser()

    def claim(self, config, data, command):
        """Make the folder this run's own, or recognise it as such.

        Args:
          config: Config of the run that wants to train here.
          data: dict that describes the images (num_examples, fingerprint, ...).
          command: str, what started the run.

        Raises:
          WorkdirError: if it holds something else, another run, or is not writable.
        """
        try:
            remove_leftovers(self.path, _OWN_FILES)
            is_new = self._is_new()
        except OSError as error:
            raise WorkdirError(
                f"Cannot read --workdir={self.path}: {error.strerror}.") from error
        if not is_new:
            self._check_same_run(config, data)
            self._check_writable()
            return
        self._check_writable()
        record = {"config": to_dict(config), "data": data, "versions": versions(),
                  "command": command}
        write_atomically(self.path / CONFIG_FILE, json.dumps(record, indent=1))

    def read(self):
        """The record of config.json: config, data, versions, command.

        Raises:
          WorkdirError: if there is none or it cannot be read.
        """
        path = self.path / CONFIG_FILE
        try:
            if not path.is_file():
                raise WorkdirError(
                    f"{self.path} is not a workdir: it has no {CONFIG_FILE}.")
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise WorkdirError(f"Cannot read {path}: {error}") from error
        parts = record if isinstance(record, dict) else {}
        if not all(isinstance(parts.get(name), dict) for name in ("config", "data")):
            raise WorkdirError(
                f"{self.path} is not a workdir: its {CONFIG_FILE} is of another kind.")
        return record

    def config(self):
        """The Config of the run."""
        return from_dict(self.read()["config"])

    def has(self, name):
        """Whether a file of that name is there."""
        return (self.path / name).exists()

    def _is_new(self):
        """Whether the folder is still to be made or empty; not of others' things."""
        if self.path.exists() and not self.path.is_dir():
            raise WorkdirError(
                f"--workdir must be a folder, but {self.path} is a file.")
        if (self.path / CONFIG_FILE).exists():
            return False
        if self.path.exists() and any(self.path.iterdir()):
            raise WorkdirError(
                f"{self.path} is not empty and holds no run (no {CONFIG_FILE}). Use "
                "a new folder for --workdir.")
        return True

    def _check_same_run(self, config, data):
        record = self.read()
        changed = differences(from_dict(record["config"]), config, resuming=True)
        if changed:
            fields = ", ".join(f"{name} (there {old!r}, now {new!r})"
                               for name, old, new in changed)
            raise WorkdirError(
                f"{self.path} holds a run of another config: {fields}. Use another "
                "--workdir, or the same options to continue.")
        if record["data"].get("fingerprint") != data.get("fingerprint"):
            raise WorkdirError(
                f"The images of {config.data.source} have changed since the run in "
                f"{self.path} began ({record['data'].get('num_examples')} then, "
                f"{data.get('num_examples')} now). Use another --workdir.")

    def _check_writable(self):
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / f".{_PROBE}-{uuid.uuid4().hex}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise WorkdirError(
                f"Cannot write to --workdir={self.path}: {error.strerror}.") from error


def versions():
    """Versions that a result depends on."""
    import numpy
    import tensorflow

    from simclr_tf._keras import keras

    # `keras` itself has no version everywhere; its distribution has.
    keras_package = keras.Model.__module__.split(".")[0]
    return {"simclr_tf": __version__, "tensorflow": tensorflow.__version__,
            "keras": importlib.metadata.version(keras_package),
            "numpy": numpy.__version__,
            "python": platform.python_version(), "machine": platform.machine()}
