"""Conversion of encoders from and to other programs, variable by variable."""

from simclr_tf.export.conversion.account import ConversionError, SourceModel
from simclr_tf.export.conversion.architecture import Architecture
from simclr_tf.export.conversion.converted_run import write_workdir
from simclr_tf.export.conversion.google_tf1 import read_google_tf1
from simclr_tf.export.conversion.google_tf2 import read_google_tf2
from simclr_tf.export.conversion.own_run import read_own_run
from simclr_tf.export.conversion.state_dicts import read_torch
from simclr_tf.export.conversion.torchvision import write_torchvision

__all__ = [
    "Architecture",
    "ConversionError",
    "SourceModel",
    "read_google_tf1",
    "read_google_tf2",
    "read_own_run",
    "read_torch",
    "write_torchvision",
    "write_workdir",
]
