"""Synthetic JPEG files that cost as much to decode as photographs."""

import pathlib

import numpy as np
import tensorflow as tf


def write_photographs(folder, number, *, width, seed=0):
    """Write JPEG files of random landscapes of clouds.

    Random fields of all scales, finer ones a little weaker, have the wide spectrum of
    photographs: at 500 x 375 and quality 90 a file has 85 kB, about the size of files
      in
    ImageNet.

    Args:
      folder: path, made if it is not there.
      number: int >= 1.
      width: int, pixels; the height is 3/4 of it.
      seed: int.

    Returns:
      list of str, the files.

    Example:
      >>> import tempfile
      >>> paths = write_photographs(tempfile.mkdtemp(), 1, width=40)
      >>> tf.io.decode_jpeg(tf.io.read_file(paths[0])).shape.as_list()
      [30, 40, 3]
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    paths = []
    for index in range(number):
        pixels = tf.cast(_clouds(rng, max(width * 3 // 4, 1), width), tf.uint8)
        path = folder / f"{index:06}.jpg"
        path.write_bytes(tf.io.encode_jpeg(pixels, quality=90).numpy())
        paths.append(str(path))
    return paths


def _clouds(rng, height, width):
    """Draw clouds: float32 `[height, width, 3]` in 0..255."""
    total = np.full((height, width, 3), 128.0, np.float32)
    scale, strength = 4, 96.0
    while scale < 2 * width:
        coarse = rng.uniform(
            -1, 1, (max(min(scale * 3 // 4, height), 1), min(scale, width), 3)
        )
        # Colours vary less than brightness does, and not at the finest scales.
        coarse = coarse.mean(axis=-1, keepdims=True) + 0.3 * coarse
        total += (
            strength
            * tf.image.resize(
                coarse.astype(np.float32), (height, width), "bilinear"
            ).numpy()
        )
        scale, strength = scale * 2, 0.8 * strength
    return np.clip(total, 0, 255)
