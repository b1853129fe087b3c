"""What a run will cost, said before its first step."""

import time

from simclr_tf._keras import keras
from simclr_tf.losses import block_rows, nt_xent_from_logits
from simclr_tf.models import count_parameters, flops_per_image
from simclr_tf.training.executions import steps_done


def cost_report(
    model, *, image_shape, global_batch_size, total_steps, epoch_steps, num_examples
):
    """Plain lines: parameters, FLOPs, steps, memory of the logits.

    Args:
      model: SimCLR, built.
      image_shape: (H, W, C) of a view.
      global_batch_size, total_steps, epoch_steps, num_examples: int.

    Returns:
      str, several lines. Forward and backward of a step count as three forwards (and
      with micro-batches one more); the logits are the four float32 blocks [G, G] of
      both directions, or the rows of them that one replica holds at a time.
    """
    trainable, _ = count_parameters(model.encoder)
    head, _ = count_parameters(model.projection_head)
    height, _, channels = image_shape
    passes = "an endless stream" if num_examples is None else f"{num_examples:,} a pass"
    lines = [
        f"Images      {passes}, {epoch_steps} steps of "
        f"{global_batch_size} an epoch, {total_steps:,} steps in all"
    ]
    lines.append(f"Parameters  {_short(trainable)} encoder, {_short(head)} head")
    forward = flops_per_image(model.encoder, height, channels)
    if forward:
        passes_of_step = 3 if model.micro_batch_size is None else 4
        step = passes_of_step * 2 * global_batch_size * forward
        lines.append(
            f"Arithmetic  {_short(step)}FLOP a step "
            f"({_short(forward)}FLOP an image forward), "
            f"{_short(step * total_steps)}FLOP in all"
        )
    lines.append(_memory_line(model, global_batch_size))
    return "\n".join(lines)


def _memory_line(model, global_batch_size):
    candidates = 2 * global_batch_size
    anchors = candidates // model.distribute_strategy.num_replicas_in_sync
    rows = None
    if model.losses_of is nt_xent_from_logits:  # Other losses hold all logits.
        rows = block_rows(anchors, candidates, model.chunk_size)
    if rows is None:
        return f"Memory      {4 * candidates**2 / 2**20:,.1f} MiB of logits a step"
    mebibytes = 4 * rows * candidates / 2**20
    return (
        f"Memory      {mebibytes:,.1f} MiB of logits at a time: {rows:,} of "
        f"{anchors:,} anchors"
    )


class EstimatedTime(keras.callbacks.Callback):
    """Say the expected duration once, after a few warm-up steps.

    Args:
      total_steps, start_step: int.
      say: function of a str.
      skip, measure: int, steps left out (tracing, warm-up) and steps measured.
      steps_per_execution: int; of more than one, the first execution is left out and
        the second is measured, if they are longer.
    """

    _supports_tf_logs = True

    def __init__(
        self, *, total_steps, start_step, say, skip=3, measure=5, steps_per_execution=1
    ):
        super().__init__()
        self._left = total_steps - start_step
        self._say, self._skip, self._measure = say, skip, measure
        self._steps_per_execution = steps_per_execution
        self._seen, self._began, self._is_said = 0, None, False

    def on_train_batch_end(self, batch, logs=None):
        self._seen += steps_done(batch, self._steps_per_execution)
        if self._seen < self._skip or self._is_said:
            return
        if self._began is None:
            self._began = self._seen, time.perf_counter()
        elif self._seen - self._began[0] >= self._measure:
            self._is_said = True
            first, began = self._began
            seconds = (time.perf_counter() - began) / (self._seen - first)
            self._say(
                f"Time        {seconds:.3f} s a step, about "
                f"{seconds * (self._left - self._seen) / 60:.1f} minutes left"
            )


def _short(number):
    """1234567 -> '1.23 M'."""
    for power, letter in ((15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k")):
        factor = 10**power
        if number >= factor:
            return f"{number / factor:.3g} {letter}"
    return f"{number} "
