"""One benchmark, from its options to a JSON file, a table and a plot."""

from simclr_tf.benchmarks import run_benchmark, write_record
from simclr_tf.errors import WorkdirError
from simclr_tf.files import require_writable
from simclr_tf.report.benchmark_report import benchmark_markdown
from simclr_tf.report.result_figures import compares_sizes, cost_figure


def benchmark_and_report(
    benchmark, config, output, *, memory=False, profile=None, command=None, say=print
):
    """Run a benchmark, write its results, and print them.

    Args:
      benchmark, config, memory, profile, command: as for `run_benchmark`.
      output: path of the JSON file; where sizes are compared, a plot is written beside
        it.
      say: function that prints a line (str).

    Returns:
      Record.

    Raises:
      SimCLRError: see `run_benchmark`; or a file that cannot be written.
    """
    require_writable(output.parent)
    if profile is not None:
        require_writable(profile)
    if output.is_dir():
        raise WorkdirError(f"Cannot write {output}: it is a folder.")
    record = run_benchmark(
        benchmark, config, memory=memory, profile=profile, command=command, say=say
    )
    write_record(output, record)
    say(f"\n{benchmark_markdown([record])}\n")
    if compares_sizes(record):
        picture = output.with_suffix(".png")
        cost_figure(record).save(picture)
        say(f"Plotted in {picture}")
    return record
