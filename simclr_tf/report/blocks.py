"""The parts of a report, independent of its format (HTML or Markdown).

A page has sections, a section has blocks. Blocks hold numbers, words and pixels, no
markup: `pages.py` writes them in each format. A `drawing.Drawing` is a block too.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Text:
    """A paragraph; `words` between backticks are code.

    Attributes:
      text: str, one paragraph.
      kind: "plain", "note", "warning", or "heading" within a section.
    """

    text: str
    kind: str = "plain"


@dataclasses.dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
      header: tuple of str.
      rows: tuple of tuples, cells with a `str`.
      align: str of "l" and "r", one a column; the first left, others right if None.
      best: frozenset of (row, column), cells that are marked.
    """

    header: tuple
    rows: tuple
    align: str | None = None
    best: frozenset = frozenset()

    @property
    def sides(self):
        """str, `align` in full."""
        return self.align or "l" + "r" * (len(self.header) - 1)


@dataclasses.dataclass(frozen=True)
class Curves:
    """Lines over one axis.

    Attributes:
      title: str.
      lines: dict of name to (x, y), sequences of floats of one length.
      x_label: str.
      value_format: str for `format`, for the text of a value: ".3f", ".1%".
    """

    title: str
    lines: dict
    x_label: str = "epoch"
    value_format: str = ".3f"


@dataclasses.dataclass(frozen=True)
class Tile:
    """One small image.

    Attributes:
      image: uint8 or float in [0, 1], `[H, W, C]`.
      caption: str.
      mark: None, "same" or "other": the colour of its frame.
      group: str or None, the class by which readers filter.
      detail: str, a longer caption, such as the name of a file.
    """

    image: np.ndarray
    caption: str = ""
    mark: str | None = None
    group: str | None = None
    detail: str = ""


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Rows of small images.

    Attributes:
      title: str.
      rows: tuple of (title, tuple of Tile).
      legend: tuple of (text, mark).
      beside: int, successive rows that are shown next to each other if there is room.
      together: int, successive tiles that must stay on one line.
    """

    title: str
    rows: tuple
    legend: tuple = ()
    beside: int = 1
    together: int = 1


@dataclasses.dataclass(frozen=True)
class FeatureMaps:
    """The same images as points of one or more planes.

    Attributes:
      places: dict of title to float `[n, 2]`.
      images: uint8 `[n, T, T, C]`, thumbnails.
      names: list of n str, one an image.
      labels: int `[n]`, -1 for unlabelled, or None.
      classes: tuple of str, the name of each label, or None.
    """

    places: dict
    images: np.ndarray
    names: list
    labels: np.ndarray | None = None
    classes: tuple | None = None


@dataclasses.dataclass(frozen=True)
class Matrix:
    """Counts of classes against predictions.

    Attributes:
      title: str.
      counts: int `[C, C]`, rows are true classes, columns predictions.
      names: tuple of C str.
    """

    title: str
    counts: np.ndarray
    names: tuple


@dataclasses.dataclass(frozen=True)
class Picture:
    """A finished picture.

    Attributes:
      title: str.
      png: bytes.
      svg: bytes, the same picture as an SVG file, for HTML pages; or None.
    """

    title: str
    png: bytes
    svg: bytes | None = None


@dataclasses.dataclass(frozen=True)
class PageSection:
    """A headed part of a page; `blocks` is a tuple of the classes above."""

    title: str
    blocks: tuple


@dataclasses.dataclass(frozen=True)
class Page:
    """A report.

    Attributes:
      title: str.
      subtitle: str, one line below it.
      sections: tuple of PageSection.
    """

    title: str
    subtitle: str
    sections: tuple


def class_name(label, classes):
    """Name a label: its number where it has no name, "unlabelled" below 0.

    Example:
      >>> class_name(1, ("cat", "dog")), class_name(7, None), class_name(-1, None)
      ('dog', '7', 'unlabelled')
    """
    if label < 0:
        return "unlabelled"
    if classes is None or label >= len(classes):
        return str(int(label))
    return str(classes[int(label)])
