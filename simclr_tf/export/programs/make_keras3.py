"""Build a `.keras` file of Keras 3, read it back in safe mode and compare its outputs.

Arguments: the file to write; an npz file of cases (`compare_outputs`) with, beside
them, "network" (the graph in JSON) and the weights, "weight:LAYER/INDEX".
"""

import json
import sys

import keras
import numpy as np
from compare_outputs import compare
from keras import ops
from keras3_operations import in_operations


def main(path, cases):
    """Write the file, read it back and compare its outputs."""
    arrays = np.load(cases)
    model = in_operations(json.loads(str(arrays["network"])))
    for layer in model.layers:
        names = [f"weight:{layer.name}/{index}" for index in range(len(layer.weights))]
        layer.set_weights([arrays[name] for name in names])
    model.save(path)
    model = keras.saving.load_model(path, safe_mode=True)

    def outputs(images):
        features = model(images, training=False)
        return [("features", ops.convert_to_numpy(features))]

    compare(outputs, cases, foreign=["simclr_tf"])


if __name__ == "__main__":
    main(*sys.argv[1:])
