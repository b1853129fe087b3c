"""Data sets prepared by TensorFlow Datasets, read by number from their own files."""

import concurrent.futures
import difflib
import functools
import logging
import os
import re

from simclr_tf.data.array_records import index_array_records, read_image_of_record
from simclr_tf.data.host_calls import on_host
from simclr_tf.data.random_access import EncodedSource, grey_or_colour
from simclr_tf.data.sources.embedded import FASHION_MNIST_LICENCE
from simclr_tf.data.sources.kind import IN_ORDER, MissingSplitError, SourceKind
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


class ArrayRecordSource(RecordSource):
    """The same inside ArrayRecord files; the "offset" is the number of the record.

    Args:
      image_key: str, the feature that holds the image.
      *arguments, **details: see `RecordSource`.
    """

    def __init__(self, *arguments, image_key, **details):
        self._image_key = image_key
        super().__init__(*arguments, **details)

    def read_encoded(self, path, offset, length):
        def read(path, number, _):
            path = os.fsdecode(np.asarray(path).item())
            return read_image_of_record(path, int(number), self._image_key)

        return tf.reshape(on_host(read, [path, offset, length], tf.string), [])


class TFDS(SourceKind):
    """`tfds:NAME[/CONFIG][@LABEL]`: a data set that TensorFlow Datasets has prepared.

    Target and `split` are written as for TensorFlow Datasets: `cifar10`,
    `imagenet2012:5.1.0`, `imagenet2012_subset/1pct`; `train[:10%]`, `train+test`.
    Slices are parts of the files, which TensorFlow Datasets shuffles when it prepares
    them, unless a data set asks for the opposite. LABEL is the feature with the labels:
    `cifar100@coarse_label`; it must be given where there are several and none is called
    `label`. TFRecord and ArrayRecord files can be read.
    `data_dir` is the folder of prepared sets, `~/tensorflow_datasets` by default.
    Nothing is downloaded.
    With `labelled="auto"` a data set is labelled if it has a class label.
    """

    forms = {
        "tfds:NAME[/CONFIG]": "a set prepared by TensorFlow Datasets in `--data_dir`"
    }
    splits = "those of the set, also `train+test`"
    labels = "its class label; of several, that of `tfds:NAME@LABEL`"
    has_own_slices = True
    packages = {"tensorflow_datasets": "tensorflow-datasets"}
    licences = {"fashion_mnist": FASHION_MNIST_LICENCE}

    def split_names(self, target, data_dir=None):
        """List the splits of a prepared data set."""
        target = target.partition("@")[0]
        return sorted(_prepared_builder(target, f"tfds:{target}", data_dir).info.splits)

    def open(self, target, request):
        """Index the files of a prepared data set: RecordSource."""
        request.require_channels_of_files()
        name, split = request.name, request.split
        target, _, label = target.partition("@")
        builder = _prepared_builder(target, name, request.data_dir)
        features = builder.info.features
        image_key = _image_key(features, name)
        label_key = _label_key(features, name, request.labelled, label)
        try:
            instructions = builder.info.splits[split].file_instructions
        except (ValueError, KeyError, AssertionError) as error:
            raise MissingSplitError(
                f"`{name}` has no split `{split}`; its splits: "
                f"{', '.join(sorted(builder.info.splits))}. "
                + received_text(split=split)
            ) from error
        is_array = _format_of(builder) == "array_record"
        paths, index = _index(
            instructions,
            image_key,
            label_key,
            index_array_records if is_array else index_records,
        )
        make = (
            functools.partial(ArrayRecordSource, image_key=image_key)
            if is_array
            else RecordSource
        )
        source = make(
            name,
            paths,
            index,
            identity=builder.info.full_name,
            labelled=label_key is not None,
            channels=request.channels,
            classes=_class_names(features, label_key),
            split=split,
            max_corrupt_fraction=request.max_corrupt_fraction,
            background=request.background,
        )
        if "[" in split:
            source.slice_rule = IN_ORDER
        return source


def _index(instructions, image_key, label_key, index_file):
    """Return (paths, index) for RecordSource: the part of the files in a split."""
    paths = sorted({str(piece.filename) for piece in instructions})
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(lambda path: index_file(path, image_key, label_key), paths)
        indices = dict(zip(paths, found, strict=True))
    parts = []
    for piece in instructions:
        rows = indices[str(piece.filename)]
        if len(rows) != piece.examples_in_shard:
            raise DataError(
                f"A file is damaged: it holds {len(rows)} of its "
                f"{piece.examples_in_shard} examples; prepare the data set again. "
                + received_text(file=str(piece.filename))
            )
        rows = rows[piece.skip :]
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
    file_format = _format_of(builder)
    if file_format not in ("tfrecord", "array_record"):
        raise DataError(
            f"`{name}` is stored as {file_format}; tfrecord and array_record can be "
            f"read. Prepare it in another folder with `tfds.builder({target!r}, "
            "data_dir=OTHER, file_format='tfrecord').download_and_prepare()`, and give "
            "--data_dir=OTHER. " + received_text(file_format=file_format)
        )
    return builder


def _format_of(builder):
    file_format = builder.info.file_format
    return "tfrecord" if file_format is None else file_format.value


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


def _image_key(features, name):
    """Return the key of the image."""
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
    return image_key


def _label_key(features, name, labelled, chosen):
    """Return the key of the labels, or None; `chosen` is "" or what follows the @."""
    labels = [
        key
        for key, feature in features.items()
        if isinstance(feature, tfds.features.ClassLabel)
    ]
    numbers = [
        key
        for key, feature in features.items()
        if isinstance(feature, tfds.features.Tensor)
        and feature.shape == ()
        and np.issubdtype(np.dtype(feature.np_dtype), np.integer)
    ]
    if labelled is False:
        return None
    if chosen:
        if chosen not in {*labels, *numbers}:
            raise DataError(
                f"`{chosen}` is no label of `{name}`. Choices: "
                f"{', '.join([*labels, *sorted({*numbers} - {*labels})]) or 'none'}. "
                + received_text(data=name)
            )
        return chosen
    label_key = _choose("label", labels)
    if label_key is None and labels:
        ways = " or ".join(f"--data={name}@{key}" for key in labels)
        raise DataError(
            f"`{name}` has {len(labels)} labels: choose one with {ways}, or "
            "--data.labels=none. " + received_text(data=name)
        )
    if labelled is True and label_key is None:
        raise DataError(
            f"`{name}` must have a class label to be opened as labelled. "
            + received_text(features=sorted(features))
        )
    if len(labels) > 1:
        others = [f"`{name}@{key}`" for key in labels if key != label_key]
        _log.info(
            "The labels of `%s` are its `%s`; others: %s.",
            name,
            label_key,
            ", ".join(others),
        )
    return label_key


def _choose(preferred, keys):
    """Return the key with the usual name, or the only one, or None."""
    if preferred in keys:
        return preferred
    return keys[0] if len(keys) == 1 else None


def _class_names(features, label_key):
    # A label that is a plain number has no classes of its own.
    if label_key is None or not getattr(features[label_key], "num_classes", None):
        return None
    return tuple(features[label_key].names)
