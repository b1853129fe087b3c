"""Images from anywhere: sources with random access, and batches that are pure."""

from simclr_tf.data.arrays import ArraySource
from simclr_tf.data.corruption import CorruptionLog, plain_errors
from simclr_tf.data.embedded_sets import EMBEDDED_SETS
from simclr_tf.data.host_calls import on_host
from simclr_tf.data.image_cache import ImageCache
from simclr_tf.data.inspection import evaluation_batches
from simclr_tf.data.label_budgets import LabelBudget, listed_images
from simclr_tf.data.label_fractions import label_subset
from simclr_tf.data.licences import LICENCES, licence_of
from simclr_tf.data.pipelines import batch_ids, training_dataset
from simclr_tf.data.random_access import EncodedSource, Source
from simclr_tf.data.sources import open_source
from simclr_tf.data.streams import StreamSource

__all__ = [
    "ArraySource",
    "CorruptionLog",
    "EMBEDDED_SETS",
    "EncodedSource",
    "ImageCache",
    "LICENCES",
    "LabelBudget",
    "Source",
    "StreamSource",
    "batch_ids",
    "evaluation_batches",
    "label_subset",
    "licence_of",
    "listed_images",
    "on_host",
    "open_source",
    "plain_errors",
    "training_dataset",
]
