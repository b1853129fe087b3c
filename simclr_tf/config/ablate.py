"""Options of `ablate`, beside the options of its runs."""

import re
from dataclasses import dataclass

from simclr_tf.config.schema import (
    MOST_REPETITIONS,
    Section,
    option,
    read_registry,
    require_at_least_one,
)
from simclr_tf.config.shared_choices import PRESETS
from simclr_tf.errors import require

STUDIES = "simclr_tf.studies:STUDIES"
BUDGETS = "simclr_tf.studies:BUDGETS"


def _sizes_of_budgets():
    budgets = read_registry(BUDGETS)
    return "; ".join(f"{name}: {text}" for name, text in budgets.items()) + "."


@dataclass(frozen=True)
class AblateOptions(Section):
    """The study, its size and its folder."""

    study: str | None = option(
        None,
        "The ablation.",
        choices=STUDIES,
        required="which ablation; --help lists them",
        common=True,
    )
    workdir: str | None = option(
        None,
        "Folder of the study. If it holds a study, that study is continued; without "
        "--study, its options come from study.json.",
        common=True,
    )
    budget: str = option("small", _sizes_of_budgets, choices=BUDGETS, common=True)
    preset: str | None = option(
        None,
        "Preset to start from; if unset that of small images which fits yours, and at "
        "--budget=paper the paper's.",
        choices=PRESETS,
    )
    seeds: int = option(
        1,
        "Repetitions of every cell, with seeds from --seed upwards.",
        common=True,
        largest=MOST_REPETITIONS,
    )
    shard: str = option(
        "1/1", "i/n: run only every n-th cell, beginning with the i-th.", common=True
    )
    only: tuple[str, ...] = option(
        (),
        "Run only the cells with one of these texts in their name, e.g. seed1,seed2; "
        "all if empty. Not kept: give it again to continue.",
        common=True,
    )
    dry_run: bool = option(
        False,
        "Print the cells and their estimated cost, from the operations of the encoder "
        "and a few measured steps; write nothing.",
        common=True,
    )
    retry_failed: bool = option(False, "Run failed cells again.")

    def check(self):
        require_at_least_one(seeds=self.seeds)
        require(
            self.workdir or self.dry_run,
            "--workdir is required: the folder of the study.",
            workdir=self.workdir,
        )
        index, number = self.part()
        require(
            1 <= index <= number,
            "--shard is i/n with 1 <= i <= n, e.g. 2/4.",
            shard=self.shard,
        )

    def part(self):
        """Return the shard as (i, n).

        Example:
          >>> AblateOptions(study="losses", workdir="w", shard="2/4").part()
          (2, 4)
        """
        match = re.fullmatch(r"(\d+)/(\d+)", self.shard)
        return tuple(map(int, match.groups())) if match else (0, 0)
