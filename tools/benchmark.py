"""Measure speed and memory: views, step, end_to_end, loss, data_scale.

simclr-tf benchmark views
simclr-tf benchmark loss --sizes=1024,4096,32768 --memory
simclr-tf benchmark data_scale --only=folders --sizes=1000,100000
simclr-tf benchmark table --results=benchmark_views.json,benchmark_step.json

Variants of the same work take turns, and ratios compare times of the same round:
medians of ratios hold on a machine whose speed varies. Close other programs anyway.

Writes a JSON file with every time, the versions and the machine, prints a Markdown
table of it, and plots cost against size where sizes are compared. `table` prints the
table of files written before.
"""

import pathlib
import sys

from absl import flags

from simclr_tf.config.benchmark import BENCHMARKS, BenchmarkConfig
from simclr_tf.errors import unknown_choice
from simclr_tf.tools import command_line, config_flags
from simclr_tf.tools.quiet_tensorflow import import_tensorflow

TABLE = "table"


def define(values):
    """The tool's flags."""
    what = "; ".join(f"{name}: {line}" for name, line in BENCHMARKS.items())
    flags.DEFINE_string(
        "benchmark",
        None,
        "What to measure, also without --benchmark= as the first "
        f"argument. {what}; {TABLE}: nothing, print the table of --results.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "output",
        None,
        "JSON file to write; benchmark_NAME.json if unset.",
        flag_values=values,
    )
    flags.DEFINE_list(
        "results", None, f"Files that {TABLE} prints.", flag_values=values
    )
    flags.DEFINE_bool(
        "memory",
        None,
        "Run each variant in a process of its own too, "
        "for the most memory it takes; on for loss if unset.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "profile",
        None,
        "Folder for a TensorBoard profile of one round of each case.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "intra_op_threads",
        0,
        "Threads within one operation; 0: TensorFlow decides.",
        flag_values=values,
        lower_bound=0,
    )
    flags.DEFINE_integer(
        "inter_op_threads",
        0,
        "Operations side by side; 0: TensorFlow decides.",
        flag_values=values,
        lower_bound=0,
    )
    config_flags.define_section_flags(BenchmarkConfig, values)


def named(arguments):
    """The arguments with the benchmark as a flag: `views` -> `--benchmark=views`."""
    if arguments and not arguments[0].startswith("-"):
        return [f"--benchmark={arguments[0]}", *arguments[1:]]
    return list(arguments)


def run(values):
    """Measure as the flags say."""
    benchmark = command_line.required(
        values, "benchmark", f"{', '.join(BENCHMARKS)} or {TABLE}"
    )
    if benchmark not in (*BENCHMARKS, TABLE):
        raise unknown_choice("benchmark", benchmark, (*BENCHMARKS, TABLE))
    config = config_flags.section_from_flags(BenchmarkConfig(), values)
    if benchmark == TABLE:
        _print_table(
            command_line.required(
                values, "results", "files that the benchmark wrote, with commas between"
            )
        )
        return
    import_tensorflow()
    _set_threads(values["intra_op_threads"].value, values["inter_op_threads"].value)
    from simclr_tf.reports.benchmark_report import benchmark_and_report

    memory = values["memory"].value
    benchmark_and_report(
        benchmark,
        config,
        pathlib.Path(values["output"].value or f"benchmark_{benchmark}.json"),
        memory=benchmark == "loss" if memory is None else memory,
        profile=values["profile"].value,
        command=command_line.typed("benchmark", values),
    )


def _print_table(paths):
    import_tensorflow()
    from simclr_tf.benchmarks import read_record
    from simclr_tf.reports.benchmark_report import benchmark_markdown

    print(benchmark_markdown([read_record(path) for path in paths]))


def _set_threads(intra_op, inter_op):
    import tensorflow as tf

    if intra_op:
        tf.config.threading.set_intra_op_parallelism_threads(intra_op)
    if inter_op:
        tf.config.threading.set_inter_op_parallelism_threads(inter_op)


def main(argv=None):
    """Returns the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    return command_line.execute(__doc__, define, run, named(arguments))


if __name__ == "__main__":
    sys.exit(main())
