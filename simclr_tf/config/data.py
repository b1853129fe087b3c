"""Which images a run sees, and how their two views are made: the options of both.

Like `simclr_tf.config`, of which these are sections, it imports no TensorFlow.
"""

import dataclasses
import typing
from dataclasses import dataclass
from typing import Literal

from simclr_tf.config.schema import (
    Section,
    option,
    read_registry,
    require_fraction,
    require_not_negative,
    require_positive,
)
from simclr_tf.errors import require, unknown_choice

RecipeName = Literal[
    "simclr_v1", "simclr_v2", "cifar", "small_grey", "finetune", "evaluate"
]
OneBranchOperator = Literal[
    "crop", "cutout", "color", "sobel", "noise", "blur", "rotate"
]


def source_forms():
    """What `--data` takes, as text: the forms of all kinds of data sets."""
    kinds = read_registry("simclr_tf.data.sources:SOURCES").values()
    forms = [form for kind in kinds for form in kind.forms]
    return f"{', '.join(forms[:-1])} or {forms[-1]}"


@dataclass(frozen=True)
class DataConfig(Section):
    """Which images, and how they are read."""

    source: str = option(
        "embedded:freedoom_12",
        lambda: f"Images: {source_forms()}.",
        flag="data",
    )
    split: str = option("train", "Split to pretrain on, e.g. train or train[:10%].")
    test_split: str = option("test", "Split that evaluation tests on.")
    data_dir: str | None = option(
        None,
        "Folder of prepared tfds data sets (their default if unset).",
        flag="data_dir",
        resumable=True,
    )
    labels: Literal["auto", "none"] = option(
        "auto",
        "auto: use labels for the online probe where the source has them; "
        "none: ignore them.",
    )
    image_size_pixels: int = option(32, "Height and width of a view, in pixels.")
    channels: int | None = option(
        None, "Channels to decode images to; as in the source if unset."
    )
    max_corrupt_fraction: float = option(
        0.01,
        "The run stops when more than this fraction of the images cannot be "
        "read; up to it they are named and skipped.",
    )
    cache: Literal["none", "memory", "disk"] = option(
        "none",
        "Where image files are kept after they were read once: memory, or "
        "disk (in cache_dir, for the next runs too). Changes no image, only the time "
        "to read it.",
        resumable=True,
    )
    cache_dir: str | None = option(
        None,
        "cache=disk: a folder on a fast local disk. May be deleted when no run "
        "uses it.",
        resumable=True,
    )

    def check(self):
        require_positive(
            image_size_pixels=self.image_size_pixels, channels=self.channels
        )
        require_fraction("max_corrupt_fraction", self.max_corrupt_fraction)
        require(
            self.cache != "disk" or self.cache_dir,
            "`data.cache=disk` needs `data.cache_dir`, a folder on a fast local disk.",
            cache=self.cache,
            cache_dir=self.cache_dir,
        )


@dataclass(frozen=True)
class AugmentConfig(Section):
    """How the two views are made: a named recipe, and what differs from it.

    Every field but `recipe` is unset by default, which means: as the recipe says.
    """

    recipe: RecipeName = option("simclr_v2", "Named recipe of the views.")
    color_strength: float | None = option(
        None, "Strength s that scales the colour jitter (paper: 1; CIFAR: 0.5)."
    )
    brightness: float | None = option(None, "Brightness range at strength 1.")
    contrast: float | None = option(None, "Contrast range at strength 1.")
    saturation: float | None = option(None, "Saturation range at strength 1.")
    hue: float | None = option(None, "Hue range at strength 1, in turns.")
    brightness_mode: Literal["additive", "multiplicative"] | None = option(
        None, "additive (SimCLR v1) or multiplicative (v2)."
    )
    jitter_probability: float | None = option(None, "Probability of colour jitter.")
    grayscale_probability: float | None = option(None, "Probability of grayscale.")
    crop_area_min_fraction: float | None = option(
        None, "Smallest crop, as a fraction of the image's area."
    )
    crop_area_max_fraction: float | None = option(
        None, "Largest crop, as a fraction of the image's area."
    )
    crop_floor: Literal["exact", "reference"] | None = option(
        None,
        "exact: the floor as given; reference: never below 0.1, as the "
        "reference's sampler does.",
    )
    flip_probability: float | None = option(None, "Probability of a horizontal flip.")
    blur_probability: float | None = option(None, "Probability of Gaussian blur.")
    cutout_probability: float | None = option(None, "Probability of cutout.")
    rotate_probability: float | None = option(
        None, "Probability of a rotation by 90, 180 or 270 degrees."
    )
    noise_probability: float | None = option(None, "Probability of Gaussian noise.")
    sobel_probability: float | None = option(None, "Probability of Sobel filtering.")
    one_branch: str | None = option(
        None,
        "Ablation: both views are one random crop, and only the first is changed "
        "further, by these operators in this order, with commas between: "
        f"{', '.join(typing.get_args(OneBranchOperator))}. Unset: both views, "
        "as the recipe says.",
    )

    def check(self):
        for operator in self.one_branch_operators():
            if operator not in typing.get_args(OneBranchOperator):
                raise unknown_choice(
                    "augment.one_branch", operator, typing.get_args(OneBranchOperator)
                )
        for name in (item.name for item in dataclasses.fields(self)):
            if name.endswith("_probability"):
                require_fraction(name, getattr(self, name))
        require_fraction(
            "crop_area_min_fraction", self.crop_area_min_fraction, low_open=True
        )
        require_fraction(
            "crop_area_max_fraction", self.crop_area_max_fraction, low_open=True
        )
        require_not_negative(
            color_strength=self.color_strength,
            brightness=self.brightness,
            contrast=self.contrast,
            saturation=self.saturation,
            hue=self.hue,
        )

    def changes(self):
        """The fields that differ from the recipe, as keyword arguments."""
        values = dataclasses.asdict(self)
        return {
            k: v
            for k, v in values.items()
            if k not in ("recipe", "one_branch") and v is not None
        }

    def one_branch_operators(self):
        """The operators of `one_branch`, as a tuple.

        Example:
          >>> AugmentConfig(one_branch="color, crop").one_branch_operators()
          ('color', 'crop')
        """
        if self.one_branch is None:
            return ()
        return tuple(name.strip() for name in self.one_branch.split(","))
