"""Figures and pictures of the representation while it is being learned."""

import numpy as np
import tensorflow as tf

from simclr_tf.metrics import alignment, effective_rank, uniformity
from simclr_tf.training.views_of_batch import ViewsOfBatch

SAMPLE_SIZE = 256  # Images: enough for a rank, little beside an epoch.
GRID_IMAGES = 12


class RepresentationSample:
    """A fixed batch of views on which every epoch is measured alike.

    Args:
      model: PretrainingModel.
      batch: dict, one element of the training data; its first `SAMPLE_SIZE` rows are
        kept.
    """

    def __init__(self, model, batch):
        self._model = model
        rows = {
            name: tf.nest.map_structure(lambda value: value[:SAMPLE_SIZE], batch[name])
            for name in ViewsOfBatch.COLUMNS
            if name in batch
        }
        views = model.views_of(rows)
        plan = model.views_of.plan
        self.views = views if plan is None else views[: plan.num_full_views]
        self._embed = tf.function(self._features_and_projections)

    def measure(self):
        """Measure the features and projections.

        Returns:
          dict: effective_rank of the features, uniformity of the projections and, of
          two views or more, alignment of the first two.
        """
        features, projections = self._embed()
        figures = {
            "effective_rank": float(effective_rank(features)),
            "uniformity": float(uniformity(projections[0])),
        }
        if len(projections) > 1:
            figures["alignment"] = float(alignment(*projections[:2]))
        return figures

    def grid(self):
        """Views of some images above each other, `[V S, GRID_IMAGES * S, C]`."""
        rows = [
            np.concatenate(list(view[:GRID_IMAGES].numpy()), axis=1)
            for view in self.views
        ]
        grid = np.concatenate(rows, axis=0)
        # TensorBoard draws 1, 3 or 4 channels.
        return grid if grid.shape[-1] in (1, 3, 4) else grid[..., :1]

    def _features_and_projections(self):
        stacked = tf.concat(self.views, axis=0)
        features = self._model.encoder(stacked, training=False)
        projections = self._model.projection_head(features, training=False)
        return features, tf.split(projections, len(self.views))
