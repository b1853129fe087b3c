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
own settings (--data=tfds:imagenet2012). Without --preset, small and medium take the
preset of small images that fits yours, with two views of one size. Flags of `pretrain`
change what all cells share; what the study itself varies is refused.

Writes study.json, study.md and study.png with the paper's numbers beside yours, and a
workdir for every cell. The same command continues, and so does --workdir= alone, with
all cells. --shard=i/n divides the cells among machines that share the folder. Cells
that failed are shown as failed; the exit code is then 1. --only=TEXT,... runs the cells
with one of these texts in their name, e.g. those of one seed.
"""

import pathlib
import sys

from simclr_tf.config import Config
from simclr_tf.config.ablate import AblateOptions
from simclr_tf.config.image_size import size_text
from simclr_tf.config.moved import flat_with_present_names
from simclr_tf.config.pretrain import require_one_length
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
    options, base, seeds = options_of(given)
    study = get_study(options.study)
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
      (AblateOptions, Config, tuple): options of the study, what all its cells share,
      and the seeds.

    Raises:
      ConfigError: a missing flag, an invalid value, or an option that the study varies.
      WorkdirError: the study in the folder was written by another version.
    """
    require_one_length(given.typed)
    workdir = given.typed.get("workdir")
    if workdir and not given.has("study"):
        stored = stored_study(workdir)
        if stored is not None:
            options, base, seeds = stored
            config = given.make(Config, base)
            now = [f"{name}={new}" for name, _, new in differences(base, config)]
            print(
                f"Options of {workdir}/study.json: study {options.study}, budget "
                f"{options.budget}, {base.data.source}, seed{'s' * (len(seeds) > 1)} "
                f"{', '.join(map(str, seeds))}{'; now ' * bool(now)}{', '.join(now)}",
                flush=True,
            )
            options = given.make(AblateOptions, options)
            if given.has("seed") or given.has("seeds"):
                seeds = _seeds(options, config)
            return options, config, seeds
    options = given.make(AblateOptions)
    data = given.typed.get("data.source", given.file.get("data.source"))
    if not data:
        raise command_line.FlagError(
            "--data is required: labelled images, e.g. embedded:freedoom_12 or "
            "folder:PATH."
        )
    study = get_study(options.study)
    start = None
    if options.preset is None and options.budget != "paper":
        start = _fitting_start(given)
    base = base_config(study, options.budget, data, preset=options.preset, start=start)
    config = given.make(Config, base)
    _refuse_varied(given, study, options.budget, base, config)
    return options, config, _seeds(options, config)


def _seeds(options, config):
    return tuple(range(config.seed, config.seed + options.seeds))


def _fitting_start(given):
    """Choose the preset of small images that fits the data; None if it has no sizes."""
    data = given.make(
        Config,
        None,
        lambda typed, file: {n: typed[n] for n in typed if n[:5] == "data."},
    ).data
    import_tensorflow()  # Without its banner: it opens the images.
    from simclr_tf.data.preset_choice import choose_start

    size = data.image_size_pixels if given.has("data.image_size_pixels") else None
    start, line = choose_start(
        data.source,
        split=data.split,
        data_dir=data.data_dir,
        image_size_pixels=size,
        accelerators=0,
        cores=1,
    )
    if line is None:
        return None
    views = size_text(size or start.data.image_size_pixels, " x ")
    print(
        f"Preset      {start.preset}, chosen for these images: two views of {views} "
        "pixels. Another one: --preset=NAME",
        flush=True,
    )
    return start


def _refuse_varied(given, study, budget, base, config):
    """Raise for a flag without effect: every cell sets that option by itself."""
    cells = study.cells(config, budget)
    for name, text in given.typed.items():
        if all(name in cell.changes for cell in cells if cell.work != "baselines"):
            without = given.make(
                Config,
                base,
                lambda typed, file, name=name: {
                    n: typed[n] for n in typed if n != name
                },
            )
            others = study.cells(without, budget)
            if without != config and _values(name, cells) == _values(name, others):
                raise command_line.FlagError(
                    f"The study {study.name} varies {name} by itself: leave it out. "
                    f"Received: {text!r}."
                )


def _values(name, cells):
    return {repr(cell.changes.get(name)) for cell in cells}


def stored_study(workdir):
    """Read (AblateOptions, Config, seeds) of the study in a folder; or None."""
    path = pathlib.Path(workdir).expanduser() / "study.json"
    try:
        record = read_json(path, finite=False)
        base = flat_with_present_names(record["base"])
        seeds = tuple(sorted({cell["seed"] for cell in record["cells"]})) or (0,)
        known = {"study": record["study"], "budget": record["budget"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # `run_study` refuses a folder of anything else.
    try:
        config = override(Config(), {**base, "seed": seeds[0]})
        options = AblateOptions(workdir=workdir, seeds=len(seeds), **known)
    except ConfigError as error:
        raise WorkdirError(
            f"{path} is damaged, or of another version of simclr_tf: {error}"
        ) from error
    return options, config, seeds


def main(argv=None):
    """Run the tool; return the exit code."""
    return command_line.execute("ablate", __doc__, SECTIONS, run, argv)


if __name__ == "__main__":
    sys.exit(main())
