"""The callbacks of a run, in their order."""

import contextlib
import math

from simclr_tf.distribution import requests_batches_ahead
from simclr_tf.objectives import figures_of
from simclr_tf.optim import learning_rate_schedule
from simclr_tf.training.averaging import UseAverages
from simclr_tf.training.continuation import ContinueMetrics
from simclr_tf.training.cost_report import EstimatedTime
from simclr_tf.training.data_wait import WaitMeter
from simclr_tf.training.health import HealthCheck
from simclr_tf.training.interruption import StopWhenSaved
from simclr_tf.training.knn_monitor import KnnMonitor
from simclr_tf.training.progress import Progress, Throughput
from simclr_tf.training.records import MetricsLog, RepresentationSample
from simclr_tf.training.saving import SaveCheckpoints
from simclr_tf.training.step_clock import StepClock
from simclr_tf.training.trackers import Tracking
from simclr_tf.training.workers import make_interruption


class RunCallbacks:
    """The callbacks of a PretrainingRun; its steps are taken within a `with` of them.

    Args:
      run: PretrainingRun.
      workdir: Workdir, or None.
      store: CheckpointStore, or None.
      start: Checkpoint from which the run continues, or None.
      monitor: list of `knn_monitor`.
      callbacks: keras callbacks of the user's.

    Attributes:
      clock: StepClock.
      meter: WaitMeter, which observes the batches.
      log: MetricsLog.
      in_order: list of keras callbacks.
    """

    def __init__(self, run, workdir, store, start, monitor, callbacks):
        self._run = run
        plan, config = run.plan, run.config
        self.clock = clock = StepClock(
            plan.total_steps,
            plan.epoch_steps,
            start_step=start.step if start else 0,
            steps_per_execution=config.performance.steps_per_execution or 1,
        )
        ahead = requests_batches_ahead(run.strategy)
        self.meter = WaitMeter(clock if ahead else None)
        throughput = Throughput(config.global_batch_size, clock, self.meter)
        self.log = MetricsLog(
            workdir.path if workdir and run.is_chief else None,
            clock,
            learning_rate=learning_rate_schedule(run.model.optimizer),
            throughput=throughput,
            sample=RepresentationSample(
                run.model, next(iter(run.batches.between(0, 1)))
            ),
            grid_every_epochs=config.checkpoint.image_every_epochs,
        )
        self._progress = Progress(
            clock,
            throughput,
            shown={
                figure.name: figure.short
                for figure in figures_of(config.objective)
                if figure.short
            },
            stream=run.stream,
        )
        self._say = self._progress.print_above_bar(run.say)
        # Without a workdir nothing is saved, so a signal ends the run at once.
        interruption, agreement, saving, stop = contextlib.nullcontext(), [], [], []
        if store is not None:
            interruption, agreement = make_interruption(run.strategy)
            saving = self._saving(store, start, interruption)
            stop = [StopWhenSaved(interruption)]
        self._interruption = interruption
        self._trackers = []
        if config.track is not None and run.is_chief:
            self._trackers = [Tracking(config, self.log.records, workdir, self._say)]
        # The order of the callbacks, for each step and each epoch:
        self.in_order = [
            clock,  # First: all others read the step here.
            *agreement,  # Decides whether to stop, for the callbacks below.
            self.meter,  # Before the others: their work is not waiting for data.
            *monitor,  # Its figure is one of the epoch's.
            self.log,  # Adds figures of the epoch, for the callbacks below.
            self._health_check(store),  # Before averaging and saving.
            *self._averages(),  # The last checkpoint holds the averages.
            *self._shown(),
            *self._trackers,  # A tracker that fails says so, and ends nothing.
            *saving,  # After the figures of the epoch are written.
            *callbacks,  # The user's callbacks see the run as it is on the disk.
            *stop,  # Last: all others have seen the step or the epoch.
        ]

    def __enter__(self):
        self._interruption.__enter__()
        return self

    def __exit__(self, *error):
        try:
            return self._interruption.__exit__(*error)
        finally:
            self._progress.close()
            self.log.close()
            for tracker in self._trackers:
                tracker.close()

    def _health_check(self, store):
        return HealthCheck(
            self.clock,
            global_batch_size=self._run.config.global_batch_size,
            last_checkpoint=lambda: getattr(store and store.latest(), "path", None),
            ids_of_batch=self._run.batches.ids_of,
            max_skipped_steps=self._run.config.max_skipped_steps,
            warns=self._run.is_chief,
        )

    def _averages(self):
        config = self._run.config
        if config.optimizer.wrapper == "none":
            return []
        momentum = config.encoder.batch_norm_momentum
        return [
            UseAverages(self._run.dataset, self.clock, batch_norm_momentum=momentum)
        ]

    def _shown(self):
        if not self._run.is_chief:
            return []
        return [self._progress, EstimatedTime(self.clock, say=self._say)]

    def _saving(self, store, start, interruption):
        """Make the callbacks that save the run, and restore what they saved."""
        options, clock = self._run.config.checkpoint, self.clock
        is_within_epoch = start is not None and start.step % clock.epoch_steps
        return [
            ContinueMetrics(start.manifest.get("metrics") if is_within_epoch else None),
            SaveCheckpoints(
                store,
                clock,
                every_epochs=options.every_epochs,
                keep_every_epochs=options.keep_every_epochs,
                every_steps=options.every_steps,
                details=self._run.identity,
                interruption=interruption,
            ),
        ]


def knn_monitor(run):
    """List the callback that measures kNN, if it is asked for; print its line.

    Args:
      run: PretrainingRun.

    Returns:
      list of KnnMonitor.
    """
    every = run.config.probe.knn_every_epochs
    if every is None or not run.is_chief:
        return []
    monitor = KnnMonitor(
        run.model.encoder,
        run.probe_source or run.source,
        every_epochs=every,
        epochs=math.ceil(run.plan.total_steps / run.plan.epoch_steps),
        image_size_pixels=run.config.data.image_size_pixels,
    )
    run.say(monitor.line())
    return [monitor]
