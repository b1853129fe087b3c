"""Figures and pictures of the representation while it is being learned."""

import numpy as np
import tensorflow as tf

from simclr_tf.metrics import alignment, effective_rank, uniformity

SAMPLE_SIZE = 256  # Images: enough for a rank, little beside an epoch.
GRID_PAIRS = 12


class RepresentationSample:
    """A fixed batch of view pairs on which every epoch is measured alike.

    Args:
      model: SimCLR.
      batch: dict, one element of the training data; its first `SAMPLE_SIZE` rows are
        kept.
    """

    def __init__(self, model, batch):
        self._model = model
        rows = {
            name: value[:SAMPLE_SIZE]
            for name, value in batch.items()
            if name in ("images", "crops_a", "crops_b", "seeds")
        }
        self.view_a, self.view_b = model.make_views(rows)
        self._embed = tf.function(self._features_and_projections)

    def measure(self):
        """effective_rank of the features; alignment and uniformity of projections."""
        features, (z_a, z_b) = self._embed()
        return {
            "effective_rank": float(effective_rank(features)),
            "alignment": float(alignment(z_a, z_b)),
            "uniformity": float(uniformity(z_a)),
        }

    def grid(self):
        """View pairs side by side, `[2 S, GRID_PAIRS * S, C]`: a above b."""
        rows = [
            np.concatenate(list(view[:GRID_PAIRS].numpy()), axis=1)
            for view in (self.view_a, self.view_b)
        ]
        grid = np.concatenate(rows, axis=0)
        # TensorBoard draws 1, 3 or 4 channels.
        return grid if grid.shape[-1] in (1, 3, 4) else grid[..., :1]

    def _features_and_projections(self):
        views = tf.concat([self.view_a, self.view_b], axis=0)
        features = self._model.encoder(views, training=False)
        projections = self._model.projection_head(features, training=False)
        return features, tf.split(projections, 2)
