"""What a network from elsewhere may hold: data of closed lists, so many variables.

`checked_config.py` copies the config of a network by them. Lambda, lookup tables and
layers that read a file are on none.

One operation layer is read, `TFOpLambda` with the arithmetic of `OPERATIONS` on outputs
of layers and finite numbers: Keras writes it for `x + 3`, and MobileNetV3 and RegNet of
`keras.applications` hold it. Numbers in, numbers out: it cannot reach anything else.
"""

import contextlib

import tensorflow as tf

from simclr_tf._keras import KERAS_PACKAGES, keras
from simclr_tf.errors import DataError
from simclr_tf.limits import SPARE_VARIABLES

# Layers without a program, a file or a lookup table in their config.
LAYERS = frozenset(
    """
    Activation ActivityRegularization Add AdditiveAttention AlphaDropout Attention
    Average AveragePooling1D AveragePooling2D AveragePooling3D BatchNormalization
    Bidirectional CenterCrop Concatenate Conv1D Conv1DTranspose Conv2D Conv2DTranspose
    Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Cropping1D Cropping2D
    Cropping3D Dense DepthwiseConv1D DepthwiseConv2D Dot Dropout ELU EinsumDense
    Embedding Flatten GRU GRUCell GaussianDropout GaussianNoise GlobalAveragePooling1D
    GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D
    GlobalMaxPooling3D GroupNormalization Identity InputLayer LSTM LSTMCell
    LayerNormalization LeakyReLU LocallyConnected1D LocallyConnected2D Masking
    MaxPooling1D MaxPooling2D MaxPooling3D Maximum Minimum MultiHeadAttention Multiply
    Normalization PReLU Permute RNN RandomBrightness RandomContrast RandomCrop
    RandomFlip RandomHeight RandomRotation RandomTranslation RandomWidth RandomZoom
    ReLU RepeatVector Rescaling Reshape Resizing SeparableConv1D SeparableConv2D
    SimpleRNN SimpleRNNCell Softmax SpatialDropout1D SpatialDropout2D SpatialDropout3D
    SpectralNormalization StackedRNNCells Subtract ThresholdedReLU TimeDistributed
    UnitNormalization UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D
    ZeroPadding2D ZeroPadding3D
    """.split()
)
OPERATIONS = frozenset(
    "__operators__.add math.add math.subtract math.multiply math.divide math.truediv"
    " math.negative".split()
)
ACTIVATIONS = frozenset(
    "elu exponential gelu hard_sigmoid linear log_softmax mish relu relu6 selu sigmoid"
    " silu softmax softplus softsign swish tanh".split()
)
ACTIVATION_LAYERS = frozenset(
    "ELU LeakyReLU PReLU ReLU Softmax ThresholdedReLU".split()
)
# The end of an option's name: the module of its classes, and their names.
VALUES = {
    "initializer": (
        "keras.initializers",
        frozenset(
            """
            Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity LecunNormal
            LecunUniform Ones Orthogonal RandomNormal RandomUniform TruncatedNormal
            VarianceScaling Zeros constant glorot_normal glorot_uniform he_normal
            he_uniform identity lecun_normal lecun_uniform ones orthogonal random_normal
            random_uniform truncated_normal variance_scaling zeros
            """.split()
        ),
    ),
    "regularizer": (
        "keras.regularizers",
        frozenset(
            """
            L1 L1L2 L2 OrthogonalRegularizer l1 l1_l2 l2 orthogonal_regularizer
            """.split()
        ),
    ),
    "constraint": (
        "keras.constraints",
        frozenset(
            """
            MaxNorm MinMaxNorm NonNeg RadialConstraint UnitNorm max_norm min_max_norm
            non_neg radial_constraint unit_norm
            """.split()
        ),
    ),
    "dtype": ("keras.mixed_precision", frozenset({"Policy"})),
}
# Classes that Keras itself registers, and that are layers of its own networks.
_OF_KERAS = ("CustomScaleLayer",)


def registered_class(name):
    """Return the class of the name that was registered in this process, or None.

    Args:
      name: str, such as `package>Name`.

    Returns:
      type or None; None also for functions, and for what Keras registers itself.
    """
    found = keras.utils.get_registered_object(name)
    if not isinstance(found, type):
        return None
    if found.__module__.split(".")[0] in KERAS_PACKAGES:
        return found if found.__name__ in _OF_KERAS else None
    return found


@contextlib.contextmanager
def variables_at_most(values):
    """Raise DataError before more variables are made than a file has numbers for.

    Args:
      values: int, how many numbers the weights in the file are.

    Yields:
      None.

    Raises:
      DataError: from within, where a layer asks for more.
    """
    left = values + SPARE_VARIABLES

    def create(next_creator, **options):
        nonlocal left
        shape = tf.TensorShape(options.get("shape") or [])
        left -= shape.num_elements() or 1
        if left < 0:
            raise DataError(
                f"its layers have more weights than the {values} numbers in the file: "
                f"one has the shape {tuple(shape)}"
            )
        return next_creator(**options)

    with tf.variable_creator_scope(create):
        yield
