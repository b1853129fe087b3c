"""Names for annotations: tensors, arrays, networks, variables and paths.

Type checkers see the classes of TensorFlow, Keras and NumPy. At run time each name is
`typing.Any`, so that annotated modules are imported without TensorFlow. Shapes and
dtypes are in the docstrings.
"""

import os
from typing import TYPE_CHECKING, Any, TypeAlias

StrPath: TypeAlias = "str | os.PathLike[str]"

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

    from simclr_tf._keras import keras

    Array: TypeAlias = np.ndarray
    Tensor: TypeAlias = tf.Tensor
    TensorLike: TypeAlias = tf.Tensor | np.ndarray
    Variable: TypeAlias = tf.Variable
    Dataset: TypeAlias = tf.data.Dataset
    Strategy: TypeAlias = tf.distribute.Strategy
    Layer: TypeAlias = keras.layers.Layer
    Model: TypeAlias = keras.Model
    Optimizer: TypeAlias = keras.optimizers.Optimizer
    Schedule: TypeAlias = keras.optimizers.schedules.LearningRateSchedule
else:
    Array = Tensor = TensorLike = Variable = Dataset = Strategy = Any
    Layer = Model = Optimizer = Schedule = Any
