"""What a step changes, as it was before: for steps that must leave no trace."""

import tensorflow as tf


def values_before_update(model):
    """All that an update changes but its counters.

    Args:
      model: SimCLR, compiled.

    Returns:
      List of (variable, tensor of its value).
    """
    with tf.init_scope():  # The optimizer's slots must exist by now.
        model.optimizer.build(model.trainable_variables)
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    counters = {
        id(v)
        for v in (
            model.optimizer.iterations,
            optimizer.iterations,
            optimizer._learning_rate,
            getattr(optimizer, "_current_learning_rate", None),
        )
    }
    parts = [model.encoder, model.projection_head]
    parts += [] if model.probe is None else [model.probe]
    changing = [v for part in parts for v in part.variables]
    changing += [v for v in model.optimizer.variables if id(v) not in counters]
    unique = {id(variable): variable for variable in changing}
    return [(variable, variable.read_value()) for variable in unique.values()]
