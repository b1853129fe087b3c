"""Data sets prepared by TensorFlow Datasets, read by number from their own files."""

import concurrent.futures
import difflib
import logging
import os
import re

from simclr_tf.data.host_calls import on_host
from simclr_tf.data.random_access import EncodedSource, grey_or_colour
from simclr_tf.data.sources.embedded import FASHION_MNIST_LICENCE
from simclr_tf.data.sources.kind import SourceKind
from simclr_tf.data.tfrecords import index_records, read_piece
from simclr_tf.errors import DataError, received_text
from simclr_tf.files import plain_reason
from simclr_tf.lazy import module, np, tf
from simclr_tf.limits import parse_json

_log = logging.getLogger("simclr_tf")
_THREADS = 8
tfds = module("tensorflow_datasets")


class RecordSource(EncodedSource):
    """Encoded images inside TFRecord files.

    Args:
      name: str, the data set as the user wrote it.
      paths: list of str, the files.
      index: int64 array `[n, 4]`: number of the file, offset and length of the image in
        bytes, and label (-1: none).
      identity: str, the version of the data set, for the fingerprint.
      labelled: bool, whether the images have labels.
      channels: 1, 3 or None, as for a folder.
      **details: see `Source`.
    """

    location_types = ("string", "int64", "int64")

    def __init__(
        self, name, paths, index, *, identity, labelled, channels=None, **details
    ):
        super().__init__(
            name,
            len(index),
            channels=channels or 3,
            labels=index[:, 3] if labelled else None,
            **details,
        )
        self._paths = np.array([os.fsencode(path) for path in paths])
        self._path_sizes = np.array(
            [tf.io.gfile.stat(path).length for path in paths], np.int64
        )
        self._index = index
        self._identity = identity
        self.channels = channels or grey_or_colour(self)

    def example_name(self, example):
        shard, offset, _, _ = self._index[self.rows(np.int64(example))]
        file_name = os.path.basename(os.fsdecode(bytes(self._paths[shard])))
        return f"{file_name}@{offset}"

    def locations(self, ids):
        shard, offset, length, _ = self._index[self.rows(ids)].T
        return self._paths[shard], offset, length

    def encoded_bytes(self, ids):
        return self._index[self.rows(ids), 2]

    def read_encoded(self, path, offset, length):
        content = on_host(read_piece, [path, offset, length], tf.string)
        return tf.reshape(content, [])

    def _hash_content(self, digest):
        digest.update(self._identity.encode())
        digest.update(
            b"\0".join(os.path.basename(path) for path in self._paths.tolist())
        )
        digest.update(self._path_sizes.tobytes())
        digest.update(self._index.tobytes())


class TFDS(SourceKind):
    """`tfds:NAME[/CONFIG]`: a data set that TensorFlow Datasets has prepared.

    Target and `split` are written as for TensorFlow Datasets: `cifar10`,
    `imagenet2012:5.1.0`, `imagenet2012_subset/1pct`; `train[:10%]`, `train+test`.
    Slices are parts of the files, which TensorFlow Datasets shuffles when it prepares
    them, unless a data set asks for the opposite.
    `data_dir` is the folder of prepared sets, `~/tensorflow_datasets` by default.
    Nothing is downloaded.
    With `labelled="auto"` a data set is labelled if it has a class label.
    """

    forms = {
        "tfds:NAME[/CONFIG]": "a set prepared by TensorFlow Datasets in `--data_dir`"
    }
    splits = "those of the set, also `train+test`"
    labels = "its class label"
    has_own_slices = True
    packages = {"tensorflow_datasets": "tensorflow-datasets"}
    licences = {"fashion_mnist": FASHION_MNIST_LICENCE}

    def split_names(self, target, data_dir=None):
        """List the splits of a prepared data set."""
        return sorted(_prepared_builder(target, f"tfds:{target}", data_dir).info.splits)

    def open(self, target, request):
        """Index the files of a prepared data set in TFRecord format."""
        request.require_channels_of_files()
        name, split = request.name, request.split
        builder = _prepared_builder(target, name, request.data_dir)
        features = builder.info.features
        image_key, label_key = _feature_keys(features, name, request.labelled)
        try:
            instructions = builder.info.splits[split].file_instructions
        except (ValueError, KeyError, AssertionError) as error:
            raise DataError(
                f"`{name}` has no split `{split}`; its splits: "
                f"{', '.join(sorted(builder.info.splits))}. "
                + received_text(split=split)
            ) from error
        if "[" in split:
            _log.info(
                "The slice `%s` is that of TensorFlow Datasets: a part of its files in "
                "their order, not by class.",
                split,
            )
        paths, index = _index(instructions, image_key, label_key)
        return RecordSource(
            name,
            paths,
            index,
            identity=builder.info.full_name,
            labelled=label_key is not None,
            channels=request.channels,
            classes=_class_names(features, label_key),
            split=split,
            max_corrupt_fraction=request.max_corrupt_fraction,
        )


def _index(instructions, image_key, label_key):
    """Return (paths, index) for RecordSource: the part of the files in a split."""
    paths = sorted({str(piece.filename) for piece in instructions})
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(lambda path: index_records(path, image_key, label_key), paths)
        indices = dict(zip(paths, found, strict=True))
    parts = []
    for piece in instructions:
        rows = indices[str(piece.filename)][piece.skip :]
        rows = rows[: piece.take] if piece.take >= 0 else rows
        shard = np.full([len(rows), 1], paths.index(str(piece.filename)), np.int64)
        parts.append(np.concatenate([shard, rows], axis=1))
    return paths, np.concatenate(parts) if parts else np.zeros([0, 4], np.int64)


def _prepared_builder(target, name, data_dir):
    place = None if data_dir is None else os.path.expanduser(data_dir)
    _check_features(target, place, name)
    try:
        builder = tfds.builder(target, data_dir=place)
    except tfds.core.DatasetNotFoundError as error:
        known = tfds.list_builders(with_community_datasets=False)
        near = difflib.get_close_matches(target.split("/")[0], known, n=3)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise DataError(
            f"TensorFlow Datasets has no `{target}`, and none is prepared in data_dir."
            f"{hint} " + received_text(data=name, data_dir=data_dir)
        ) from error
    except Exception as error:  # Whatever TensorFlow Datasets does with damage.
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise DataError(
            f"TensorFlow Datasets cannot open `{target}` ({reason[0]}). "
            + received_text(data=name, data_dir=data_dir)
        ) from error
    if not builder.info.splits:
        where = "" if data_dir is None else f", data_dir={place!r}"
        raise DataError(
            f"`{name}` is not prepared, and this program downloads nothing. Prepare it "
            'once, where the network may be used, with: python -c "import '
            f"tensorflow_datasets as t; t.builder({target!r}{where})"
            '.download_and_prepare()". ' + received_text(data_dir=data_dir)
        )
    file_format = builder.info.file_format
    if file_format is not None and file_format.value != "tfrecord":
        raise DataError(
            f"`{name}` is stored as {file_format.value}; only tfrecord can be read. "
            f"Prepare it with `tfds.builder({target!r}, file_format='tfrecord')`. "
            + received_text(file_format=file_format.value)
        )
    return builder


def _check_features(target, place, name):
    """Raise DataError where a data set names classes that are not TFDS's own.

    TensorFlow Datasets imports whatever module the features.json of a prepared data set
    names.
    """
    root = tfds.core.Path(place or tfds.core.constants.DATA_DIR)
    folder = root / re.split("[/:]", target)[0]
    for path in [*folder.glob("*/features.json"), *folder.glob("*/*/features.json")]:
        try:
            foreign = _foreign_class(parse_json(path.read_bytes()))
        except (OSError, ValueError) as error:
            raise DataError(
                f"`{name}` is damaged ({path}: {plain_reason(error)}); prepare the "
                "data set again."
            ) from error
        if foreign is not None:
            raise DataError(
                f"`{name}` is refused: {path} names the class {foreign[:200]!r}, which "
                "is not one of TensorFlow Datasets and would be imported."
            )


def _foreign_class(value):
    """Return the first class in a features.json that would be imported, or None."""
    known = tfds.features.FeatureConnector._registered_features
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending.extend(value)
        if not isinstance(value, dict):
            continue
        pending.extend(value.values())
        for key in ("pythonClassName", "python_class_name", "type"):
            found = value.get(key)
            if isinstance(found, str) and found not in known:
                if not found.startswith("tensorflow_datasets.core.features."):
                    return found
        if isinstance(value.get("json"), str):
            pending.append(parse_json(value["json"]))
    return None


def _feature_keys(features, name, labelled):
    """Return (key of the image, key of the class label or None)."""
    images = [
        key
        for key, feature in features.items()
        if isinstance(feature, tfds.features.Image)
        and np.dtype(feature.np_dtype) == np.uint8
    ]
    image_key = _choose("image", images)
    if image_key is None:
        raise DataError(
            f"`{name}` must have one 8-bit image for each example, named `image` if "
            "there are several. " + received_text(features=sorted(features))
        )
    labels = [
        key
        for key, feature in features.items()
        if isinstance(feature, tfds.features.ClassLabel)
    ]
    label_key = _choose("label", labels)
    if labelled is True and label_key is None:
        raise DataError(
            f"`{name}` must have a class label to be opened as labelled. "
            + received_text(features=sorted(features))
        )
    return image_key, None if labelled is False else label_key


def _choose(preferred, keys):
    """Return the key with the usual name, or the only one, or None."""
    if preferred in keys:
        return preferred
    return keys[0] if len(keys) == 1 else None


def _class_names(features, label_key):
    if label_key is None or not features[label_key].num_classes:
        return None
    return tuple(features[label_key].names)
