"""Pages, figures and tables for people: this room only draws what it is given.

Open `blocks.py` first (what a page is made of), then `figures.py` (every figure, once)
and `pages.py` (the same page as HTML and as Markdown).
"""

from simclr_tf.report.benchmark_report import (
    benchmark_and_report,
    benchmark_markdown,
)
from simclr_tf.report.distill_report import distill_and_report, distill_markdown
from simclr_tf.report.evaluation_report import evaluate_and_report
from simclr_tf.report.finetune_report import finetune_and_report
from simclr_tf.report.result_figures import cost_figure
from simclr_tf.report.result_sections import result_sections
from simclr_tf.report.run_card import card_of_run, fine_tuned_card, record_of_run
from simclr_tf.report.study_report import report_of_study
from simclr_tf.report.tables import (
    finetune_markdown,
    markdown_table,
    results_markdown,
    transfer_markdown,
)
from simclr_tf.report.transfer_report import transfer_and_report
from simclr_tf.report.views_report import show_views
from simclr_tf.report.workdir_report import report_of_runs
from simclr_tf.report.zoo_readme import check_published, zoo_readme

__all__ = [
    "benchmark_and_report",
    "benchmark_markdown",
    "card_of_run",
    "check_published",
    "cost_figure",
    "distill_and_report",
    "distill_markdown",
    "evaluate_and_report",
    "fine_tuned_card",
    "finetune_and_report",
    "finetune_markdown",
    "markdown_table",
    "record_of_run",
    "report_of_runs",
    "report_of_study",
    "result_sections",
    "results_markdown",
    "show_views",
    "transfer_and_report",
    "transfer_markdown",
    "zoo_readme",
]
