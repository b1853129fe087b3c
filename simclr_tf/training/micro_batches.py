"""The gradient of a large batch in the memory of a small one (gradient caching).

A contrastive loss of a batch is not a sum over its parts: every image is compared with
all others. But the loss depends on the images only through their projections, which are
small. So a step passes over the micro-batches of its batch twice:

1. forward without a tape: the projections of every micro-batch are kept, nothing else;
2. the loss of all projections (of all replicas), and its gradient with respect to them;
3. forward once more, with a tape, and backward from the kept gradient: one micro-batch
   at a time, their gradients added up.

By the chain rule this is the gradient of the whole batch. The views are made again in
the second pass: they are functions of images and seeds, and storing them takes more
memory.

Source: Gao et al., Scaling Deep Contrastive Learning Batch Size under Memory Limited
Setup (2021), section 3.2.
"""

import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.distribution import (
    in_several_replicas,
    keep_or_restore,
    num_replicas,
    uses_merge_calls,
)
from simclr_tf.errors import ConfigError, received_text, require, unknown_choice
from simclr_tf.models.keras3_network import network_of
from simclr_tf.training.views_of_batch import ViewsOfBatch

MICRO_BATCH_NORMS = ("batch", "inference")


def require_micro_batches(per_replica_batch_size, micro_batch_size):
    """Refuse a micro-batch size that does not divide a replica's batch.

    Args:
      per_replica_batch_size: int, or None if it is not known.
      micro_batch_size: int >= 1.

    Raises:
      ConfigError: unless the second divides the first.

    Example:
      >>> require_micro_batches(512, 128)
    """
    fits = per_replica_batch_size and per_replica_batch_size % micro_batch_size == 0
    if not fits:
        raise ConfigError(
            "`micro_batch_size` must divide the images of one replica's batch, whose "
            "number must be fixed. "
            + received_text(
                micro_batch_size=micro_batch_size,
                per_replica_batch_size=per_replica_batch_size,
            )
        )


def can_split(model, norm):
    """Tell whether a model can train in micro-batches.

    Args:
      model: PretrainingModel.
      norm: "batch" or "inference".

    Returns:
      bool.
    """
    try:
        MicroBatches(model, 1, norm)
    except ConfigError:
        return False
    return True


class MicroBatches:
    """Forward and backward passes of a model over parts of its batch.

    Statistics of batch norm, with `norm`
      * "batch": those of each micro-batch (all views, and of the same micro-batch on
        all replicas if batch norm is synchronized), the same in both passes. Moving
        statistics are updated in the second pass only, once for each micro-batch: the
        updates of the first pass are undone.
      * "inference": the moving statistics, in both passes, without updates. The
        gradient is that of the whole batch in inference mode, for any size of the
        micro-batches. It is for encoders that have been trained before, or that have
        no batch norm.

    Args:
      model: PretrainingModel.
      micro_batch_size: int >= 1, images of one replica in the network at a time.
      norm: "batch" or "inference".

    Raises:
      ConfigError: a value outside its range, an objective that needs more than the
        projections, or layers such as dropout, which would draw other numbers in the
        second pass.
    """

    def __init__(self, model, micro_batch_size, norm):
        require(
            micro_batch_size >= 1,
            "`micro_batch_size` must be >= 1.",
            micro_batch_size=micro_batch_size,
        )
        if norm not in MICRO_BATCH_NORMS:
            raise unknown_choice("micro_batch_norm", norm, MICRO_BATCH_NORMS)
        refused = model.objective.micro_batches_refused
        require(
            refused is None,
            f"Micro-batches would not give this objective's gradient: {refused}. Leave "
            "`micro_batch_size` out, or use a smaller batch.",
            micro_batch_size=micro_batch_size,
        )
        self._model, self._size = model, micro_batch_size
        self._uses_batch_statistics = norm == "batch"
        self._parts = (model.encoder, model.projection_head)
        self._expected = None
        random = [
            layer.name
            for part in self._parts
            for layer in part.submodules
            if isinstance(layer, keras.__internal__.layers.BaseRandomLayer)
        ]
        network = network_of(model.encoder)
        random += [] if network is None else network.random_layers
        require(
            not random or norm == "inference",
            "Micro-batches need a network that computes the same in both passes, but "
            "some of its layers are random. Leave these layers out, or use "
            "micro_batch_norm=inference.",
            layers=", ".join(random),
        )

    def expect(self, features, projections, targets):
        """Learn shapes and dtypes of a forward pass from the results for one image.

        Args:
          features: `[1, F]`.
          projections: `[1, D]`.
          targets: as in `Objective.targets`, of a single image.
        """
        self._expected = tf.nest.map_structure(
            lambda rows: tf.TensorSpec([self._size, *rows.shape[1:]], rows.dtype),
            (features, projections, targets),
        )

    def _specs(self, number_of_views, with_targets):
        require(
            self._expected is not None,
            "Micro-batches need a model whose `build_from_shape` has been called.",
            model=self._model.name,
        )
        features, projections, targets = self._expected
        represented = (
            (features,) * number_of_views,
            (projections,) * number_of_views,
            tf.TensorSpec([], tf.float32),
        )
        return represented, targets if with_targets else ()

    def represent(self, batch, training, with_targets=False):
        """Compute features and projections of the whole batch in micro-batches.

        Args:
          batch: dict, as the model takes it.
          training: bool; without it, or with "inference", no statistics are updated.
          with_targets: bool, also compute the objective's targets.

        Returns:
          (represented, targets): as in `PretrainingModel.forward` and
          `Objective.targets`.
        """
        rows, number = self._micro_batches(batch)

        def forward(index):
            views = self._views(rows, index)
            targets = ()
            if with_targets:
                targets = self._model.objective.targets(views, training=training)
            return self._forward(views, training), targets

        views = range(self._model.views_of.count(batch))
        trained = len(views[: self._model.objective.trained_views])
        specs = self._specs(trained, with_targets)
        arrays = [
            tf.TensorArray(spec.dtype, number, element_shape=spec.shape)
            for spec in tf.nest.flatten(specs)
        ]

        def add(index, arrays):
            outputs = tf.nest.flatten(forward(index))
            return [
                array.write(index, output)
                for array, output in zip(arrays, outputs, strict=True)
            ]

        arrays = self._for_each(number, add, arrays, training)
        (features, projections, regularizers), targets = tf.nest.pack_sequence_as(
            specs, [array.stack() for array in arrays]
        )
        features, projections, targets = tf.nest.map_structure(
            _joined, (features, projections, targets)
        )
        return (features, projections, tf.reduce_mean(regularizers)), targets

    def gradients(self, batch):
        """Compute the gradients and figures of a step; see the top of this file.

        Args:
          batch: dict, as the model takes it.

        Returns:
          As in `PretrainingModel.gradients`.
        """
        model = self._model
        represented, targets = self._represent_without_trace(batch)
        outputs = model._outputs(batch, represented, targets)
        own = list(model.objective.trainable_variables)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([outputs.projections, own])
            shares, scalars = model.figures(outputs, represented[-1])
        d_projections, d_own = tape.gradient(shares["loss"], [outputs.projections, own])
        gradients = self._backward(batch, d_projections)
        gradients.update(zip([v.ref() for v in own], d_own, strict=True))
        with tf.GradientTape() as tape:
            model.add_probe_figures(batch, outputs.features, shares, scalars)
        if "probe_loss" in shares:
            variables = model.probe.trainable_variables
            d_probe = tape.gradient(shares["probe_loss"], variables)
            gradients.update(zip([v.ref() for v in variables], d_probe, strict=True))
        ordered = [gradients.get(v.ref()) for v in model.trainable_variables]
        return ordered, outputs, shares, scalars

    def _represent_without_trace(self, batch):
        """Run `represent` in training mode, and undo its updates of moving statistics.

        Networks of the objective keep their updates: they run in this pass only.
        """
        if not self._uses_batch_statistics:
            return self.represent(batch, training=False, with_targets=True)
        variables = [v for part in self._parts for v in part.non_trainable_variables]
        former = [variable.read_value() for variable in variables]
        outputs = self.represent(batch, training=True, with_targets=True)
        keep_or_restore(False, variables, former)
        return outputs

    def _backward(self, batch, d_projections):
        """Compute gradients of the encoder's and head's variables, by their `ref()`."""
        variables = [v for part in self._parts for v in part.trainable_variables]
        rows, number = self._micro_batches(batch)
        d_projections = [_parted(d, number) for d in d_projections]
        # Regularizers: the mean over the micro-batches, and over the replicas.
        d_regularizers = tf.constant(1 / (number * num_replicas()))
        is_connected = []

        def add(index, sums):
            with self._model.tape() as tape:
                _, projections, regularizers = self._forward(
                    self._views(rows, index), True
                )
            gradients = tape.gradient(
                [*projections, regularizers],
                variables,
                output_gradients=[
                    *(tf.gather(d, index) for d in d_projections),
                    d_regularizers,
                ],
            )
            is_connected[:] = [gradient is not None for gradient in gradients]
            return [
                total if gradient is None else total + gradient
                for total, gradient in zip(sums, gradients, strict=True)
            ]

        sums = self._for_each(
            number, add, [tf.zeros(v.shape, v.dtype) for v in variables], True
        )
        return {
            variable.ref(): total
            for variable, total, connected in zip(
                variables, sums, is_connected, strict=True
            )
            if connected
        }

    def _views(self, rows, index):
        """Return the views of one micro-batch."""
        one = tf.nest.map_structure(lambda values: tf.gather(values, index), rows)
        return self._model.views_of(one)

    def _forward(self, views, training):
        return self._model.forward(
            views, training=training and self._uses_batch_statistics
        )

    def _micro_batches(self, batch):
        """Return (the columns of the views, `[K, m, ...]` each; the number K)."""
        rows = {
            name: tf.nest.map_structure(tf.convert_to_tensor, batch[name])
            for name in ViewsOfBatch.COLUMNS
            if name in batch
        }
        sizes = {values.shape[0] for values in tf.nest.flatten(rows)}
        size = sizes.pop() if len(sizes) == 1 else None
        require_micro_batches(size, self._size)
        number = size // self._size
        return tf.nest.map_structure(lambda rows: _parted(rows, number), rows), number

    def _for_each(self, number, function, state, training):
        """Run state <- function(k, state) for k = 0, ... number - 1, one after another.

        This is a loop in the graph, whose size does not depend on `number`. Strategies
        that use merge_call (for synchronized batch norm in training) cannot run inside
        tf.while_loop; for them the loop is unrolled.
        """
        merges = training and self._uses_batch_statistics and in_several_replicas()
        if not (merges and uses_merge_calls()):
            return tf.while_loop(
                lambda index, state: index < number,
                lambda index, state: (index + 1, function(index, state)),
                (tf.constant(0), state),
                parallel_iterations=1,
                maximum_iterations=number,
            )[1]
        for index in range(number):
            done = [getattr(value, "flow", value) for value in state]
            with tf.control_dependencies(done):  # One micro-batch's memory at a time.
                index = tf.identity(index)
            state = function(index, state)
        return state


def _joined(rows):
    """Reshape `[K, m, ...]` to `[K m, ...]`."""
    return tf.reshape(rows, [rows.shape[0] * rows.shape[1], *rows.shape[2:]])


def _parted(rows, number):
    """Invert `_joined`, for K = `number`."""
    return tf.reshape(rows, [number, rows.shape[0] // number, *rows.shape[1:]])
