"""Converters of the SavedModel for other runtimes: LiteRT and ONNX.

A process with TensorFlow converts; another process, with the runtime and without
TensorFlow, compares the features. A converter that aborts ends only its own process.
"""

from simclr_tf.export.parity import (
    COMPARE,
    difference_in_fresh_process,
    output_names,
    run_in_fresh_process,
)
from simclr_tf.extras import require_extra

LITERT_FILE = "encoder.tflite"
ONNX_FILE = "encoder.onnx"
# 17: known to every onnxruntime since 1.12 (2022).
OPSET = 17

_TO_LITERT = """
import sys
import tensorflow as tf
converter = tf.lite.TFLiteConverter.from_saved_model(
    sys.argv[1], signature_keys=["serving_default"])
with open(sys.argv[2], "wb") as file:
    file.write(converter.convert())
"""

_TO_ONNX = """
import sys
import numpy as np
import tensorflow as tf
import tf2onnx
def erfc(graph, node, name, args):  # 1 - erf, which TensorFlow makes of a GELU.
    graph.remove_node(node.name)
    one = graph.make_const(name + "_one", np.float32(1.0)).output[0]
    erf = graph.make_node("Erf", node.input, name=name + "_erf").output[0]
    graph.make_node("Sub", [one, erf], name=name, outputs=node.output)
module = tf.saved_model.load(sys.argv[1])
signature = module.signatures["serving_default"]
spec = signature.structured_input_signature[1]["images"]
model, _ = tf2onnx.convert.from_function(
    tf.function(lambda images: signature(images=images)),
    input_signature=[tf.TensorSpec(spec.shape, spec.dtype, "images")],
    opset=int(sys.argv[3]), custom_op_handlers={"Erfc": (erfc, [])})
sizes = ("batch", "height", "width", "channels")
for axis, size in zip(model.graph.input[0].type.tensor_type.shape.dim, sizes):
    if not axis.HasField("dim_value"):
        axis.dim_param = size
with open(sys.argv[2], "wb") as file:
    file.write(model.SerializeToString())
"""

_WITH_LITERT = (
    """
import sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter
run = Interpreter(sys.argv[1]).get_signature_runner("serving_default")
foreign = ["simclr_tf", "tensorflow"]
def outputs(images):
    served = run(images=images)
    return [*served.items(), ("features", served["default"])]
"""
    + COMPARE
)

_WITH_ONNXRUNTIME = (
    """
import sys
import numpy as np
import onnxruntime
session = onnxruntime.InferenceSession(
    sys.argv[1], providers=["CPUExecutionProvider"])
names, foreign = [output.name for output in session.get_outputs()], [
    "simclr_tf", "tensorflow"]
def outputs(images):
    served = dict(zip(names, session.run(names, {"images": images})))
    return [*served.items(), ("features", served["default"])]
"""
    + COMPARE
)


def check_litert():
    """Raise `ConfigError` unless the runtime that checks LiteRT files is installed."""
    require_extra("ai_edge_litert", extra="litert", wanted="--formats=litert")


def check_onnx():
    """Raise `ConfigError` unless the converter and the runtime of ONNX are there."""
    require_extra("onnxruntime", extra="onnx", wanted="--formats=onnx")
    require_extra("tf2onnx", extra="onnx", wanted="--formats=onnx")


def write_litert(path, saved_model, cases):
    """Convert for LiteRT, float32, with free batch, height and width.

    Delegates of phones want one size: `resize_tensor_input` fixes it once.

    Args:
      path: path of the file.
      saved_model: path with saved_model.pb.
      cases: dict of `parity_cases`.

    Returns:
      float, the largest absolute difference.

    Raises:
      ParityError: it cannot be converted, or the outputs differ.
    """
    what = "The LiteRT file"
    run_in_fresh_process(_TO_LITERT, saved_model, path, what=what)
    return difference_in_fresh_process(
        _WITH_LITERT, path, cases, names=output_names(cases), what=what
    )


def write_onnx(path, saved_model, cases):
    """Convert for ONNX runtimes: best effort, by a converter that is rarely updated.

    Args:
      path: path of the file.
      saved_model: path with saved_model.pb.
      cases: dict of `parity_cases`.

    Returns:
      float, the largest absolute difference.

    Raises:
      ParityError: it cannot be converted, or the outputs differ.
    """
    what = "The ONNX file (tf2onnx converts on a best-effort basis)"
    run_in_fresh_process(_TO_ONNX, saved_model, path, OPSET, what=what)
    return difference_in_fresh_process(
        _WITH_ONNXRUNTIME, path, cases, names=output_names(cases), what=what
    )
