"""The use cases: open data, load encoders, measure or train, and write results.

Each verb of the tool has a file of the same name here; open `evaluate.py` first.
`simclr_tf.report` draws the pages, tables and figures.
"""

from typing import TYPE_CHECKING

from simclr_tf.lazy import public_names

if TYPE_CHECKING:
    from simclr_tf.commands.benchmark import (
        benchmark_and_report as benchmark_and_report,
    )
    from simclr_tf.commands.distill import distill_and_report as distill_and_report
    from simclr_tf.commands.embed import embed_and_report as embed_and_report
    from simclr_tf.commands.evaluate import evaluate_and_report as evaluate_and_report
    from simclr_tf.commands.finetune import finetune_and_report as finetune_and_report
    from simclr_tf.commands.predict import predict_and_report as predict_and_report
    from simclr_tf.commands.report import report_of_runs as report_of_runs
    from simclr_tf.commands.show_views import show_views as show_views
    from simclr_tf.commands.study_report import report_of_study as report_of_study
    from simclr_tf.commands.transfer import transfer_and_report as transfer_and_report

__all__ = public_names(__name__, __file__)
