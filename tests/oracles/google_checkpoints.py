"""Files as google-research/simclr leaves them, written by TensorFlow alone."""

import pathlib

import tensorflow as tf

from simclr_tf._keras import keras

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def write_names(prefix, variables):
    """A checkpoint with exactly these names and values, and nothing beside them."""
    pathlib.Path(prefix).parent.mkdir(parents=True, exist_ok=True)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(variables),
        shape_and_slices=[""] * len(variables),
        tensors=[tf.constant(value) for value in variables.values()],
    )
    return str(prefix)


def write_training_checkpoint(folder, variables, *, step=7):
    """TensorFlow 2's: the model in an object graph, optimizer slots, counters."""
    root, leaves = object_tree(variables)
    # A legacy optimizer, as the reference's LARS is one: its slots have a place of
    # their own in the object graph.
    optimizer = keras.optimizers.legacy.SGD(0.1)
    for leaf in leaves.values():
        optimizer.add_slot(leaf, "Momentum")
    checkpoint = tf.train.Checkpoint(
        model=root.model,
        optimizer=optimizer,
        global_step=tf.Variable(step, dtype=tf.int64),
    )
    return checkpoint.save(str(pathlib.Path(folder) / "ckpt"))


def write_saved_model(folder, variables):
    """TensorFlow 2's export: most variables are `trainable_variables_list/<i>`."""
    root, leaves = object_tree(variables)
    trainable = [leaf for name, leaf in leaves.items() if "moving_" not in name]
    moving = [leaf for name, leaf in leaves.items() if "moving_" in name]
    root.model.resnet_model.variables = moving
    root.trainable_variables_list = trainable
    tf.saved_model.save(root, str(folder))
    return str(folder)


def object_tree(variables):
    """(root object, dict of name to tf.Variable): attributes and lists by the names."""
    leaves = {}
    tree = {}
    for name, value in variables.items():
        *path, last = name.removesuffix(VALUE).split("/")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[last] = leaves[name] = tf.Variable(value, name=f"{path[-1]}/{last}")
    return objects(tree), leaves


def objects(tree):
    """Nested dicts as objects with attributes, or lists where all names are numbers."""
    if not isinstance(tree, dict):
        return tree
    if all(name.isdecimal() for name in tree):
        # Lists have places without variables too: pooling, DropBlock, identities.
        length = 1 + max(map(int, tree))
        return [
            objects(tree.get(str(index), {"nothing": None})) for index in range(length)
        ]
    node = tf.__internal__.tracking.AutoTrackable()
    for name, child in tree.items():
        setattr(node, name, objects(child))
    return node
