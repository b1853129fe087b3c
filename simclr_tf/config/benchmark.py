"""Options of `benchmark`, once each: default, help, unit and check."""

from dataclasses import dataclass
from typing import Literal

from simclr_tf.config.data import RECIPES
from simclr_tf.config.image_size import ImageSize
from simclr_tf.config.schema import (
    LARGEST_SIDE,
    GuestOptions,
    Section,
    guest,
    option,
    part_of,
    require_at_least_one,
    require_not_negative,
    require_positive,
)
from simclr_tf.config.shared_choices import (
    ENCODERS,
    OBJECTIVES,
    Arithmetic,
)
from simclr_tf.errors import require

# name -> what is measured, and what it is compared with.
BENCHMARKS = {
    "views": "view pairs a second, compared with a per-image tf.data map of tf.image",
    "step": "training images a second, compared with float32 and unfused batch norm",
    "end_to_end": "pretraining from a data set, compared with the training step alone",
    "objectives": "a training step with each objective, its views included",
    "loss": "NT-Xent, dense and streamed: time and memory",
    "memory": "peak memory of presets and encoders, estimated and measured; time of a "
    "step",
    "data_scale": "cost of reading an image, from small sets to large ones",
    "probes": "probes of frozen features, compared with scikit-learn",
}
COLLECTIVES = "collectives"  # Counts instead of measuring.
TABLE = "table"  # Only prints earlier results.
_DEFAULT_SIZES = {
    COLLECTIVES: {"": (2, 4, 8)},
    "loss": {"": (256, 1024, 4096)},
    "probes": {"": (10_000,)},
    "data_scale": {
        "arrays": (1_000, 10_000, 100_000, 1_000_000),
        "folders": (1_000, 10_000, 100_000),
        "records": (1_000, 10_000, 100_000, 1_000_000),
        "epoch order": (1_000, 10_000, 100_000, 1_000_000),
    },
}


@dataclass(frozen=True)
class BenchmarkConfig(Section):
    """The sizes and repetitions of a benchmark."""

    rounds: int = option(
        15,
        "Rounds; every variant runs once in each.",
        common=True,
    )
    warmup_rounds: int = option(2, "Rounds before the measured ones.")
    clock: Literal["wall", "processor"] = option(
        "wall",
        "wall: elapsed time; processor: processor time of this process on all cores, "
        "which depends less on other programs.",
    )
    only: str | None = option(
        None,
        "Measure only the cases with this text in their name, e.g. jpeg.",
        common=True,
    )
    sizes: tuple[int, ...] | None = option(
        None,
        "Sizes, with commas between: the batches G of loss and of --export_hlo, the "
        "numbers of images of data_scale, the training rows of probes, the replicas of "
        "collectives; each benchmark's own if unset.",
        common=True,
    )
    batch_size: int = option(256, "Images a batch.")
    batches: int = option(
        8,
        "Batches in one measurement of views, end_to_end and objectives; data_scale "
        "reads 8 times this number.",
    )
    image_size_pixels: ImageSize = option(
        32,
        "Size of small images: one number, or height x width.",
        largest=LARGEST_SIDE,
    )
    recipe: str = option(
        "cifar",
        "Recipe of the views of small images.",
        choices=RECIPES,
    )
    jpeg_files: int = option(256, "Synthetic photographs of views.")
    jpeg_width_pixels: int = option(
        500,
        "Width of the photographs; the height is 3/4 of it.",
        largest=LARGEST_SIDE,
    )
    jpeg_view_pixels: ImageSize = option(
        224,
        "Size of the views of photographs: one number, or height x width.",
        largest=LARGEST_SIDE,
    )
    jpeg_recipe: str = option(
        "simclr_v2", "Recipe of the views of photographs.", choices=RECIPES
    )
    jpeg_batch_size: int = option(64, "Photographs a batch.")
    encoder: GuestOptions = guest(
        ENCODERS,
        {"name": "resnet18", "stem": "cifar"},
        "Network of step, end_to_end, objectives and collectives, by its name.",
    )
    objective: GuestOptions = guest(
        OBJECTIVES,
        "nt_xent",
        "Loss of step, end_to_end and collectives, by its name; loss takes its "
        "chunk_size (1,024 if unset).",
    )
    precision: Arithmetic = option(
        "bfloat16", "Precision of end_to_end, objectives and memory."
    )
    data: str = option("embedded:freedoom_12", "Images of end_to_end and objectives.")
    compiled: bool = option(
        False, "step: measure steps that XLA compiles as a whole too.", common=True
    )
    out_features: int = option(
        128,
        "Length D of a projection in loss, and of the features in probes.",
        flag="projection_head.out_features",
    )
    link_gigabits_per_second: float = option(
        100.0, "Speed of a replica's link in each direction, for collectives."
    )
    latency_microseconds: float = option(
        10.0, "Time of one hop between two replicas, for collectives."
    )
    replica_images_per_second: float = option(
        1000.0, "Training images a second of one replica alone, for collectives."
    )

    def check(self):
        require_positive(
            link_gigabits_per_second=self.link_gigabits_per_second,
            replica_images_per_second=self.replica_images_per_second,
        )
        require_at_least_one(
            rounds=self.rounds,
            batch_size=self.batch_size,
            batches=self.batches,
            jpeg_files=self.jpeg_files,
            jpeg_width_pixels=self.jpeg_width_pixels,
            jpeg_batch_size=self.jpeg_batch_size,
            out_features=self.out_features,
        )
        require_not_negative(
            warmup_rounds=self.warmup_rounds,
            latency_microseconds=self.latency_microseconds,
        )
        require(
            all(size >= 2 for size in self.sizes or ()),
            "`sizes` must be >= 2.",
            sizes=self.sizes,
        )

    def sizes_of(self, benchmark, case=""):
        """Return the sizes to measure: those given, or the benchmark's own.

        Example:
          >>> BenchmarkConfig().sizes_of("loss"), BenchmarkConfig(
          ...     sizes=(8, 64)).sizes_of("data_scale", "folders")
          ((256, 1024, 4096), (8, 64))
        """
        return self.sizes or _DEFAULT_SIZES[benchmark][case]


@dataclass(frozen=True)
class BenchmarkOptions(BenchmarkConfig):
    """The benchmark to run, and where to write its results."""

    benchmark: str | None = option(
        None,
        "What to measure; may be given as the first argument without --benchmark=. "
        + "; ".join(f"{name}: {line}" for name, line in BENCHMARKS.items())
        + f"; {COLLECTIVES}: what replicas send each other in a step, counted and "
        f"expected; {TABLE}: measure nothing, print the table of --results.",
        choices=(*BENCHMARKS, COLLECTIVES, TABLE),
        required=f"{', '.join(BENCHMARKS)}, {COLLECTIVES} or {TABLE}",
        common=True,
    )
    output: str | None = option(
        None, "JSON file to write; benchmark_NAME.json if unset.", common=True
    )
    results: tuple[str, ...] | None = option(
        None, f"Files that {TABLE} prints, with commas between.", common=True
    )
    memory: bool | None = option(
        None,
        "Also run each variant in its own process, to measure its peak memory; on for "
        "loss if unset.",
        common=True,
    )
    export_hlo: str | None = option(
        None,
        "step: measure nothing; write steps as programs of XLA into this folder, with "
        "the program that times them on a GPU beside JAX. --only and --sizes choose "
        "among them.",
        common=True,
    )
    profile: str | None = option(
        None,
        "Folder for TensorBoard profiles of one more run of each variant. A table adds "
        "their operations up by kind of work.",
    )
    intra_op_threads: int | None = option(
        None,
        "Threads that share one operation; one a core if unset.",
        flag="performance.intra_op_threads",
    )
    inter_op_threads: int | None = option(
        None,
        "Operations that run at once; one a core if unset.",
        flag="performance.inter_op_threads",
    )

    def check(self):
        super().check()
        require_at_least_one(
            intra_op_threads=self.intra_op_threads,
            inter_op_threads=self.inter_op_threads,
        )
        require(
            self.benchmark != TABLE or self.results,
            "--results is required: files that the benchmark wrote, with commas "
            "between.",
            results=self.results,
        )

        require(
            self.export_hlo is None or self.benchmark == "step",
            "`export_hlo` belongs to the benchmark step.",
            benchmark=self.benchmark,
        )

    def config(self):
        """Return the BenchmarkConfig of the measurement."""
        return part_of(self, BenchmarkConfig)

    def with_memory(self):
        """Tell whether the memory of each variant is measured too."""
        return self.benchmark == "loss" if self.memory is None else self.memory
