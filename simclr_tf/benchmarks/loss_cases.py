"""Benchmark: NT-Xent over the batch size, time and memory, forward and backward."""

import functools
import inspect
import logging
import pathlib

import tensorflow as tf

from simclr_tf.benchmarks.measuring import Case, Variant
from simclr_tf.losses import candidate_logits, nt_xent, nt_xent_from_logits

LOG = logging.getLogger("simclr_tf")
DENSE, STREAMED = "dense", "streamed"
_CHUNK_SIZE = 1024  # Anchors of a block, if none are asked for.
_TEMPERATURE = 0.1
# Both halves of the logits, their softmax, and the gradients of both, in float32.
_DENSE_BYTES_A_PAIR = 4 * 4 * 3


def cases(config, folder):
    """Return, for each batch size, the loss alone and with its gradient.

    A dense loss that does not fit into the free memory is left out.

    Args:
      config: BenchmarkConfig.
      folder: not used.

    Returns:
      list of Case.
    """
    found = []
    for size in config.sizes_of("loss"):
        for name, backward in (("forward", False), ("forward and backward", True)):
            variants = tuple(
                Variant(
                    kind,
                    _maker(size, config.out_features, backward, losses),
                    size,
                    f"{kind}, {name}",
                )
                for kind, losses in _kinds(config, size)
            )
            if variants:
                found.append(
                    Case(
                        f"G = {size}, D = {config.out_features}, {name}",
                        variants,
                        size,
                        "pairs",
                    )
                )
    return found


def _kinds(config, size):
    """Yield (name, losses of two views) of each implementation that can run."""
    needed = _DENSE_BYTES_A_PAIR * size * size
    if needed < _free_bytes():
        yield DENSE, _dense
    else:
        LOG.warning(
            "The dense loss at G = %d is left out: it needs about %d GiB.",
            size,
            needed >> 30,
        )
    if "chunk_size" in inspect.signature(nt_xent).parameters:
        chunk_size = getattr(config.objective, "chunk_size", None) or _CHUNK_SIZE
        yield (
            STREAMED,
            functools.partial(
                nt_xent, temperature=_TEMPERATURE, chunk_size=min(chunk_size, size)
            ),
        )


def _dense(a, b):
    """Compute NT-Xent from all logits at once, even where `nt_xent` streams them."""
    return nt_xent_from_logits(candidate_logits(a, b, temperature=_TEMPERATURE))


def _maker(size, features, backward, losses_of):
    def make():
        pair = [
            tf.random.stateless_normal([size, features], (0, seed)) for seed in (1, 2)
        ]

        def loss(a, b):
            return tf.reduce_mean(losses_of(a, b))

        def loss_and_gradients(a, b):
            with tf.GradientTape() as tape:
                tape.watch([a, b])
                value = loss(a, b)
            return value, *tape.gradient(value, [a, b])

        function = tf.function(
            loss_and_gradients if backward else loss,
            autograph=False,
        ).get_concrete_function(*pair)
        return lambda: [part.numpy() for part in tf.nest.flatten(function(*pair))]

    return make


def _free_bytes():
    """Return the memory that is free without swapping; infinite if unknown."""
    try:
        text = pathlib.Path("/proc/meminfo").read_text(encoding="utf-8")
    except OSError:
        return float("inf")
    fields = dict(line.split(":", 1) for line in text.splitlines())
    return 1024 * int(fields["MemAvailable"].split()[0])
