"""What a study will cost: operations by arithmetic, seconds by a few measured steps."""

import dataclasses
import io
import time

import numpy as np

from simclr_tf.augment import plan_views
from simclr_tf.config.schema import override
from simclr_tf.models import flops_per_example
from simclr_tf.objectives import objective_of
from simclr_tf.studies.quiet import stderr_to
from simclr_tf.training import pretrain_from_config
from simclr_tf.training.assembly import build_encoder, build_recipe
from simclr_tf.training.step_clock import StepCallback, plan_run

_PASSES = 3  # A step forward and backward costs three times the forward pass.
_STEPS, _WARM = 8, 3


class Operations:
    """Floating-point operations of runs: steps x images x operations an image.

    Only the encoder's training is counted: heads, views and probes are little beside
    it, and are part of the measured seconds.

    Args:
      source: Source of the training images.
    """

    def __init__(self, source):
        self._source = source
        self._forward = {}

    def of(self, run):
        """float, operations of a Run.

        Raises:
          ConfigError: a batch that is larger than the set, or a stream without end.
        """
        config, settings = run.config, run.cell.settings
        size = config.data.image_size_pixels
        forward = _PASSES * self._forward_of(config, (size, size))
        if run.cell.work == "supervised":
            return float(forward * config.epochs * self._source.num_examples)
        total = 0.0
        if settings.get("pretrain", True):
            total += self.of_step(run) * plan_run(config, self._source).total_steps
        trained = {"fine_tune", "scratch"} & set(settings.get("methods", ()))
        for fraction, epochs in zip(
            settings.get("fractions", ()), settings.get("epochs", ()), strict=True
        ):
            total += (
                len(trained) * forward * epochs * fraction * self._source.num_examples
            )
        return total

    def of_step(self, run):
        """int, operations of one step of a run's pretraining: all views of its plan."""
        config = run.config
        plan = plan_views(
            build_recipe(config.augment),
            config.data.image_size_pixels,
            objective_of(config.objective).view_groups,
        )
        forward = sum(self._forward_of(config, view.size) for view in plan.views)
        return _PASSES * forward * config.global_batch_size

    def _forward_of(self, config, size):
        """int, operations of a forward pass of one image of size (height, width)."""
        key = (config.encoder, size)
        if key not in self._forward:
            channels = self._source.channels
            # In float32 the count is the same, and nothing depends on the processor.
            encoder = build_encoder(
                dataclasses.replace(config, precision="float32"), channels
            )
            self._forward[key] = flops_per_example(encoder, (*size, channels))
        return self._forward[key]


@dataclasses.dataclass(frozen=True)
class Speed:
    """How long operations take here.

    Attributes:
      seconds_a_run: float, that each run takes beside its steps.
      operations_a_second: float.
      origin: str, where the numbers are from.
    """

    seconds_a_run: float
    operations_a_second: float
    origin: str

    def seconds(self, operations):
        """Expected seconds of a run of so many operations."""
        return self.seconds_a_run + operations / self.operations_a_second


def speed_of_finished(pairs):
    """The Speed that finished runs had, from (operations, seconds); None for none.

    Example:
      >>> speed_of_finished([(100.0, 2.0), (300.0, 6.0)]).seconds(50.0)
      1.0
    """
    pairs = list(pairs)
    if not pairs:
        return None
    operations, seconds = np.sum(pairs, axis=0)
    return Speed(
        0.0,
        max(float(operations), 1.0) / max(float(seconds), 1e-9),
        f"{len(pairs)} finished cell{'s' * (len(pairs) > 1)}",
    )


def measured_speed(run, operations_a_step):
    """The Speed of the first steps of a pretraining, which is then thrown away.

    Args:
      run: Run, of a pretraining.
      operations_a_step: float.

    Returns:
      Speed; what a run takes beside its steps is the time until its first step ends,
      twice: the probes trace and compile about as much once more.
    """
    clock = _StepEnds()
    # The clock is asked after every step.
    config = override(
        run.config, {"steps": _STEPS, "performance.steps_per_execution": None}
    )
    started = time.perf_counter()
    with stderr_to(io.StringIO()):
        pretrain_from_config(config, callbacks=[clock], say=lambda line: None)
    seconds = float(np.median(np.diff(clock.times)[_WARM:]))
    return Speed(
        2 * (clock.times[0] - started),
        operations_a_step / seconds,
        f"{_STEPS - 1 - _WARM} measured steps",
    )


class _StepEnds(StepCallback):
    """When each step ended."""

    def __init__(self):
        super().__init__()
        self.times = []

    def on_train_batch_end(self, batch, logs=None):
        self.times.append(time.perf_counter())
