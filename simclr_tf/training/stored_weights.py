"""The weights of a workdir, a checkpoint, an export or a file, by name.

Checkpoints and SavedModels are read as tables of numbers: no network is built and no
program is run, so their networks need not be known to this package.
"""

import dataclasses

from simclr_tf.errors import WorkdirError
from simclr_tf.training.load import encoder_at
from simclr_tf.training.path_contents import inspect_path
from simclr_tf.training.stored_variables import (
    ObjectTree,
    StoredVariable,
    StoredVariables,
)

ENCODER, HEAD = "encoder", "projection_head"


@dataclasses.dataclass(frozen=True)
class StoredWeights:
    """The result of `open_stored_weights`.

    Attributes:
      path: str, absolute path of the checkpoint, SavedModel or file.
      kind: "checkpoint", "export" or "file".
      step: int, updates of the weights; None if not known.
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
    """Find the weights at a path; values are read only when needed.

    Args:
      path: as in `inspect_path` (`.keras` and `.h5` can hold programs: load only what
        you trust).

    Returns:
      StoredWeights.

    Raises:
      DataError: the path does not exist, or a file is damaged or refused.
      WorkdirError: nothing loadable, no complete checkpoint yet, or a damaged one.
    """
    place = inspect_path(path)
    if place.checkpoints is not None:
        return _weights_of_checkpoint(place.checkpoint)
    if place.saved_model is not None:
        return _weights_of_saved_model(place.saved_model.absolute())
    variables = [
        StoredVariable(plain_name(v), tuple(v.shape), v.numpy)
        for v in encoder_at(place).variables
    ]
    file = place.weights or place.keras_file or place.archive
    return StoredWeights(str(file.absolute()), "file", None, {ENCODER: variables}, {})


def plain_name(variable):
    """Shorten `initial_conv/kernel:0` to `initial_conv/kernel`."""
    return variable.name.partition(":")[0]


def _weights_of_checkpoint(checkpoint):
    tree = ObjectTree(StoredVariables(checkpoint.prefix))
    if not tree.children("model"):
        raise WorkdirError(f"Checkpoint {checkpoint.path} holds no model.")
    parts = {part: tree.variables(f"model/{part}") for part in (ENCODER, HEAD)}
    sha256 = {
        name: file["sha256"] for name, file in checkpoint.manifest["files"].items()
    }
    path = str(checkpoint.path.absolute())
    return StoredWeights(path, "checkpoint", checkpoint.step, parts, sha256)


def _weights_of_saved_model(folder):
    tree = ObjectTree(StoredVariables(folder / "variables" / "variables"))
    # Only exports of this package list their variables in order.
    root = "variables" if "variables" in tree.children("") else ""
    # An exported head has its own list of variables.
    parts = {
        ENCODER: tree.variables(root),
        HEAD: [
            variable
            for variable in tree.variables("head_variables")
            if variable.name.startswith(f"{HEAD}/")
        ],
    }
    return StoredWeights(str(folder), "export", None, parts, {})
