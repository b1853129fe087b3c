"""Training of a student on its teacher's predictions."""

import math

from simclr_tf import durations
from simclr_tf.data import plain_errors
from simclr_tf.distribution import distribute_batches, is_distributed
from simclr_tf.errors import NonFiniteError
from simclr_tf.optim import (
    WarmupCosine,
    apply_exclusions,
    make_optimizer,
    scaled_learning_rate,
)
from simclr_tf.training.assembly import build_recipe
from simclr_tf.training.batches import Batches
from simclr_tf.training.data_wait import WaitMeter
from simclr_tf.training.distiller import Distiller
from simclr_tf.training.progress import Progress, Throughput
from simclr_tf.training.replicated_encoder import replicated_encoder
from simclr_tf.training.step_clock import StepCallback, StepClock, plan_run
from simclr_tf.training.views_of_batch import ViewsOfBatch

_COLUMNS = (*ViewsOfBatch.COLUMNS, "labels")  # Columns of a batch that the step takes.


def train_student(student, teacher, source, *, config, strategy):
    """Train a student in place, as a config describes.

    Args:
      student: keras.Model, float images to logits, built outside the strategy's scope;
        on several replicas a copy is trained, and its weights are copied back.
      teacher: keras.Model, built in the strategy's scope.
      source: Source of the images; labels that must not be used are -1 or absent.
      config: DistillConfig.
      strategy: tf.distribute.Strategy.

    Returns:
      list of dicts, one an epoch: its number of steps so far and its figures.

    Raises:
      ConfigError, DataError: a wrong option, or unusable images.
      NonFiniteError: the loss became NaN or infinite.
    """
    run = config.run_config(teacher.input_shape[-1])
    plan = plan_run(run, source)
    with strategy.scope():
        network = replicated_encoder(student)
        model = Distiller(
            network,
            teacher,
            temperature=config.temperature,
            alpha=config.alpha,
            recipe=build_recipe(run.augment),
            compile_views=config.compile_views,
            image_size_pixels=config.image_size_pixels,
        )
        model.compile(optimizer=_optimizer(config, network, plan.total_steps))
    batches = Batches(
        run, source, model.views_of.plan, replicas=strategy.num_replicas_in_sync
    )
    clock = StepClock(plan.total_steps, plan.epoch_steps)
    meter = WaitMeter(clock if is_distributed(strategy) else None)
    progress = Progress(
        clock,
        Throughput(config.batch_size, clock, meter),
        shown={"agreement": "agreement"},
    )
    figures = _Figures(clock)
    try:
        with plain_errors():
            for first, last, steps in durations.segments(
                0, plan.total_steps, plan.epoch_steps
            ):
                epoch = first // plan.epoch_steps
                model.fit(
                    _dataset(batches, strategy, first, last, meter),
                    initial_epoch=epoch,
                    epochs=epoch + (last - first) // steps,
                    steps_per_epoch=steps,
                    callbacks=[clock, meter, progress, figures],
                    verbose=0,
                )
    finally:
        progress.close()
    if network is not student:
        student.set_weights(network.get_weights())
    return figures.epochs


def _optimizer(config, network, total_steps):
    peak = scaled_learning_rate(
        config.base_learning_rate, config.batch_size, config.scaling
    )
    schedule = WarmupCosine(
        peak, round(config.warmup_fraction * total_steps), total_steps
    )
    optimizer = make_optimizer(
        config.optimizer,
        schedule,
        weight_decay=config.weight_decay,
        momentum=config.momentum,
    )
    # LARS adapts the linear layer too; otherwise 1 / temperature would scale its steps.
    apply_exclusions(optimizer, network)
    optimizer.build(network.trainable_variables)
    return optimizer


def _dataset(batches, strategy, first, last, meter):
    def rows_of_worker(worker, workers):
        rows = batches.between(first, last, worker, workers)
        return meter.measure(
            rows.map(
                lambda batch: {name: batch[name] for name in _COLUMNS if name in batch}
            ).prefetch(2)
        )

    return distribute_batches(strategy, rows_of_worker)


class _Figures(StepCallback):
    """Keep each epoch's figures; stop a training that diverged."""

    def __init__(self, clock):
        super().__init__()
        self.epochs, self._clock = [], clock

    def on_epoch_end(self, epoch, logs=None):
        figures = {name: float(value) for name, value in logs.items()}
        if not math.isfinite(figures["loss"]):
            raise NonFiniteError(
                f"The loss became {figures['loss']} by step {self._clock.step}. "
                "Use a smaller --base_learning_rate, a larger "
                "--optimizer.warmup_fraction or a higher --temperature."
            )
        self.epochs.append({"step": self._clock.step, **figures})
