"""A page of small images with words beside them, drawn with matplotlib."""

import numpy as np

from simclr_tf.errors import DataError
from simclr_tf.report.figure_files import matplotlib_parts, save_figure

_INK, _FAINT = "#222222", "#777777"
_TILE_INCHES = 0.62
_DPI = 160


class TileSheet:
    """Tiles and texts on a page; places are in tiles from the upper left corner.

    Args:
      width, height: float, of what is drawn, in tiles.
      top: float, room for titles above it.
      margin, bottom: float, room around it.

    Raises:
      ConfigError: matplotlib is missing.
    """

    def __init__(self, width, height, *, top, margin=0.3, bottom=0.3):
        figure_module, canvas_module = matplotlib_parts()
        self._left, self._top = margin, top + margin
        size = (width + 2 * margin, height + self._top + bottom)
        self._size = size
        self._figure = figure_module.Figure(
            figsize=[side * _TILE_INCHES for side in size], dpi=_DPI, facecolor="white"
        )
        canvas_module.FigureCanvasAgg(self._figure)
        # One pair of axes for all tiles: a hundred pairs would take ten times as long.
        self._axes = self._figure.add_axes((0, 0, 1, 1))
        self._axes.set(xlim=(0, size[0]), ylim=(size[1], 0), autoscale_on=False)
        self._axes.set_axis_off()

    def _place(self, x, y):
        """Figure coordinates, from the lower left corner."""
        return (x + self._left) / self._size[0], 1 - (y + self._top) / self._size[1]

    def tile(self, image, x, y, frame=None):
        """An image of one tile, its own pixels unsmoothed."""
        left, top = x + self._left, y + self._top
        self._axes.imshow(
            image,
            cmap="gray",
            vmin=0,
            vmax=1,
            interpolation="nearest",
            aspect="auto",
            extent=(left, left + 1, top + 1, top),
        )
        if frame is not None:
            right, bottom = left + 1, top + 1
            self._axes.plot(
                [left, right, right, left, left],
                [top, top, bottom, bottom, top],
                color=frame,
                linewidth=2.2,
            )

    def text(self, text, x, y, *, small=False, bold=False, color=None, align="center"):
        """Text whose lower edge, in the middle (or at its left), is at (x, y)."""
        self._figure.text(
            *self._place(x, y),
            text,
            ha=align,
            va="bottom",
            fontsize=5.0 if small else 9.0 if bold else 7.5,
            fontweight="bold" if bold else "normal",
            color=color or (_FAINT if small else _INK),
        )

    def title(self, text):
        """The heading, at the upper left."""
        self._figure.text(
            self._left / self._size[0],
            1 - 0.25 / self._size[1],
            text,
            ha="left",
            va="top",
            fontsize=9.5,
            fontweight="bold",
            color=_INK,
        )

    def legend(self, entries):
        """What the colours mean, at the upper right."""
        x = 1 - self._left / self._size[0]
        for text, color in reversed(entries):
            label = self._figure.text(
                x,
                1 - 0.25 / self._size[1],
                f"■ {text}",
                ha="right",
                va="top",
                fontsize=7.5,
                color=color,
            )
            extent = label.get_window_extent()
            x -= (extent.width + 12) / self._figure.bbox.width

    def save(self, path):
        """Write the PNG; a reader sees the old one or the whole new one."""
        save_figure(self._figure, path)


def displayable(images):
    """Images as matplotlib shows them.

    Args:
      images: `[N, H, W, C]`, uint8 or float in [0, 1].

    Returns:
      float32 `[N, H, W]` (grey) or `[N, H, W, 3]` in [0, 1].

    Raises:
      DataError: another number of dimensions.

    Example:
      >>> displayable(np.full([1, 2, 2, 1], 255, np.uint8)).tolist()
      [[[1.0, 1.0], [1.0, 1.0]]]
    """
    images = np.asarray(images)
    if images.ndim != 4:
        raise DataError(f"Images have the shape [N, H, W, C], not {images.shape}.")
    if images.dtype == np.uint8:
        images = images / np.float32(255)
    images = np.clip(images.astype(np.float32), 0, 1)
    # Of other channels than grey or RGB: the first three, or the first.
    return images[..., :3] if images.shape[-1] >= 3 else images[..., 0]
