"""A student and its teacher as a Keras model with its own train step."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from simclr_tf.array_types import Model, Tensor, TensorLike
from simclr_tf.augment import ViewGroup, get_recipe, plan_views
from simclr_tf.config.image_size import ImageSize
from simclr_tf.distribution import num_replicas, require_equal_rows, sum_over_replicas
from simclr_tf.errors import require
from simclr_tf.losses import distillation_cross_entropy, supervised_cross_entropy
from simclr_tf.metrics import label_weights, top_k_correct
from simclr_tf.training.replicated_model import ReplicatedModel
from simclr_tf.training.views_of_batch import ViewsOfBatch

if TYPE_CHECKING:
    from simclr_tf.augment.recipes import Recipe


FIGURES = ("loss", "distillation_loss", "agreement", "accuracy", "gradient_norm")


class Distiller(ReplicatedModel):
    """Train a student on the predictions of a frozen teacher, one view of each image.

    Over the N images of the global batch, some of which may have labels,

        loss = (1 / N) (alpha sum_i distillation_i + (1 - alpha) sum_labelled -log P_i),

    plus the student's regularizers. Both are sums over images, as in the paper: with
    labels for 1 % of the images, alpha = 0.01 gives both about the same weight.

    Teacher and student see the same view. The teacher runs in inference mode and stays
    bit-identical; its variables are not in this model's variables or checkpoints.

    `fit` takes batches that are dicts of the columns that `ViewsOfBatch` takes and, if
    there are labels, of "labels" `[N]` (integers, -1 for unlabelled).

    Figures: loss; distillation_loss; agreement, the fraction of images for which
    teacher and student predict the same class; accuracy, on the images with labels.

    Args:
      student: keras.Model, float images `[N, H, W, C]` in [0, 1] to logits `[N, C]`.
      teacher: keras.Model of the same inputs and outputs; made in the strategy's scope.
      temperature: float > 0, see `distillation_cross_entropy`.
      alpha: float in [0, 1]; 1: no labels are used.
      recipe: name or Recipe of the views; "finetune" only crops and flips.
      image_size_pixels: int or (height, width) of a view; the images' own size if
        None.
      compile_views: bool, compile the making of views with XLA.

    Raises:
      ConfigError: a value outside its range, networks with different classes or
        channels, or networks that share a variable.

    Source: Chen et al., SimCLRv2 (2020), section 2, equations 2 and 3.
    """

    def __init__(
        self,
        student: Model,
        teacher: Model,
        *,
        temperature: float = 1.0,
        alpha: float = 1.0,
        recipe: str | Recipe = "finetune",
        image_size_pixels: ImageSize | None = None,
        compile_views: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(FIGURES, **kwargs)
        _check_pair(student, teacher)
        require(0 <= alpha <= 1, "`alpha` must be in [0, 1].", alpha=alpha)
        self.student = student
        # Keras does not track what a function holds: the teacher is no part of this
        # model.
        self._teach = functools.partial(teacher, training=False)
        self._distillation_loss = functools.partial(
            distillation_cross_entropy, temperature=temperature
        )
        self.alpha = alpha
        self.recipe = get_recipe(recipe)
        plan = plan_views(self.recipe, image_size_pixels, (ViewGroup(1),))
        self.views_of = ViewsOfBatch(plan, compile_views)
        self.built = True

    def call(self, images: TensorLike, training: bool = False) -> Tensor:
        """Compute the student's logits `[N, C]` of images `[N, H, W, C]` in [0, 1]."""
        return self.student(images, training=training)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        images = self.views_of(batch)[0]
        require_equal_rows(images)
        teacher_logits = self._teach(images)
        with self.tape() as tape:
            shares = self._forward(images, teacher_logits, batch.get("labels"), True)
        variables = self.student.trainable_variables
        gradients = tape.gradient(shares["loss"], variables)
        return self._record(self.update(gradients, variables, shares))

    def test_step(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        images = self.views_of(batch)[0]
        shares = self._forward(images, self._teach(images), batch.get("labels"), False)
        return self._record(sum_over_replicas(shares))

    def _forward(self, images, teacher_logits, labels, training):
        """Return this replica's shares of the global figures; labels are counted."""
        require(
            self.alpha == 1 or labels is not None,
            "`alpha` < 1 needs batches with labels (-1: unlabelled).",
            alpha=self.alpha,
        )
        student_logits = self.student(images, training=training)
        distillation = self._distillation_loss(teacher_logits, student_logits)
        losses = self.alpha * distillation
        if self.alpha < 1:
            losses += (1 - self.alpha) * supervised_cross_entropy(
                labels, student_logits
            )
        predicted = tf.argmax(teacher_logits, axis=1, output_type=tf.int32)
        rows = {
            "loss": losses,
            "distillation_loss": distillation,
            "agreement": top_k_correct(predicted, student_logits),
        }
        shares = {
            name: tf.reduce_mean(row) / num_replicas() for name, row in rows.items()
        }
        if self.student.losses:
            shares["loss"] += tf.add_n(self.student.losses) / num_replicas()
        if labels is not None:
            shares["correct"] = tf.reduce_sum(top_k_correct(labels, student_logits))
            shares["labelled"] = tf.reduce_sum(label_weights(labels))
        return shares

    def _record(self, figures):
        """Call `record`; leave out the accuracy if there are no labels."""
        weights = {}
        if "labelled" in figures:
            weights["accuracy"] = figures.pop("labelled")
            figures["accuracy"] = tf.math.divide_no_nan(
                figures.pop("correct"), weights["accuracy"]
            )
        return self.record(figures, weights)


def _check_pair(student, teacher):
    """Refuse networks with different channels or different classes."""
    for what, one, other in (
        ("classes", student.output_shape[-1], teacher.output_shape[-1]),
        ("channels", student.input_shape[-1], teacher.input_shape[-1]),
    ):
        require(
            one == other,
            f"Student and teacher must have the same {what}.",
            student=one,
            teacher=other,
        )
    taught = {id(variable) for variable in teacher.variables}
    require(
        not any(id(variable) in taught for variable in student.variables),
        "Student and teacher must not share variables: the teacher is frozen.",
        student=student.name,
        teacher=teacher.name,
    )
