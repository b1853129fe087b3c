"""Result files as sections of a card: tables, commands, wall times, test sizes."""

import dataclasses

from simclr_tf.evaluation.finetune import PROTOCOL as FINE_TUNE
from simclr_tf.export.card import wall_time_text
from simclr_tf.report.result_tables import finetune_markdown
from simclr_tf.report.tables import results_markdown


def result_sections(results):
    """The sections of a card that say what one file of results holds.

    Args:
      results: simclr_tf.evaluation.Results.

    Returns:
      list of dicts with "title" and "markdown": frozen features, fine-tuning, as far
      as they were measured.

    Example:
      >>> from simclr_tf.evaluation import Measurement, Results
      >>> found = Measurement("fine-tuned", "fine_tune", "accuracy_percent", 84.0, 100,
      ...                     600, std=0.5, settings={"budget": "1 %", "seeds": [0, 1]})
      >>> [part["title"] for part in result_sections(Results("x", "y", (found,)))]
      ['Fine-tuning']
    """
    tuned = tuple(m for m in results.measurements if m.protocol == FINE_TUNE)
    probed = tuple(m for m in results.measurements if m.protocol != FINE_TUNE)
    sections = []
    for title, found, table in (
        ("Frozen features", probed, results_markdown),
        ("Fine-tuning", tuned, finetune_markdown),
    ):
        if found:
            part = dataclasses.replace(results, measurements=found)
            sections.append(
                {"title": title, "markdown": f"{table(part)}\n\n{_origin(results)}"}
            )
    return sections


def seconds_of(results):
    """How long measuring took, in seconds; 0 where it is not known.

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
    """What made a file of results, and how long it took."""
    seconds = seconds_of(results)
    took = f" in {wall_time_text(seconds)}" if seconds else ""
    if results.command is None:
        return f"Measured{took} from Python."
    return f"Measured{took} by `{results.command}`."
