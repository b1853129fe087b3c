"""The one place that decides where Keras comes from.

The project is written against the Keras 2 API: it is the one that supports
`tf.distribute.MultiWorkerMirroredStrategy` and `TPUStrategy` with a custom
`train_step`, and its batch normalization is fused. On TensorFlow 2.16 and later
that API is the package `tf_keras`; before, it is `tf.keras` itself.

`TF_USE_LEGACY_KERAS` is deliberately not set here: it would change what
`tf.keras` means for every other package in the user's process.
"""

import tensorflow as tf

if tuple(int(part) for part in tf.__version__.split(".")[:2]) >= (2, 16):
    import tf_keras as keras
else:
    keras = tf.keras

__all__ = ["keras"]
