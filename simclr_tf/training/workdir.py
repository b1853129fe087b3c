"""The folder of a run, and its config.json.

Evaluation, fine-tuning and export read config.json, so that nobody retypes a depth.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import pathlib
import platform
import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from simclr_tf import __version__
from simclr_tf.array_types import StrPath
from simclr_tf.config import from_dict
from simclr_tf.config.pretrain import CONFIG_FILE, Config
from simclr_tf.config.schema import flatten, to_dict
from simclr_tf.data.left_out import LEFT_OUT_FILE
from simclr_tf.data.pixels import PLAIN_FORMATS, READING
from simclr_tf.errors import ConfigError, WorkdirError
from simclr_tf.files import remove_leftovers, temporary_name, write_atomically
from simclr_tf.limits import read_json
from simclr_tf.locks import holds_files, lock_of, sole_writer
from simclr_tf.training.image_list import IMAGE_LIST_FILE, write_image_list
from simclr_tf.training.same_run import PLACES, conflict_with

if TYPE_CHECKING:
    from simclr_tf.data.random_access import Source
    from simclr_tf.data.streams import StreamSource


CHECKPOINTS = "checkpoints"
METRICS_FILE = "metrics.jsonl"
TENSORBOARD = "tensorboard"
SUMMARY_FILE = "SUMMARY.md"
_PROBE = "writable"
WARM_START_FILE = "warm_start.json"
TRACKER_FILE = "tracker.json"  # The tracked run that this one goes on in.
NETWORK_FILE = "network.json"  # The config of a user's Keras 3 network.
_OWN_FILES = (
    LEFT_OUT_FILE,
    CONFIG_FILE,
    METRICS_FILE,
    SUMMARY_FILE,
    WARM_START_FILE,
    IMAGE_LIST_FILE,
    NETWORK_FILE,
    TRACKER_FILE,
    _PROBE,
)
_OF_DATA = ("num_examples", "channels", "fingerprint")


class Workdir:
    """One run's folder.

    Args:
      path: path; need not exist yet.
    """

    def __init__(self, path: StrPath) -> None:
        self.path = pathlib.Path(path).expanduser()
        self.config_file = self.path / CONFIG_FILE

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Write the folder within a `with`, as the only process that does.

        A folder that is made for it is removed again if nothing is written there.

        Raises:
          InUseError: another process writes it.
          WorkdirError: it is a file, or not writable.
        """
        self._require_folder()
        with sole_writer(lock_of(self.path, inside=True), f"--workdir={self.path}"):
            yield

    def claim(
        self,
        config: Config,
        data: dict[str, Any],
        command: str,
        files: Callable[[], Any] = lambda: None,
        choices: dict[str, Any] | None = None,
    ) -> None:
        """Make the folder this run's own, or recognise it as such.

        Args:
          config: Config of the run that wants to train here.
          data: dict that describes the images (num_examples, fingerprint, ...).
          command: str, what started the run.
          files: `Source.files` of the images.
          choices: dict of option to how its value was chosen, and "devices": a list
            of the text of `devices_text`; kept beside the config.

        Raises:
          WorkdirError: if it holds something else, another run, or is not writable.
        """
        try:
            for name in _OWN_FILES:
                remove_leftovers(self.path / name)
            is_new = self._is_new()
        except OSError as error:
            raise WorkdirError(
                f"Cannot read --workdir={self.path}: {error.strerror}."
            ) from error
        conflict = None if is_new else conflict_with(self, config, data, files)
        if conflict is not None and self.has_trained():
            raise WorkdirError(conflict)
        self._check_writable()
        if conflict is not None:
            self._forget_untrained()
        if is_new or conflict is not None:
            record = {
                "config": to_dict(config),
                "data": data,
                "versions": versions(),
                "command": command,
                **(choices or {}),
            }
            write_atomically(self.config_file, json.dumps(record, indent=1))
        write_image_list(self.path, files)

    def read(self) -> dict[str, Any]:
        """Read config.json: config, data, versions, command, what `auto` chose.

        Raises:
          WorkdirError: if there is none or it cannot be read.
        """
        path = self.config_file
        try:
            if not path.is_file():
                raise WorkdirError(
                    f"{self.path} is not a workdir: it has no {CONFIG_FILE}."
                )
            record = read_json(path)
        except OSError as error:
            raise WorkdirError(f"Cannot read {path}: {error.strerror}.") from error
        except ValueError as error:
            raise WorkdirError(
                f"{path} is damaged ({error}). Restore it from a copy, or use another "
                "--workdir; the checkpoints beside it are untouched."
            ) from error
        parts = record if isinstance(record, dict) else {}
        if not all(
            isinstance(parts.get(name), dict) for name in ("config", "data")
        ) or not all(name in parts["data"] for name in _OF_DATA):
            raise WorkdirError(
                f"{self.path} is not a workdir: its {CONFIG_FILE} is of another kind."
            )
        for name, kind in (
            *((name, dict) for name in ("versions", "precision", "jit_compile")),
            ("command", str),
            ("devices", list),
        ):
            if not isinstance(record.get(name) or kind(), kind):
                raise WorkdirError(
                    f"{path} is damaged: `{name}` is {record[name]!r:.40}. Restore it "
                    "from a copy, or use another --workdir."
                )
        return record

    def config(self) -> Config:
        """Return the Config of the run.

        Raises:
          WorkdirError: config.json is not there, damaged, or of another version.
        """
        record = self.read()
        try:
            return from_dict(record["config"])
        except ConfigError as error:
            raise WorkdirError(
                f"{self.config_file} is damaged, or of another version of "
                f"simclr_tf: {error}"
            ) from error

    def replaces_untrained(
        self,
        config: Config,
        data: dict[str, Any],
        files: Callable[[], Any] = lambda: None,
    ) -> bool:
        """Tell whether the folder holds another run, which ended before a checkpoint.

        Such a run holds nobody back: `claim` puts the new one in its place.

        Args:
          config, data, files: as for `claim`.

        Raises:
          WorkdirError: config.json is damaged, or of another version.
        """
        return (
            self.has(CONFIG_FILE)
            and not self.has_trained()
            and conflict_with(self, config, data, files) is not None
        )

    def reads_as_before(self, source: Source | StreamSource) -> bool:
        """Tell whether files show the same pixels as when the run here began.

        Args:
          source: the images of the run.
        """
        began = self.read()["data"].get("reading", 1)
        formats = getattr(source, "formats", None) or set()
        return began == READING or set(formats) <= PLAIN_FORMATS

    def may_list(self) -> pathlib.Path | None:
        """Return the path for the list of left-out files; None: another's folder."""
        try:
            is_ours = self.has(CONFIG_FILE) or self._is_new()
        except (OSError, WorkdirError):
            return None
        return self.path / LEFT_OUT_FILE if is_ours else None

    def has(self, name: str) -> bool:
        """Tell whether a file of that name is there."""
        return (self.path / name).exists()

    def _require_folder(self):
        if self.path.exists() and not self.path.is_dir():
            raise WorkdirError(
                f"--workdir must be a folder, but {self.path} is a file."
            )

    def _is_new(self):
        """Tell whether the folder is missing or empty."""
        self._require_folder()
        if (self.config_file).exists():
            return False
        # A start that is refused for broken files leaves their list.
        if self.path.exists() and holds_files(self.path, besides=(LEFT_OUT_FILE,)):
            raise WorkdirError(
                f"{self.path} is not empty and holds no run (no {CONFIG_FILE}). Use "
                "a new folder for --workdir."
            )
        return True

    def has_trained(self) -> bool:
        """Tell whether there is something to lose: steps in a checkpoint, or an end."""
        if not self.has(CONFIG_FILE):
            return False
        names = [path.name[5:] for path in (self.path / CHECKPOINTS).glob("step-*")]
        steps = [int(name) for name in names if name.isdecimal()]
        is_converted = "conversion" in self.read()
        return any(steps) or is_converted or self.has_ended()

    def has_ended(self) -> bool:
        """Tell whether the run has come to its end."""
        return self.has(SUMMARY_FILE)

    def _forget_untrained(self):
        """Remove what the start of a run leaves; `config.json` is overwritten."""
        for name in (CHECKPOINTS, TENSORBOARD):
            shutil.rmtree(self.path / name, ignore_errors=True)
        for name in (
            WARM_START_FILE,
            IMAGE_LIST_FILE,
            NETWORK_FILE,
            METRICS_FILE,
            TRACKER_FILE,
        ):
            (self.path / name).unlink(missing_ok=True)

    def follow_images(self, config: Config) -> list[str]:
        """Keep the new place of images that are the same, and are found elsewhere.

        Args:
          config: Config of the run that continues here; its images were recognised.

        Returns:
          list of str, a line for each place that is another.
        """
        record, lines = self.read(), []
        then, now = flatten(self.config()), flatten(config)
        for name in PLACES:
            if then[name] != now[name]:
                section, option = name.split(".")
                record["config"][section][option] = now[name]
                lines.append(
                    f"the same images, found at {now[name]} (was {then[name]})"
                )
        if lines:
            record["data"]["name"] = config.data.source
            write_atomically(self.config_file, json.dumps(record, indent=1))
        return lines

    def note_devices(self, devices: str) -> None:
        """Note the devices that the run continues on, if its first ones are known.

        Args:
          devices: str of `devices_text`.
        """
        record = self.read()
        if devices not in record.get("devices", [devices]):
            record["devices"].append(devices)
            write_atomically(self.config_file, json.dumps(record, indent=1))

    def _check_writable(self):
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for folder in (self.path, self.path / CHECKPOINTS, self.path / TENSORBOARD):
                if folder.exists() or folder == self.path:
                    probe = temporary_name(folder / _PROBE)
                    probe.touch()
                    probe.unlink()
        except OSError as error:
            raise WorkdirError(
                f"Cannot write to --workdir={self.path}: {error.strerror} "
                f"({error.filename})."
            ) from error


def versions():
    """Return the versions that a result depends on."""
    import numpy
    import tensorflow

    from simclr_tf._keras import keras

    # `keras` itself has no version everywhere; its distribution has.
    keras_package = keras.Model.__module__.split(".")[0]
    return {
        "simclr_tf": __version__,
        "tensorflow": tensorflow.__version__,
        "keras": importlib.metadata.version(keras_package),
        "numpy": numpy.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
