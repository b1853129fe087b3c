"""Frozen features: the outputs of an encoder, or the raw pixels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from simclr_tf.array_types import Array, Model
from simclr_tf.errors import DataError, NonFiniteError, require


def extract_features(
    encoder: Model, batches: Iterable[dict[str, Any]]
) -> tuple[Array, Array | None, Array]:
    """Compute the features of a whole set with a frozen encoder.

    The encoder runs in inference mode (batch norm with its moving statistics, no
    dropout), compiled once, and is bit-identical afterwards. Feature maps
    `[N, H, W, F]` are averaged over positions.

    Args:
      encoder: keras.Model, float32 images `[N, H, W, C]` in [0, 1] to `[N, F]` or
        `[N, H, W, F]`.
      batches: iterable (list, tf.data.Dataset) of dicts with "images" (float in
        [0, 1] or uint8, one size), "ids" `[N]` and, where known, "labels" `[N]`.

    Returns:
      features: float32 NumPy array `[n, F]`.
      labels: int64 NumPy array `[n]`, or None when the batches have none.
      ids: NumPy array `[n]`.

    Raises:
      DataError: no images, images of several sizes, labels in some batches only.
      NonFiniteError: the encoder returned NaN or infinity.

    Example:
      >>> from simclr_tf._keras import keras
      >>> encoder = keras.Sequential([keras.layers.GlobalAveragePooling2D()])
      >>> batch = {"images": np.ones([3, 4, 4, 2], np.float32), "ids": np.arange(3)}
      >>> features, labels, ids = extract_features(encoder, [batch])
      >>> features.shape, labels, ids.tolist()
      ((3, 2), None, [0, 1, 2])
    """
    forward = feature_function(encoder)
    features, labels, ids = _collect(batches, lambda images: forward(images).numpy())
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if bad.size:
        raise NonFiniteError(
            f"The encoder returned NaN or infinity for {bad.size} of {len(features)} "
            f"images (the first has the id {ids[bad[0]]!r}): its weights or these "
            "images are broken."
        )
    return features, labels, ids


def raw_pixels(
    batches: Iterable[dict[str, Any]], max_side_pixels: int | None = 32
) -> tuple[Array, Array | None, Array]:
    """Return the pixels as features, a baseline for every encoder.

    Larger images are shrunk by area averaging, their longer side to
    `max_side_pixels`: more pixels make this baseline slower, hardly better.

    Args:
      batches: as for `extract_features`.
      max_side_pixels: int >= 1, or None to keep every pixel.

    Returns:
      features: float32 `[n, H * W * C]` in [0, 1]; labels; ids: as in
        `extract_features`.

    Raises:
      DataError: as for `extract_features`.

    Example:
      >>> batch = {"images": np.full([1, 2, 2, 1], 255, np.uint8), "ids": [7]}
      >>> raw_pixels([batch])[0].tolist()
      [[1.0, 1.0, 1.0, 1.0]]
    """
    flatten = pixel_function(max_side_pixels)
    return _collect(batches, lambda images: flatten(images).numpy())


def feature_function(encoder):
    """Return a function from a batch to its features, as in `extract_features`.

    The function cannot train the encoder: the encoder runs in inference mode, batch
    norm with its moving statistics, and no gradient reaches its weights.

    Args:
      encoder: keras.Model, as for `extract_features`.

    Returns:
      Function of a float32 tensor `[N, H, W, C]` in [0, 1], all of one size, to a
      float32 tensor `[N, F]`; it is traced once, for any N.

    Example:
      >>> from simclr_tf._keras import keras
      >>> encoder = keras.Sequential([keras.layers.GlobalAveragePooling2D()])
      >>> feature_function(encoder)(tf.ones([3, 4, 4, 2])).shape
      TensorShape([3, 2])
    """
    forward = None

    def encode(images):
        nonlocal forward
        if forward is None:
            # One trace for all batches: the number of images may vary.
            spec = tf.TensorSpec([None, *images.shape[1:]], tf.float32)
            forward = (
                tf.function(
                    lambda x: tf.stop_gradient(_pool(encoder(x, training=False))),
                    input_signature=[spec],
                ).get_concrete_function()
            )  # TensorFlow warns if a tf.function has many traces.
        return forward(images)

    return encode


def pixel_function(max_side_pixels=32):
    """Return a function from a batch to its pixels, as in `raw_pixels`.

    Args:
      max_side_pixels: as for `raw_pixels`.

    Returns:
      Function of a float32 tensor `[N, H, W, C]` in [0, 1] to one of `[N, F]`.

    Raises:
      ConfigError: a size below 1.

    Example:
      >>> pixel_function(2)(tf.ones([3, 4, 4, 2])).shape
      TensorShape([3, 8])
    """
    require(
        max_side_pixels is None or max_side_pixels >= 1,
        "`max_side_pixels` must be >= 1, or None to keep every pixel.",
        max_side_pixels=max_side_pixels,
    )

    def flatten(images):
        longer = max(images.shape[1:3])
        if max_side_pixels is not None and longer > max_side_pixels:
            size = [
                max(1, round(side * max_side_pixels / longer))
                for side in images.shape[1:3]
            ]
            images = tf.image.resize(images, size, "area")
        return tf.reshape(images, [tf.shape(images)[0], -1])

    return flatten


def _collect(batches, represent):
    """Pass all batches through `represent`; concatenate, with labels and ids."""
    features, labels, ids, size = [], [], [], None
    for batch in batches:
        images = _float_images(batch["images"])
        if size is None:
            size = images.shape[1:]
        if images.shape[1:] != size:
            raise DataError(
                "All images of an evaluation must have one size. Received: "
                f"{tuple(size)} and {tuple(images.shape[1:])}."
            )
        features.append(np.asarray(represent(images), np.float32))
        ids.append(np.asarray(batch["ids"]))
        if batch.get("labels") is not None:
            labels.append(np.asarray(batch["labels"]).astype(np.int64))
    if not features:
        raise DataError("There are no images to evaluate: the set is empty.")
    if labels and len(labels) != len(features):
        raise DataError(
            f"Only {len(labels)} of {len(features)} batches have labels: all of them "
            "or none must have labels."
        )
    return (
        _joined(features),
        np.concatenate(labels) if labels else None,
        np.concatenate(ids),
    )


def _joined(blocks):
    """Concatenate arrays, and empty the list on the way: no row is in memory twice."""
    joined = np.empty([sum(map(len, blocks)), *blocks[0].shape[1:]], np.float32)
    end = len(joined)
    while blocks:
        block = blocks.pop()
        joined[end - len(block) : end] = block
        end -= len(block)
    return joined


def _float_images(images):
    images = tf.convert_to_tensor(images)
    if images.shape.rank != 4:
        raise DataError(
            f"Images must have the shape [N, H, W, C]. Received: {tuple(images.shape)}."
        )
    # uint8 is divided by 255; floats are only cast.
    return tf.image.convert_image_dtype(images, tf.float32)


def _pool(outputs):
    outputs = tf.cast(outputs, tf.float32)
    return tf.reduce_mean(outputs, [1, 2]) if outputs.shape.rank == 4 else outputs
