"""One benchmark, from its options to a JSON file, a table and a plot."""

import dataclasses
import functools
import pathlib

from simclr_tf.benchmarks import MessageRecord, run_benchmark, write_record
from simclr_tf.benchmarks.compiled_steps import (
    export_steps,
    steps_to_export,
    write_programs,
)
from simclr_tf.benchmarks.message_counts import (
    count_step,
    expected_steps,
    model_on_replicas,
)
from simclr_tf.config.benchmark import COLLECTIVES
from simclr_tf.errors import WorkdirError
from simclr_tf.files import require_writable
from simclr_tf.report.benchmark_report import benchmark_markdown
from simclr_tf.report.result_figures import compares_sizes, cost_figure


def benchmark_and_report(
    benchmark, config, output, *, memory=False, profile=None, command=None, say=print
):
    """Run a benchmark, write its results after each case, and print them.

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
        benchmark,
        config,
        memory=memory,
        profile=profile,
        command=command,
        say=say,
        keep=functools.partial(write_record, output),
    )
    say(f"\n{benchmark_markdown([record])}\n")
    if compares_sizes(record):
        picture = output.with_suffix(".png")
        cost_figure(record).save(picture)
        say(f"Plotted in {picture}")
    return record


def collectives_and_report(config, output, *, command=None, say=print):
    """Count the messages of a step, estimate the steps of many replicas, print both.

    Args:
      config: BenchmarkConfig.
      output: path of the JSON file.
      command: str, kept in the file.
      say: function that prints a line (str).

    Returns:
      MessageRecord.

    Raises:
      SimCLRError: replicas that do not divide the batch, or cannot be had here.
    """
    require_writable(output.parent)
    # The largest first: logical devices cannot be added later.
    sizes = sorted(config.sizes_of(COLLECTIVES), reverse=True)
    counted = []
    for replicas in sizes:
        say(f"collectives: a step of {replicas} replicas")
        model = model_on_replicas(config, replicas)
        counted.insert(0, count_step(model, config.batch_size))
    record = MessageRecord(
        tuple(counted),
        tuple(expected_steps(config, model)),
        command,
        dataclasses.asdict(config),
    )
    write_record(output, record)
    say(f"\n{benchmark_markdown([record])}\n")
    return record


def export_and_report(config, folder, *, command=None, say=print):
    """Write training steps as programs of XLA, and what times them elsewhere.

    Args:
      config: BenchmarkConfig; its `only` and `sizes` choose the steps.
      folder: path.
      command: str, kept in the folder.
      say: function that prints a line (str).

    Raises:
      SimCLRError: no such step, or a folder that cannot be written.
    """
    steps = steps_to_export(config.only, config.sizes)
    require_writable(folder)
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    export_steps(steps, config, folder, command=command, say=say)
    write_programs(folder)
    say(f"On a machine with a GPU and JAX: python3 {folder}/time_steps.py {folder}")
