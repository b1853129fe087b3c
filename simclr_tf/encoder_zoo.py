"""The zoo: a list of the encoders in a folder of exports, without loading them.

The config.json of an export describes it. Nothing here imports TensorFlow.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import pathlib
from typing import Any

from simclr_tf.array_types import StrPath
from simclr_tf.config.image_size import ImageSize, as_size, short_size
from simclr_tf.errors import DataError, unknown_choice
from simclr_tf.files import plain_reason
from simclr_tf.limits import read_json

EXPORT_FORMAT = "simclr_tf.export/1"
RECORD = "config.json"
PREFIX = "zoo:"
FOLDER = "exported_models"
# Columns of tables: title -> protocol.
HEADLINES = {"kNN (%)": "weighted_knn", "linear (%)": "linear_probe"}
_THIS_ENCODER = "this encoder"
_FACTS = {
    "summary": str,
    "method": str,
    "architecture": str,
    "data": str,
    "data_licence": str,
    "command": str,
}
_log = logging.getLogger("simclr_tf")


@dataclasses.dataclass(frozen=True)
class ZooEntry:
    """One exported encoder; `simclr_tf.load_encoder(entry.path)` loads it.

    Attributes:
      name: str, name of its folder.
      path: pathlib.Path of the folder, which has a card.md.
      summary: str, the network and its training. This and the following attributes are
        None if the export does not state them.
      method: str, its objective, e.g. "SimCLR" or "MoCo".
      architecture: str, e.g. "ResNet-18, width 0.25x, stem `small`".
      num_parameters: int, trainable.
      num_features: int, F.
      input_shape: tuple, `(N, H, W, C)` of float32 images in [0, 1], None being free.
      image_size_pixels: int, or (height, width), of the images it was trained on.
      data: str, the images it was trained on.
      data_licence: str, the licence of those images.
      command: str, the command of its training.
      metrics: tuple of dicts, one a measurement: representation, protocol, metric,
        value, std, low_95, high_95, num_test, num_train_labels, settings, ... as in
        `simclr_tf.evaluation.Measurement`, and the data and command of their file.
      results: tuple of dicts, the files of the metrics, as in
        `simclr_tf.evaluation.Results`.
      formats: tuple of str, e.g. ("saved_model", "safetensors").
      num_bytes: int, size of all its files.
      published: bool, exported with --publish, to ship with the package.
    """

    name: str
    path: pathlib.Path
    summary: str | None
    method: str | None
    architecture: str | None
    num_parameters: int | None
    num_features: int | None
    input_shape: tuple | None
    image_size_pixels: ImageSize | None
    data: str | None
    data_licence: str | None
    command: str | None
    metrics: tuple
    results: tuple
    formats: tuple
    num_bytes: int
    published: bool

    def find(
        self, protocol: str, representation: str = _THIS_ENCODER
    ) -> dict[str, Any] | None:
        """Return a metric on images of the training data, or None.

        Args:
          protocol: str, e.g. "weighted_knn" or "linear_probe".
          representation: str, e.g. "this encoder" or "raw pixels".

        Returns:
          dict, an element of `metrics`.
        """
        wanted = (protocol, representation, self.data)
        for metric in self.metrics:
            if wanted == tuple(
                metric.get(name) for name in ("protocol", "representation", "data")
            ):
                return metric
        return None

    def headlines(self) -> list[str]:
        """Write the values of the columns `HEADLINES`.

        Returns:
          list of str: "71.2", or "" where it was not measured.
        """
        found = [self.find(protocol) for protocol in HEADLINES.values()]
        return ["" if metric is None else f"{metric['value']:.1f}" for metric in found]

    def input_text(self) -> str:
        """Describe the input images: "28x28 grey (any size)".

        Returns:
          str; "" if the export does not state it.
        """
        if not self.input_shape:
            return ""
        _, height, width, channels = self.input_shape
        kind = {1: "grey", 3: "RGB"}.get(channels, f"{channels} channels")
        if height and width:
            return f"{height}x{width} {kind}"
        if self.image_size_pixels:
            height, width = as_size(self.image_size_pixels)
            return f"{height}x{width} {kind} (any size)"
        return f"{kind}, any size"


class Zoo(tuple):
    """A tuple of ZooEntry, indexed by position or name; printed, it is a table.

    Args:
      entries: iterable of ZooEntry.
    """

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, str):
            return super().__getitem__(key)
        for entry in self:
            if entry.name == key:
                return entry
        if not self:
            raise DataError(f"There is no encoder '{key}': the zoo is empty.")
        raise unknown_choice("encoder of the zoo", key, [entry.name for entry in self])

    def __repr__(self):
        if not self:
            return "The zoo is empty."
        header = [
            "name",
            "method",
            "encoder",
            "parameters",
            "images",
            "input",
            *HEADLINES,
            "licence of the images",
            "MB",
        ]
        rows = [header, *(_row(entry) for entry in self)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(
                cell.ljust(width) for cell, width in zip(row, widths, strict=True)
            ).rstrip()
            for row in rows
        )


def zoo(folder: StrPath | None = None) -> Zoo:
    """List the encoders that ship with simclr_tf, or those in any folder of exports.

    Only the config.json of each export is read; TensorFlow is not imported.

    Args:
      folder: path of a folder with one export in each sub-folder. None: the
        `exported_models/` of the installed package or of the checkout.

    Returns:
      Zoo: a tuple of ZooEntry in the order of their names, which can be indexed by name
      and prints as a table. Sub-folders that are no exports are left out, and those
      whose config.json is damaged are named in the log.

    Raises:
      DataError: a missing folder, or an export with a damaged config.json.

    Example:
      >>> encoders = zoo()
      >>> isinstance(encoders, tuple)
      True
    """
    if folder is None:
        folder = default_folder()
        if folder is None:
            return Zoo()
    folder = pathlib.Path(folder).expanduser()
    if not folder.is_dir():
        raise DataError(f"There is no zoo at {folder}: it is not a folder.")
    found, damage = [], None
    for child in sorted(folder.iterdir()):
        if child.name.startswith("."):
            continue
        try:
            record = undamaged_export_record(child)
        except DataError as error:
            _log.warning("Left out of the list: %s", error)
            damage = error
            continue
        if record is not None:
            found.append(_entry(child, record))
    if damage is not None and not found:
        raise damage  # "The zoo is empty" would not be true.
    return Zoo(found)


def default_folder() -> pathlib.Path | None:
    """Return the folder of the encoders of this installation, or None.

    A wheel has them inside the package; in a checkout (or an editable installation)
    `exported_models/` is beside the package.

    Returns:
      pathlib.Path or None.
    """
    package = pathlib.Path(__file__).parent
    if (package / FOLDER).is_dir():
        return package / FOLDER
    beside = package.parent / FOLDER
    # In site-packages, a folder of that name may belong to another package.
    if beside.is_dir() and (package.parent / "setup.py").is_file():
        return beside
    return None


def encoder_path(path: StrPath) -> pathlib.Path:
    """Return the path of an encoder: `zoo:NAME` stands for its folder in `zoo()`.

    Args:
      path: path, or str "zoo:NAME".

    Returns:
      pathlib.Path; any other path with `~` expanded.

    Raises:
      ConfigError: an unknown name; the message lists all names.
      DataError: the zoo is empty.

    Example:
      >>> encoder_path("runs/demo").as_posix()
      'runs/demo'
    """
    text = os.fspath(path)
    if text.startswith(PREFIX):
        return zoo()[text.removeprefix(PREFIX)].path
    return pathlib.Path(path).expanduser()


def read_export_record(folder: pathlib.Path) -> dict[str, Any] | None:
    """Read the config.json of an export; None if it is missing.

    Args:
      folder: pathlib.Path.

    Returns:
      dict; None if the file is missing, damaged, or not the record of an export.
    """
    try:
        return undamaged_export_record(folder)
    except DataError:
        return None


def undamaged_export_record(folder: pathlib.Path) -> dict[str, Any] | None:
    """Read the config.json of an export, and refuse a damaged one.

    Args:
      folder: pathlib.Path.

    Returns:
      dict; None where there is none, or one of something else.

    Raises:
      DataError: the file cannot be read, or is no JSON.
    """
    path = folder / RECORD
    if not path.is_file():
        return None
    try:
        record = read_json(path, finite=False)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} is damaged ({plain_reason(error)}): restore it from a copy, or "
            "export to another folder."
        ) from error
    is_ours = isinstance(record, dict) and record.get("format") == EXPORT_FORMAT
    return record if is_ours else None


def _entry(path, record):
    try:
        return _described(path, record)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise DataError(
            f"{path / RECORD} is damaged: it does not describe an export "
            f"({type(error).__name__}: {error})."
        ) from error


def _described(path, record):
    """Read the description of an export; older exports describe less."""
    card = record.get("card") or {}
    results = tuple(card.get("results") or ())
    outputs = record.get("outputs") or {}
    shape = (record.get("input") or {}).get("shape")
    facts = {name: _typed(card, name, kind) for name, kind in _FACTS.items()}
    size = card.get("image_size_pixels")
    return ZooEntry(
        name=path.name,
        path=path,
        num_parameters=_typed(record, "num_parameters", int),
        num_features=outputs["default"]["shape"][-1] if "default" in outputs else None,
        input_shape=tuple(shape) if shape else None,
        metrics=tuple(
            {**measurement, "data": result["data"], "command": result["command"]}
            for result in results
            for measurement in result["measurements"]
        ),
        results=results,
        formats=tuple((record.get("parity") or {}).get("formats") or ()),
        num_bytes=sum(
            file.stat().st_size for file in path.rglob("*") if file.is_file()
        ),
        image_size_pixels=size and short_size("image_size_pixels", size),
        published=record.get("published") is True,
        **facts,
    )


def _typed(record, name, kind):
    """Return an entry of a record if it is of the kind, or None without one."""
    value = record.get(name)
    if value is not None and type(value) is not kind:
        raise TypeError(f"`{name}` is {value!r:.40}")
    return value


def _row(entry):
    """Return the cells of one encoder in the printed table."""
    parameters = entry.num_parameters
    return [
        entry.name,
        entry.method or "",
        (entry.architecture or "").replace("`", ""),
        "" if parameters is None else f"{parameters:,}",
        entry.data or "",
        entry.input_text(),
        *entry.headlines(),
        (entry.data_licence or "").split(",")[0],
        f"{entry.num_bytes / 1e6:.1f}",
    ]
