"""Encoder, projection head and objective as a Keras model with its own train step."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.array_types import Layer, Model, Tensor, TensorLike, Variable
from simclr_tf.augment import plan_views, recipe_of_views
from simclr_tf.distribution import (
    keep_or_restore,
    num_replicas,
    require_equal_rows,
    sum_over_replicas,
)
from simclr_tf.errors import require
from simclr_tf.losses import supervised_cross_entropy
from simclr_tf.metrics import (
    feature_standard_deviation,
    label_weights,
    top_k_correct,
)
from simclr_tf.objectives import NTXent, Outputs, Setting
from simclr_tf.optim import keep_rate_constant, slots_of
from simclr_tf.training.micro_batches import MicroBatches
from simclr_tf.training.replicated_model import ReplicatedModel
from simclr_tf.training.views_of_batch import ViewsOfBatch

if TYPE_CHECKING:
    from simclr_tf.augment.one_branch import OneBranch
    from simclr_tf.augment.recipes import Recipe
    from simclr_tf.objectives.objective import Objective


FIGURES = ("loss", "feature_std", "gradient_norm")
PROBE_FIGURES = ("probe_loss", "probe_accuracy")


class PretrainingModel(ReplicatedModel):
    """Learn an encoder from views of images, with an objective.

    views = augment(images); h = encoder(views); z = projection_head(h);
    loss = mean over the global batch of objective.loss(z, ...). With `num_classes`, a
    linear probe is trained on stop_gradient(h) at the same time; the labels never
    influence the encoder.

    `fit` takes batches that are dicts of the columns that `ViewsOfBatch` takes, and
    optionally of "labels" `[N]` (integers, -1 for unlabelled), or of "probe_images"
    and "probe_labels", a separate labelled set for the probe; and of "ids" `[N]`, for
    objectives that identify images.

    Args:
      encoder: keras.Model, float images `[N, H, W, C]` in [0, 1] to features `[N, F]`.
      projection_head: keras layer or model, features to projections `[N, D]`.
      objective: simclr_tf.objectives.Objective, not yet part of another model.
      recipe: name, Recipe or OneBranch of the views; needed for batches without views.
      image_size_pixels: int or (height, width) of a view; the images' own size if None.
      num_classes: int, classes of the online probe; no probe if None.
      compile_views: bool, compile the making of views with XLA.
      on_nonfinite: "stop" or "skip", see `ReplicatedModel`.
      micro_batch_size: int >= 1, images of one replica in the network at a time: the
        gradient of the whole batch in the memory of a part. None: all images.
      micro_batch_norm: "batch" or "inference", batch norm of micro-batches; see
        `MicroBatches`.

    On several replicas each has an equal part of the global batch: figures and gradient
    are those that one device would compute from the whole global batch.

    Raises:
      ConfigError: an unknown recipe or choice, views that the recipe cannot make, or
        micro-batches that the model does not allow.

    Source: arXiv 2002.05709, Algorithm 1; the online probe: section B.6.
    """

    def __init__(
        self,
        encoder: Model,
        projection_head: Layer,
        objective: Objective,
        *,
        recipe: str | Recipe | OneBranch | None = None,
        image_size_pixels: int | tuple[int, int] | None = None,
        num_classes: int | None = None,
        compile_views: bool = True,
        on_nonfinite: str = "stop",
        micro_batch_size: int | None = None,
        micro_batch_norm: str = "batch",
        **kwargs: Any,
    ) -> None:
        require(
            num_classes is None or num_classes >= 1,
            "`num_classes` must be >= 1.",
            num_classes=num_classes,
        )
        names = [*FIGURES, *(figure.name for figure in objective.figures)]
        names += [] if num_classes is None else PROBE_FIGURES
        super().__init__(tuple(names), on_nonfinite=on_nonfinite, **kwargs)
        self.encoder = encoder
        self.projection_head = projection_head
        self.objective = objective
        self.recipe = None if recipe is None else recipe_of_views(recipe)
        plan = None
        if self.recipe is not None:
            plan = plan_views(self.recipe, image_size_pixels, objective.view_groups)
        self.views_of = ViewsOfBatch(plan, compile_views)
        self.probe = None
        if num_classes is not None:
            # A linear classifier is convex, so it can start at zero.
            self.probe = keras.layers.Dense(
                num_classes,
                kernel_initializer="zeros",
                dtype="float32",
                name="linear_probe",
            )
        self.micro_batch_size = micro_batch_size
        self._micro_batches = None
        if micro_batch_size is not None:
            self._micro_batches = MicroBatches(self, micro_batch_size, micro_batch_norm)

    def build_from_shape(self, image_shape: tuple[int, int, int], **known: Any) -> None:
        """Create every variable.

        Args:
          image_shape: (H, W, C) of a view of full size.
          **known: fields of `simclr_tf.objectives.Setting` that the objective may need:
            global_batch_size, num_examples, total_steps, epoch_steps, seed.
        """
        image = tf.zeros([1, *image_shape])
        features = self.encoder(image, training=False)
        projections = self.projection_head(features, training=False)
        setting = Setting(
            encoder=self.encoder,
            projection_head=self.projection_head,
            image_shape=tuple(image_shape),
            num_features=features.shape[-1],
            num_projections=projections.shape[-1],
            **known,
        )
        self.objective.setting = setting
        self.objective.create_variables(setting)
        if self._micro_batches is not None:
            targets = self.objective.targets(self._blank_views(image), training=False)
            self._micro_batches.expect(features, projections, targets)
        if self.probe is not None:
            self.probe(features)
        self.built = True

    def _blank_views(self, image):
        """Return views `[1, h, w, C]` of one image, to build the networks with."""
        return tuple(
            tf.zeros([1, *size, image.shape[-1]])
            for size in self.views_of.sizes(image.shape[1:3])
        )

    def call(self, images: TensorLike, training: bool = False) -> Tensor:
        """Compute features h `[N, F]` of images `[N, H, W, C]` in [0, 1]."""
        return self.encoder(images, training=training)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        former = self.values_before_update()
        gradients, outputs, shares, scalars = self.gradients(batch)
        gradients, held = self._without_frozen(gradients, outputs.step)
        figures = self.update(gradients, self.trainable_variables, shares)
        for is_frozen, variables, values in held:
            keep_or_restore(~is_frozen, variables, values)
        self.objective.after_update(outputs)
        is_finite = self.undo_unless_finite(former, figures)
        return self._record({**figures, **scalars}, is_finite)

    def apply(self, gradients: Sequence[Tensor], variables: Sequence[Variable]) -> None:
        """Give global gradients to the optimizer, which keeps the constant rates."""
        keep_rate_constant(self.optimizer, self.objective.at_constant_rate)
        super().apply(gradients, variables)

    def test_step(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        views = self.views_of(batch)
        targets = self.objective.targets(views, training=False)
        represented = self.forward(views, training=False)
        outputs = self._outputs(batch, represented, targets, training=False)
        shares, scalars = self.figures(outputs, represented[-1])
        self.add_probe_figures(batch, outputs.features, shares, scalars)
        return self._record({**scalars, **sum_over_replicas(shares)})

    def gradients(
        self, batch: dict[str, Any]
    ) -> tuple[list[Tensor | None], Outputs, dict[str, Tensor], dict[str, Tensor]]:
        """Compute this replica's part of a step.

        Returns:
          (gradients of the trainable variables, None where there is none; Outputs;
          this replica's shares of the global figures; figures that are already
          global). The sum of the shares over the replicas is the mean over the global
          batch, and the sum of the gradients is the gradient of shares["loss"].
        """
        if self._micro_batches is not None:
            return self._micro_batches.gradients(batch)
        views = self.views_of(batch)
        targets = self.objective.targets(views, training=True)
        with self.tape() as tape:
            represented = self.forward(views, training=True)
            outputs = self._outputs(batch, represented, targets)
            shares, scalars = self.figures(outputs, represented[-1])
            self.add_probe_figures(batch, outputs.features, shares, scalars)
        gradients = tape.gradient(shares["loss"], self.trainable_variables)
        return gradients, outputs, shares, scalars

    def represent(self, batch: dict[str, Any], training: bool) -> Any:
        """Run `forward` on all views of a batch, in micro-batches if there are any."""
        if self._micro_batches is not None:
            return self._micro_batches.represent(batch, training)[0]
        return self.forward(self.views_of(batch), training)

    def forward(
        self, views: Sequence[Tensor], training: bool
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], Tensor]:
        """Run encoder and head, one pass for all views of a size.

        Args:
          views: tuple of `[N, h, w, C]`; those beyond the objective's `trained_views`
            are left out.
          training: bool.

        Returns:
          (features, projections, regularizers): a tuple of `[N, F]` and one of
          `[N, D]`, one a view; a scalar, the sum of the regularizers of encoder and
          head.
        """
        features, projections, regularizers = [], [], []
        views = views[: self.objective.trained_views]
        for _, group in itertools.groupby(views, lambda view: tuple(view.shape[1:])):
            alike = list(group)
            h = self.encoder(tf.concat(alike, axis=0), training=training)
            z = self.projection_head(h, training=training)
            own = [*self.encoder.losses, *self.projection_head.losses]
            regularizers += [tf.add_n(own)] if own else []
            features += tf.split(h, len(alike))
            projections += tf.split(z, len(alike))
        regularizers = (
            tf.add_n(regularizers) / len(regularizers)
            if regularizers
            else tf.constant(0.0)
        )
        return tuple(features), tuple(projections), regularizers

    def _outputs(self, batch, represented, targets, training=True):
        """Return the input of the objective."""
        features, projections, _ = represented
        iterations = getattr(self.optimizer, "iterations", None)
        return Outputs(
            features,
            projections,
            targets,
            batch.get("ids"),
            batch.get("labels"),
            tf.constant(0, tf.int64) if iterations is None else iterations.read_value(),
            training,
        )

    def figures(
        self, outputs: Outputs, regularizers: Tensor
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Compute (shares, scalars) as in `gradients`, without the probe's."""
        for projections in outputs.projections:
            require_equal_rows(projections)
        loss, figures = self.objective.loss(outputs)
        means = {name: tf.reduce_mean(value) for name, value in figures.items()}
        means["loss"] = tf.reduce_mean(loss) + regularizers
        shares = {name: mean / num_replicas() for name, mean in means.items()}
        features = tf.concat(outputs.features, axis=0)
        return shares, {"feature_std": feature_standard_deviation(features)}

    def add_probe_figures(
        self,
        batch: dict[str, Any],
        features: Sequence[Tensor],
        shares: dict[str, Tensor],
        scalars: dict[str, Tensor],
    ) -> None:
        """Add the probe's loss and accuracy to `shares`, its weight to `scalars`."""
        if self.probe is None:
            return
        if "probe_images" in batch:
            features = self.encoder(batch["probe_images"], training=False)
            labels = batch["probe_labels"]
        elif "labels" in batch:
            plan = self.views_of.plan
            full = len(features)
            if plan is not None:
                full = min(full, plan.num_full_views)
            features = tf.concat(features[:full], axis=0)
            labels = tf.tile(batch["labels"], [full])
        else:
            return
        logits = self.probe(tf.stop_gradient(features))
        # Replicas may hold different numbers of labels.
        labelled = sum_over_replicas(tf.reduce_sum(label_weights(labels)))
        scalars["labelled"] = labelled
        shares["probe_loss"] = tf.math.divide_no_nan(
            tf.reduce_sum(supervised_cross_entropy(labels, logits)), labelled
        )
        shares["probe_accuracy"] = tf.math.divide_no_nan(
            tf.reduce_sum(top_k_correct(labels, logits)), labelled
        )
        shares["loss"] += shares["probe_loss"]

    def _without_frozen(self, gradients, step):
        """Set gradients of frozen variables to zero; return what a step must restore.

        Weight decay and momentum change a variable even if its gradient is zero, so
        variable and slots are restored.
        """
        held, gradients = [], list(gradients)
        places = {id(v): i for i, v in enumerate(self.trainable_variables)}
        for variables, is_frozen in self.objective.frozen(step):
            for variable in variables:
                place = places[id(variable)]
                if gradients[place] is not None:
                    gradients[place] = tf.where(is_frozen, 0.0, gradients[place])
            with tf.init_scope():  # Creates the optimizer's slots.
                self.optimizer.build(self.trainable_variables)
            kept = [*variables, *slots_of(self.optimizer, variables)]
            held.append((is_frozen, kept, [v.read_value() for v in kept]))
        return gradients, held

    def _record(self, figures, is_finite=None):
        """Call `record`; figures of the probe are weighted by the number of labels."""
        labelled = figures.pop("labelled", 1.0)
        weights = {name: labelled for name in PROBE_FIGURES}
        return self.record(figures, weights, is_finite)


class SimCLR(PretrainingModel):
    """`PretrainingModel` with NT-Xent: the short way to SimCLR.

    Args:
      encoder, projection_head: as in `PretrainingModel`.
      temperature: float > 0; the similarities are divided by it.
      normalize: bool, compare the directions of the projections, not their lengths.
      chunk_size: int >= 1, anchors whose logits are held at a time; None chooses (see
        `simclr_tf.losses.nt_xent`).
      **options: of `PretrainingModel`.

    Raises:
      ConfigError: a temperature that is not > 0, or as in `PretrainingModel`.

    Example:
      >>> from simclr_tf.models import ProjectionHead, resnet
      >>> model = SimCLR(
      ...     resnet(10, width_multiplier=0.0625, stem="small"),
      ...     ProjectionHead(num_layers=2, out_features=8), temperature=0.5)
      >>> model.objective.options.temperature
      0.5

    Source: arXiv 2002.05709, Algorithm 1.
    """

    def __init__(
        self,
        encoder: Model,
        projection_head: Layer,
        *,
        temperature: float = 0.1,
        normalize: bool = True,
        chunk_size: int | None = None,
        **options: Any,
    ) -> None:
        objective = NTXent(
            temperature=temperature, normalize=normalize, chunk_size=chunk_size
        )
        super().__init__(encoder, projection_head, objective, **options)
