"""The interface of a kind of data set, and the request that opens one."""

import dataclasses
import importlib
import logging
import re

from simclr_tf.errors import ConfigError, DataError, received_text, require
from simclr_tf.lazy import module, np

IN_ORDER = "images in their own order, not by class"
label_budgets = module("simclr_tf.data.label_budgets")
_log = logging.getLogger("simclr_tf")
_SPLIT = re.compile(r"([\w.\-]+)(?:\[(-?\d{1,18}%?)?:(-?\d{1,18}%?)?\])?")


class MissingSplitError(DataError):
    """A split that a data set does not have, or whose images have no labels."""

    def restated(self, message):
        """Return the same error with another message."""
        return MissingSplitError(message)


class SourceKind:
    """One scheme of `--data`, such as `folder:`, with its properties.

    A kind is an instance of a subclass, entered in `SOURCES` under its scheme. It
    imports NumPy and TensorFlow only when it opens a data set (`simclr_tf.lazy`).

    Attributes:
      forms: dict of str to str: how users write it (`folder:PATH`), and its meaning.
      splits: str, the splits it has.
      labels: str, the origin of the labels.
      may_hold_out: bool, whether a test split is often missing. Evaluation then tests
        on training images that are held out from its probes.
      has_own_slices: bool, whether `open` cuts slices by a rule of its own, not `cut`.
      packages: dict of str to str, modules that `open` imports and their names for pip.
      licences: dict of str to str: targets whose licence is known, and the licence.
    """

    forms = {}
    splits = "train"
    labels = "none"
    may_hold_out = False
    has_own_slices = False
    packages = {}
    licences = {}

    def open(self, target, request):
        """Open a data set.

        Args:
          target: str, the text after the colon; not empty.
          request: Request.

        Returns:
          Source.

        Raises:
          ConfigError, DataError: the target or the split is unusable.
          MissingSplitError: there is no such split; only then may evaluation hold out
            training images instead.
        """
        raise NotImplementedError

    def split_names(self, target, data_dir=None):
        """List the splits that a data set has, in the order of their names.

        Args:
          target: str, the text after the colon; not empty.
          data_dir: str or None, folder of TensorFlow Datasets.

        Returns:
          list of str.

        Raises:
          DataError: the target is missing or damaged.
        """
        return ["train"]

    def recognises(self, text):
        """Tell whether a text without a scheme looks like a target of this kind."""
        return False

    def require_packages(self):
        """Import the packages that the kind needs.

        Raises:
          DataError: one is not installed.
        """
        for name, package in self.packages.items():
            try:
                importlib.import_module(name)
            except ImportError as error:
                raise DataError(
                    f"`{next(iter(self.forms))}` needs {package}; install it with "
                    f"`pip install {package}`. Received: error={str(error)!r}."
                ) from error


@dataclasses.dataclass(frozen=True)
class Request:
    """The arguments of `open_source`.

    Attributes:
      name: str, the data set as the user wrote it.
      split: str, e.g. `train` or `test[:10%]`.
      data_dir: str or None.
      channels: int or None.
      max_corrupt_fraction: float in [0, 1].
      labelled: `auto`, True or False.
      memory_limit_bytes: int.
      background: str, the colour behind transparent image files.
      slices: `stratified` or `in_order`, see `cut`.
    """

    name: str
    split: str = "train"
    data_dir: str | None = None
    channels: int | None = None
    max_corrupt_fraction: float = 0.01
    labelled: bool | str = "auto"
    memory_limit_bytes: int = 1 << 30
    slices: str = "stratified"
    background: str = "white"

    def __post_init__(self):
        require(
            0 <= self.max_corrupt_fraction <= 1,
            "`max_corrupt_fraction` must be in [0, 1].",
            max_corrupt_fraction=self.max_corrupt_fraction,
        )
        require(
            self.channels is None or self.channels >= 1,
            "`channels` must be >= 1.",
            channels=self.channels,
        )
        require(
            self.labelled in ("auto", True, False),
            '`labelled` must be "auto", True or False.',
            labelled=self.labelled,
        )
        require(
            self.slices in ("stratified", "in_order"),
            '`slices` must be "stratified" or "in_order".',
            slices=self.slices,
        )

    def require_channels_of_files(self):
        """Raise `ConfigError` unless image files can be decoded to `channels`."""
        require(
            self.channels in (None, 1, 3),
            "Image files can be read with 1 or 3 channels.",
            channels=self.channels,
        )


def parse_split(split):
    """Read a split string: its name and its bounds.

    Args:
      split: str, `NAME` or `NAME[FROM:TO]`; bounds are numbers of examples or
        percentages, negative ones count from the end, both may be left out.

    Returns:
      (name, None), or (name, (from, to)) with str or None each.

    Raises:
      ConfigError: for any other form.

    Example:
      >>> parse_split("train[:10%]")
      ('train', (None, '10%'))
    """
    match = _SPLIT.fullmatch(str(split).strip())
    if match is None:
        raise ConfigError(
            "`split` must look like `train`, `train[:10%]` or `test[100:200]`. "
            + received_text(split=split)
        )
    name, start, stop = match.groups()
    return name, (None if "[" not in split else (start, stop))


def bounds_to_range(bounds, num_examples):
    """Turn bounds into positions, percentages rounded to the nearest example.

    Args:
      bounds: (from, to) of `parse_split`.
      num_examples: int.

    Returns:
      (start, stop), ints in [0, num_examples].

    Example:
      >>> bounds_to_range((None, "10%"), 25), bounds_to_range(("-5", None), 25)
      ((0, 2), (20, 25))
    """

    def position(bound, missing):
        place = _place(bound, missing, num_examples)
        return min(max(place, 0), num_examples)

    start = position(bounds[0], 0)
    return start, max(start, position(bounds[1], num_examples))


def _place(bound, missing, num_examples):
    """Turn one bound into a place, which may lie outside of the examples."""
    if bound is None:
        return missing
    value = (
        round(num_examples * int(bound[:-1]) / 100)
        if bound.endswith("%")
        else int(bound)
    )
    return value + num_examples if value < 0 else value


def cut(source, bounds, request):
    """Take the part of a source within the bounds of `parse_split`.

    `stratified`: the images are put into a random order that has the same mixture of
    classes everywhere (one class if there are no labels), always with seed 0, and the
    part is taken from it. So `[:80%]` and `[80%:]` have no image in common, hold all
    images together, and each has its share of every class. `in_order`: the part is
    taken from the images in their own order, as in version 0.1.0. A part keeps the
    order of the source.

    Args:
      source: Source.
      bounds: of `parse_split`; None for all images.
      request: Request, for `split` and `slices`.

    Returns:
      Source.
    """
    if bounds is None:
        return source
    number = source.num_examples
    places = [_place(bound, 0, number) for bound in bounds]
    if not all(0 <= place <= number for place in places):
        _log.warning(
            "The split `%s` reaches beyond the %d images of `%s`, and is cut there.",
            request.split,
            number,
            source.name,
        )
    start, stop = bounds_to_range(bounds, number)
    if request.slices == "in_order":
        chosen, rule = np.arange(start, stop), IN_ORDER
    else:
        labels = np.zeros(number) if source.labels is None else source.labels
        chosen = np.sort(label_budgets.mixed_order(labels, seed=0)[start:stop])
        rule = "a fixed random sample"
        rule += "" if source.labels is None else " with its share of each class"
    part = source.subset(chosen, split=request.split)
    part.slice_rule = rule
    return part
