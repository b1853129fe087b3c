"""Checking of the calls in a functional config: which layer gets whose output.

Keras calls a layer on whatever the config holds, constants too, and tries for ever
where an output never comes to be. Here a call has outputs of layers of the same network
as its inputs, and there is an order in which all calls can be made.
"""

from simclr_tf.errors import DataError
from simclr_tf.limits import LONGEST_TEXT, MOST_CALLS, is_number

_MOST_TRIES = 5  # Keras goes through a network until all calls are made.
_CONSTANT = "_CONSTANT_VALUE"
_NETWORKS = ("Functional", "Model", "Sequential")


class Calls:
    """The calls of the layers of one network.

    Args:
      entries: list, the layers of a functional config.
      data: function that copies a value without objects, or raises DataError.

    Raises:
      DataError: an entry without a name, or two with the same.
    """

    def __init__(self, entries, data):
        self._data = data
        # How many calls came before those in the config, and how many outputs each has.
        self._first, self._outputs, self._waiting = {}, {}, {}
        self._sources = set()
        for entry in entries:
            name = entry.get("name") if isinstance(entry, dict) else None
            if not isinstance(name, str) or not 0 < len(name) <= LONGEST_TEXT:
                raise DataError("it has a layer without a name, or with an endless one")
            if name in self._first or name == _CONSTANT:
                raise DataError(f"it has two layers called {name[:80]!r}")
            config = entry.get("config")
            own = config.get("name", name) if isinstance(config, dict) else name
            if own != name:
                raise DataError(f"its layer {name[:80]!r} has a second name")
            self._first[name] = int(_begins_with_input(entry))
            self._outputs[name] = _count_outputs(entry)
            if entry.get("class_name") == "InputLayer":
                self._sources.add(name)

    def of(self, entry, *, is_operation):
        """Copy the name and the calls of one layer.

        Args:
          entry: dict, the layer in the config.
          is_operation: bool, whether finite numbers may be inputs beside an output.

        Returns:
          dict with "name" and "inbound_nodes".

        Raises:
          DataError: a call on something else than outputs of layers.
        """
        nodes, name = entry.get("inbound_nodes"), entry["name"]
        if not isinstance(nodes, list):
            raise DataError(f"its layer {name[:80]!r} has no list of calls")
        copied, waiting = [], []
        for node in nodes:
            needs = []
            copied.append(self._inputs(node, is_operation, needs))
            if not needs:
                raise DataError(f"its layer {name[:80]!r} is called on constants")
            waiting.append(needs)
        self._waiting[name] = waiting
        return {"name": name, "inbound_nodes": copied}

    def count_inputs(self, name):
        """Count the inputs of all calls of a layer."""
        return sum(map(len, self._waiting[name]))

    def ends(self, value):
        """Copy the inputs or outputs of the network: references, in any structure."""
        needs = []
        copied = self._inputs(value, False, needs)
        if not needs:
            raise DataError("it has a network without inputs or outputs")
        return copied

    def check_order(self):
        """Raise DataError unless all calls can be made one after the other."""
        made, moved, tries = dict(self._first), True, 0
        while moved:
            moved = False
            tries += sum(map(bool, self._waiting.values()))
            if tries > _MOST_TRIES * MOST_CALLS:
                raise DataError("its layers stand in no order in which they are called")
            for name, waiting in self._waiting.items():
                while waiting and all(
                    source in self._sources
                    or self._first[source] <= node < made[source]
                    for source, node in waiting[0]
                ):
                    waiting.pop(0)
                    made[name] += 1
                    moved = True
        stuck = [name for name, waiting in self._waiting.items() if waiting]
        if stuck:
            raise DataError(f"its layer {stuck[0][:80]!r} waits for an output for ever")

    def _inputs(self, value, is_operation, needs):
        if isinstance(value, dict):
            return {
                self._data(key): self._inputs(inner, is_operation, needs)
                for key, inner in value.items()
            }
        if not isinstance(value, list):
            raise DataError("it has a layer that is called on constants")
        if not _is_reference(value):
            return [self._inputs(inner, is_operation, needs) for inner in value]
        if value[0] == _CONSTANT:
            if not (is_operation and value[1] == -1 and is_number(value[2])):
                raise DataError("it has a layer that is called on constants")
            copied = value[:3]
        else:
            copied = self._reference(value, needs)
        if len(value) == 3:
            return copied
        arguments = value[3]
        if not isinstance(arguments, dict):
            raise DataError("it has a call without named arguments")
        if is_operation and not set(arguments) <= {"y", "name"}:
            raise DataError(
                "it has an operation with other arguments than its operands"
            )
        return [
            *copied,
            {
                self._data(key): self._argument(inner, needs)
                for key, inner in arguments.items()
            },
        ]

    def _argument(self, value, needs):
        """Copy an argument: an output, a plain value, or a structure of both."""
        if isinstance(value, dict):
            return self._data(
                {key: self._argument(inner, needs) for key, inner in value.items()}
            )
        if not isinstance(value, list):
            return self._data(value)
        if not _is_reference(value):
            return [self._argument(inner, needs) for inner in value]
        # Keras waits for ever for an output that the layer does not have.
        if len(value) != 3 or value[2] not in range(self._outputs.get(value[0], 1)):
            raise DataError("it has an argument that no layer gives")
        return self._reference(value, needs)

    def _reference(self, value, needs):
        name, node, tensor = value[:3]
        known = name in self._first
        if not known or type(node) is not int or type(tensor) is not int:
            raise DataError(f"it has a call on {name[:80]!r}, which is no layer of it")
        if node < 0 or tensor < 0:
            raise DataError(
                f"it has a call on an output that {name[:80]!r} cannot have"
            )
        needs.append((name, node))
        return [name, node, tensor]


def _is_reference(value):
    """Tell whether Keras takes a list for a reference, by its own rule."""
    return len(value) in (3, 4) and isinstance(value[0], str)


def _begins_with_input(entry):
    """Tell whether Keras counts a call that a network has from the beginning."""
    if entry.get("class_name") not in _NETWORKS:
        return False
    if entry["class_name"] != "Sequential":
        return True
    config = entry.get("config")
    layers = config.get("layers") if isinstance(config, dict) else config
    first = layers[0] if isinstance(layers, list) and layers else None
    if not isinstance(first, dict) or first.get("class_name") != "InputLayer":
        raise DataError("it has a stack of layers in a network, without an input")
    return True


def _count_outputs(entry):
    """Count the outputs of a nested network; 1 for a layer."""
    config = entry.get("config")
    pending = [config.get("output_layers")] if isinstance(config, dict) else []
    count = 0
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending.extend(value.values())
        elif isinstance(value, list) and value:
            if _is_reference(value):
                count += 1
            else:
                pending.extend(value)
    return max(count, 1)
