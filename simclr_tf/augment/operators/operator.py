"""The interface of an operator: options, a seed id, a draw and a change.

Importing this file, or that of an operator, loads no TensorFlow.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from simclr_tf.array_types import Tensor, TensorLike
from simclr_tf.lazy import module, tf

if TYPE_CHECKING:
    from simclr_tf.augment.recipes import Recipe


seeding = module("simclr_tf.seeding")


@dataclasses.dataclass(frozen=True)
class TransformQuestion:
    """The question of a probe: which change of an operator was applied to a view?

    Attributes:
      name: str, of the question.
      title: str, for tables and figures.
      shares: tuple of float that sum to 1: the frequency of each answer; the first
        answer is "no change".
      pretraining_probability: float, of the operator during pretraining; the recipe's
        if None.

    Source: SimCLR v1 (arXiv:2002.05709), Table 3.
    """

    name: str
    title: str
    shares: tuple[float, ...]
    pretraining_probability: float | None = None


class Operator:
    """One change of a view, drawn for each image; the base class of all operators.

    An operator is added by one line in `OPERATORS`, before `simclr_tf.config` or
    `simclr_tf.augment.recipes` is imported.

    Attributes:
      seed_id: int >= 0, the operator's position in the seed tree. It must be unique,
        and must never change: another number changes the views of every seed.
      Options: frozen dataclass of `simclr_tf.config.schema.option` fields with a method
        `check`. Every `Recipe` has these fields, with these defaults, and every field
        has the flag `--augment.FIELD`; `check` receives the recipe.
      switch: str, the field with the probability of the operator; 0 switches it off.
        None: the operator changes every image, before all others (the crop).
      mirrors: bool, whether the change is a mirror image, which a crop can make at no
        cost.
      one_branch: str, the name of the operator in `OneBranch` and in the study of
        Figure 5; None for neither. Operators of one name are applied together.
      one_branch_always: bool, whether `OneBranch` applies it to every image, or with
        the recipe's probability.
      question: TransformQuestion for the study of the projection head, or None.
    """

    seed_id: int
    Options: type
    switch: str | None = None
    mirrors = False
    one_branch: str | None = None
    one_branch_always = True
    question: TransformQuestion | None = None

    def sample(
        self, seeds: TensorLike, recipe: Recipe, image_shape: tuple[int, ...]
    ) -> Any:
        """Draw the change of each image.

        Args:
          seeds: int32 `[B, 2]`, one stateless seed an image, of this operator alone.
          recipe: Recipe.
          image_shape: (H, W, C).

        Returns:
          The draw: a tensor `[B, ...]`, or a tuple of them.
        """
        raise NotImplementedError

    def apply(self, images: TensorLike, draw: Any, recipe: Recipe) -> Tensor:
        """Apply a draw to the images.

        Args:
          images: float32 `[B, H, W, C]` in [0, 1].
          draw: what `sample` returns.
          recipe: Recipe.

        Returns:
          float32 tensor like `images`.
        """
        raise NotImplementedError

    def strengths(
        self, images: TensorLike, recipe: Recipe, large_images: TensorLike
    ) -> list[tuple[str, list[tuple[str, Tensor]]]]:
        """Apply the operator at several strengths, from mild to strong.

        Args:
          images: float32 `[B, S, S, C]` in [0, 1], as large as a view.
          recipe: Recipe.
          large_images: float32 `[B, L, L, C]`, L >= S, the same images.

        Returns:
          list of (title, list of (caption, float32 tensor like `images`)); empty if the
          operator is not defined for such images.
        """
        raise NotImplementedError

    def chosen(self, seeds: TensorLike, recipe: Recipe) -> Tensor:
        """Return which images are changed, if that is cheap to find out.

        Args:
          seeds: int32 `[B, 2]`, of this operator alone.
          recipe: Recipe.

        Returns:
          bool tensor `[B]`; all True if that is not known.
        """
        return tf.ones(tf.shape(seeds)[:1], tf.bool)

    def draw_of_answers(
        self, answers: TensorLike, seeds: TensorLike, image_shape: tuple[int, ...]
    ) -> Any:
        """Build the draw that applies to each image the change of its answer.

        Args:
          answers: int32 tensor `[B]`, positions in the `shares` of `question`.
          seeds: int32 `[B, 2]`, for other draws.
          image_shape: (H, W, C).

        Returns:
          As in `sample`.
        """
        raise NotImplementedError

    def is_on(self, recipe: Recipe) -> bool:
        """Tell whether a recipe has the operator switched on."""
        return self.switch is None or getattr(recipe, self.switch) > 0.0

    def own_seeds(self, view_seeds: TensorLike) -> Tensor:
        """Derive the seeds `[B, 2]` of this operator from those of a view."""
        return seeding.fold_in(view_seeds, self.seed_id)

    def change(
        self, images: TensorLike, view_seeds: TensorLike, recipe: Recipe
    ) -> Tensor:
        """Draw and apply.

        Args:
          images: float32 `[B, H, W, C]` in [0, 1].
          view_seeds: int32 `[B, 2]`, the seeds of the view.
          recipe: Recipe that has the operator.

        Returns:
          float32 tensor like `images`.
        """
        draw = self.sample(self.own_seeds(view_seeds), recipe, images.shape[1:])
        return self.apply(images, draw, recipe)


def frequency_text(probability):
    """Format the probability of an operator, for titles.

    Example:
      >>> frequency_text(0.5), frequency_text(0.0)
      ('(50% of the views)', '(off)')
    """
    return f"({probability:.0%} of the views)" if probability else "(off)"


def evenly_spaced(low, high, number):
    """Return `number` >= 2 numbers from `low` to `high` at equal distances.

    Example:
      >>> evenly_spaced(0.0, 1.0, 3)
      [0.0, 0.5, 1.0]
    """
    return [low + (high - low) * place / (number - 1) for place in range(number)]
