"""Weighted kNN of the encoder's features, measured while a pretraining goes on."""

import numpy as np
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.data import StreamSource, evaluation_batches
from simclr_tf.errors import ConfigError
from simclr_tf.metrics.knn import knn_classify

MOST_QUERIES, MOST_REFERENCES = 1000, 10_000
_QUERY_FRACTION = 0.2
_NEIGHBOURS, _TEMPERATURE = 20, 0.07
_BATCH = 256


class KnnMonitor(keras.callbacks.Callback):
    """Add `knn_accuracy` to the figures of every n-th epoch, and of the last one.

    The labelled images are divided once: a fifth of them (at most `MOST_QUERIES`) are
    queries, others (at most `MOST_REFERENCES`) vote, with the k = 20 and temperature
    0.07 of `simclr-tf evaluate`. Which images is a function of the images' number
    alone. The test images are not used. Nothing of the training changes.

    Args:
      encoder: keras.Model in training.
      source: Source with labels and random access.
      every_epochs: int >= 1.
      epochs: int, of the whole run.
      image_size_pixels: int or (height, width).

    Raises:
      ConfigError: no labels, a stream, or fewer than five labelled images.
    """

    def __init__(self, encoder, source, *, every_epochs, epochs, image_size_pixels):
        super().__init__()
        labelled = _labelled_indices(source)
        order = np.random.default_rng(0).permutation(labelled)
        queries = min(MOST_QUERIES, int(_QUERY_FRACTION * len(order)))
        chosen = order[:queries], order[queries : queries + MOST_REFERENCES]
        self._parts = [source.subset(np.sort(part)) for part in chosen]
        self._every, self._epochs = every_epochs, epochs
        self._size = image_size_pixels

        @tf.function(reduce_retracing=True)
        def features_of(images):
            outputs = encoder(images, training=False)
            if outputs.shape.rank == 4:  # An encoder that ends in a feature map.
                outputs = tf.reduce_mean(outputs, axis=[1, 2])
            return tf.cast(outputs, tf.float32)

        self._features_of = features_of

    def line(self):
        """Describe the images of the monitor for the report before the first step."""
        queries, references = (part.num_examples for part in self._parts)
        epochs = f"{self._every} epochs" if self._every > 1 else "epoch"
        return (
            f"kNN monitor {queries:,} labelled training images, classified by "
            f"{references:,} others every {epochs} "
            f"(k {min(_NEIGHBOURS, references)}, temperature {_TEMPERATURE})"
        )

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self._every == 0 or epoch + 1 == self._epochs:
            logs["knn_accuracy"] = self.measure()

    def measure(self):
        """Measure the share of queries whose class is found; returns float."""
        (queries, labels), (references, classes) = map(self._embed, self._parts)
        k = min(_NEIGHBOURS, len(references))
        found = knn_classify(
            references, classes, queries, k=k, temperature=_TEMPERATURE
        )
        return float(np.mean(found == labels))

    def _embed(self, part):
        features, labels = [], []
        for batch in evaluation_batches(part, _BATCH, self._size):
            features.append(self._features_of(batch["images"]).numpy())
            labels.append(batch["labels"].numpy())
        return np.concatenate(features), np.concatenate(labels)


def _labelled_indices(source):
    """List the labelled images of a source, or refuse it."""
    way_out = "Name a labelled set with --probe.data, or leave the option out."
    if isinstance(source, StreamSource):
        raise ConfigError(
            "`probe.knn_every_epochs` needs images that can be read in any order, and "
            f"{source.name} is a stream. {way_out}"
        )
    if source.labels is None:
        raise ConfigError(
            f"`probe.knn_every_epochs` needs labels, and {source.name} has none. "
            + way_out
        )
    labelled = np.flatnonzero(source.labels >= 0)
    if len(labelled) * _QUERY_FRACTION < 1:
        raise ConfigError(
            "`probe.knn_every_epochs` needs five labelled images or more. "
            f"Received: {len(labelled)} in {source.name}. {way_out}"
        )
    return labelled
