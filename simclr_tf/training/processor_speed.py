"""How much faster bfloat16 is than float32 on this processor: measured once, kept.

Names of instructions do not tell: not every system lists them, and whether TensorFlow
uses them depends on its version.
"""

import contextlib
import json
import os
import pathlib
import time

import tensorflow as tf

from simclr_tf.errors import WorkdirError
from simclr_tf.files import write_atomically
from simclr_tf.limits import read_json
from simclr_tf.machine import processor_name

# A convolution of a ResNet's middle: images, side, channels.
_IMAGES, _SIDE, _CHANNELS = 16, 16, 128
_ROUNDS = 6  # A third of a second on two cores.


def times_as_fast():
    """Tell how many times as fast as float32 bfloat16 is here.

    The first call on a processor and a version of TensorFlow measures it, and keeps
    the number in `kept_in()` if that can be written.

    Returns:
      (float, bool): the ratio, and whether it was measured now.
    """
    kept, name = _kept(), processor()
    if isinstance(kept.get(name), float):
        return kept[name], False
    ratio = round(_measured(), 3)
    with contextlib.suppress(WorkdirError):  # Then it is measured each time.
        content = json.dumps({**kept, name: ratio}, indent=1)
        write_atomically(kept_in(), f"{content}\n", make_folder=True)
    return ratio, True


def kept_in():
    """Return the path of the file with the measured ratios of this user."""
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(cache) / "simclr_tf" / "processors.json"


def processor():
    """Name the processor, its cores and the version of TensorFlow.

    Example:
      >>> processor().endswith(f"TensorFlow {tf.__version__}")
      True
    """
    return f"{processor_name()}, {os.cpu_count()} cores, TensorFlow {tf.__version__}"


def _kept():
    try:
        kept = read_json(kept_in())
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _measured():
    """Measure both in turns; the fastest round of each counts, on a busy machine."""
    with tf.device("CPU:0"):
        works = [_convolution(kind) for kind in (tf.float32, tf.bfloat16)]
        seconds = [[], []]
        for _ in range(1 + _ROUNDS):
            for work, times in zip(works, seconds, strict=True):
                began = time.perf_counter()
                work()
                times.append(time.perf_counter() - began)
    plain, short = (min(times[1:]) for times in seconds)
    return plain / max(short, 1e-9)


def _convolution(kind):
    """Return a function that runs a convolution forward and backward."""
    shapes = [_IMAGES, _SIDE, _SIDE, _CHANNELS], [3, 3, _CHANNELS, _CHANNELS]
    images, kernel = (
        tf.cast(tf.random.stateless_normal(s, (0, 1)), kind) for s in shapes
    )

    def work():
        with tf.GradientTape() as tape:
            tape.watch([images, kernel])
            features = tf.nn.relu(tf.nn.conv2d(images, kernel, 1, "SAME"))
        return [g.numpy() for g in tape.gradient(features, [images, kernel])]

    return work
