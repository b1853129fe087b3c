"""Data sets: sources with random access, and batches that depend on seed and step only.

`opening.py` opens the value of `--data`, `sources/` has one file for each kind of data
set, and `pipelines.py` makes the batches. TensorFlow is imported only when it is used.
"""

from typing import TYPE_CHECKING

from simclr_tf.lazy import public_names

if TYPE_CHECKING:
    from simclr_tf.data.arrays import ArraySource as ArraySource
    from simclr_tf.data.cache import ImageCache as ImageCache
    from simclr_tf.data.corruption import CorruptionLog as CorruptionLog
    from simclr_tf.data.corruption import plain_errors as plain_errors
    from simclr_tf.data.host_calls import on_host as on_host
    from simclr_tf.data.label_budgets import LabelBudget as LabelBudget
    from simclr_tf.data.label_budgets import label_subset as label_subset
    from simclr_tf.data.label_budgets import listed_images as listed_images
    from simclr_tf.data.opening import LICENCES as LICENCES
    from simclr_tf.data.opening import kind_of as kind_of
    from simclr_tf.data.opening import licence_of as licence_of
    from simclr_tf.data.opening import open_source as open_source
    from simclr_tf.data.ordered_batches import evaluation_batches as evaluation_batches
    from simclr_tf.data.pipelines import batch_ids as batch_ids
    from simclr_tf.data.pipelines import training_dataset as training_dataset
    from simclr_tf.data.random_access import EncodedSource as EncodedSource
    from simclr_tf.data.random_access import Source as Source
    from simclr_tf.data.sources import SOURCES as SOURCES
    from simclr_tf.data.sources.embedded import EMBEDDED_SETS as EMBEDDED_SETS
    from simclr_tf.data.streams import StreamSource as StreamSource

__all__ = public_names(__name__, __file__)
