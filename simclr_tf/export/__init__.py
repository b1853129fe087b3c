"""Export of encoders: a Reusable SavedModel, other formats, config.json and card."""

from simclr_tf.export.card import card_markdown
from simclr_tf.export.formats import check_formats
from simclr_tf.export.parity import ParityError, check_in_fresh_process
from simclr_tf.export.plain_copy import plain_copy
from simclr_tf.export.reusable import ReusableModule
from simclr_tf.export.saved_model import export_saved_model

__all__ = [
    "ParityError",
    "ReusableModule",
    "card_markdown",
    "check_formats",
    "check_in_fresh_process",
    "export_saved_model",
    "plain_copy",
]
