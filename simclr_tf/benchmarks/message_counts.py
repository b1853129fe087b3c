"""The messages of a training step: counted in its graph, and expected on paper."""

import collections
import itertools

import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.benchmarks.benchmark_record import Counted
from simclr_tf.benchmarks.step_cases import compiled_model, run_config
from simclr_tf.distribution import (
    Link,
    StepSizes,
    expected_step,
    make_strategy,
    model_messages,
    require_divisible,
)
from simclr_tf.errors import ConfigError, received_text

# Replicas and global batches of the expected steps.
REPLICAS = (8, 32, 64, 128, 512)
BATCHES = (4_096, 16_384, 65_536)


def collective_bytes(graph):
    """Count the collectives of one replica in the graph of a step.

    Args:
      graph: tf.Graph of a concrete function that calls `strategy.run`.

    Returns:
      tuple of int, the bytes of each, in order of size.

    Raises:
      ConfigError: the replicas differ, or a collective is of another kind.
    """
    found = collections.defaultdict(list)
    for operation in graph.get_operations():
        if not operation.type.startswith("Collective"):
            continue
        if not operation.type.startswith("CollectiveReduce"):
            raise ConfigError(f"A step has all-reduces alone, not {operation.type}.")
        tensor = operation.inputs[0]
        size = tensor.shape.num_elements() * tensor.dtype.size
        found[operation.device].append(size)
    of_replicas = {tuple(sorted(sizes)) for sizes in found.values()}
    if len(of_replicas) > 1:
        raise ConfigError("The replicas have different collectives.")
    return of_replicas.pop() if of_replicas else ()


def sizes_of(model):
    """Read the StepSizes of a built PretrainingModel without an online probe."""
    layers = [*model.encoder.submodules, *model.projection_head.submodules]
    weights = [
        *model.encoder.trainable_weights,
        *model.projection_head.trainable_weights,
        *model.objective.trainable_weights,
    ]
    trained = view_sizes_of(model)[: model.objective.trained_views]
    return StepSizes(
        gradients=sum(weight.shape.num_elements() for weight in weights),
        figures=1 + len(model.objective.figures),
        norm_channels=tuple(
            layer.moving_mean.shape[0]
            for layer in layers
            if isinstance(layer, keras.layers.BatchNormalization)
        ),
        features=model.objective.setting.num_features,
        passes=len(list(itertools.groupby(trained))),
    )


def view_sizes_of(model):
    """Return (height, width) of every view of a built PretrainingModel."""
    return model.views_of.sizes(model.objective.setting.image_shape[:2])


def messages_of_step(model, global_batch_size, replicas):
    """List the messages of a step of a model, from its sizes.

    Args:
      model: PretrainingModel, built, without an online probe and micro-batches.
      global_batch_size, replicas: int.

    Returns:
      tuple of `simclr_tf.distribution.Message`.

    Raises:
      ConfigError: the objective does not state its messages.
    """
    sizes = sizes_of(model)
    own = model.objective.messages(global_batch_size, replicas, sizes.norm_channels)
    if own is None:
        raise ConfigError(
            "This objective does not state its messages: override "
            "`Objective.messages`, the list of what its loss and state send. "
            + received_text(objective=model.objective.options.name)
        )
    return (*model_messages(sizes, replicas), *own)


def model_on_replicas(config, replicas):
    """Build the model of a BenchmarkConfig on logical devices.

    Args:
      config: BenchmarkConfig.
      replicas: int >= 2.

    Returns:
      PretrainingModel, compiled.
    """
    require_divisible(config.batch_size, replicas, name="batch_size")
    strategy = make_strategy("mirrored", replicas=replicas)
    with strategy.scope():
        return compiled_model(run_config(config, "float32"), synchronized=True)


def count_step(model, global_batch_size):
    """Trace a step on all replicas of a model, and count its messages.

    Args:
      model: PretrainingModel, compiled, as for `messages_of_step`.
      global_batch_size: int.

    Returns:
      Counted.
    """
    strategy = model.distribute_strategy
    replicas = strategy.num_replicas_in_sync
    rows = global_batch_size // replicas
    channels = model.objective.setting.image_shape[-1]
    views = [tf.TensorSpec([rows, *size, channels]) for size in view_sizes_of(model)]
    batch = {
        "views": views,
        "labels": tf.TensorSpec([rows], tf.int32),
        "ids": tf.TensorSpec([rows], tf.int64),
    }
    step = tf.function(lambda batch: strategy.run(model.train_step, (batch,)))
    graph = step.get_concrete_function(batch).graph
    expected = messages_of_step(model, global_batch_size, replicas)
    expected = tuple(sorted(message.bytes for message in expected))
    return Counted(replicas, collective_bytes(graph), expected)


def expected_steps(config, model):
    """Estimate the steps of REPLICAS and BATCHES from the links of a BenchmarkConfig.

    Args:
      config: BenchmarkConfig.
      model: PretrainingModel, as for `messages_of_step`.

    Returns:
      list of ExpectedStep.
    """
    link = Link(
        config.link_gigabits_per_second * 1e9 / 8, config.latency_microseconds / 1e6
    )
    return [
        expected_step(
            messages_of_step(model, batch, replicas),
            link,
            replicas=replicas,
            global_batch_size=batch,
            images_per_second=config.replica_images_per_second,
        )
        for batch in BATCHES
        for replicas in REPLICAS
    ]
