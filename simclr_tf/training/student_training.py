"""Training of a student on its teacher's predictions."""

import math

from simclr_tf.data import plain_errors
from simclr_tf.distribution import distribute_batches, requests_batches_ahead
from simclr_tf.errors import NonFiniteError
from simclr_tf.models.precision_copy import precision_copy
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
from simclr_tf.training.resumable_fit import ResumableFit
from simclr_tf.training.step_clock import StepCallback, plan_run
from simclr_tf.training.views_of_batch import ViewsOfBatch

_COLUMNS = (*ViewsOfBatch.COLUMNS, "labels")  # Columns of a batch that the step takes.


def train_student(
    student, teacher, source, *, config, strategy, folder=None, recipe=None
):
    """Train a student in place, as a config describes.

    Args:
      student: keras.Model, float images to logits, built outside the strategy's scope;
        on several replicas, and in another precision, a copy is trained, and its
        weights are copied back.
      teacher: keras.Model, built in the strategy's scope.
      source: Source of the images; labels that must not be used are -1 or absent.
      config: DistillConfig, with a chosen precision.
      strategy: tf.distribute.Strategy.
      folder: TrainingFolder, from which an interrupted training continues; or None.
      recipe: Recipe of the views; that of the config if None.

    Returns:
      list of dicts, one an epoch: its number of steps so far and its figures.

    Raises:
      ConfigError, DataError: a wrong option, or unusable images.
      NonFiniteError: the loss became NaN or infinite.
    """
    run = config.run_config(teacher.input_shape[-1])
    plan = plan_run(run, source)
    with strategy.scope():
        network = precision_copy(replicated_encoder(student), config.precision)
        model = Distiller(
            network,
            precision_copy(teacher, config.precision),
            temperature=config.temperature,
            alpha=config.alpha,
            recipe=recipe or build_recipe(run.augment),
            compile_views=config.compile_views,
            image_size_pixels=config.image_size_pixels,
        )
        model.compile(optimizer=_optimizer(config, network, plan.total_steps))
    batches = Batches(
        run, source, model.views_of.plan, replicas=strategy.num_replicas_in_sync
    )
    training = ResumableFit(model, plan.total_steps, plan.epoch_steps, folder)
    clock = training.clock
    meter = WaitMeter(clock if requests_batches_ahead(strategy) else None)
    progress = Progress(
        clock,
        Throughput(config.batch_size, clock, meter),
        shown={"agreement": "agreement"},
    )
    try:
        with plain_errors():
            history = training.run(
                lambda first, last: _dataset(batches, strategy, first, last, meter),
                [meter, progress, _StopIfDiverged(clock)],
            )
    finally:
        progress.close()
    if network is not student:
        student.set_weights(network.get_weights())
    return history


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


class _StopIfDiverged(StepCallback):
    """Stop a training whose loss is no longer finite."""

    def __init__(self, clock):
        super().__init__()
        self._clock = clock

    def on_epoch_end(self, epoch, logs=None):
        if not math.isfinite(loss := float(logs["loss"])):
            raise NonFiniteError(
                f"The loss became {loss} by step {self._clock.step}. "
                "Use a smaller --base_learning_rate, a larger "
                "--optimizer.warmup_fraction or a higher --temperature."
            )
