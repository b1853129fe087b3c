"""Every setting of a benchmark, once: its default, help, unit and check."""

from dataclasses import dataclass
from typing import Literal

from simclr_tf.config.data import RECIPES
from simclr_tf.config.schema import Section, option
from simclr_tf.errors import require

# name -> what is measured, and against what.
BENCHMARKS = {
    "views": "view pairs a second, against a per-image tf.data map with tf.image",
    "step": "training images a second, against float32 with unfused batch norm",
    "end_to_end": "pretraining from the data set, against the bare training step",
    "loss": "NT-Xent, dense and streamed: time and memory",
    "data_scale": "cost of reading an image, from small sets to large ones",
}
_DEFAULT_SIZES = {
    "loss": {"": (256, 1024, 4096)},
    "data_scale": {
        "arrays": (1_000, 10_000, 100_000, 1_000_000),
        "folders": (1_000, 10_000, 100_000),
        "records": (1_000, 10_000, 100_000, 1_000_000),
        "epoch order": (1_000, 10_000, 100_000, 1_000_000),
    },
}


@dataclass(frozen=True)
class BenchmarkConfig(Section):
    """What a benchmark measures, how large and how often."""

    rounds: int = option(
        15,
        "Rounds; in each, every variant runs once, one after the other.",
        flag="rounds",
    )
    warmup_rounds: int = option(
        2, "Rounds before those, not counted.", flag="warmup_rounds"
    )
    only: str | None = option(
        None,
        "Measure only the cases with this text in their name, e.g. jpeg.",
        flag="only",
    )
    sizes: str | None = option(
        None,
        "Sizes, with commas between: the batches G of loss, the numbers of "
        "images of data_scale; each benchmark's own if unset.",
        flag="sizes",
    )
    batch_size: int = option(256, "Images a batch.", flag="batch_size")
    batches: int = option(
        8,
        "Batches in one measurement of views and end_to_end; data_scale reads 8 "
        "times as many.",
        flag="batches",
    )
    image_size_pixels: int = option(
        32, "Height and width of small images.", flag="image_size_pixels"
    )
    recipe: str = option(
        "cifar",
        "Recipe of the views of small images.",
        flag="recipe",
        choices=RECIPES,
    )
    jpeg_files: int = option(
        256, "Photographs that views synthesises.", flag="jpeg_files"
    )
    jpeg_width_pixels: int = option(
        500, "Their width; the height is 3/4 of it.", flag="jpeg_width_pixels"
    )
    jpeg_view_pixels: int = option(
        224, "Height and width of their views.", flag="jpeg_view_pixels"
    )
    jpeg_recipe: str = option(
        "simclr_v2", "Recipe of their views.", flag="jpeg_recipe", choices=RECIPES
    )
    jpeg_batch_size: int = option(64, "Photographs a batch.", flag="jpeg_batch_size")
    depth: Literal[10, 18, 34, 50, 101, 152, 200] = option(
        18, "Layers of the ResNet of step and end_to_end.", flag="depth"
    )
    stem: Literal["imagenet", "cifar", "small"] = option(
        "cifar", "Its stem.", flag="stem"
    )
    width_multiplier: float = option(
        1.0, "Its width, times this.", flag="width_multiplier"
    )
    precision: Literal["float32", "bfloat16"] = option(
        "bfloat16", "Precision of end_to_end.", flag="precision"
    )
    data: str = option("embedded:freedoom_12", "Images of end_to_end.", flag="data")
    features: int = option(128, "Length D of a projection in loss.", flag="features")
    chunk_size: int = option(
        1024, "Anchors at once in the streamed loss.", flag="chunk_size"
    )

    def check(self):
        for name in (
            "rounds",
            "batch_size",
            "batches",
            "image_size_pixels",
            "jpeg_files",
            "jpeg_width_pixels",
            "jpeg_view_pixels",
            "jpeg_batch_size",
            "features",
            "chunk_size",
        ):
            require(
                getattr(self, name) >= 1,
                f"`{name}` must be >= 1.",
                **{name: getattr(self, name)},
            )
        require(
            self.warmup_rounds >= 0,
            "`warmup_rounds` must be >= 0.",
            warmup_rounds=self.warmup_rounds,
        )
        require(
            self.width_multiplier > 0,
            "`width_multiplier` must be > 0.",
            width_multiplier=self.width_multiplier,
        )
        self._typed_sizes()

    def sizes_of(self, benchmark, case=""):
        """The sizes to measure: those that were typed, or the benchmark's own.

        Example:
          >>> BenchmarkConfig().sizes_of("loss"), BenchmarkConfig(
          ...     sizes="8,64").sizes_of("data_scale", "folders")
          ((256, 1024, 4096), (8, 64))
        """
        return self._typed_sizes() or _DEFAULT_SIZES[benchmark][case]

    def _typed_sizes(self):
        texts = self.sizes.split(",") if self.sizes else ()
        require(
            all(text.strip().isdecimal() and int(text) >= 2 for text in texts),
            "`sizes` are whole numbers >= 2 with commas between.",
            sizes=self.sizes,
        )
        return tuple(int(text) for text in texts)
