"""Convert a SavedModel to an ONNX file, float32.

Arguments: the folder with saved_model.pb; the file to write; the version of ONNX's set
of operators.
"""

import pathlib
import sys

import numpy as np
import tensorflow as tf
import tf2onnx

AXES = ("batch", "height", "width", "channels")


def main(folder, path, opset):
    """Write what tf2onnx makes of the folder's model, its free axes named."""
    module = tf.saved_model.load(folder)  # It holds the variables: keep it.
    signature = module.signatures["serving_default"]
    spec = signature.structured_input_signature[1]["images"]
    model, _ = tf2onnx.convert.from_function(
        tf.function(lambda images: signature(images=images)),
        input_signature=[tf.TensorSpec(spec.shape, spec.dtype, "images")],
        opset=int(opset),
        custom_op_handlers={"Erfc": (_erfc, [])},
    )
    sizes = model.graph.input[0].type.tensor_type.shape.dim
    for size, name in zip(sizes, AXES, strict=True):
        if not size.HasField("dim_value"):
            size.dim_param = name
    pathlib.Path(path).write_bytes(model.SerializeToString())


def _erfc(graph, node, name, args):
    """Replace Erfc, which TensorFlow makes of a GELU and ONNX lacks, by 1 - Erf."""
    graph.remove_node(node.name)
    one = graph.make_const(name + "_one", np.float32(1.0)).output[0]
    erf = graph.make_node("Erf", node.input, name=name + "_erf").output[0]
    graph.make_node("Sub", [one, erf], name=name, outputs=node.output)


if __name__ == "__main__":
    main(*sys.argv[1:])
