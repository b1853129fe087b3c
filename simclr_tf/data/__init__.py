"""Images from anywhere: sources with random access, and batches that are pure.

`opening.py` opens what `--data` names, `sources/` has one file a kind of data set, and
`pipelines.py` makes the batches. Nothing here imports TensorFlow before it is used.
"""

from simclr_tf.lazy import public_names

__all__ = public_names(
    __name__,
    {
        "arrays": ("ArraySource",),
        "cache": ("ImageCache",),
        "corruption": ("CorruptionLog", "plain_errors"),
        "host_calls": ("on_host",),
        "label_budgets": ("LabelBudget", "label_subset", "listed_images"),
        "opening": ("LICENCES", "kind_of", "licence_of", "open_source"),
        "ordered_batches": ("evaluation_batches",),
        "pipelines": ("batch_ids", "training_dataset"),
        "random_access": ("EncodedSource", "Source"),
        "sources": ("SOURCES",),
        "sources.embedded": ("EMBEDDED_SETS",),
        "streams": ("StreamSource",),
    },
)
