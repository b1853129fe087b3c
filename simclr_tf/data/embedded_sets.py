"""The two image sets that ship inside the package.

`freedoom_12` (colour, 6,007 + 2,534 crops of 32x32 pixels) lies as one large JPEG a
split, without chroma subsampling: its tiles are multiples of the 8-pixel blocks of
JPEG, so no tile colours its neighbour. `fashion_mnist_10k` (grey, 10,000 + 2,000
images of 28x28) is lossless. `tools/pack_embedded.py` made the former.
"""

import functools
import importlib.resources
import io
import json

import numpy as np
import tensorflow as tf

from simclr_tf.data.arrays import ArraySource
from simclr_tf.data.splits import cut, parse_split
from simclr_tf.errors import unknown_choice

EMBEDDED_SETS = ("freedoom_12", "fashion_mnist_10k")
_SPLITS = ("train", "test")


def open_embedded(target, *, name, split, channels):
    """`embedded:NAME`: images in memory, labels and class names.

    Args:
      target: str, one of `EMBEDDED_SETS`.
      name: str, the data set as the user wrote it.
      split: str, `train` or `test`, or a part like `train[:10%]`.
      channels: int or None, see `ArraySource`.

    Returns:
      ArraySource.

    Raises:
      ConfigError: for an unknown name or split.

    Example:
      >>> open_embedded("fashion_mnist_10k", name="embedded:fashion_mnist_10k",
      ...               split="test", channels=None).classes[:3]
      ('T-shirt/top', 'Trouser', 'Pullover')
    """
    if target not in EMBEDDED_SETS:
        raise unknown_choice("embedded data set", target, EMBEDDED_SETS)
    part, bounds = parse_split(split)
    if part not in _SPLITS:
        raise unknown_choice("split", part, _SPLITS)
    load = _load_sheets if target == "freedoom_12" else _load_archive
    images, labels, classes = load(target, part)
    source = ArraySource(
        name, images, labels, classes=classes, channels=channels, split=part
    )
    return cut(source, bounds, split)


def _content(file_name):
    folder = importlib.resources.files("simclr_tf.data").joinpath("embedded")
    return folder.joinpath(file_name).read_bytes()


def _load_archive(target, part):
    with np.load(io.BytesIO(_content(f"{target}.npz")), allow_pickle=False) as archive:
        return archive[f"x_{part}"], archive[f"y_{part}"], archive["classes"]


@functools.lru_cache(maxsize=4)
def _load_sheets(target, part):
    description = json.loads(_content(f"{target}.json"))
    tile, columns = description["tile_pixels"], description["columns"][part]
    # The accurate transform gives the same pixels on every machine.
    sheet = tf.io.decode_jpeg(
        _content(f"{target}_{part}.jpg"), channels=3, dct_method="INTEGER_ACCURATE"
    ).numpy()
    labels = np.array(description["labels"][part], np.int64)
    images = cut_tiles(sheet, tile, columns)[: len(labels)]
    images.setflags(write=False)
    return images, labels, description["classes"]


def cut_tiles(sheet, tile, columns):
    """A sheet of tiles, filled row by row -> the tiles.

    Args:
      sheet: uint8 `[rows * tile, columns * tile, C]`.
      tile: int, height and width of a tile in pixels.
      columns: int, tiles in a row.

    Returns:
      uint8 `[rows * columns, tile, tile, C]`.

    Example:
      >>> cut_tiles(np.arange(8).reshape(2, 4, 1), 2, 2)[1].ravel()
      array([2, 3, 6, 7])
    """
    rows = sheet.shape[0] // tile
    grid = sheet.reshape(rows, tile, columns, tile, sheet.shape[-1])
    tiles = grid.transpose(0, 2, 1, 3, 4)
    return tiles.reshape(rows * columns, tile, tile, sheet.shape[-1])
