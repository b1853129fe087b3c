"""Measure speed and memory, of views, steps, losses, data sets, probes and runs.

simclr-tf benchmark views
simclr-tf benchmark loss --sizes=1024,4096,32768 --memory
simclr-tf benchmark memory --precision=float32
simclr-tf benchmark data_scale --only=folders --sizes=1000,100000
simclr-tf benchmark probes --clock=processor
simclr-tf benchmark step --compiled --export_hlo=FOLDER
simclr-tf benchmark collectives --encoder=resnet18 --sizes=2,4
simclr-tf benchmark table --results=benchmark_views.json,benchmark_step.json

Variants of the same work take turns, and ratios compare times of the same round, so
they are right even if the speed of the machine varies. Close other programs anyway.

Writes a JSON file with every time, the versions and the machine, after each case, so
that Ctrl-C keeps what was measured; then prints a Markdown table, and plots cost
against size where sizes are compared. `table` prints the table
of JSON files written before. `collectives` measures no time: it counts the messages of
a step on logical devices, compares them with the formula, and estimates from it the
steps of 8 to 512 replicas. `step --export_hlo` writes the steps of ResNet-18 at 32
pixels and of ResNet-50 at 224 for a GPU, and time_steps.py, which times them there: it
needs JAX, and no TensorFlow.
"""

import pathlib
import sys

from simclr_tf.config.benchmark import COLLECTIVES, TABLE, BenchmarkOptions
from simclr_tf.tools import command_line
from simclr_tf.tools.quiet_tensorflow import import_tensorflow

SECTIONS = (BenchmarkOptions,)


def named(arguments):
    """Turn the name of a benchmark into a flag: `views` -> `--benchmark=views`."""
    if arguments and not arguments[0].startswith("-"):
        return [f"--benchmark={arguments[0]}", *arguments[1:]]
    return list(arguments)


def run(given):
    """Run the benchmark that the flags describe."""
    options = given.make(BenchmarkOptions)
    import_tensorflow()
    if options.benchmark == TABLE:
        _print_table(options.results)
        return
    _set_threads(options.intra_op_threads, options.inter_op_threads)
    from simclr_tf.commands.benchmark import (
        benchmark_and_report,
        collectives_and_report,
        export_and_report,
    )

    if options.export_hlo is not None:
        export_and_report(options.config(), options.export_hlo, command=given.command)
        command_line.done(options.export_hlo)
        return
    output = pathlib.Path(options.output or f"benchmark_{options.benchmark}.json")
    if options.benchmark == COLLECTIVES:
        collectives_and_report(options.config(), output, command=given.command)
        command_line.done(output, "benchmark table", results=output)
        return
    benchmark_and_report(
        options.benchmark,
        options.config(),
        output,
        memory=options.with_memory(),
        profile=options.profile,
        command=given.command,
    )
    command_line.done(output, "benchmark table", results=output)


def _print_table(paths):
    from simclr_tf.benchmarks import read_record
    from simclr_tf.report.benchmark_report import benchmark_markdown

    print(benchmark_markdown([read_record(path) for path in paths]))


def _set_threads(intra_op, inter_op):
    import tensorflow as tf

    if intra_op:
        tf.config.threading.set_intra_op_parallelism_threads(intra_op)
    if inter_op:
        tf.config.threading.set_inter_op_parallelism_threads(inter_op)


def main(argv=None):
    """Run the tool; return the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    return command_line.execute("benchmark", __doc__, SECTIONS, run, named(arguments))


if __name__ == "__main__":
    sys.exit(main())
