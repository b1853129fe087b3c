"""The preset of a run that names none: by the sizes of its images and the device."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Mapping
from typing import Any

from simclr_tf.config.image_size import as_size, size_text
from simclr_tf.config.presets import get_preset
from simclr_tf.config.pretrain import DEFAULT_PRESET, Config
from simclr_tf.config.schema import override
from simclr_tf.data.stored_sizes import StoredSizes, stored_sizes
from simclr_tf.lazy import tf
from simclr_tf.machine import usable_cores

_OWN_IMAGES = "embedded:freedoom_12"  # Those of the default preset.
# Sides in pixels: larger images are photographs; those of `photos` need as many.
_ICONS, _PHOTOS, _LARGE_PHOTOS = 40, 72, 160
_MANY_CORES, _MANY_GPUS = 16, 4


def choose_start(
    spec: Any,
    *,
    split: str = "train",
    data_dir: str | None = None,
    image_size_pixels: Any = None,
    accelerators: int | None = None,
    cores: int | None = None,
) -> tuple[Config, str | None]:
    """Choose the config that a run starts from when no preset is named.

    Args:
      spec: the images, as for `simclr_tf.data.open_source`.
      split, data_dir: as there.
      image_size_pixels: the size of a view if the user gave one, else None.
      accelerators, cores: int, GPUs and TPUs, and cores of the processor; those of
        this machine if None.

    Returns:
      (Config, str): the config; and one line for the user, None where the images are
      those of the default preset, or their sizes are not known.
    """
    if spec is None or (isinstance(spec, str) and spec == _OWN_IMAGES):
        return get_preset(DEFAULT_PRESET), None
    stored = stored_sizes(spec, split=split, data_dir=data_dir)
    if stored is None:
        return get_preset(DEFAULT_PRESET), None
    if accelerators is None:
        accelerators = count_accelerators()
    cores = usable_cores() if cores is None else cores
    name, changes = fitting_preset(
        stored, image_size_pixels, accelerators=accelerators, cores=cores
    )
    config = override(get_preset(name), changes)
    views = size_text(image_size_pixels or config.data.image_size_pixels, " x ")
    line = (
        f"Preset      {name}, chosen for images of {stored.text()}, "
        f"{_device_text(accelerators, cores)}: views of {views} pixels, "
        f"{config.epochs} epochs by default. {_others(name)}"
    )
    return config, line


def fitting_preset(
    stored: StoredSizes,
    image_size_pixels: Any = None,
    *,
    accelerators: int,
    cores: int,
) -> tuple[str, Mapping[str, Any]]:
    """Choose a preset.

    Args:
      stored: StoredSizes of the images.
      image_size_pixels: the size of a view if the user gave one, else None.
      accelerators: int, GPUs and TPUs.
      cores: int, of the processor.

    Returns:
      (str, dict): name of the preset, and dotted options that differ from it.

    Example:
      >>> photos = StoredSizes(((384, 512),), is_grey=False)
      >>> fitting_preset(photos, accelerators=0, cores=2)
      ('photos_small', {})
      >>> fitting_preset(photos, accelerators=1, cores=16)
      ('photos', {})
      >>> fitting_preset(StoredSizes(((32, 32),), False), accelerators=0, cores=2)
      ('photos_small', {'data.image_size_pixels': 32})
    """
    side = stored.shorter
    if image_size_pixels is not None:
        side = min(as_size(image_size_pixels))
    if side <= _ICONS:
        name = "fashion_mnist" if stored.is_grey else "photos_small"
    elif side < _PHOTOS or not (accelerators or cores >= _MANY_CORES):
        name = "photos_small"
    elif accelerators < _MANY_GPUS or side < _LARGE_PHOTOS:
        name = "photos"
    else:
        name = "photos_224"
    own = min(as_size(get_preset(name).data.image_size_pixels))
    # No image is enlarged, and small ones are not made smaller.
    fitting = max(side // 4 * 4, min(side, 16))
    if image_size_pixels is not None or (side > _ICONS and fitting >= own):
        return name, {}
    return name, {} if fitting == own else {"data.image_size_pixels": fitting}


def _others(name):
    """Tell how to choose another preset, with what the larger ones need."""
    needs = {
        "photos_small": "two cores",
        "photos": "a GPU",
        "photos_224": "several GPUs",
    }
    rest = [f"--preset={other} ({need})" for other, need in needs.items()]
    rest = [text for text in rest if not text.startswith(f"--preset={name} ")]
    return f"Another one: {', '.join(rest[:-1])} or {rest[-1]}"


def _device_text(accelerators, cores):
    if accelerators:
        return f"{accelerators} GPU{'s' if accelerators > 1 else ''}"
    return f"{cores} core{'s' if cores > 1 else ''} and no GPU"


def count_accelerators() -> int:
    """Count GPUs and TPUs, without starting TensorFlow where there can be none.

    Returns:
      int.
    """
    may_be = (
        sys.platform in ("darwin", "win32")
        or os.environ.get("TPU_NAME")
        or any(
            glob.glob(path) for path in ("/dev/nvidia[0-9]*", "/dev/dxg", "/dev/kfd")
        )
    )
    if not may_be and "tensorflow" not in sys.modules:
        return 0
    found = sum(len(tf.config.list_physical_devices(kind)) for kind in ("GPU", "TPU"))
    return found or int(bool(os.environ.get("TPU_NAME")))
