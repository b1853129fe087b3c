"""Unreadable images: counted, named, skipped; too many stop the run."""

from __future__ import annotations

import collections
import contextlib
import logging
import os
import re
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from simclr_tf.data.pillow_images import HEIF_SUFFIXES
from simclr_tf.errors import ConfigError, DataError
from simclr_tf.lazy import np, tf

if TYPE_CHECKING:
    from simclr_tf.data.random_access import Source
    from simclr_tf.data.streams import StreamSource


_NAMED = 5
_ERROR_IN_GRAPH = re.compile(r"\b(DataError|ConfigError): (.*)")
_log = logging.getLogger("simclr_tf")


class CorruptionLog:
    """Record the unreadable images that a running pipeline replaces.

    Args:
      source: Source, whose list `corrupt` grows.
      max_corrupt_fraction: float in [0, 1]; the source's own by default.

    Example:
      >>> from simclr_tf.data.arrays import ArraySource
      >>> source = ArraySource("mine", np.zeros([9, 8, 8, 3], np.uint8))
      >>> CorruptionLog(source, 0.01).record(np.array([-1, -1]))
      >>> source.corrupt
      []
    """

    def __init__(
        self, source: Source | StreamSource, max_corrupt_fraction: float | None = None
    ) -> None:
        self._source = source
        self._max_fraction = (
            source.max_corrupt_fraction
            if max_corrupt_fraction is None
            else max_corrupt_fraction
        )
        self._seen = set()
        self._lock = threading.Lock()

    def record(self, skipped: Any) -> None:
        """Record the `skipped` ids of one batch.

        Each image is named once, as a warning of the logger `simclr_tf`.

        Args:
          skipped: int array of any shape, ids of undecodable examples, -1 for none.

        Raises:
          DataError: when the fraction of unreadable images exceeds the allowed one.
        """
        skipped = np.asarray(skipped).ravel()
        with self._lock:
            for example in np.unique(skipped[skipped >= 0]).tolist():
                if example not in self._seen:
                    self._seen.add(example)
                    self._note(self._source.example_name(example))
            if self._source.num_examples is not None:
                check_corrupt_fraction(
                    self._source.corrupt,
                    self._source.num_examples + self._source.num_dropped,
                    self._max_fraction,
                    self._source.name,
                )

    def _note(self, name):
        if name not in self._source.corrupt:
            self._source.corrupt.append(name)
            _log.warning(
                "Skipped %s: it cannot be read (%d unreadable so far).",
                name,
                len(self._source.corrupt),
            )


def check_corrupt_fraction(corrupt, total, max_corrupt_fraction, name):
    """Raise an error if too large a fraction of a data set is unreadable.

    Args:
      corrupt: list of str, the unreadable images.
      total: int, all images, readable or not.
      max_corrupt_fraction: float in [0, 1].
      name: str, the data set.

    Raises:
      DataError: if `len(corrupt) / total > max_corrupt_fraction`.
    """
    if not corrupt or len(corrupt) <= max_corrupt_fraction * total:
        return
    more = f" and {len(corrupt) - _NAMED} more" if len(corrupt) > _NAMED else ""
    raise DataError(
        f"{len(corrupt)} of {total} images of `{name}` ({len(corrupt) / total:.1%}) "
        f"cannot be read: {', '.join(corrupt[:_NAMED])}{more}. Repair or remove them, "
        "or allow more with --data.max_corrupt_fraction. "
        f"Received: max_corrupt_fraction={max_corrupt_fraction}."
    )


def report_dropped(reasons, name):
    """Name the images that were left out when a source was opened.

    Args:
      reasons: list of (str, str), image and reason.
      name: str, the data set.
    """
    for image, reason in reasons[:_NAMED]:
        _log.warning("Left out %s of `%s`: %s.", image, name, reason)
    if len(reasons) > _NAMED:
        _log.warning(
            "Left out %d images of `%s` in all; `Source.corrupt` lists them.",
            len(reasons),
            name,
        )


def report_other_files(others, num_images, name):
    """Count the files of a folder whose names are not those of images.

    Args:
      others: list of str, their names.
      num_images: int, how many files are taken.
      name: str, the data set.
    """
    if not others:
        return
    endings = collections.Counter(
        os.path.splitext(other)[1].lower() or os.path.basename(other)
        for other in others
    )
    kinds = [f"{count:,} {ending}" for ending, count in endings.most_common(_NAMED)]
    more = ", ..." if len(endings) > _NAMED else ""
    photographs = sorted(set(endings) & set(HEIF_SUFFIXES))
    way_out = (
        f" (to read {' and '.join(photographs)}: pip install pillow-heif)"
        if photographs
        else ""
    )
    _log.warning(
        "Left out %d of %d files of `%s`, which are not called images: %s%s%s.",
        len(others),
        len(others) + num_images,
        name,
        ", ".join(kinds),
        more,
        way_out,
    )


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Restore our own errors from those that TensorFlow wraps in a tf.data pipeline.

    TensorFlow turns every exception in a pipeline into one of its own. Inside this
    context, a loop over batches (or `fit`) raises the original `DataError` instead.

    Raises:
      DataError, ConfigError: as raised in the pipeline.

    Example:
      >>> with plain_errors():
      ...     [int(number) for number in tf.data.Dataset.range(3)]
      [0, 1, 2]
    """
    try:
        yield
    except tf.errors.OpError as error:
        found = _ERROR_IN_GRAPH.search(str(error))
        if found is None:
            raise
        kind = DataError if found.group(1) == "DataError" else ConfigError
        raise kind(found.group(2).strip()) from error
