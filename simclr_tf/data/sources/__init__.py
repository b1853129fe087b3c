"""Kinds of data sets: one file each, listed in `SOURCES` under their schemes.

`kind.py` has the interface of a kind, `folder.py` the most common one. Importing this
package loads neither TensorFlow nor NumPy; `simclr_tf.data.open_source` uses the kinds.
"""

from simclr_tf.data.sources.embedded import Embedded
from simclr_tf.data.sources.folder import Folder
from simclr_tf.data.sources.npz import Npz
from simclr_tf.data.sources.tfds import TFDS

SOURCES = {
    "embedded": Embedded(),
    "folder": Folder(),
    "npz": Npz(),
    "tfds": TFDS(),
}

__all__ = ["SOURCES"]
