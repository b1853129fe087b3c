"""SimCLR for TensorFlow 2 and Keras, with SavedModel export.

Names are loaded when they are first used: importing this package is instant and
does not import TensorFlow.

Example:
  >>> import simclr_tf
  >>> "pretrain" in dir(simclr_tf)
  True
"""

from typing import TYPE_CHECKING

from simclr_tf.lazy import public_names

if TYPE_CHECKING:
    from simclr_tf import augment as augment
    from simclr_tf import commands as commands
    from simclr_tf import data as data
    from simclr_tf import evaluation as evaluation
    from simclr_tf import export as export
    from simclr_tf import losses as losses
    from simclr_tf import metrics as metrics
    from simclr_tf import models as models
    from simclr_tf import objectives as objectives
    from simclr_tf import optim as optim
    from simclr_tf import report as report
    from simclr_tf import studies as studies
    from simclr_tf import training as training
    from simclr_tf.commands.embed import embed as embed
    from simclr_tf.commands.predict import predict as predict
    from simclr_tf.config.presets import get_preset as get_preset
    from simclr_tf.config.pretrain import Config as Config
    from simclr_tf.data.opening import open_source as open_source
    from simclr_tf.encoder_zoo import zoo as zoo
    from simclr_tf.training.load import load_encoder as load_encoder
    from simclr_tf.training.pretraining_model import SimCLR as SimCLR
    from simclr_tf.training.run import pretrain as pretrain

__version__ = "0.2.0"

__all__ = public_names(__name__, __file__)
