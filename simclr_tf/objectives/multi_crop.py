"""Small views beside two full ones (multi-crop): their options, and what fits."""

import logging
import math
from dataclasses import dataclass

from simclr_tf.augment.view_plan import ViewGroup
from simclr_tf.config.schema import (
    GuestOptions,
    option,
    require_fraction,
    require_not_negative,
)
from simclr_tf.errors import require
from simclr_tf.lazy import module

models = module("simclr_tf.models")

LOG = logging.getLogger("simclr_tf")


@dataclass(frozen=True)
class MultiCropOptions(GuestOptions):
    """Options of objectives with two full views and small ones beside them."""

    small_views: int = option(6, "Views of the small size, beside two full ones.")
    small_size_fraction: float = option(
        0.43, "Side of a small view / side of a full view (paper: 96 / 224)."
    )
    small_crop_area: tuple[float, ...] = option(
        (0.05, 0.14), "Smallest and largest share of an image that a small view shows."
    )

    def check(self):
        require_not_negative(small_views=self.small_views)
        require_fraction("small_size_fraction", self.small_size_fraction, low_open=True)
        require(
            len(self.small_crop_area) == 2
            and 0 < self.small_crop_area[0] <= self.small_crop_area[1] <= 1,
            "`small_crop_area` must be two fractions, the smaller one first.",
            small_crop_area=self.small_crop_area,
        )

    @property
    def view_groups(self):
        """tuple of ViewGroup."""
        full = ViewGroup(2)
        if not self.small_views:
            return (full,)
        return full, ViewGroup(
            self.small_views, self.small_size_fraction, self.small_crop_area
        )


def require_fitting_views(options, setting):
    """Refuse small views that the encoder does not take.

    Args:
      options: MultiCropOptions.
      setting: Setting.

    Raises:
      ConfigError: the patches of the encoder do not divide a small view; the message
        names a size that they divide.
    """
    multiple = models.size_multiple(setting.encoder)
    for side in setting.image_shape[:2]:
        small = round(side * options.small_size_fraction)
        fitting = max(multiple, round(small / multiple) * multiple)
        require(
            not options.small_views or small % multiple == 0,
            f"The sides of small views must be multiples of {multiple} pixels for this "
            f"encoder, and a fraction of {options.small_size_fraction} of {side} is "
            f"{small}. Try --objective.small_size_fraction={fitting / side:.4g}, or "
            "--objective.small_views=0.",
            small_size_fraction=options.small_size_fraction,
        )


def warn_if_too_short(setting, steps, purpose, **options):
    """Log a warning if a run ends before something in it begins.

    Args:
      setting: Setting.
      steps: float, after which it begins.
      purpose: str, what the run is too short to do.
      **options: of the objective, from which the steps follow.
    """
    total = setting.total_steps
    if total is None or steps < total:
        return
    LOG.warning(
        "The run is too short to %s: %s comes to %s steps, and the run has %s. Use a "
        "smaller value, or a longer run.",
        purpose,
        " with ".join(f"--objective.{name}={value}" for name, value in options.items()),
        f"{math.ceil(steps):,}",
        f"{total:,}",
    )
