"""Tables and pictures for people."""

from simclr_tf.reports.evaluation_report import evaluate_and_report
from simclr_tf.reports.finetune_report import finetune_and_report, finetune_markdown
from simclr_tf.reports.plots import neighbours_figure, view_pairs_figure
from simclr_tf.reports.run_card import card_of_run
from simclr_tf.reports.tables import (
    card_metrics,
    markdown_table,
    results_markdown,
)
from simclr_tf.reports.transfer_report import transfer_and_report, transfer_markdown

__all__ = [
    "card_metrics",
    "card_of_run",
    "evaluate_and_report",
    "finetune_and_report",
    "finetune_markdown",
    "markdown_table",
    "neighbours_figure",
    "results_markdown",
    "transfer_and_report",
    "transfer_markdown",
    "view_pairs_figure",
]
