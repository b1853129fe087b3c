"""Write a page about a run, several runs or a study: HTML, and Markdown with PNG.

simclr-tf report --workdir=runs/demo
simclr-tf report --workdir=runs/a --workdir=runs/b --output=comparison.html
simclr-tf report --study=studies/temperature

The HTML file is self-contained; the Markdown has its figures beside it. One workdir:
results with intervals, nearest neighbours before and after training, maps of the
features, mistakes of the probe, curves, view pairs, cost, configuration. Several
workdirs: results and neighbours side by side, and the options that differ.
"""

import sys

from simclr_tf.config.report import ReportOptions
from simclr_tf.tools import command_line
from simclr_tf.tools.quiet_tensorflow import import_tensorflow

SECTIONS = (ReportOptions,)


def run(given):
    """Write the report that the flags describe."""
    options = given.make(ReportOptions)
    import_tensorflow()
    if options.study:
        from simclr_tf.commands.study_report import report_of_study

        command_line.done(
            report_of_study(options.study, options.target(), command=given.command)
        )
        return
    from simclr_tf.commands.report import report_of_runs

    written = report_of_runs(
        options.workdir,
        options.target(),
        features=options.features,
        chosen=options.chosen(),
        num_images=options.num_images,
        map_images=options.map_images,
        seed=options.seed,
        command=given.command,
    )
    if len(options.workdir) > 1 or not (written and _has_encoder(options.workdir[0])):
        command_line.done(written)
        return
    command_line.done(written, "export", **command_line.export_of(options.workdir[0]))


def _has_encoder(workdir):
    from simclr_tf.commands.run_files import read_run

    run = read_run(workdir)
    return run.step is not None and run.config.encoder.name != "custom"


def main(argv=None):
    """Run the tool; return the exit code."""
    return command_line.execute("report", __doc__, SECTIONS, run, argv)


if __name__ == "__main__":
    sys.exit(main())
