"""Run an ONNX file without TensorFlow and compare its outputs.

Arguments: the file; an npz file of cases (`compare_outputs`).
"""

import sys

import onnxruntime
from compare_outputs import compare


def main(path, cases):
    """Compare what the file computes with the cases."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def outputs(images):
        arrays = session.run(names, {"images": images})
        served = dict(zip(names, arrays, strict=True))
        return [*served.items(), ("features", served["default"])]

    compare(outputs, cases, foreign=["simclr_tf", "tensorflow"])


if __name__ == "__main__":
    main(*sys.argv[1:])
