"""Load a SavedModel with TensorFlow alone and compare its outputs: call and signature.

Arguments: the folder with saved_model.pb; an npz file of cases (`compare_outputs`).
"""

import sys

import tensorflow as tf
from compare_outputs import compare


def main(folder, cases):
    """Compare what the folder's model computes with the cases."""
    module = tf.saved_model.load(folder)
    signature = module.signatures["image_feature_vector"]

    def outputs(images):
        images = tf.constant(images)
        served = {name: out.numpy() for name, out in signature(images=images).items()}
        features = [served["default"], module(images).numpy()]
        return [*served.items(), *(("features", array) for array in features)]

    compare(outputs, cases, foreign=["simclr_tf"])


if __name__ == "__main__":
    main(*sys.argv[1:])
