"""Redo one of the paper's ablations on images of your own, and draw its figure.

simclr-tf ablate --study=temperature --data=embedded:freedoom_12 --workdir=runs/t
simclr-tf ablate --study=losses --data=folder:PATH --workdir=runs/l --seeds=3
simclr-tf ablate --study=optimizer --data=folder:PATH --workdir=SHARED --shard=2/4
simclr-tf ablate --study=encoder_size --data=... --workdir=... --dry_run

Studies: augmentation_pairs (Figure 5), colour_strength (Table 1), projection_head
(Figure 8), head_information (Table 3), losses (Table 4), temperature (Table 5),
batch_and_epochs (Figure 9), encoder_size (Figure 7), label_fraction (Table 7) and
optimizer (section 2.2). The images need labels, for the probes, and a test split.

Budgets: small is minutes on two CPU cores, medium a night, paper the paper's own
settings (--data=tfds:imagenet2012). Flags of `pretrain` change what all cells share;
what the study varies stands above them.

The folder gets study.json, study.md and study.png with the paper's numbers beside
ours, and a workdir for every cell. The same command continues; several processes or
machines that share the folder share the work, also without --shard. Cells that failed
are shown as failed; the exit code is then 1.
"""

import re
import sys

from absl import flags

from simclr_tf.config import Config
from simclr_tf.studies import BUDGETS, STUDIES, base_config, get_study, runs_of
from simclr_tf.tools import command_line, config_flags
from simclr_tf.tools.quiet_tensorflow import import_tensorflow

_LEFT_OUT = ("preset",)


def define(values):
    """The tool's flags."""
    flags.DEFINE_string(
        "study", None, f"One of {', '.join(STUDIES)}.", flag_values=values
    )
    flags.DEFINE_string("workdir", None, "Folder of the study.", flag_values=values)
    flags.DEFINE_string(
        "budget",
        "small",
        "; ".join(f"{name}: {text}" for name, text in BUDGETS.items()) + ".",
        flag_values=values,
    )
    flags.DEFINE_string(
        "preset",
        None,
        "Preset to start from, instead of the budget's own.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "seeds",
        1,
        "Repetitions of every cell, from --seed on: mean and standard deviation.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "shard",
        "1/1",
        "i/n: do only every n-th run, beginning with the i-th.",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "dry_run",
        False,
        "Print the cells and their cost, by "
        "operations of the encoder and a few measured steps; write "
        "nothing.",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "retry_failed", False, "Run cells again that failed before.", flag_values=values
    )
    config_flags.define_section_flags(Config, values, leave_out=_LEFT_OUT)


def run(values):
    """Run the study as the flags say; returns the exit code."""
    study = get_study(
        command_line.required(values, "study", f"one of {', '.join(STUDIES)}")
    )
    data = command_line.required(
        values, "data", "labelled images, e.g. embedded:freedoom_12 or folder:PATH"
    )
    workdir = (
        values["workdir"].value
        if values["dry_run"].value
        else (command_line.required(values, "workdir", "the folder of the study"))
    )
    budget, shard = values["budget"].value, _shard(values)
    base = config_flags.section_from_flags(
        base_config(study, budget, data, preset=values["preset"].value),
        values,
        leave_out=_LEFT_OUT,
    )
    seeds = tuple(range(base.seed, base.seed + _repetitions(values)))
    runs_of(study.cells(base, budget), base, seeds)  # All configs are checked.
    import_tensorflow()
    from simclr_tf.studies.launch import run_study

    outcome = run_study(
        study,
        base,
        budget=budget,
        workdir=workdir or ".",
        seeds=seeds,
        shard=shard,
        retry_failed=values["retry_failed"].value,
        dry_run=values["dry_run"].value,
        command=command_line.typed("ablate", values),
    )
    return int(outcome is not None and outcome.failed_here > 0)


def _shard(values):
    match = re.fullmatch(r"(\d+)/(\d+)", values["shard"].value)
    index, number = map(int, match.groups()) if match else (0, 0)
    if not 1 <= index <= number:
        raise command_line.FlagError(
            "--shard is i/n with 1 <= i <= n, e.g. 2/4. Received: "
            f"shard={values['shard'].value!r}."
        )
    return index, number


def _repetitions(values):
    if values["seeds"].value < 1:
        raise command_line.FlagError(
            f"--seeds must be >= 1. Received: seeds={values['seeds'].value}."
        )
    return values["seeds"].value


def main(argv=None):
    """Returns the exit code."""
    return command_line.execute(__doc__, define, run, argv)


if __name__ == "__main__":
    sys.exit(main())
