"""Repeat one of the paper's ablations on your own images, and draw its figure.

simclr-tf ablate --study=temperature --data=embedded:freedoom_12 --workdir=runs/t
simclr-tf ablate --study=losses --data=folder:PATH --workdir=runs/l --seeds=3
simclr-tf ablate --study=optimizer --data=folder:PATH --workdir=SHARED --shard=2/4
simclr-tf ablate --study=encoder_size --data=... --workdir=... --dry_run

Studies: augmentation_pairs (Figure 5), colour_strength (Table 1), projection_head
(Figure 8), head_information (Table 3), losses (Table 4), temperature (Table 5),
batch_and_epochs (Figure 9), encoder_size (Figure 7), label_fraction (Table 7),
optimizer (section 2.2), objectives (all of them, which no paper compares) and
small_batches (does a memory replace a batch?). The images need labels, for the probes,
and a test split.

Budgets: small takes minutes on two CPU cores, medium a night, paper has the paper's
own settings (--data=tfds:imagenet2012). Flags of `pretrain` change what all cells
share; the options that the study varies override them.

Writes study.json, study.md and study.png with the paper's numbers beside yours, and a
workdir for every cell. The same command continues, and so does --workdir=
alone. --shard=i/n divides the cells among machines that share the folder. Cells that
failed are shown as failed; the exit code is then 1. --only=TEXT,... runs the cells
with one of these texts in their name, e.g. those of one seed.
"""

import pathlib
import sys

from simclr_tf.config import Config
from simclr_tf.config.ablate import AblateOptions
from simclr_tf.config.moved import flat_with_present_names
from simclr_tf.config.schema import differences, override
from simclr_tf.errors import ConfigError, WorkdirError
from simclr_tf.limits import read_json
from simclr_tf.studies import base_config, get_study, runs_of
from simclr_tf.tools import command_line
from simclr_tf.tools.config_flags import FlagsOf
from simclr_tf.tools.quiet_tensorflow import import_tensorflow

SECTIONS = (AblateOptions, FlagsOf(Config, without=("preset",)))


def run(given):
    """Run the study that the flags describe; return the exit code."""
    options, base = options_of(given)
    study = get_study(options.study)
    seeds = tuple(range(base.seed, base.seed + options.seeds))
    runs_of(study.cells(base, options.budget), base, seeds)  # All configs are checked.
    import_tensorflow()
    from simclr_tf.studies.study_runner import run_study

    outcome = run_study(
        study,
        base,
        budget=options.budget,
        workdir=options.workdir or ".",
        seeds=seeds,
        only=options.only,
        shard=options.part(),
        retry_failed=options.retry_failed,
        dry_run=options.dry_run,
        command=given.command,
    )
    if outcome is not None:
        folder = options.workdir or "."
        command_line.done(folder, "report", study=folder)
    return int(outcome is not None and outcome.failed_here > 0)


def options_of(given):
    """Read the options of a study from the command line.

    Args:
      given: Given.

    Returns:
      (AblateOptions, Config): options of the study, and what all its cells share.

    Raises:
      ConfigError: a missing flag, or an invalid value.
      WorkdirError: the study in the folder was written by another version.
    """
    workdir = given.typed.get("workdir")
    if workdir and not given.has("study"):
        stored = stored_study(workdir)
        if stored is not None:
            options, base = stored
            config = given.make(Config, base)
            now = [f"{name}={new}" for name, _, new in differences(base, config)]
            print(
                f"Options of {workdir}/study.json: study {options.study}, budget "
                f"{options.budget}, {base.data.source}, {options.seeds} seed"
                f"{'s' * (options.seeds > 1)}{'; now ' * bool(now)}{', '.join(now)}",
                flush=True,
            )
            return given.make(AblateOptions, options), config
    options = given.make(AblateOptions)
    data = given.typed.get("data.source", given.file.get("data.source"))
    if not data:
        raise command_line.FlagError(
            "--data is required: labelled images, e.g. embedded:freedoom_12 or "
            "folder:PATH."
        )
    study = get_study(options.study)
    base = base_config(study, options.budget, data, preset=options.preset)
    return options, given.make(Config, base)


def stored_study(workdir):
    """Read (AblateOptions, Config) of the study in a folder; None if there is none."""
    path = pathlib.Path(workdir).expanduser() / "study.json"
    try:
        record = read_json(path, finite=False)
        base = flat_with_present_names(record["base"])
        seeds = sorted({cell["seed"] for cell in record["cells"]}) or [0]
        known = {"study": record["study"], "budget": record["budget"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # `run_study` refuses a folder of anything else.
    try:
        config = override(Config(), {**base, "seed": seeds[0]})
        options = AblateOptions(
            workdir=workdir, seeds=seeds[-1] - seeds[0] + 1, **known
        )
    except ConfigError as error:
        raise WorkdirError(
            f"{path} is damaged, or of another version of simclr_tf: {error}"
        ) from error
    return options, config


def main(argv=None):
    """Run the tool; return the exit code."""
    return command_line.execute("ablate", __doc__, SECTIONS, run, argv)


if __name__ == "__main__":
    sys.exit(main())
