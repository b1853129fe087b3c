"""A classifier as a Keras model with its own train step (fine-tuning, from scratch)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from simclr_tf.array_types import (
    Array,
    Model,
    Optimizer,
    Tensor,
    TensorLike,
    Variable,
)
from simclr_tf.augment import ViewGroup, get_recipe, plan_views
from simclr_tf.config.image_size import ImageSize
from simclr_tf.distribution import (
    assign_on_replicas,
    num_replicas,
    require_equal_rows,
    sum_over_replicas,
)
from simclr_tf.errors import require
from simclr_tf.losses import supervised_cross_entropy
from simclr_tf.metrics import label_weights, top_k_correct
from simclr_tf.training.replicated_model import ReplicatedModel
from simclr_tf.training.views_of_batch import ViewsOfBatch

if TYPE_CHECKING:
    from simclr_tf.augment.recipes import Recipe


FIGURES = ("loss", "accuracy", "gradient_norm")


class Classifier(ReplicatedModel):
    """Softmax cross-entropy on one random view of each labelled image.

    loss = mean of -log softmax(network(view))[label] over the labelled images of the
    global batch, plus the network's own regularizers.

    `fit` takes batches that are dicts of "labels" `[N]` (integers, -1 for unlabelled)
    and of the columns that `ViewsOfBatch` takes.

    `compile` takes one optimizer, or a list of them, one for each group of
    `groups`: layer-wise learning rates.

    With `average_decay` d a moving average a of all weights w and of batch norm's
    statistics is kept: after step t, counted from 1, a <- a + (1 - d_t) (w - a) with
    d_t = min(d, (1 + t) / (10 + t)), so that short trainings forget their start too.

    Args:
      network: keras.Model, float images `[N, H, W, C]` in [0, 1] to logits `[N, C]`;
        see `simclr_tf.models.classifier_network`.
      recipe: name or Recipe of the views; "finetune" only crops and flips.
      image_size_pixels: int or (height, width) of a view; the images' own size if
        None.
      groups: list of lists of variables, each with an optimizer of its own; one for
        all if None.
      average_decay: float d in [0, 1); 0 keeps no average.
      compile_views: bool, compile the making of views with XLA.

    Raises:
      ConfigError: an unknown recipe, or not one optimizer for each group.

    Source: arXiv 2002.05709, section B.5 (crop, flip, no other augmentation).
    """

    def __init__(
        self,
        network: Model,
        *,
        recipe: str | Recipe = "finetune",
        image_size_pixels: ImageSize | None = None,
        groups: Sequence[Sequence[Variable]] | None = None,
        average_decay: float = 0.0,
        compile_views: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(FIGURES, **kwargs)
        require(
            0 <= average_decay < 1,
            "`average_decay` must be in [0, 1).",
            average_decay=average_decay,
        )
        self.network = network
        self._average_decay = average_decay
        averaged = network.weights if average_decay else ()
        self.averages = [
            tf.Variable(tf.convert_to_tensor(v), trainable=False) for v in averaged
        ]
        self.recipe = get_recipe(recipe)
        # Tuples: Keras would track lists, and checkpoints hold the variables already.
        self._groups = None if groups is None else tuple(map(tuple, groups))
        plan = plan_views(self.recipe, image_size_pixels, (ViewGroup(1),))
        self.views_of = ViewsOfBatch(plan, compile_views)
        self.built = True

    def call(self, images: TensorLike, training: bool = False) -> Tensor:
        """Compute logits `[N, C]` of images `[N, H, W, C]` in [0, 1]."""
        return self.network(images, training=training)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        images = self.views_of(batch)[0]
        require_equal_rows(images)
        with self.tape() as tape:
            shares = self._forward(images, batch["labels"], training=True)
        variables = self.network.trainable_variables
        gradients = tape.gradient(shares["loss"], variables)
        figures = self.update(gradients, variables, shares)
        self._average()
        return self._record(figures, batch["labels"])

    def test_step(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        images = self.views_of(batch)[0]
        shares = self._forward(images, batch["labels"], training=False)
        return self._record(sum_over_replicas(shares), batch["labels"])

    def _forward(self, images, labels, training):
        """Return this replica's shares of the global loss and accuracy."""
        logits = self.network(images, training=training)
        labelled = sum_over_replicas(tf.reduce_sum(label_weights(labels)))
        loss = tf.math.divide_no_nan(
            tf.reduce_sum(supervised_cross_entropy(labels, logits)), labelled
        )
        if self.network.losses:
            loss += tf.add_n(self.network.losses) / num_replicas()
        return {
            "loss": loss,
            "accuracy": tf.math.divide_no_nan(
                tf.reduce_sum(top_k_correct(labels, logits)), labelled
            ),
        }

    def apply(self, gradients: Sequence[Tensor], variables: Sequence[Variable]) -> None:
        """Give each group's gradients to its optimizer."""
        by_variable = {id(v): g for g, v in zip(gradients, variables, strict=True)}
        groups = [variables] if self._groups is None else self._groups
        for optimizer, group in zip(self.optimizers, groups, strict=True):
            optimizer.apply_gradients(
                [(by_variable[id(v)], v) for v in group],
                skip_gradients_aggregation=True,
            )

    @property
    def optimizers(self) -> list[Optimizer]:
        """list of optimizers, one for each group of variables."""
        given = self.optimizer
        optimizers = list(given) if isinstance(given, (list, tuple)) else [given]
        expected = 1 if self._groups is None else len(self._groups)
        require(
            len(optimizers) == expected,
            f"`compile` needs one optimizer for each group of variables, {expected}.",
            optimizers=len(optimizers),
        )
        return optimizers

    def _average(self) -> None:
        """Move the averages towards the weights that a step has left."""
        if not self.averages:
            return
        step = tf.cast(self.optimizers[0].iterations, tf.float32)
        decay = tf.minimum(self._average_decay, (1.0 + step) / (10.0 + step))
        # Written so that a frozen weight's average stays bit-identical.
        values = [
            average + (1.0 - decay) * (tf.convert_to_tensor(weight) - average)
            for average, weight in zip(self.averages, self.network.weights, strict=True)
        ]
        assign_on_replicas(self.averages, values)

    def start_from(self, weights: Sequence[Array]) -> None:
        """Set the network's weights, and forget earlier averages.

        Args:
          weights: list of arrays, of `network.get_weights()`.
        """
        self.network.set_weights(weights)
        for average, value in zip(self.averages, weights, strict=False):
            average.assign(value)

    def result(self) -> list[Array]:
        """Return the averages, or without them the weights, as a list of arrays."""
        return [v.numpy() for v in self.averages] or self.network.get_weights()

    def _record(self, figures, labels):
        """Call `record`; means are over images, not over batches."""
        labelled = sum_over_replicas(tf.reduce_sum(label_weights(labels)))
        return self.record(figures, dict.fromkeys(figures, labelled))
