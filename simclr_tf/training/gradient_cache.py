"""The gradient of a large batch in the memory of a small one.

A contrastive loss of a batch is not a sum over its parts: every image is compared with
all others. But it needs the images only through their projections, which are small. So
a step goes over the micro-batches of its batch twice:

1. forward without a tape: the projections of every micro-batch are kept, nothing else;
2. the loss of all projections (of all replicas), and its gradient with respect to them;
3. forward once more, with a tape, and backward from the kept gradient: one micro-batch
   at a time, their gradients added up.

By the chain rule this is the gradient of the whole batch. The views are made again in
the second pass, because they are functions of images and seeds, and larger than both.

Source: Gao et al., Scaling Deep Contrastive Learning Batch Size under Memory Limited
Setup (2021), section 3.2.
"""

import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.distribution import (
    in_several_replicas,
    keep_or_restore,
    meets_in_merge_calls,
    num_replicas,
)
from simclr_tf.errors import ConfigError, received_text, require, unknown_choice

MICRO_BATCH_NORMS = ("batch", "inference")
_ROWS = ("images", "seeds", "crops_a", "crops_b", "view_a", "view_b")


def require_micro_batches(per_replica_batch_size, micro_batch_size):
    """Refuse micro-batches that do not make up a replica's batch.

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


class GradientCache:
    """Forward and backward passes of a SimCLR model over micro-batches.

    Statistics of batch norm, with `norm`
      * "batch": those of each micro-batch (both views, and of the same micro-batch on
        all replicas where batch norm is synchronized), the same in both passes. Moving
        statistics move in the second pass only, once for each micro-batch: what the
        first pass moved is put back.
      * "inference": the moving ones, in both passes; nothing moves them. The gradient
        is then that of the whole batch in inference mode, whatever the micro-batches.
        It is for encoders that have been trained before, or that have no batch norm.

    Args:
      model: SimCLR.
      micro_batch_size: int >= 1, images of one replica that are worked on at a time.
      norm: "batch" or "inference".

    Raises:
      ConfigError: a value out of its range, or layers such as dropout, which would draw
        other numbers in the second pass.
    """

    def __init__(self, model, micro_batch_size, norm):
        require(
            micro_batch_size >= 1,
            "`micro_batch_size` must be >= 1.",
            micro_batch_size=micro_batch_size,
        )
        if norm not in MICRO_BATCH_NORMS:
            raise unknown_choice("micro_batch_norm", norm, MICRO_BATCH_NORMS)
        self._model, self._size = model, micro_batch_size
        self._uses_batch_statistics = norm == "batch"
        self._parts = (model.encoder, model.projection_head)
        self._outputs = None
        random = [
            layer.name
            for part in self._parts
            for layer in part.submodules
            if isinstance(layer, keras.__internal__.layers.BaseRandomLayer)
        ]
        require(
            not random or norm == "inference",
            "Micro-batches need a network that computes the same twice, and some "
            "layers draw at random. Leave them out, or use "
            "micro_batch_norm=inference.",
            layers=", ".join(random),
        )

    def expect(self, features, projections):
        """Learn what a forward pass gives, from one of a single image.

        Args:
          features: `[1, F]`.
          projections: `[1, D]`.
        """
        rows = 2 * self._size
        self._outputs = [
            tf.TensorSpec([rows, *features.shape[1:]], features.dtype),
            tf.TensorSpec([rows, *projections.shape[1:]], projections.dtype),
            tf.TensorSpec([], tf.float32),
        ]

    def represent(self, batch, training):
        """Features and projections of the whole batch, made in micro-batches.

        Args:
          batch: dict, as SimCLR takes it.
          training: bool; without it, or with "inference", nothing moves.

        Returns:
          As of `SimCLR.represent`.
        """
        require(
            self._outputs is not None,
            "Micro-batches need a model whose `build_from_shape` has been called.",
            model=self._model.name,
        )
        rows, number = self._micro_batches(batch)
        arrays = [
            tf.TensorArray(output.dtype, number, element_shape=output.shape)
            for output in self._outputs
        ]

        def add(index, arrays):
            outputs = self._forward(rows, index, training)
            return [
                array.write(index, output)
                for array, output in zip(arrays, outputs, strict=True)
            ]

        arrays = self._for_each(number, add, arrays, training)
        features, projections, regularizers = [array.stack() for array in arrays]
        return (
            _views_first(features),
            _views_first(projections),
            tf.reduce_mean(regularizers),
        )

    def gradients(self, batch):
        """One step's gradients and figures; see the top of this file.

        Args:
          batch: dict, as SimCLR takes it.

        Returns:
          As of `SimCLR.gradients`.
        """
        model = self._model
        features, projections, regularizers = self._represent_without_trace(batch)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(projections)
            shares, scalars = model.contrastive_figures(
                features, projections, regularizers
            )
        d_projections = tape.gradient(shares["loss"], projections)
        gradients = self._backward(batch, d_projections)
        with tf.GradientTape() as tape:
            model.add_probe_figures(batch, features, shares, scalars)
        if "probe_loss" in shares:
            variables = model.probe.trainable_variables
            gradients.update(
                zip(
                    [variable.ref() for variable in variables],
                    tape.gradient(shares["probe_loss"], variables),
                    strict=True,
                )
            )
        ordered = [gradients.get(v.ref()) for v in model.trainable_variables]
        return ordered, shares, scalars

    def _represent_without_trace(self, batch):
        """`represent` in training, with no moving statistic moved at the end."""
        if not self._uses_batch_statistics:
            return self.represent(batch, training=False)
        variables = [v for part in self._parts for v in part.non_trainable_variables]
        former = [variable.read_value() for variable in variables]
        outputs = self.represent(batch, training=True)
        keep_or_restore(False, variables, former)
        return outputs

    def _backward(self, batch, d_projections):
        """Gradients of the encoder's and the head's variables, by their `ref()`."""
        variables = [v for part in self._parts for v in part.trainable_variables]
        rows, number = self._micro_batches(batch)
        d_projections = _micro_batches_first(d_projections, number)
        # Regularizers: their mean over the micro-batches, and over the replicas.
        d_regularizers = tf.constant(1 / (number * num_replicas()))
        is_connected = []

        def add(index, sums):
            with tf.GradientTape() as tape:
                _, projections, regularizers = self._forward(rows, index, True)
            gradients = tape.gradient(
                [projections, regularizers],
                variables,
                output_gradients=[tf.gather(d_projections, index), d_regularizers],
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

    def _forward(self, rows, index, training):
        """`SimCLR.forward` of the views of one micro-batch."""
        one = {name: tf.gather(values, index) for name, values in rows.items()}
        return self._model.forward(
            self._model.make_views(one),
            training=training and self._uses_batch_statistics,
        )

    def _micro_batches(self, batch):
        """(what views are made of, `[K, m, ...]` each; the number K)."""
        rows = {
            name: tf.convert_to_tensor(batch[name]) for name in _ROWS if name in batch
        }
        sizes = {values.shape[0] for values in rows.values()}
        size = sizes.pop() if len(sizes) == 1 else None
        require_micro_batches(size, self._size)
        number = size // self._size
        return {
            name: tf.reshape(values, [number, self._size, *values.shape[1:]])
            for name, values in rows.items()
        }, number

    def _for_each(self, number, function, state, training):
        """state <- function(k, state) for k = 0, 1, ... number - 1, one after another.

        A loop in the graph, whose size does not depend on `number`; but replicas that
        meet in merge calls, as their batch norms do in training, cannot meet in loops.
        """
        meets = training and self._uses_batch_statistics and in_several_replicas()
        if not (meets and meets_in_merge_calls()):
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


def _views_first(rows):
    """`[K, 2 m, D]`, view a first in each -> `[2 K m, D]`, all of view a first."""
    number, size, width = rows.shape
    rows = tf.reshape(rows, [number, 2, size // 2, width])
    return tf.reshape(tf.transpose(rows, [1, 0, 2, 3]), [number * size, width])


def _micro_batches_first(rows, number):
    """The inverse of `_views_first`, for K = `number` micro-batches."""
    size, width = rows.shape[0] // number, rows.shape[1]
    rows = tf.reshape(rows, [2, number, size // 2, width])
    return tf.reshape(tf.transpose(rows, [1, 0, 2, 3]), [number, size, width])
