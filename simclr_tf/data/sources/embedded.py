"""The two image sets that ship inside the package.

`freedoom_12` is one large JPEG a split, without chroma subsampling: its tiles are
multiples of the 8-pixel blocks of JPEG, so no tile colours its neighbour
(`tools/pack_embedded.py` made it). `fashion_mnist_10k` is lossless.
"""

import functools
import importlib.resources
import io
import json

from simclr_tf.data.arrays import ArraySource
from simclr_tf.data.sources.kind import SourceKind, cut, parse_split
from simclr_tf.errors import unknown_choice
from simclr_tf.lazy import np, tf

EMBEDDED_SETS = {
    "freedoom_12": "6,007 + 2,534 colour crops, 32x32, 12 kinds of game object",
    "fashion_mnist_10k": "10,000 + 2,000 grey pictures of clothes, 28x28",
}
FASHION_MNIST_LICENCE = "MIT, Copyright (c) 2017 Zalando SE, https://tech.zalando.com"
_SPLITS = ("train", "test")


class Embedded(SourceKind):
    """`embedded:NAME`: images in memory, with labels and the names of the classes."""

    forms = {f"embedded:{name}": what for name, what in EMBEDDED_SETS.items()}
    splits = "train, test"
    labels = "always"
    licences = {
        "freedoom_12": "BSD-3-Clause, Copyright (c) 2001-2018 Contributors to the "
        "Freedoom project",
        "fashion_mnist_10k": FASHION_MNIST_LICENCE,
    }

    def split_names(self, target, data_dir=None):
        """List the splits: those of every embedded set."""
        return sorted(_SPLITS)

    def open(self, target, request):
        """Open one of `EMBEDDED_SETS`: ArraySource."""
        if target not in EMBEDDED_SETS:
            raise unknown_choice("embedded data set", target, EMBEDDED_SETS)
        part, bounds = parse_split(request.split)
        if part not in _SPLITS:
            raise unknown_choice("split", part, _SPLITS)
        load = _load_sheets if target == "freedoom_12" else _load_archive
        images, labels, classes = load(target, part)
        source = ArraySource(
            request.name,
            images,
            labels,
            classes=classes,
            channels=request.channels,
            split=part,
        )
        return cut(source, bounds, request)


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
    # The accurate transform decodes the same pixels on every machine.
    sheet = tf.io.decode_jpeg(
        _content(f"{target}_{part}.jpg"), channels=3, dct_method="INTEGER_ACCURATE"
    ).numpy()
    labels = np.array(description["labels"][part], np.int64)
    images = cut_tiles(sheet, tile, columns)[: len(labels)]
    images.setflags(write=False)
    return images, labels, description["classes"]


def cut_tiles(sheet, tile, columns):
    """Cut a sheet of tiles, filled row by row, into the tiles.

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
