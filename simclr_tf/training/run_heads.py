"""Loading of the heads that a run trained on top of its encoder."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.array_types import Layer, Model
from simclr_tf.errors import WorkdirError
from simclr_tf.training.assembly import build_projection_head
from simclr_tf.training.path_contents import inspect_path
from simclr_tf.training.stored_variables import VALUE, StoredVariables

if TYPE_CHECKING:
    from simclr_tf.models.heads import ProjectionHead
    from simclr_tf.training.checkpoints import Checkpoint
    from simclr_tf.training.workdir import Workdir


_PROBE_KERNEL = f"model/probe/kernel/{VALUE}"


def load_projection_head(
    workdir: Workdir, encoder: Model, checkpoint: Checkpoint | None = None
) -> ProjectionHead:
    """Load the trained projection head of a run, in float32.

    Args:
      workdir: Workdir.
      encoder: keras.Model of the same run, for the number of features.
      checkpoint: Checkpoint of the run; the newest complete one if None.

    Returns:
      simclr_tf.models.ProjectionHead, built.

    Raises:
      WorkdirError: no checkpoint, or a checkpoint with another head.
    """
    checkpoint = checkpoint or inspect_path(workdir.path).checkpoint
    head = build_projection_head(
        dataclasses.replace(workdir.config(), precision="float32")
    )
    head(tf.zeros([1, encoder.output_shape[-1]]))
    checkpoint.restore(model=tf.train.Checkpoint(projection_head=head))
    return head


def load_probe(
    workdir: Workdir, encoder: Model, checkpoint: Checkpoint | None = None
) -> Layer:
    """Load the online probe of a run: features to the logits of its classes.

    Args:
      workdir: Workdir.
      encoder: keras.Model of the same run, for the number of features.
      checkpoint: Checkpoint of the run; the newest complete one if None.

    Returns:
      keras.layers.Dense, built.

    Raises:
      WorkdirError: no checkpoint, or the run had no online probe.
    """
    checkpoint = checkpoint or inspect_path(workdir.path).checkpoint
    shapes = StoredVariables(checkpoint.prefix).shapes
    if _PROBE_KERNEL not in shapes:
        raise WorkdirError(
            f"The run in {workdir.path} has no online probe: it had no labels, or was "
            "started with --probe.online=false."
        )
    probe = keras.layers.Dense(
        shapes[_PROBE_KERNEL][1], dtype="float32", name="linear_probe"
    )
    probe(tf.zeros([1, encoder.output_shape[-1]]))
    checkpoint.restore(model=tf.train.Checkpoint(probe=probe))
    return probe
