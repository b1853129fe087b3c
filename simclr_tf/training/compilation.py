"""Whether XLA compiles the whole training step, and what `auto` chooses."""

import tensorflow as tf

from simclr_tf.distribution import is_distributed, is_tpu
from simclr_tf.errors import require
from simclr_tf.training.choices import Choice


class Compilation(Choice):
    """Whether XLA compiles the step, "true" or "false", and the reason for it."""

    option, title = "jit_compile", "Compiled"


def choose_compilation(requested, strategy, begun=None, step_seconds=None):
    """Choose whether XLA compiles the step of a run.

    Args:
      requested: str, the value of `--jit_compile`.
      strategy: tf.distribute.Strategy.
      begun: str, the choice with which the run has begun, or None.
      step_seconds: function of "true" or "false" to the measured seconds of a step;
        called on a GPU, if there is a choice.

    Returns:
      Compilation with the name "true" or "false".

    Raises:
      ConfigError: steps that this strategy cannot run.
    """
    if is_tpu(strategy):
        require(
            requested != "false",
            "A TPU runs compiled steps only.",
            jit_compile=requested,
        )
        return Compilation("true", "a TPU compiles every step", requested, True)
    require(
        requested != "true" or not is_distributed(strategy),
        "`jit_compile` compiles the step of one device: what several replicas send "
        "each other stays outside of XLA. Use auto or false.",
        jit_compile=requested,
        replicas=strategy.num_replicas_in_sync,
    )
    if requested != "auto":
        return Compilation(requested, "as requested", requested)
    if is_distributed(strategy):
        return Compilation("false", "it has several replicas", is_usual=True)
    if begun in ("true", "false"):
        return Compilation(begun, "this run began so and keeps it")
    if not on_gpu():
        return Compilation("false", "a processor runs it in its parts", is_usual=True)
    return _faster(step_seconds)


def on_gpu():
    """Tell whether one device means a GPU here."""
    return bool(tf.config.get_visible_devices("GPU"))


def compiled_by_keras(choice, strategy):
    """Tell whether `fit` is to compile the step; a TPU's strategy does it itself."""
    return choice == "true" and not is_tpu(strategy)


def _faster(step_seconds):
    """Measure both ways; XLA may be unable to compile a step."""
    plain = step_seconds("false")
    try:
        compiled = step_seconds("true")
    except (tf.errors.OpError, NotImplementedError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        return Compilation("false", f"XLA cannot compile this step: {first:.200}")
    name = "true" if compiled < plain else "false"
    return Compilation(
        name,
        f"measured {1000 * compiled:.3g} ms a step compiled, {1000 * plain:.3g} ms in "
        "its parts",
    )
