"""Augmented views of labelled images for a linear layer: cropped, flipped, encoded."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from simclr_tf.array_types import Array
from simclr_tf.augment import Recipe, ViewGroup, get_recipe, plan_views
from simclr_tf.data import Source, training_dataset
from simclr_tf.training.views_of_batch import ViewsOfBatch


@dataclasses.dataclass(frozen=True)
class TrainingViews:
    """Images of a source, with new crops and flips in each epoch.

    Attributes:
      source: Source with labels, the training images.
      image_size_pixels: int or (height, width), size of a view.
      recipe: name or Recipe of `simclr_tf.augment`.

    Raises:
      ConfigError: an unknown recipe.

    Source: Chen et al., SimCLR (2020), section B.6: random crops and flips only.
    """

    source: Source
    image_size_pixels: int | tuple[int, int]
    recipe: str | Recipe = "finetune"

    def __post_init__(self):
        get_recipe(self.recipe)

    def batches(
        self, ids: Array, *, batch_size: int, total_steps: int, seed: int
    ) -> Iterator[dict[str, Any]]:
        """Yield batches of one view an image; each epoch has its own order and crops.

        Args:
          ids: int array `[n]`, examples of the source, all labelled.
          batch_size: int <= n; an epoch's incomplete last batch is left out.
          total_steps: int.
          seed: int; batch k is a pure function of (seed, k).

        Yields:
          total_steps dicts: `images` float32 `[B, S, S, C]` in
          [0, 1], `labels` int32 `[B]`.

        Example:
          >>> from simclr_tf.data import open_source
          >>> x, y = np.zeros([5, 8, 8, 3], np.uint8), np.array([0, 1, 0, 1, 1])
          >>> views = TrainingViews(open_source((x, y)), 6)
          >>> for batch in views.batches([1, 3], batch_size=2, total_steps=2, seed=0):
          ...     print(batch["images"].shape, batch["labels"].numpy().tolist())
          (2, 6, 6, 3) [1, 1]
          (2, 6, 6, 3) [1, 1]
        """
        dataset = training_dataset(
            self.source.subset(ids),
            global_batch_size=batch_size,
            seed=seed,
            total_steps=total_steps,
            plan=self._plan,
        )
        for batch in dataset:
            yield {"images": self._view_of(batch), "labels": batch["labels"]}

    @property
    def _plan(self):
        return plan_views(self.recipe, self.image_size_pixels, (ViewGroup(1),))

    @functools.cached_property
    def _view_of(self):
        # Kept: tracing takes as long as hundreds of small steps.
        views_of = ViewsOfBatch(self._plan, compile_views=False)
        return tf.function(lambda batch: views_of(batch)[0], autograph=False)


@dataclasses.dataclass(frozen=True)
class EncodedViews:
    """The features of a training set's views, by a frozen encoder.

    Attributes:
      views: TrainingViews.
      forward: function of images `[N, H, W, C]` to features `[N, F]`, see
        `feature_function`.
      ids: int array `[n]`, the example of the source behind each row of the features.
    """

    views: TrainingViews
    forward: object
    ids: np.ndarray

    @property
    def description(self):
        """str, a description of the views, for the record."""
        return f"augmented views ({self.views.recipe})"

    def batches(self, rows, **settings):
        """Yield pairs (features `[B, F]`, labels `[B]`) of the rows' views by steps.

        Args:
          rows: int array, row numbers of the features.
          **settings: of `TrainingViews.batches`.
        """
        for batch in self.views.batches(self.ids[rows], **settings):
            yield self.forward(batch["images"]), batch["labels"]
