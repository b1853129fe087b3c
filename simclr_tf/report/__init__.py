"""Tables, figures and pages for people, drawn from what is handed in.

Nothing here opens images, loads an encoder or trains: `simclr_tf.commands` does. Open
`blocks.py` first: the parts of a page.
"""

from simclr_tf.report.benchmark_report import benchmark_markdown, cost_figure
from simclr_tf.report.plots import neighbours_figure, view_pairs_figure
from simclr_tf.report.result_sections import result_sections
from simclr_tf.report.result_tables import (
    distill_markdown,
    finetune_markdown,
    transfer_markdown,
)
from simclr_tf.report.tables import markdown_table, results_markdown
from simclr_tf.report.zoo_readme import check_published, zoo_readme

__all__ = [
    "benchmark_markdown",
    "check_published",
    "cost_figure",
    "distill_markdown",
    "finetune_markdown",
    "markdown_table",
    "neighbours_figure",
    "result_sections",
    "results_markdown",
    "transfer_markdown",
    "view_pairs_figure",
    "zoo_readme",
]
