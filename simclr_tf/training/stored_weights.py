"""The weights that lie in a workdir, a checkpoint, an export or a file, by name.

Checkpoints and SavedModels are read as tables of numbers: no network is built and no
program of theirs is run, so they may hold networks that cannot be made here.
"""

import collections.abc
import dataclasses

import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from simclr_tf.encoder_zoo import encoder_path
from simclr_tf.errors import DataError, WorkdirError, received_text
from simclr_tf.files import plain_reason
from simclr_tf.training.checkpoints import (
    MANIFEST,
    CheckpointStore,
    open_checkpoint,
)
from simclr_tf.training.encoders import ENCODER_FILE, load_encoder
from simclr_tf.training.exports import (
    WEIGHTS,
    check_not_an_export,
    find_saved_model,
)
from simclr_tf.training.workdir import CHECKPOINTS, CONFIG_FILE

ENCODER, HEAD = "encoder", "projection_head"


@dataclasses.dataclass(frozen=True)
class StoredVariable:
    """One variable on disk.

    Attributes:
      name: str, e.g. `block_group1_block1_conv1/kernel`.
      shape: tuple of int.
      read: function without arguments that returns the NumPy array.
    """

    name: str
    shape: tuple
    read: collections.abc.Callable


@dataclasses.dataclass(frozen=True)
class StoredWeights:
    """What `open_stored_weights` found.

    Attributes:
      path: str, absolute: the very checkpoint, SavedModel or file.
      kind: "checkpoint", "export" or "file".
      step: int, updates behind the weights; None where that is not known.
      parts: dict of "encoder" and perhaps "projection_head" to lists of
        StoredVariable, in the order of the layers.
      sha256: dict of file name to SHA-256, of a checkpoint.
    """

    path: str
    kind: str
    step: int | None
    parts: dict
    sha256: dict


def open_stored_weights(path):
    """Find the weights that lie at a path; values are read only when asked for.

    Args:
      path: workdir of a run (its newest whole checkpoint), one checkpoint folder
        (`step-00000230`) or the folder of such, folder of an export or any
        SavedModel, `zoo:NAME`, or a file that `load_encoder` takes (`.keras` and
        `.h5` can hold programs: load only what you trust).

    Returns:
      StoredWeights.

    Raises:
      DataError: the path does not exist, or is no such file.
      WorkdirError: nothing loadable there, no whole checkpoint yet, or a damaged one.
    """
    path = encoder_path(path).absolute()
    if not path.exists():
        raise DataError(
            "There is nothing to start from: the path does not exist. "
            + received_text(init_from=str(path))
        )
    if path.is_file():
        return _of_file(path)
    saved_model = find_saved_model(path)
    if saved_model is not None:
        return _of_saved_model(saved_model)
    if (path / WEIGHTS).is_file():
        return _of_file(path / WEIGHTS)
    if (path / MANIFEST).exists() or path.name.startswith("step-"):
        return _of_checkpoint(open_checkpoint(path))
    is_workdir = (path / CONFIG_FILE).is_file()
    if is_workdir:
        check_not_an_export(path)
        if (path / ENCODER_FILE).is_file():
            return _of_file(path / ENCODER_FILE)
    checkpoint = CheckpointStore(path / CHECKPOINTS if is_workdir else path).latest()
    if checkpoint is not None:
        return _of_checkpoint(checkpoint)
    if is_workdir:
        raise WorkdirError(
            f"{path} holds no whole checkpoint yet: there is nothing to start from."
        )
    raise WorkdirError(
        f"{path} is neither a workdir (no {CONFIG_FILE}), nor a checkpoint (no "
        f"{MANIFEST}), nor an export (no saved_model.pb)."
    )


def _of_checkpoint(checkpoint):
    table = _Table(checkpoint.prefix)
    model = table.child(0, "model")
    if model is None:
        raise WorkdirError(f"Checkpoint {checkpoint.path} holds no model.")
    parts = {
        part: table.variables(table.child(model, part)) for part in (ENCODER, HEAD)
    }
    sha256 = {
        name: file["sha256"] for name, file in checkpoint.manifest["files"].items()
    }
    return StoredWeights(
        str(checkpoint.path), "checkpoint", checkpoint.step, parts, sha256
    )


def _of_saved_model(folder):
    table = _Table(str(folder / "variables" / "variables"))
    # An export lists its variables in order; other SavedModels may not.
    # A head was exported on top of its encoder, in a list of its own.
    parts = {
        ENCODER: table.variables(table.child(0, "variables") or 0),
        HEAD: [
            v
            for v in table.variables(table.child(0, "head_variables"))
            if v.name.startswith(f"{HEAD}/")
        ],
    }
    return StoredWeights(str(folder), "export", None, parts, {})


def _of_file(path):
    variables = [
        StoredVariable(plain_name(v), tuple(v.shape), v.numpy)
        for v in load_encoder(path).variables
    ]
    return StoredWeights(str(path), "file", None, {ENCODER: variables}, {})


def plain_name(variable):
    """`initial_conv/kernel:0` -> `initial_conv/kernel`."""
    return variable.name.partition(":")[0]


class _Table:
    """TensorFlow's checkpoint files: values by key, keys by the objects' graph."""

    def __init__(self, prefix):
        self._prefix = prefix
        try:
            self._reader = tf.train.load_checkpoint(prefix)
            self._shapes = self._reader.get_variable_to_shape_map()
            graph = self._reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH")
        except (OSError, ValueError, RuntimeError, tf.errors.OpError) as error:
            raise self._unreadable(error) from error
        self._nodes = trackable_object_graph_pb2.TrackableObjectGraph.FromString(
            graph
        ).nodes

    def child(self, node, name):
        """The number of an object's child, or None."""
        return next(
            (
                child.node_id
                for child in self._nodes[node].children
                if child.local_name == name
            ),
            None,
        )

    def variables(self, root):
        """Every variable below an object, depth first: in the order of the layers."""
        found, seen, pending = [], set(), [] if root is None else [root]
        while pending:
            node = pending.pop()
            if node in seen:
                continue
            seen.add(node)
            for entry in self._nodes[node].attributes:
                if entry.name == "VARIABLE_VALUE":
                    found.append(self._variable(entry))
            children = [child.node_id for child in self._nodes[node].children]
            pending += reversed(children)
        return found

    def _variable(self, entry):
        def read():
            try:
                return self._reader.get_tensor(entry.checkpoint_key)
            except (OSError, ValueError, RuntimeError, tf.errors.OpError) as error:
                raise self._unreadable(error) from error

        shape = tuple(self._shapes[entry.checkpoint_key])
        return StoredVariable(entry.full_name, shape, read)

    def _unreadable(self, error):
        return WorkdirError(
            f"Cannot read the weights in {self._prefix}*: {plain_reason(error)}."
        )
