"""Run a LiteRT file without TensorFlow and compare its outputs.

Arguments: the file; an npz file of cases (`compare_outputs`).
"""

import sys

from ai_edge_litert.interpreter import Interpreter
from compare_outputs import compare


def main(path, cases):
    """Compare what the file computes with the cases."""
    run = Interpreter(path).get_signature_runner("serving_default")

    def outputs(images):
        served = run(images=images)
        return [*served.items(), ("features", served["default"])]

    compare(outputs, cases, foreign=["simclr_tf", "tensorflow"])


if __name__ == "__main__":
    main(*sys.argv[1:])
