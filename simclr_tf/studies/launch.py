"""A study from its name to its folder: what `simclr-tf ablate` calls."""

from simclr_tf.errors import DataError, require
from simclr_tf.studies.cell_work import do_cell, labelled_sources
from simclr_tf.studies.cost import Operations, measured_speed
from simclr_tf.studies.quiet import without_warnings_of_retracing
from simclr_tf.studies.runner import StudyRunner
from simclr_tf.training.batches import open_training_source
from simclr_tf.training.run import set_threads


def run_study(
    study,
    base,
    *,
    budget,
    workdir,
    seeds=(0,),
    shard=(1, 1),
    retry_failed=False,
    dry_run=False,
    command="simclr_tf.studies",
    say=None,
):
    """Run a study, or what is left of it; or say what it would be.

    Writes study.json, study.md, study.png and cells/NAME-seedS/, each a workdir with
    its cell.json. The same call continues; several may run at once on one folder.

    Args:
      study: Study.
      base: Config, as of `base_config`.
      budget: str.
      workdir: path of the study's folder.
      seeds: ints.
      shard: (i, n) with 1 <= i <= n.
      retry_failed: bool, run again what failed before.
      dry_run: bool, print the cells and their cost, measured by a few steps, and write
        nothing.
      command: str, for the record.
      say: function of a str; prints at once if None: a study may take a night.

    Returns:
      Outcome; None for a dry run.

    Raises:
      SimCLRError: what the caller can put right; not what went wrong in a cell.
    """
    say = say or (lambda text: print(text, flush=True))
    _check(study, base, budget)
    set_threads(base.performance)  # Before the measured steps: TensorFlow's rule.
    source = open_training_source(base)
    if study.needs_colour and source.channels == 1:
        raise DataError(
            f"The study {study.name} is about colour and means nothing on grey images. "
            f"Use images in colour. Received: data={base.data.source!r}, channels=1."
        )
    labelled_sources(base, source.channels)  # Every cell is tested with labels.
    operations = Operations(source)
    runner = StudyRunner(
        study,
        base,
        budget=budget,
        workdir=workdir,
        seeds=seeds,
        shard=shard,
        train=do_cell,
        operations=operations.of,
        command=command,
        say=say,
        speed=lambda run: measured_speed(run, operations.of_step(run)),
    )
    if dry_run:
        say(runner.plan())
        return None
    with without_warnings_of_retracing():
        outcome = runner.run(retry_failed=retry_failed)
    say(
        f"{outcome.done} done, {outcome.failed} failed, {outcome.pending} pending. "
        f"Written to {workdir}."
    )
    return outcome


def _check(study, base, budget):
    """What no study can share among its cells."""
    require(
        base.strategy != "multi_worker",
        "The cells of a study are independent "
        "runs of one process each: start this command on every machine, with one "
        "--workdir that they share, or with --shard=i/n.",
        strategy=base.strategy,
    )
    varied = {option for cell in study.cells(base, budget) for option in cell.changes}
    require(
        base.steps is None or "epochs" not in varied,
        f"The study {study.name} varies the epochs, and `steps` would override them.",
        steps=base.steps,
    )
