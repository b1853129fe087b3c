"""View operators: one file each, listed in `OPERATORS`.

`operator.py` has the interface; `blur.py` is a typical operator. After the crop,
operators are applied in the order of the list, unless a recipe has another order.
Importing this package loads no TensorFlow.
"""

from simclr_tf.augment.operators.blur import Blur
from simclr_tf.augment.operators.color_jitter import ColorJitterOperator
from simclr_tf.augment.operators.crop import Crop
from simclr_tf.augment.operators.cutout import Cutout
from simclr_tf.augment.operators.flip import Flip
from simclr_tf.augment.operators.grayscale import Grayscale
from simclr_tf.augment.operators.noise import Noise
from simclr_tf.augment.operators.operator import Operator, TransformQuestion
from simclr_tf.augment.operators.rotate import Rotate
from simclr_tf.augment.operators.sobel import Sobel

OPERATORS = {
    "crop": Crop(),
    "flip": Flip(),
    "color_jitter": ColorJitterOperator(),
    "grayscale": Grayscale(),
    "blur": Blur(),
    "cutout": Cutout(),
    "rotate": Rotate(),
    "noise": Noise(),
    "sobel": Sobel(),
}

__all__ = ["OPERATORS", "Operator", "TransformQuestion"]
