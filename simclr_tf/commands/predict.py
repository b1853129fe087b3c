"""The verb `predict`: from a classifier and images to a table of classes."""

from __future__ import annotations

import csv
import dataclasses
import os
import pathlib
import time
from typing import Any

import numpy as np

from simclr_tf.array_types import Array, StrPath
from simclr_tf.commands.embed import check_output, encode_parts, open_parts
from simclr_tf.config.data import DataConfig
from simclr_tf.config.image_size import ImageSize, size_text
from simclr_tf.config.predict import PredictOptions
from simclr_tf.data.left_out import LEFT_OUT_FILE, left_out_listed
from simclr_tf.errors import DataError, require
from simclr_tf.files import printable, whole_file
from simclr_tf.training.classifier_records import classifier_record
from simclr_tf.training.exports import exported_classifier, find_saved_model
from simclr_tf.training.keras_files import classifier_file, load_classifier


@dataclasses.dataclass(frozen=True)
class Predictions:
    """The classes of images, row by row, as a classifier sees them.

    Attributes:
      names: list of n str: paths relative to the folder of the images; `SPLIT/ROW` for
        images that are not files.
      class_names: tuple of C str; numbers as text where the classifier has no names.
      probabilities: float32 `[n, C]`, rows that sum to 1.
      labels: int64 `[n]`, the class of each image if the images have labels of these
        names; -1 where unlabelled, or of another class.
      unreadable: tuple of str, names of the images that were left out because they
        cannot be read.
    """

    names: list[str]
    class_names: tuple[str, ...]
    probabilities: Array
    labels: Array
    unreadable: tuple[str, ...] = ()

    def top(self, k: int) -> tuple[Array, Array]:
        """Return the k most probable classes of each image.

        Args:
          k: int >= 1; all C classes if there are fewer. Equal ones in their order.

        Returns:
          (int64 `[n, k]`, float32 `[n, k]`): numbers of classes, and probabilities.

        Example:
          >>> rows = np.array([[0.2, 0.7, 0.1]], np.float32)
          >>> found = Predictions(["a.jpg"], ("cat", "dog", "owl"), rows, np.array([1]))
          >>> [found.class_names[number] for number in found.top(2)[0][0]]
          ['dog', 'cat']
        """
        order = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :k]
        return order, np.take_along_axis(self.probabilities, order, axis=1)


def predict(
    data: Any,
    classifier: StrPath,
    *,
    split: str | tuple[str, ...] | None = None,
    data_dir: str | None = None,
    image_size_pixels: int | tuple[int, int] | None = None,
    batch_size: int = 256,
    max_corrupt_fraction: float = 1.0,
) -> Predictions:
    """Predict the classes of images with a fine-tuned classifier.

    The images are prepared as by an export's signature for the bytes of files: decoded
    to what a person sees, and resized. Up to a size of 32 pixels this is the whole
    image, whatever its shape; above, its centre, in the shape of the network's input.

    Args:
      data: str in the grammar of `--data`, or images in Python, see
        `simclr_tf.open_source`.
      classifier: path of what `finetune` or `distill` wrote, or of the export of a
        classifier. An export is a program: use it only if you trust it.
      split: str or tuple of str; all splits of the data set if None.
      data_dir: str, folder of prepared tfds data sets.
      image_size_pixels: int or (height, width); that of the classifier's training if
        None.
      batch_size: int, images a step.
      max_corrupt_fraction: float in [0, 1]; more unreadable images are an error, others
        are left out.

    Returns:
      Predictions, a row for every readable image, in the order of the names.

    Raises:
      SimCLRError: a wrong argument, file or folder, in one line.
    """
    options = PredictOptions(
        classifier=os.fspath(classifier),
        data=data if isinstance(data, str) else "python:",
        split=(split,) if isinstance(split, str) else split,
        data_dir=data_dir,
        image_size_pixels=image_size_pixels,
        batch_size=batch_size,
        max_corrupt_fraction=max_corrupt_fraction,
        output="unused.csv",
    )
    loaded = open_classifier(classifier, image_size_pixels)
    parts = open_parts(_images(data, data_dir, loaded), options, loaded.channels)
    return _predicted(loaded, parts, batch_size)[0]


def predict_and_report(options, *, say=print):
    """Predict the classes of images, and write them into a csv file.

    Names of files that are left out are written beside it.

    Args:
      options: simclr_tf.config.predict.PredictOptions.
      say: function that prints a line (str).

    Returns:
      Predictions.

    Raises:
      SimCLRError: invalid options or data, or a file that cannot be written.
    """
    output = check_output(options.output, options.overwrite)
    loaded = open_classifier(options.classifier, options.image_size_pixels)
    say(f"Classifier  {options.classifier}, {len(loaded.class_names):,} classes")
    listed = output.with_name(f"{output.stem}_{LEFT_OUT_FILE}")
    with left_out_listed(listed):
        images = _images(options.data, options.data_dir, loaded)
        parts = open_parts(images, options, loaded.channels)
    counts = [f"{part.split} {part.source.num_examples:,}" for part in parts]
    size = size_text(loaded.image_size_pixels)
    say(f"Images      {options.data}, {', '.join(counts)}, at {size} px")
    began = time.perf_counter()
    with left_out_listed(listed, *(part.source for part in parts)):
        found, others = _predicted(loaded, parts, options.batch_size)
    seconds = time.perf_counter() - began
    write_predictions(output, found, options.top)
    number = len(found.names)
    say(f"{number:,} images in {seconds:.0f} s ({number / seconds:,.0f} images/s)")
    if found.unreadable:
        say(
            f"Left out    {len(found.unreadable):,} images that cannot be read; "
            f"{listed} has their names"
        )
    for line in _accuracy_lines(found, others):
        say(line)
    return found


def write_predictions(path: StrPath, found: Predictions, top: int = 1) -> None:
    """Write predictions as csv: the columns name, rank, class and probability.

    Each image has `top` lines, the most probable class first (rank 1). Control
    characters, and bytes that are not UTF-8, are escaped in names.

    Args:
      path: path of the file; an existing one is replaced.
      found: Predictions.
      top: int >= 1; all classes if there are fewer.

    Raises:
      WorkdirError: the file cannot be written; nothing is left behind.

    Example:
      >>> import tempfile
      >>> path = pathlib.Path(tempfile.mkdtemp()) / "predictions.csv"
      >>> rows = np.array([[0.25, 0.75]], np.float32)
      >>> found = Predictions(["a.jpg"], ("cat", "dog"), rows, np.array([-1]))
      >>> write_predictions(path, found, top=2)
      >>> print(path.read_text().strip())
      name,rank,class,probability
      a.jpg,1,dog,0.750000
      a.jpg,2,cat,0.250000
    """
    classes = [printable(name) for name in found.class_names]
    numbers, probabilities = found.top(top)
    with (
        whole_file(pathlib.Path(path), make_folder=True) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as stream,
    ):
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(["name", "rank", "class", "probability"])
        for name, row, values in zip(found.names, numbers, probabilities, strict=True):
            ranked = zip(row.tolist(), values.tolist(), strict=True)
            table.writerows(
                [printable(name), rank, classes[number], f"{value:.6f}"]
                for rank, (number, value) in enumerate(ranked, 1)
            )


@dataclasses.dataclass(frozen=True)
class LoadedClassifier:
    """A classifier that is ready for images.

    Attributes:
      network: keras.Model, float32 images `[N, H, W, channels]` to logits `[N, C]`.
      class_names: tuple of C str.
      image_size_pixels: int or (height, width), of its images.
      has_names: bool, whether the names were in the file; else they are numbers.
      background: str, the colour behind transparent images in its training.
    """

    network: Any
    class_names: tuple[str, ...]
    image_size_pixels: ImageSize
    has_names: bool
    background: str = "white"

    @property
    def channels(self):
        """Channels of the images that it takes."""
        return self.network.input_shape[-1]


def open_classifier(path, image_size_pixels=None):
    """Load a classifier with the names of its classes and the size of its images.

    Args:
      path: path of what `finetune` or `distill` wrote, or of the export of a
        classifier.
      image_size_pixels: int or (height, width); that of its training if None.

    Returns:
      LoadedClassifier.

    Raises:
      DataError, WorkdirError: no classifier at the path, or a damaged one.
      ConfigError: the size of its images is not known.
    """
    folder = pathlib.Path(path).expanduser()
    saved_model = find_saved_model(folder) if folder.is_dir() else None
    if saved_model is not None:
        network, record = exported_classifier(saved_model)
    else:
        network = load_classifier(folder)
        record = classifier_record(classifier_file(folder))
    number, names = network.output_shape[-1], record.class_names
    if names is not None and len(names) != number:
        raise DataError(
            f"{path} is damaged: it has {len(names)} names for {number} classes."
        )
    height, width = network.input_shape[1:3]
    fixed = (height, width) if height and width else None
    size = image_size_pixels or record.image_size_pixels or fixed
    require(
        size is not None,
        f"--image_size_pixels is required: {path} does not have the size of the "
        "images it was trained on.",
        image_size_pixels=None,
    )
    names_or_numbers = names or tuple(map(str, range(number)))
    return LoadedClassifier(
        network, names_or_numbers, size, names is not None, record.background
    )


def _images(data, data_dir, loaded):
    """Return images as `open_parts` takes them."""
    if not isinstance(data, str):
        return data
    return DataConfig(source=data, data_dir=data_dir, background=loaded.background)


def _predicted(loaded, parts, batch_size):
    """Return (Predictions, set of the names of labels that are no class)."""
    found, _ = encode_parts(loaded.network, parts, loaded.image_size_pixels, batch_size)
    logits = found.features.astype(np.float64)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = odds / odds.sum(axis=1, keepdims=True)
    # Names match names, and numbers match numbers.
    if loaded.has_names == bool(found.classes):
        names = found.class_names()
    else:
        names = [""] * len(found.names)
    numbers = {name: number for number, name in enumerate(loaded.class_names)}
    predictions = Predictions(
        found.names,
        loaded.class_names,
        probabilities.astype(np.float32),
        np.array([numbers.get(name, -1) for name in names], np.int64),
        found.unreadable,
    )
    return predictions, {name for name in names if name and name not in numbers}


def _accuracy_lines(found, others):
    """Describe how many labelled images are predicted rightly, if that is known."""
    if others:
        shown = ", ".join(printable(name) for name in sorted(others)[:3])
        more = ", ..." if len(others) > 3 else ""
        yield (
            f"No accuracy: the images are labelled with other classes ({shown}{more}) "
            "than those of the classifier"
        )
        return
    known = found.labels >= 0
    if known.any():
        right = found.probabilities.argmax(axis=1)[known] == found.labels[known]
        yield (
            f"Accuracy    {100 * right.mean():.1f} % of {known.sum():,} labelled images"
        )
