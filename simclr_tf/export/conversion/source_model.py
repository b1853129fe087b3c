"""Reading of a source: names and shapes are checked first, then values are read."""

import dataclasses

import tensorflow as tf

from simclr_tf.errors import require
from simclr_tf.export.conversion.account import (
    ConversionError,
    SourceModel,
    check_account,
    check_finite,
)
from simclr_tf.export.conversion.networks import (
    PROBE,
    PROBE_WEIGHTS,
    Networks,
    config_of_architecture,
)


def source_model(
    kind,
    stored,
    architecture,
    names,
    *,
    not_weights,
    step,
    probe_layer,
    leave_out,
    describe=None,
):
    """Read the variables of a source, if they are exactly those of the architecture.

    Args:
      kind: str, of the source.
      stored: StoredVariables.
      architecture: Architecture that was found.
      names: dict of our name to the name in the file.
      not_weights: function of a name in the file to the reason why it is not a part of
        the network, or None.
      step: int.
      probe_layer: int, the layer of the projection head that feeds the supervised head.
      leave_out: beginnings of names in the file, of variables to leave out.
      describe: as in `check_account`.

    Returns:
      SourceModel.

    Raises:
      ConversionError: missing, surplus or misshapen variables.
    """
    require(
        0 <= probe_layer <= architecture.head_layers,
        "`probe_layer` must be a layer of the projection head, or 0 for the "
        f"features; this head has {architecture.head_layers} layers.",
        probe_layer=probe_layer,
    )
    left_out = {}
    if probe_layer and architecture.num_classes:
        reason = (
            f"a head on layer {probe_layer} of the projection head; a run's "
            "probe reads the features"
        )
        for weight in PROBE_WEIGHTS:
            left_out[names.pop(f"{PROBE}/{weight}")] = reason
        architecture = dataclasses.replace(architecture, num_classes=None)
    for name in stored.shapes:
        reason = not_weights(name)
        if reason is None and name.startswith(tuple(leave_out)):
            reason = "asked for (--leave_out)"
        if reason is not None:
            left_out[name] = reason
    networks = Networks(architecture, config_of_architecture(architecture))
    variables = networks.variables()
    expected = {name: tuple(variable.shape) for name, variable in variables.items()}
    _check_probe(names, expected, stored)
    check_account(names, expected, stored.shapes, left_out, describe=describe)
    for here, variable in variables.items():
        value = _read(stored, names[here])
        check_finite(value, names[here])
        variable.assign(value)
    return SourceModel(
        kind=kind,
        path=stored.prefix,
        architecture=architecture,
        variables=variables,
        objects=networks.objects,
        step=step,
        names={here: names[here] for here in expected},
        left_out=[
            (name, stored.shapes[name], reason)
            for name, reason in left_out.items()
            if name in stored.shapes
        ],
    )


def _read(stored, name):
    """Read the value of a variable that is float32."""
    dtype = stored.dtypes[name]
    if dtype != tf.float32:
        raise ConversionError(
            f"{name} of the source is {dtype.name}; only float32 is converted, and of "
            "PyTorch's files float16 and bfloat16."
        )
    return stored.read(name)


def _check_probe(names, expected, stored):
    """Refuse a supervised head of another width than the features."""
    here = f"{PROBE}/{PROBE_WEIGHTS[0]}"
    stored_shape = stored.shapes.get(names.get(here))
    if stored_shape and here in expected and stored_shape[0] != expected[here][0]:
        raise ConversionError(
            f"The supervised head {names[here]} {stored_shape} does not fit "
            f"{expected[here][0]} features; give --probe_layer, the layer of the "
            "projection head that feeds it. Nothing was written."
        )
