"""Pack an image archive into the JPEG sheets of an embedded data set.

    python tools/pack_embedded.py --input=freedoom_12_32.npz --name=freedoom_12

The archive holds `x_train`, `y_train`, `x_test`, `y_test` and `classes`. Each split
becomes one sheet of tiles. All DCT coefficients are quantised with the same step, which
gives the smallest mean squared error for a given size. The tool takes the finest step
whose sheets fit into `--max_bytes`, and prints the PSNR.
"""

import io
import json
import math
import os
import sys
from dataclasses import dataclass

import numpy as np
from PIL import Image

from simclr_tf.config.schema import Section, option
from simclr_tf.errors import DataError
from simclr_tf.tools import command_line


@dataclass(frozen=True)
class PackOptions(Section):
    """The archive to pack, and the folder to write."""

    input: str | None = option(
        None, "The archive, an .npz file.", required="the archive, an .npz file"
    )
    name: str | None = option(
        None, "Name of the embedded set.", required="the name of the embedded set"
    )
    output_dir: str = option("simclr_tf/data/embedded", "Folder of the embedded sets.")
    max_bytes: int = option(7_900_000, "Largest size of all sheets together.")


SECTIONS = (PackOptions,)
_SPLITS = ("train", "test")
_MAX_STEP = 16


def tile_sheet(images, columns):
    """Tile `[n, H, H, 3]` into one picture, row by row, the last filled with black."""
    count, tile = images.shape[:2]
    rows = math.ceil(count / columns)
    grid = np.zeros((rows * columns, tile, tile, 3), np.uint8)
    grid[:count] = images
    grid = grid.reshape(rows, columns, tile, tile, 3).transpose(0, 2, 1, 3, 4)
    return grid.reshape(rows * tile, columns * tile, 3)


def encode(sheet, step):
    """Encode a JPEG with quantisation `step` for every coefficient of every channel."""
    stream = io.BytesIO()
    Image.fromarray(sheet).save(
        stream,
        "JPEG",
        qtables=[[step] * 64] * 2,
        subsampling=0,
        optimize=True,
        progressive=True,
    )
    return stream.getvalue()


def finest_encoding(sheets, max_bytes):
    """Find the smallest step whose encoded sheets fit; return both."""
    for step in range(1, _MAX_STEP + 1):
        encoded = {part: encode(sheet, step) for part, sheet in sheets.items()}
        if sum(len(data) for data in encoded.values()) <= max_bytes:
            return step, encoded
    raise DataError(
        f"The sheets do not fit into {max_bytes} bytes with a step up to {_MAX_STEP}."
    )


def psnr(sheets, encoded, num_values):
    """Compute the peak signal-to-noise ratio over the pixels of all tiles, in dB."""
    squared = 0.0
    for part, sheet in sheets.items():
        decoded = np.asarray(Image.open(io.BytesIO(encoded[part])), np.float64)
        squared += ((decoded - sheet) ** 2).sum()
    return 10 * math.log10(255**2 * num_values / squared)


def run(given):
    """Pack the archive that the flags name."""
    options = given.make(PackOptions)
    archive = np.load(options.input, allow_pickle=False)
    images = {part: archive[f"x_{part}"] for part in _SPLITS}
    columns = {part: math.ceil(math.sqrt(len(x))) for part, x in images.items()}
    sheets = {part: tile_sheet(x, columns[part]) for part, x in images.items()}
    step, encoded = finest_encoding(sheets, options.max_bytes)
    description = {
        "classes": archive["classes"].tolist(),
        "tile_pixels": int(images["train"].shape[1]),
        "columns": columns,
        "labels": {part: archive[f"y_{part}"].tolist() for part in _SPLITS},
    }
    for part, data in encoded.items():
        path = os.path.join(options.output_dir, f"{options.name}_{part}.jpg")
        with open(path, "wb") as stream:
            stream.write(data)
    path = os.path.join(options.output_dir, f"{options.name}.json")
    with open(path, "w", encoding="utf-8") as stream:
        json.dump(description, stream, separators=(",", ":"))
    total = sum(len(data) for data in encoded.values())
    values = sum(x.size for x in images.values())
    print(
        f"quantisation step {step}, {total} bytes, "
        f"{psnr(sheets, encoded, values):.2f} dB"
    )


def main(argv=None):
    """Run the tool; return the exit code."""
    return command_line.execute("pack_embedded", __doc__, SECTIONS, run, argv)


if __name__ == "__main__":
    sys.exit(main())
