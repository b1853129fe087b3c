"""Where the time of a step goes: the operations of a profile by kind of work."""

from __future__ import annotations

import collections
import pathlib
import re

from simclr_tf.errors import DataError
from simclr_tf.models.kernel_gradients import NAME as KERNEL_GRADIENT

# Kind -> a part of the operation's name or type; the first that fits counts.
KINDS = {
    "gradients of kernels": (KERNEL_GRADIENT, "Conv2DBackpropFilter"),
    "gradients of images": ("Conv2DBackpropInput",),
    "convolutions, forward": ("Conv2D",),
    "batch norm": ("BatchNorm",),
    "matrix products": ("MatMul",),
    "programs of XLA": ("Xla",),
    "variables": ("Assign", "ReadVariable"),
    "ReLU": ("Relu",),
}
OTHER = "the rest"
_OPERATION = re.compile(r"[^:\s]+:\w+")  # Its name and type.


def kind_of_work(operation: str) -> str:
    """Name the kind of work of an operation, given as "name:type".

    Example:
      >>> kind_of_work("net/conv:_MklNativeConv2D"), kind_of_work("mean:Mean")
      ('convolutions, forward', 'the rest')
    """
    for kind, parts in KINDS.items():
        if any(part in operation for part in parts):
            return kind
    return OTHER


def budget_of_profile(folder: str | pathlib.Path) -> dict[str, float]:
    """Add up the seconds of a profile's operations by kind of work.

    Operations that ran at the same time on several threads count in full, so the sum
    may be longer than the step.

    Args:
      folder: of `tf.profiler.experimental.start`.

    Returns:
      dict of kind to seconds.

    Raises:
      DataError: no profile, or one that this version of TensorFlow has no reader for.
    """
    try:
        from tensorflow.tsl.profiler.protobuf import xplane_pb2
    except ImportError as error:
        raise DataError(
            f"This version of TensorFlow has no reader for profiles: {error}. Open "
            f"{folder} with TensorBoard."
        ) from error
    files = sorted(pathlib.Path(folder).rglob("*.xplane.pb"))
    if not files:
        raise DataError(f"There is no profile in {folder}.")
    space = xplane_pb2.XSpace.FromString(files[-1].read_bytes())
    seconds = collections.Counter()
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name
                if _OPERATION.fullmatch(name):  # The others contain operations.
                    seconds[kind_of_work(name)] += event.duration_ps / 1e12
    return dict(seconds)
