"""Roles of variables: which decay and which adapt, decided by layer, never by name."""

from __future__ import annotations

from collections.abc import Sequence

from simclr_tf._keras import keras, refuse_keras3
from simclr_tf.array_types import Layer, Optimizer, Variable
from simclr_tf.errors import ConfigError, received_text, require

_NORMALIZATIONS = (
    keras.layers.BatchNormalization,
    keras.layers.experimental.SyncBatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
)

EXCLUDED_ROLES = ("normalization", "bias", "probe")


def variables_by_role(
    model_or_layers: Layer | Sequence[Layer],
    *,
    probe: Layer | Sequence[Layer] | None = None,
) -> dict[str, list[Variable]]:
    """Sort the trainable variables by their roles.

    - `"probe"`: everything in the layers given as `probe`.
    - `"normalization"`: gamma and beta of batch, layer and group normalization.
    - `"bias"`: the `bias` of a layer, and all other variables with fewer than two axes
      (per-channel scales, a learned scalar).
    - `"kernel"`: all others.

    A layer class can state other roles in its attribute `variable_roles`, a dict of
    attribute name to role (a learned token is not a kernel); one that holds a network
    of another kind, in `roles_of_variables`, pairs of variable and role.

    Layers are found at any depth: in nested models, lists, dicts and wrappers. Frozen
    layers are included, so that exclusions still hold when they are unfrozen.

    Args:
      model_or_layers: a built `keras.Model` or layer, or a list of them.
      probe: layer, or list of layers, with a role of their own; they need not be part
        of the model.

    Returns:
      dict of role to list of variables, each variable once, in the model's order.

    Raises:
      ConfigError: if a layer was never called, so that its variables do not exist yet
        and would be missed; or if there are no variables at all.

    Example:
      >>> model = keras.Sequential([
      ...     keras.layers.Dense(4), keras.layers.BatchNormalization()])
      >>> model.build([None, 3])
      >>> {role: len(found) for role, found in variables_by_role(model).items()}
      {'kernel': 1, 'normalization': 2, 'bias': 1, 'probe': 0}
    """
    roots, probe = _as_list(model_or_layers) + _as_list(probe), _as_list(probe)
    layers = _layers_within(roots)
    _require_built(layers)
    probe_ids = {id(v) for layer in probe for v in layer.weights}
    normalization_ids = {
        id(v)
        for layer in layers
        if isinstance(layer, _NORMALIZATIONS)
        for v in layer.weights
    }
    bias_ids = {id(getattr(layer, "bias", None)) for layer in layers}
    stated = {
        id(getattr(layer, attribute)): role
        for layer in layers
        for attribute, role in getattr(layer, "variable_roles", {}).items()
    }

    for layer in layers:
        stated |= {
            id(variable): role
            for variable, role in getattr(layer, "roles_of_variables", ())
        }

    variables = _trainable_variables(roots)
    require(
        variables,
        "There are no variables to sort by role; call the model on one batch first.",
        layers=[layer.name for layer in roots],
    )
    roles = {"kernel": [], "normalization": [], "bias": [], "probe": []}
    for variable in variables:
        if id(variable) in probe_ids:
            role = "probe"
        elif id(variable) in stated:
            role = stated[id(variable)]
        elif id(variable) in normalization_ids:
            role = "normalization"
        elif id(variable) in bias_ids or variable.shape.rank < 2:
            role = "bias"
        else:
            role = "kernel"
        roles[role].append(variable)
    return roles


def apply_exclusions(
    optimizer: Optimizer,
    model: Layer | Sequence[Layer],
    *,
    probe: Layer | Sequence[Layer] | None = None,
) -> dict[str, list[Variable]]:
    """Exclude normalization, biases and the probe from decay and adaptation.

    With `LARS`, from weight decay and from layer adaptation; with Keras's optimizers
    from weight decay. Call it after the model is built and before the first step; do
    it again for an optimizer made from a config.

    Args:
      optimizer: `LARS`, or a Keras optimizer such as `SGD` or `AdamW`, not yet built.
        (A Keras optimizer forgets what was excluded from it before.)
      model: a built `keras.Model` or layer, or a list of them.
      probe: layer, or list of layers, of the online probe.

    Returns:
      dict of role to list of variables, as `variables_by_role`.

    Raises:
      ConfigError: if the model or the probe is not built, the optimizer is, or the
        optimizer has no such lists.

    Example:
      >>> from simclr_tf.optim import LARS
      >>> model = keras.Sequential([keras.layers.Dense(4)])
      >>> model.build([None, 3])
      >>> [v.shape for v in apply_exclusions(LARS(0.1), model)["bias"]]
      [TensorShape([4])]
    """
    # Keras wraps the optimizer of a float16 model for loss scaling.
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    refuse_keras3("Make one with simclr_tf.optim.make_optimizer.", optimizer=optimizer)
    require(
        isinstance(optimizer, keras.optimizers.Optimizer),
        "`optimizer` must be a keras.optimizers.Optimizer (not a legacy one).",
        optimizer=type(optimizer).__name__,
    )
    roles = variables_by_role(model, probe=probe)
    excluded = [variable for role in EXCLUDED_ROLES for variable in roles[role]]
    try:
        optimizer.exclude_from_weight_decay(var_list=excluded)
    except ConfigError:
        raise
    except ValueError as error:  # Keras's error if it is already built.
        raise ConfigError(
            "Variables can be excluded only before the optimizer's first step; make "
            f"a new optimizer. {received_text(optimizer=optimizer.name)}"
        ) from error
    if hasattr(optimizer, "exclude_from_layer_adaptation"):
        optimizer.exclude_from_layer_adaptation(var_list=excluded)
    return roles


def slots_of(optimizer: Optimizer, variables: Sequence[Variable]) -> list[Variable]:
    """List the optimizer's own variables that belong to some of the weights.

    Args:
      optimizer: keras.optimizers.Optimizer, built.
      variables: list of variables that it was built with.

    Returns:
      list of variables: momentum, second moments, averages.

    Example:
      >>> import tensorflow as tf
      >>> weight = tf.Variable([1.0], name="weight")
      >>> optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
      >>> optimizer.build([weight])
      >>> len(slots_of(optimizer, [weight]))
      1
    """
    # Keras names a slot after its variable: `momentum/NAME`.
    ends = tuple(f"/{variable._shared_name}" for variable in variables)
    return [
        slot
        for slot in optimizer.variables
        if slot.name.partition(":")[0].endswith(ends)
    ]


def _as_list(layers):
    if layers is None:
        return []
    return list(layers) if isinstance(layers, (list, tuple)) else [layers]


def _layers_within(roots):
    """List `roots` and every layer inside them, without metrics (layers in Keras)."""
    modules = [module for root in roots for module in (root, *root.submodules)]
    return [
        module
        for module in modules
        if isinstance(module, keras.layers.Layer)
        and not isinstance(module, keras.metrics.Metric)
    ]


def _trainable_variables(roots):
    """List all variables except moving statistics, frozen ones too, each once."""
    variables = {id(v): v for root in roots for v in root.weights if v.trainable}
    return list(variables.values())


def _require_built(layers):
    # `built` of a model with Keras's own `build` means little: a model with only a
    # `train_step` is never called. So only layers with their own `build` are checked.
    nothing_to_build = (
        keras.layers.Layer.build,
        keras.Model.build,
        keras.Sequential.build,
    )
    unbuilt = [
        layer.name
        for layer in layers
        if not layer.built and type(layer).build not in nothing_to_build
    ]
    require(
        not unbuilt,
        "Variables are sorted by role once they exist; call the model on one batch "
        "first.",
        unbuilt_layers=unbuilt,
    )
