"""The verb `embed`: from images to the features of all of them, in one file."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import time
from typing import Any

import numpy as np
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.array_types import Model, StrPath
from simclr_tf.commands.encoder_at import open_encoder
from simclr_tf.commands.labelled_data import with_chosen
from simclr_tf.config.data import DataConfig, colour_text, rgb_of
from simclr_tf.config.embed import EncodedImages
from simclr_tf.config.image_size import size_text
from simclr_tf.data import (
    EncodedSource,
    Source,
    evaluation_batches,
    kind_of,
    open_source,
    plain_errors,
)
from simclr_tf.data.left_out import LEFT_OUT_FILE, left_out_listed
from simclr_tf.errors import WorkdirError, require
from simclr_tf.evaluation import extract_features
from simclr_tf.evaluation.feature_files import ImageFeatures, write_features
from simclr_tf.extras import require_extra
from simclr_tf.files import require_writable
from simclr_tf.training.progress import with_bar
from simclr_tf.training.resumable_fit import sha256_of_weights


def embed(
    data: Any,
    encoder: Model | StrPath,
    *,
    split: str | tuple[str, ...] | None = None,
    step: int | None = None,
    data_dir: str | None = None,
    image_size_pixels: int | tuple[int, int] | None = None,
    batch_size: int = 256,
    max_corrupt_fraction: float = 1.0,
) -> ImageFeatures:
    """Compute the features of images with a frozen encoder.

    The images are prepared as by an export's signature for the bytes of files: decoded
    to what a person sees, and resized. Up to a size of 32 pixels this is the whole
    image, whatever its shape; above, its centre, in the shape of the encoder's input.

    Args:
      data: str in the grammar of `--data`, or a NumPy array `[n, H, W, C]`, a tuple
        (images, labels), or a tf.data.Dataset, see `simclr_tf.open_source`.
      encoder: path of a run, of an export or of a Keras file, `zoo:NAME`, or a
        keras.Model, float32 images `[N, H, W, C]` in [0, 1] to features.
      split: str or tuple of str; all splits of the data set if None.
      step: int, a checkpoint of the run; the newest if None.
      data_dir: str, folder of prepared tfds data sets.
      image_size_pixels: int or (height, width) of the encoder's input; that of the run
        or the export, or the fixed one of a model, if None.
      batch_size: int, images a step.
      max_corrupt_fraction: float in [0, 1]; more unreadable images are an error, others
        are left out.

    Returns:
      ImageFeatures: features float32 `[n, F]`, names, labels int32 `[n]` (-1: none) and
      classes, one row for every readable image, in the order of the names; and what is
      known of the encoder.

    Raises:
      SimCLRError: a wrong argument, file or folder, in one line.

    Example:
      >>> encoder = keras.Sequential([keras.layers.GlobalAveragePooling2D()])
      >>> images = np.full([3, 8, 8, 3], 255, np.uint8)
      >>> found = embed((images, [0, 1, 1]), encoder, image_size_pixels=8)
      >>> found.features.shape, found.names, found.labels.tolist()
      ((3, 3), ['train/0', 'train/1', 'train/2'], [0, 1, 1])
    """
    splits = (split,) if isinstance(split, str) else split
    is_model = isinstance(encoder, keras.Model)
    options = EncodedImages(
        encoder="a keras.Model" if is_model else os.fspath(encoder),
        data=data if isinstance(data, str) else None,
        split=splits,
        data_dir=data_dir,
        image_size_pixels=image_size_pixels,
        batch_size=batch_size,
        max_corrupt_fraction=max_corrupt_fraction,
    )
    if is_model:
        require(step is None, "`step` chooses a checkpoint of a run.", step=step)
        height, width, channels = _input_shape(encoder)
        size = image_size_pixels or (height, width)
        require(
            None not in np.ravel(size),
            "`image_size_pixels` is required: the encoder takes images of any size.",
            image_size_pixels=image_size_pixels,
        )
    else:
        place = open_encoder(options, {"data": data, **options.chosen()}, step=step)
        size = image_size_pixels or place.config.data.image_size_pixels
        encoder, channels = place.encoder, place.channels
    images = data
    # The pixels that the encoder was trained on: the background of its run.
    background = "white" if is_model else place.config.data.background
    if isinstance(data, str):
        images = DataConfig(source=data, data_dir=data_dir, background=background)
    parts = open_parts(images, options, channels)
    found, _ = encode_parts(encoder, parts, size, batch_size)
    identity = encoder_identity(encoder, size, background)
    return dataclasses.replace(found, encoder=identity)


def embed_and_report(options, *, say=print):
    """Compute the features of images and write them into a file.

    Names of files that are left out are written beside it.

    Args:
      options: simclr_tf.config.embed.EmbedOptions.
      say: function that prints a line (str).

    Returns:
      simclr_tf.evaluation.feature_files.ImageFeatures.

    Raises:
      SimCLRError: invalid options or data, or a file that cannot be written.
    """
    output = check_output(options.output, options.overwrite)
    listed = output.with_name(f"{output.stem}_{LEFT_OUT_FILE}")
    with left_out_listed(listed):
        place, parts, size = open_images(options, say)
    began = time.perf_counter()
    with left_out_listed(listed, *(part.source for part in parts)):
        found, _ = encode_parts(place.encoder, parts, size, options.batch_size)
    seconds = time.perf_counter() - began
    background = place.config.data.background
    identity = encoder_identity(place.encoder, size, background)
    found = dataclasses.replace(found, encoder=identity)
    write_features(output, found)
    number, width = found.features.shape
    say(
        f"{number:,} rows of {width:,} features in {seconds:.0f} s "
        f"({number / seconds:,.0f} images/s)"
    )
    if found.unreadable:
        say(
            f"Left out    {len(found.unreadable):,} images that cannot be read; "
            f"{listed} has their names"
        )
    return found


def check_output(path, overwrite):
    """Check, before the work, that a file can be written.

    Args:
      path: path.
      overwrite: bool, whether an existing file may be replaced.

    Returns:
      pathlib.Path, `~` expanded.

    Raises:
      ConfigError: a package is missing.
      WorkdirError: the file exists, or cannot be written.
    """
    path = pathlib.Path(path).expanduser()
    if path.suffix == ".parquet":
        require_extra("pyarrow", extra="parquet", wanted="A .parquet file")
    require_writable(path.parent)
    if path.is_dir():
        raise WorkdirError(f"Cannot write {path}: it is a folder.")
    if path.exists() and not overwrite:
        raise WorkdirError(
            f"{path} exists already: choose another --output, or replace it with "
            "--overwrite."
        )
    return path


def open_images(options, say=print, place=None):
    """Open an encoder and the images whose features it computes, and say which.

    Args:
      options: EncodedImages.
      say: function that prints a line (str).
      place: EncoderAt, if the encoder is open already.

    Returns:
      (EncoderAt, list of ImagePart, size): the last as in `image_size_pixels`.

    Raises:
      SimCLRError: no encoder, or no images.
    """
    chosen = options.chosen()
    if place is None:
        place = open_encoder(options, chosen, step=options.step)
        step = "" if place.step is None else f", step {place.step:,}"
        say(f"Encoder     {place.name}{step}")
    data = with_chosen(place.config.data, chosen)
    parts = open_parts(data, options, place.channels)
    size = data.image_size_pixels
    counts = [f"{part.split} {part.source.num_examples:,}" for part in parts]
    say(f"Images      {data.source}, {', '.join(counts)}, at {size_text(size)} px")
    return place, parts, size


def encoder_identity(encoder, image_size_pixels, background):
    """Describe what features depend on beside the images, to compare two files.

    Args:
      encoder: keras.Model.
      image_size_pixels: int or (height, width), of the encoder's input.
      background: str, the colour behind transparent images.

    Returns:
      dict of str to str.
    """
    return {
        "weights_sha256": sha256_of_weights(encoder),
        "image_size_pixels": size_text(image_size_pixels),
        "background": colour_text(rgb_of(background)),
    }


@dataclasses.dataclass(frozen=True)
class ImagePart:
    """The images of one split.

    Attributes:
      source: Source or StreamSource.
      split: str.
      prefix: str, what precedes the names of its files: the folder of the split.
    """

    source: Any
    split: str
    prefix: str = ""

    def name(self, example):
        """Name an image, as in `ImageFeatures`."""
        if isinstance(self.source, EncodedSource):
            return self.prefix + self.source.example_name(example).replace(os.sep, "/")
        row = example
        if isinstance(self.source, Source):
            row = self.source.rows(np.int64(example))
        return f"{self.split.partition('[')[0]}/{int(row)}"


def open_parts(data, options, channels):
    """Open the images of the chosen splits; of all if none is chosen.

    Args:
      data: DataConfig, or images in Python, see `open_source`.
      options: EncodedImages.
      channels: int, of the images that the encoder takes; None for any.

    Returns:
      list of ImagePart: in the order of the chosen splits, or of their names.

    Raises:
      SimCLRError: images that cannot be opened.
    """
    splits, root, details = ["train"], None, {}
    if isinstance(data, DataConfig):
        kind, target = kind_of(data.source)
        kind.require_packages()
        root, details = os.path.expanduser(target), {"data_dir": data.data_dir}
        if not options.split:
            splits = kind.split_names(target, data.data_dir)
        details |= {"slices": data.slices, "background": data.background}
        data = data.source
    splits = list(dict.fromkeys(options.split or splits))
    parts = []
    for split in splits:
        source = open_source(
            data,
            split=split,
            channels=channels,
            max_corrupt_fraction=options.max_corrupt_fraction,
            memory_limit_bytes=0,  # Each image is needed once.
            **details,
        )
        folder = getattr(source, "folder", None)
        inside = "." if folder is None else os.path.relpath(folder, root)
        prefix = "" if inside == "." else f"{inside}/".replace(os.sep, "/")
        parts.append(ImagePart(source, split, prefix))
    return parts


def encode_parts(encoder, parts, image_size_pixels, batch_size):
    """Compute the features of images, with a bar on a terminal.

    Args:
      encoder: keras.Model, as for `extract_features`.
      parts: list of ImagePart.
      image_size_pixels: int or (height, width), of the encoder's input.
      batch_size: int.

    Returns:
      (ImageFeatures, list of (ImagePart, id)): the place of each row.

    Raises:
      DataError: too many images, or all, cannot be read.
    """
    numbers = [part.source.num_examples for part in parts]
    total = None if None in numbers else sum(numbers)

    # Ids count through all parts; a stream of unknown length is the only part.
    firsts = np.cumsum([0, *(number or 0 for number in numbers[:-1])])

    def batches():
        for part, first in zip(parts, firsts, strict=True):
            for batch in evaluation_batches(part.source, batch_size, image_size_pixels):
                labels = batch.get("labels")
                labels = tf.fill([len(batch["ids"])], -1) if labels is None else labels
                yield {**batch, "ids": batch["ids"] + first, "labels": labels}

    with plain_errors():
        features, labels, ids = extract_features(encoder, with_bar(batches(), total))
    places = np.searchsorted(firsts, ids, "right") - 1
    rows = [
        (parts[place], number)
        for place, number in zip(places, (ids - firsts[places]).tolist(), strict=True)
    ]
    classes, labels = _joined_classes(parts, places, labels)
    found = ImageFeatures(
        features,
        [part.name(number) for part, number in rows],
        labels.astype(np.int32),
        classes,
        tuple(part.prefix + name for part in parts for name in part.source.corrupt),
    )
    return found, rows


def _joined_classes(parts, places, labels):
    """Number the classes of all parts together, by their names where they have any."""
    owns = [part.source.classes or () for part in parts]
    if len(set(owns)) == 1:
        return owns[0], labels
    classes = list(dict.fromkeys(name for own in owns for name in own))
    labels = labels.copy()
    for place, own in enumerate(owns):
        numbers = np.array([*map(classes.index, own), -1])
        rows = (places == place) & (labels < len(own))
        labels[rows] = numbers[labels[rows]]
    return tuple(classes), labels


def _input_shape(encoder):
    """Return (height, width, channels) of the encoder's input; None where free."""
    shape = getattr(encoder, "input_shape", None) if encoder.built else None
    is_known = isinstance(shape, tuple) and len(shape) == 4
    return shape[1:] if is_known else (None, None, None)
