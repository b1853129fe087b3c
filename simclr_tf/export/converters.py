"""Converters of the SavedModel for other runtimes: LiteRT and ONNX.

A process with TensorFlow converts; another process, with the runtime and without
TensorFlow, compares the features. A converter that aborts ends only its own process.
"""

import zipfile

from simclr_tf.export.parity import (
    PROGRAMS,
    difference_in_fresh_process,
    output_names,
    run_in_fresh_process,
)
from simclr_tf.extras import require_extra

LITERT_FILE = "encoder.tflite"
LABELS_FILE = "labels.txt"
ONNX_FILE = "encoder.onnx"
# 17: supported by every onnxruntime since 1.12 (2022).
OPSET = 17


def check_litert():
    """Raise `ConfigError` unless the runtime that checks LiteRT files is installed."""
    require_extra("ai_edge_litert", extra="litert", wanted="--formats=litert")


def check_onnx():
    """Raise `ConfigError` unless converter and runtime of ONNX are installed."""
    require_extra("onnxruntime", extra="onnx", wanted="--formats=onnx")
    require_extra("tf2onnx", extra="onnx", wanted="--formats=onnx")


def write_litert(path, saved_model, cases, class_names=None):
    """Convert for LiteRT, float32, with free batch, height and width.

    Delegates of phones need one size: `resize_tensor_input` fixes the size once.

    Args:
      path: path of the file.
      saved_model: path with saved_model.pb.
      cases: dict of `parity_cases`.
      class_names: sequence of str, the name of each logit: labels.txt inside the file,
        where LiteRT's metadata has it; a line break in a name becomes a space.

    Returns:
      float, the largest absolute difference.

    Raises:
      ParityError: it cannot be converted, or the outputs differ.
    """
    what = "The LiteRT file"
    run_in_fresh_process(PROGRAMS / "to_litert.py", saved_model, path, what=what)
    if class_names is not None:
        # A LiteRT file with a zip archive at its end is both.
        with zipfile.ZipFile(path, "a") as archive:
            lines = [" ".join(name.splitlines()) for name in class_names]
            archive.writestr(LABELS_FILE, "\n".join(lines) + "\n")
    return difference_in_fresh_process(
        PROGRAMS / "run_litert.py", path, cases, names=output_names(cases), what=what
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
    run_in_fresh_process(PROGRAMS / "to_onnx.py", saved_model, path, OPSET, what=what)
    return difference_in_fresh_process(
        PROGRAMS / "run_onnx.py", path, cases, names=output_names(cases), what=what
    )
