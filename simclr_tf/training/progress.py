"""Progress on the screen: a bar, or one line an epoch."""

import sys
import time

from tqdm import tqdm

from simclr_tf.training.step_clock import StepCallback


def with_bar(batches, total=None, stream=None):
    """Pass batches on, with a bar of the images that are done on a terminal.

    Args:
      batches: iterable of dicts with "ids" `[N]`.
      total: int, images of all batches, or None if that is not known.
      stream: text file to write to; stderr if None.

    Yields:
      the batches, unchanged.

    Example:
      >>> [len(batch["ids"]) for batch in with_bar([{"ids": [0, 1]}, {"ids": [2]}])]
      [2, 1]
    """
    stream = stream or sys.stderr
    with tqdm(
        total=total,
        unit=" images",
        file=stream,
        dynamic_ncols=True,
        disable=not stream.isatty(),
    ) as bar:
        for batch in batches:
            yield batch
            bar.update(len(batch["ids"]))


class Throughput:
    """Images a second and the share of time spent waiting for data, since a mark.

    Args:
      global_batch_size: int, images a step.
      clock: StepClock.
      wait_meter: WaitMeter of the training data.
    """

    def __init__(self, global_batch_size, clock, wait_meter):
        self._batch, self._clock, self._meter = global_batch_size, clock, wait_meter
        self.mark()

    def mark(self):
        """Start a new interval."""
        self._first_step = self._clock.step
        self._began = time.perf_counter()
        self._waited = self._meter.seconds

    def read(self):
        """Return images_per_second, data_wait_fraction and seconds of the interval."""
        seconds = max(time.perf_counter() - self._began, 1e-9)
        waited = self._meter.seconds - self._waited
        steps = self._clock.step - self._first_step
        return {
            "images_per_second": steps * self._batch / seconds,
            "data_wait_fraction": min(waited / seconds, 1.0),
            "seconds": seconds,
        }


class Progress(StepCallback):
    """A bar with loss, accuracies, images/s, data wait and ETA.

    Without a terminal, one line an epoch is printed instead.

    Args:
      clock: StepClock.
      throughput: Throughput.
      shown: dict of figure name to its short name, beside the loss.
      stream: text file to write to; stderr if None.
    """

    def __init__(self, clock, throughput, *, shown=None, stream=None):
        super().__init__()
        self._shown = {"loss": "loss", **(shown or {})}
        self._stream = stream or sys.stderr
        self._clock, self._throughput = clock, throughput
        self._bar = self._began = None
        self._shown_at = 0.0

    def on_train_begin(self, logs=None):
        if self._began is None:
            self._began = time.perf_counter()
        if self._bar is None and self._stream.isatty():
            self._bar = tqdm(
                total=self._clock.total_steps,
                initial=self._clock.step,
                unit="step",
                file=self._stream,
                dynamic_ncols=True,
            )

    def on_epoch_begin(self, epoch, logs=None):
        self._throughput.mark()

    def on_train_batch_end(self, batch, logs=None):
        if self._bar is not None:
            self._bar.update(self._clock.latest_steps)
            if time.perf_counter() - self._shown_at > 0.5:
                self._shown_at = time.perf_counter()
                self._bar.set_postfix_str(self._figures(logs), refresh=False)

    def on_epoch_end(self, epoch, logs=None):
        if self._bar is None:
            step, total = self._clock.step, self._clock.total_steps
            done = step - self._clock.start_step
            spent = time.perf_counter() - self._began
            left = spent / max(done, 1) * (total - step)
            print(
                f"epoch {epoch + 1}  step {step}/{total}  "
                f"{self._figures(logs)}  ETA {_clock(left)}",
                file=self._stream,
                flush=True,
            )

    def print_above_bar(self, say):
        """Return a function that prints a line above the bar."""

        def said(text):
            with tqdm.external_write_mode(file=self._stream):
                say(text)

        return said

    def close(self):
        """Remove the bar from the screen; call it when training ends or fails."""
        if self._bar is not None:
            self._bar.close()

    def _figures(self, logs):
        parts = [
            f"{short} {float(logs[name]):.3f}"
            for name, short in self._shown.items()
            if name in logs
        ]
        speed = self._throughput.read()
        parts.append(f"{speed['images_per_second']:.0f} images/s")
        parts.append(f"data wait {speed['data_wait_fraction']:.0%}")
        return "  ".join(parts)


def _clock(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02d}:{seconds:02d}"
    return f"{minutes}:{seconds:02d}"
