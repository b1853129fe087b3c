"""Pages, figures and tables for people: this room only draws what it is given.

Nothing here opens images, loads an encoder or trains: `simclr_tf.commands` does. Open
`blocks.py` first (what a page is made of), then `figures.py` (every chart, once) and
`pages.py` (the same page as HTML and as Markdown).
"""

from simclr_tf.report.benchmark_report import benchmark_markdown
from simclr_tf.report.result_figures import cost_figure
from simclr_tf.report.result_sections import result_sections
from simclr_tf.report.result_tables import (
    distill_markdown,
    finetune_markdown,
    results_markdown,
    transfer_markdown,
)
from simclr_tf.report.tables import markdown_table
from simclr_tf.report.zoo_readme import check_published, zoo_readme

__all__ = [
    "benchmark_markdown",
    "check_published",
    "cost_figure",
    "distill_markdown",
    "finetune_markdown",
    "markdown_table",
    "result_sections",
    "results_markdown",
    "transfer_markdown",
    "zoo_readme",
]
