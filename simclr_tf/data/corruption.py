"""Unreadable images: counted, named, skipped; too many stop the run."""

from __future__ import annotations

import contextlib
import logging
import math
import re
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from simclr_tf.errors import ConfigError, DataError
from simclr_tf.lazy import np, tf

if TYPE_CHECKING:
    from simclr_tf.data.random_access import Source
    from simclr_tf.data.streams import StreamSource


NOT_DECODABLE = "not decodable"
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
        self._source, self._max_fraction = source, max_corrupt_fraction
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
                check_corrupt_fraction(self._source, self._max_fraction)

    def _note(self, name):
        if name not in self._source.corrupt:
            self._source.corrupt.append(name)
            self._source.left_out[name] = NOT_DECODABLE
            _log.warning(
                "Skipped %s: it cannot be read (%d unreadable so far).",
                name,
                len(self._source.corrupt),
            )


def check_corrupt_fraction(source, max_corrupt_fraction=None):
    """Raise an error if too large a fraction of a data set is unreadable.

    Args:
      source: Source; its `corrupt` are the unreadable images.
      max_corrupt_fraction: float in [0, 1]; the source's own by default.

    Raises:
      DataError: a larger fraction is unreadable. It has the attributes `name` and
        `left_out` of the source.
    """
    allowed = source.max_corrupt_fraction
    if max_corrupt_fraction is not None:
        allowed = max_corrupt_fraction
    total = source.num_examples + source.num_dropped
    refuse_unreadable(source.corrupt, total, allowed, source.name, source.left_out)


def refuse_unreadable(corrupt, total, allowed, name, left_out):
    """Do what `check_corrupt_fraction` does, before there is a source.

    Args:
      corrupt: list of str, the unreadable images.
      total: int, all images, readable or not.
      allowed: float in [0, 1].
      name: str, the data set.
      left_out: dict of file to reason.
    """
    if not corrupt or len(corrupt) <= allowed * total:
        return
    more = f" and {len(corrupt) - _NAMED} more" if len(corrupt) > _NAMED else ""
    enough = math.ceil(1000 * len(corrupt) / total) / 1000
    way_out = (
        f", or leave them out with --data.max_corrupt_fraction={enough:g}"
        if len(corrupt) < total
        else ""
    )
    raise DataError(
        f"{len(corrupt)} of {total} images of `{name}` ({len(corrupt) / total:.1%}) "
        f"cannot be read: {', '.join(corrupt[:_NAMED])}{more}. Repair or remove them"
        f"{way_out}. Received: max_corrupt_fraction={allowed}.",
        name=name,
        left_out=dict(left_out),
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
