"""Files of features: npz, csv and parquet; each is written whole or not at all."""

from __future__ import annotations

import csv
import dataclasses
import json
import pathlib

import numpy as np

from simclr_tf.array_types import Array, StrPath
from simclr_tf.config.embed import FEATURE_FILES
from simclr_tf.data.sources.npz import check_claim
from simclr_tf.errors import DataError, unknown_choice
from simclr_tf.extras import import_extra
from simclr_tf.files import plain_reason, printable, whole_file
from simclr_tf.limits import parse_json

_BLOCK = 4096  # Rows at a time: csv and parquet take more memory than their arrays.
_ARRAYS = ("features", "names", "labels", "classes")
_ENCODER = "encoder"  # Older files have no such array.


@dataclasses.dataclass(frozen=True)
class ImageFeatures:
    """Features of images, row by row, with what is known of the images.

    Attributes:
      features: float32 `[n, F]`.
      names: list of n str: paths relative to the folder of the images, with `/`;
        `SPLIT/ROW` for images that are not files.
      labels: int32 `[n]`, -1 where unlabelled.
      classes: tuple of str, the name of each label; () without names.
      unreadable: tuple of str, names of the images that were left out because they
        cannot be read.
      encoder: dict of str to str, what the features depend on beside the images, of
        `embed`; {} if not known.
    """

    features: Array
    names: list[str]
    labels: Array
    classes: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    encoder: dict[str, str] = dataclasses.field(default_factory=dict)

    def class_names(self) -> list[str]:
        """Return the class of each row: its number without names, "" if unlabelled."""
        known = dict(enumerate(self.classes))
        return [
            "" if label < 0 else known.get(label, str(label))
            for label in self.labels.tolist()
        ]


def write_features(path: StrPath, found: ImageFeatures) -> None:
    """Write features in the format of the file's ending.

    - `.npz`: the arrays `features` float32 `[n, F]`, `names` str `[n]`, `labels` int32
      `[n]` (-1: none), `classes` str `[C]`, and `encoder` str, JSON, uncompressed.
    - `.csv`: the columns name, label, class and feature_0 to feature_{F-1}. Numbers
      are as long as they must be to be read back as the same float32.
    - `.parquet`: the columns name, label, class, and features, a list of F float32;
      the metadata of the schema has `classes` as JSON.

    In csv and parquet, a class is "" where there is no label, and control characters
    and bytes that are not UTF-8 are escaped, as in all names of files.

    Args:
      path: path that ends in .npz, .csv or .parquet; an existing file is replaced.
      found: ImageFeatures.

    Raises:
      ConfigError: another ending, or the package pyarrow is missing.
      WorkdirError: the file cannot be written; nothing is left behind.

    Example:
      >>> import tempfile
      >>> path = pathlib.Path(tempfile.mkdtemp()) / "features.csv"
      >>> features = np.array([[0.5, 0.1]], np.float32)
      >>> write_features(path, ImageFeatures(features, ["a.jpg"], np.array([-1])))
      >>> path.read_text().splitlines()
      ['name,label,class,feature_0,feature_1', 'a.jpg,-1,,0.5,0.1']
    """
    path = pathlib.Path(path)
    write = {".npz": _write_npz, ".csv": _write_csv, ".parquet": _write_parquet}
    if path.suffix not in write:
        raise unknown_choice("ending of the file", path.suffix, FEATURE_FILES)
    with whole_file(path, make_folder=True) as temporary:
        write[path.suffix](temporary, found)


def read_features(path: StrPath) -> ImageFeatures:
    """Read the features in an `.npz` file of `write_features`.

    Args:
      path: path.

    Returns:
      ImageFeatures.

    Raises:
      DataError: the file is missing, damaged, or not one of `write_features`.
    """
    path = pathlib.Path(path).expanduser()
    if not path.is_file():
        raise DataError(f"There is no file of features at {path}.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            there = [name for name in (_ENCODER,) if name in archive]
            for name in (*_ARRAYS, *there):
                info = archive.zip.getinfo(f"{name}.npy")
                with archive.zip.open(info) as stream:
                    check_claim(stream, info.file_size, f"`{name}` of {path}")
            arrays = {name: archive[name] for name in _ARRAYS}
            encoder = parse_json(str(archive[_ENCODER])) if there else {}
            if not isinstance(encoder, dict):
                raise ValueError("what it has of its encoder is damaged")
    except DataError:
        raise
    except Exception as error:  # Whatever NumPy and zipfile do with damage.
        raise DataError(
            f"{path} is not a file of features that `simclr-tf embed "
            f"--output=FILE.npz` has written: {plain_reason(error)}."
        ) from error
    features, names, labels, classes = arrays.values()
    kinds = [array.dtype.kind for array in (features, names, labels, classes)]
    if (
        features.ndim != 2
        or kinds[0] != "f"
        or names.shape != features.shape[:1]
        or names.shape != labels.shape
        or kinds[1] != "U"
        or kinds[2] != "i"
    ):
        raise DataError(
            f"{path} must hold features [n, F], n names and n labels. Received: shapes "
            f"{features.shape}, {names.shape} and {labels.shape}, types "
            f"{features.dtype}, {names.dtype} and {labels.dtype}."
        )
    if not np.isfinite(features).all():
        raise DataError(f"The features in {path} hold NaN or infinity.")
    return ImageFeatures(
        features.astype(np.float32, copy=False),
        names.tolist(),
        labels.astype(np.int32, copy=False),
        tuple(map(str, classes.tolist())),
        encoder={str(name): str(value) for name, value in encoder.items()},
    )


def _write_npz(path, found):
    np.savez(
        path,
        features=found.features,
        names=np.array(found.names, np.str_),
        labels=found.labels,
        classes=np.array(found.classes, np.str_),
        encoder=np.array(json.dumps(found.encoder)),
    )


def _write_csv(path, found):
    # utf-8-sig would help some spreadsheets and confuse other programs.
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        columns = [f"feature_{place}" for place in range(found.features.shape[1])]
        table.writerow(["name", "label", "class", *columns])
        names, classes = (
            map(printable, found.names),
            map(printable, found.class_names()),
        )
        rows = zip(names, found.labels.tolist(), classes, found.features, strict=True)
        for name, label, class_name, features in rows:
            # The shortest text of each float32, not of the float64 nearest to it.
            table.writerow([name, label, class_name, *map(str, features)])


def _write_parquet(path, found):
    arrow = import_extra("pyarrow", extra="parquet", wanted="A .parquet file")
    parquet = import_extra("pyarrow.parquet", extra="parquet", wanted="A .parquet file")
    width = found.features.shape[1]
    schema = arrow.schema(
        {
            "name": arrow.string(),
            "label": arrow.int32(),
            "class": arrow.string(),
            "features": arrow.list_(arrow.float32(), width),
        },
        metadata={"classes": json.dumps([printable(name) for name in found.classes])},
    )
    names, classes = (
        list(map(printable, found.names)),
        list(map(printable, found.class_names())),
    )
    with parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, len(names), _BLOCK):
            rows = slice(start, start + _BLOCK)
            flat = arrow.array(found.features[rows].ravel(), arrow.float32())
            columns = [
                arrow.array(names[rows], arrow.string()),
                arrow.array(found.labels[rows], arrow.int32()),
                arrow.array(classes[rows], arrow.string()),
                arrow.FixedSizeListArray.from_arrays(flat, width),
            ]
            writer.write_table(arrow.Table.from_arrays(columns, schema=schema))
