"""The cost report of a run, printed before its first step."""

import time

from simclr_tf.models import count_parameters
from simclr_tf.training.step_clock import StepCallback


def cost_report(model, costs, *, global_batch_size, total_steps):
    """Describe the cost in plain lines: parameters, FLOPs.

    Args:
      model: PretrainingModel, built.
      costs: list of `simclr_tf.training.peak_memory.costs_of_views`.
      global_batch_size, total_steps: int.

    Returns:
      str, several lines. A step counts as three forward passes (with micro-batches as
      four).
    """
    trainable, _ = count_parameters(model.encoder)
    head, _ = count_parameters(model.projection_head)
    lines = [f"Parameters  {_short(trainable)} encoder, {_short(head)} head"]
    forward = [cost.flops for cost, _ in costs]
    if all(forward):
        passes_of_step = 3 if model.micro_batch_size is None else 4
        step = passes_of_step * global_batch_size * sum(forward)
        lines.append(
            f"Arithmetic  {_short(step)}FLOP a step "
            f"({_short(forward[0])}FLOP an image forward), "
            f"{_short(step * total_steps)}FLOP in all"
        )
    return "\n".join(lines)


class EstimatedTime(StepCallback):
    """Print the expected duration once, after a few warm-up steps.

    Args:
      clock: StepClock. With several steps an execution, at least the first execution
        is left out and the second is measured.
      say: function that prints a line (str).
      skip, measure: int, steps left out (tracing, warm-up) and steps measured.
    """

    def __init__(self, clock, *, say, skip=3, measure=5):
        super().__init__()
        self._clock = clock
        self._say, self._skip, self._measure = say, skip, measure
        self._began, self._is_said = None, False

    def on_train_batch_end(self, batch, logs=None):
        step = self._clock.step
        if step - self._clock.start_step < self._skip or self._is_said:
            return
        if self._began is None:
            self._began = step, time.perf_counter()
        elif step - self._began[0] >= self._measure:
            self._is_said = True
            first, began = self._began
            seconds = (time.perf_counter() - began) / (step - first)
            self._say(
                f"Time        {seconds:.3f} s a step, about "
                f"{seconds * (self._clock.total_steps - step) / 60:.1f} minutes left"
            )


def _short(number):
    """Format 1234567 as '1.23 M'."""
    for power, letter in ((15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k")):
        factor = 10**power
        if number >= factor:
            return f"{number / factor:.3g} {letter}"
    return f"{number} "
