"""Pretraining: the model, its loop, checkpoints, and the files of a run."""

from simclr_tf.training.checkpoints import Checkpoint, CheckpointStore
from simclr_tf.training.classifier_model import Classifier
from simclr_tf.training.distiller import Distiller
from simclr_tf.training.keras_files import load_classifier
from simclr_tf.training.load import (
    load_encoder,
    untrained_encoder,
)
from simclr_tf.training.pretraining_model import PretrainingModel, SimCLR
from simclr_tf.training.run import pretrain, pretrain_from_config
from simclr_tf.training.run_heads import load_probe, load_projection_head
from simclr_tf.training.stages import PretrainResult
from simclr_tf.training.workdir import Workdir

__all__ = [
    "Checkpoint",
    "CheckpointStore",
    "Classifier",
    "Distiller",
    "PretrainResult",
    "PretrainingModel",
    "SimCLR",
    "Workdir",
    "load_classifier",
    "load_encoder",
    "load_probe",
    "load_projection_head",
    "pretrain",
    "pretrain_from_config",
    "untrained_encoder",
]
