"""Files of results in words: tables, commands, wall times, test sizes."""

import dataclasses

from simclr_tf.errors import DataError
from simclr_tf.evaluation.few_labels import PROTOCOL as FINE_TUNE
from simclr_tf.export.card import wall_time_text
from simclr_tf.report.blocks import Text
from simclr_tf.report.result_tables import finetune_table, results_table
from simclr_tf.report.tables import markdown_of

FROZEN, FINE_TUNING = "Frozen features", "Fine-tuning"


def results_as_blocks(results):
    """Turn one file of results into blocks of a page.

    Args:
      results: simclr_tf.evaluation.Results.

    Returns:
      list of (title, results, blocks): frozen features and fine-tuning, as far as they
      were measured, each with its own results.

    Raises:
      DataError: settings of a measurement that the tables need are missing.

    Example:
      >>> from simclr_tf.evaluation import Measurement, Results
      >>> found = Measurement("fine-tuned", "fine_tune", "accuracy_percent", 84.0, 100,
      ...                     600, std=0.5, settings={"budget": "1 %", "seeds": [0, 1]})
      >>> [title for title, *_ in results_as_blocks(Results("x", "y", (found,)))]
      ['Fine-tuning']
    """
    tuned = tuple(m for m in results.measurements if m.protocol == FINE_TUNE)
    probed = tuple(m for m in results.measurements if m.protocol != FINE_TUNE)
    found = []
    for title, measured, table in (
        (FROZEN, probed, results_table),
        (FINE_TUNING, tuned, finetune_table),
    ):
        part = dataclasses.replace(results, measurements=measured)
        try:
            blocks = (*table(part), Text(_origin(results))) if measured else ()
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"The results of {results.encoder!r} are damaged: the settings of a "
                f"measurement miss {error}. Measure again."
            ) from error
        found += [(title, part, blocks)] if measured else []
    return found


def result_sections(results):
    """Make the sections of a card on one file of results.

    Args:
      results: simclr_tf.evaluation.Results.

    Returns:
      list of dicts with "title" and "markdown", see `results_as_blocks`.
    """
    return [
        {"title": title, "markdown": markdown_of(blocks)}
        for title, _, blocks in results_as_blocks(results)
    ]


def seconds_of(results):
    """Return how long the measurement took, in seconds; 0 where it is not known.

    A protocol that was interrupted took longer than the call that ended it.

    Args:
      results: simclr_tf.evaluation.Results.

    Returns:
      float.

    Example:
      >>> from simclr_tf.evaluation import Results
      >>> seconds_of(Results("x", "y", (), wall_seconds=3.0))
      3.0
    """
    return max(
        results.wall_seconds or 0.0,
        sum(m.wall_seconds or 0.0 for m in results.measurements),
    )


def _origin(results):
    """Name what made a file of results, and how long it took."""
    seconds = seconds_of(results)
    took = f" in {wall_time_text(seconds)}" if seconds else ""
    if results.command is None:
        return f"Measured{took} from Python."
    return f"Measured{took} by `{results.command}`."
