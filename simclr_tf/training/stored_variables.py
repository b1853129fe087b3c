"""Reading of TensorFlow's checkpoint files without running code from them.

Only the file of the variables is read: of a SavedModel, the program in saved_model.pb
is neither loaded nor run.
"""

import collections.abc
import contextlib
import dataclasses
import math
import pathlib
import weakref

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import trackable_object_graph_pb2

from simclr_tf.errors import DataError
from simclr_tf.files import plain_path, plain_reason

GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
VALUE = ".ATTRIBUTES/VARIABLE_VALUE"
# TensorFlow's reader raises an IndexError if a file ends too early.
_READ_ERRORS = (OSError, ValueError, RuntimeError, LookupError, tf.errors.OpError)
_IN_FOLDER = ("variables/variables", "saved_model/variables/variables")


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


class StoredVariables:
    """The variables of a checkpoint, by the names in its file.

    Args:
      prefix: path, the beginning of the files' paths (`.../ckpt-100`).

    Attributes:
      prefix: str.
      shapes: dict of name to tuple, without the object graph.
      dtypes: dict of name to tf.DType.

    Raises:
      DataError: the file is missing or cannot be read, or its variables claim more
        bytes than its files have.
    """

    def __init__(self, prefix):
        self.prefix = str(prefix)
        try:
            self._reader = tf.train.load_checkpoint(self._readable())
            shapes = self._reader.get_variable_to_shape_map()
            self.dtypes = self._reader.get_variable_to_dtype_map()
        except _READ_ERRORS as error:
            raise self._unreadable(error) from error
        self.shapes = {name: tuple(shapes[name]) for name in sorted(shapes)}
        self.has_graph = self.shapes.pop(GRAPH_KEY, None) is not None
        self._check_sizes()

    def _check_sizes(self):
        """Raise DataError for variables that claim more bytes than the files have."""
        prefix = pathlib.Path(self.prefix)
        held = [file.stat().st_size for file in prefix.parent.glob("*.data-*")]
        claimed = sum(
            math.prod(shape) * self.dtypes[name].size
            for name, shape in self.shapes.items()
            if self.dtypes[name] != tf.string
        )
        if held and claimed > sum(held):
            raise DataError(
                f"Cannot read the checkpoint {self.prefix}: its variables claim "
                f"{claimed} bytes, and its files have {sum(held)}."
            )

    def _readable(self):
        """Return the prefix by a path that is no pattern, as long as `self` lives."""
        prefix, stack = pathlib.Path(self.prefix), contextlib.ExitStack()
        weakref.finalize(self, stack.close)  # The reader opens the files when asked.
        return str(stack.enter_context(plain_path(prefix.parent)) / prefix.name)

    def read(self, name):
        """Read the value of a variable, checked against its checksum.

        Args:
          name: str, its name in the file.

        Returns:
          NumPy array, or bytes.

        Raises:
          DataError: the file is damaged or cut off, or has no such variable.
        """
        try:
            return self._reader.get_tensor(name)
        except _READ_ERRORS as error:
            raise self._unreadable(error) from error

    def step(self, name):
        """Read the integer in a step counter; 0 if there is none."""
        return int(self.read(name)) if name in self.shapes else 0

    def graph(self):
        """Read the object graph that TensorFlow 2 writes beside the variables.

        Raises:
          DataError: there is none, or it is damaged.
        """
        graph = trackable_object_graph_pb2.TrackableObjectGraph()
        content = self.read(GRAPH_KEY)
        try:
            graph.ParseFromString(content)
            _check_graph(graph)
        except (DecodeError, TypeError) as error:
            raise self._unreadable(error) from error
        return graph

    def _unreadable(self, error):
        return DataError(
            f"Cannot read the checkpoint {self.prefix}: {plain_reason(error)}. Is a "
            "file cut off or missing?"
        )


class ObjectTree:
    """Variables by the path of attributes from the root object.

    TensorFlow names a variable in the file by the *shortest* path to it; a SavedModel
    of the reference calls most of them `trainable_variables_list/<i>`. The object graph
    in the file has all paths. Without a graph, the names are the paths.

    Args:
      stored: StoredVariables.

    Attributes:
      full_names: dict of the name in the file to the variable's own name.
    """

    def __init__(self, stored):
        self._stored, self.full_names = stored, {}
        # node: (dict of child name to node id, name in the file or None)
        if stored.has_graph:
            graph = stored.graph()
            self._nodes = _nodes_of(graph)
            self.full_names = {
                attribute.checkpoint_key: attribute.full_name
                for node in graph.nodes
                for attribute in node.attributes
            }
        else:
            self._nodes = _nodes_of_names(stored.shapes)

    def children(self, path):
        """List the names below a path; none if it does not exist."""
        node = self._find(path)
        return list(node[0]) if node is not None else []

    def key(self, path):
        """Return the name in the file of the variable at a path, or None."""
        node = self._find(path)
        return node[1] if node is not None else None

    def variables(self, path):
        """List every variable below a path, depth first: in the order of the layers.

        Args:
          path: str, "" for all.

        Returns:
          list of StoredVariable; empty if the path does not exist.
        """
        root = self._find(path)
        found, seen, pending = [], set(), [] if root is None else [root]
        while pending:
            node = pending.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            children, key = node
            if key is not None:
                found.append(self._variable(key))
            pending += reversed([self._nodes[number] for number in children.values()])
        return found

    def _variable(self, key):
        return StoredVariable(
            self.full_names.get(key, key),
            self._stored.shapes[key],
            lambda: self._stored.read(key),
        )

    def _find(self, path):
        node = self._nodes[0]
        for part in path.split("/") if path else ():
            if part not in node[0]:
                return None
            node = self._nodes[node[0][part]]
        return node


def find_prefix(path):
    """Find the checkpoint at a path.

    Args:
      path: prefix of a checkpoint (`.../ckpt-100`), folder with checkpoints, or
        folder of a SavedModel or of a TF1 Hub module.

    Returns:
      str, the prefix of the files.

    Raises:
      DataError: no checkpoint, or more than one.
    """
    path = pathlib.Path(path).expanduser()
    if path.suffix == ".index" or path.name.partition(".data-")[1]:
        path = path.with_name(path.name.removesuffix(".index").partition(".data-")[0])
    if path.with_name(f"{path.name}.index").is_file():
        return str(path)
    if not path.is_dir():
        raise DataError(
            f"There is no checkpoint {path}: neither the file {path.name}.index nor a "
            "folder of that name exists. Give the prefix of a checkpoint, e.g. "
            "DIR/ckpt-100, or the folder of a SavedModel."
        )
    for inner in _IN_FOLDER:
        if (path / f"{inner}.index").is_file():
            return str(path / inner)
    newest = tf.train.latest_checkpoint(str(path))
    if newest is not None:
        return newest
    found = sorted(file.name.removesuffix(".index") for file in path.glob("*.index"))
    if len(found) == 1:
        return str(path / found[0])
    raise DataError(
        f"{path} holds {len(found) or 'no'} checkpoints; give the prefix of one"
        + (f": {', '.join(found[:5])}." if found else ", or a SavedModel's folder.")
    )


def _nodes_of(graph):
    nodes = []
    for node in graph.nodes:
        keys = [a.checkpoint_key for a in node.attributes if a.name == "VARIABLE_VALUE"]
        nodes.append(
            (
                {child.local_name: child.node_id for child in node.children},
                keys[0] if keys else None,
            )
        )
    return nodes


def _check_graph(graph):
    """Raise `DecodeError` if the graph refers to nodes that it does not have."""
    known = range(len(graph.nodes))
    if not known or any(
        child.node_id not in known for node in graph.nodes for child in node.children
    ):
        raise DecodeError("the object graph refers to missing objects")


def _nodes_of_names(names):
    nodes = [[{}, None]]
    for name in names:
        path, found, _ = name.partition(f"/{VALUE}")
        if not found or "/.OPTIMIZER_SLOT/" in name:
            continue
        here = 0
        for part in path.split("/"):
            if part not in nodes[here][0]:
                nodes[here][0][part] = len(nodes)
                nodes.append([{}, None])
            here = nodes[here][0][part]
        nodes[here][1] = name
    return nodes
