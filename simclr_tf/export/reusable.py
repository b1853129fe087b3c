"""The Reusable SavedModel: callable, trainable, with signatures."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from simclr_tf.array_types import Layer, Model
from simclr_tf.config.data import rgb_of
from simclr_tf.config.image_size import ImageSize, as_size
from simclr_tf.errors import require
from simclr_tf.export.preprocessing import views_from_bytes
from simclr_tf.models import endpoints, with_endpoints

SIGNATURES = ("serving_default", "image_feature_vector")
UINT8_SIGNATURE = "image_feature_vector_uint8"
BYTES_SIGNATURE = "image_feature_vector_bytes"
# Names of the heads' last outputs in the signatures.
HEAD_OUTPUTS = {"projection_head": "projections", "classifier": "logits"}


class ReusableModule:
    """An encoder in the form of a Reusable SavedModel, for TF-Hub's KerasLayer.

    Args:
      encoder: keras.Model with a graph, float32 images to features `[N, F]`.
      projection_head: None, or a layer from features to projections. Its output
        becomes the endpoint "projections"; of a `ProjectionHead` the layers become
        "projection_layer1", "projection_layer2", ... as well.
      classifier: None, or a layer from features to the endpoint "logits".
      class_names: None, or the name of each logit.
      image_size_pixels: None, or int >= 1 or (height, width): adds the signature that
        takes encoded images, decodes them and resizes them to this size.
      background: str, the colour that shows there where an image is transparent.

    Attributes:
      root: trackable with `__call__(images, training=False)`, traced for both,
        `variables`, `trainable_variables` and `regularization_losses` of the encoder
        (the heads are only for inference), `head_variables` of the heads, and with
        `class_names` a function of that name: none to a string tensor `[C]`.
      signatures: dict of name to function, each returning a dict with "default" (the
        features) and the endpoints: two names for the function of float32 `images`,
        one of uint8 `images`, and with `image_size_pixels` one of `image_bytes`.
      outputs: dict of the names in that dict to their shapes, None being free.
      image_shape: (height, width, channels), None being free.
      variable_names: list of str: `root.variables`, then `root.head_variables`.
    """

    def __init__(
        self,
        encoder: Model,
        projection_head: Layer | None = None,
        *,
        classifier: Layer | None = None,
        class_names: Sequence[str] | None = None,
        image_size_pixels: ImageSize | None = None,
        background: str = "white",
    ) -> None:
        heads = [head for head in (projection_head, classifier) if head is not None]
        for head in heads:
            head(encoder.output)  # Builds the head.
        self.image_shape = tuple(encoder.input_shape[1:])
        require(
            self.image_shape[-1] is not None,
            "An exported encoder needs a known number of channels.",
            image_shape=self.image_shape,
        )
        spec = tf.TensorSpec([None, *self.image_shape], tf.float32, "images")
        head_variables = [v for head in heads for v in head.variables]
        self.variable_names = [v.name for v in [*encoder.variables, *head_variables]]
        # Keras objects are only in closures: if tracked, they would also be saved as
        # Keras layers, with a trace for each.
        self.root = tf.train.Checkpoint()
        self.root.variables = list(encoder.variables)
        self.root.trainable_variables = list(encoder.trainable_variables)
        self.root.head_variables = head_variables
        self.root.regularization_losses = _regularization_losses(encoder)
        self.root.__call__ = _traced_call(encoder, spec)
        function = _outputs_function(encoder, projection_head, classifier)
        serving = _float_signature(function, spec)
        self.signatures = {
            **dict.fromkeys(SIGNATURES, serving),
            UINT8_SIGNATURE: _uint8_signature(serving, spec),
        }
        if image_size_pixels is not None:
            _check_size(image_size_pixels, self.image_shape)
            self.signatures[BYTES_SIGNATURE] = _bytes_signature(
                serving, image_size_pixels, self.image_shape[-1], rgb_of(background)
            )
        self.outputs = {
            name: tuple(tensor.shape)
            for name, tensor in serving.structured_outputs.items()
        }
        if class_names is not None:
            _check_names(class_names, self.outputs.get("logits"))
            self.root.class_names = tf.function(
                lambda: tf.constant([name.encode() for name in class_names]),
                input_signature=[],
            )


def _traced_call(encoder, spec):
    @tf.function
    def call(images, training=False):
        return encoder(images, training=training)

    for training in (False, True):
        call.get_concrete_function(spec, training=training)
    return call


def _outputs_function(encoder, projection_head, classifier):
    """Return a function of images to the dict that the signatures return."""
    *others, last = endpoints(encoder)
    # Other networks than ours have no endpoints besides the features.
    named = with_endpoints(encoder) if others else encoder

    def outputs_of(images):
        outputs = named(images, training=False)
        features = outputs[last] if others else outputs
        outputs = {"default": features, **(outputs if others else {})}
        if projection_head is not None:
            outputs |= _projections(projection_head, features)
        if classifier is not None:
            outputs["logits"] = classifier(features, training=False)
        return outputs

    return outputs_of


def _projections(head, features):
    """Return the endpoints of a projection head: its layers if known, its output."""
    if not hasattr(head, "layer_outputs"):
        return {"projections": head(features, training=False)}
    layers = head.layer_outputs(features, training=False)
    named = {
        f"projection_layer{number}": output
        for number, output in enumerate(layers[1:], start=1)
    }
    return {**named, "projections": layers[-1]}


def _float_signature(function, spec):
    @tf.function(input_signature=[spec])
    def image_feature_vector(images):
        # Signatures do not check shapes; without this, the first layer would report a
        # wrong shape in terms of filters.
        return function(tf.ensure_shape(images, spec.shape, name="images_shape"))

    return image_feature_vector.get_concrete_function()


def _uint8_signature(serving, spec):
    @tf.function(input_signature=[tf.TensorSpec(spec.shape, tf.uint8, "images")])
    def image_feature_vector_uint8(images):
        return serving(images=tf.image.convert_image_dtype(images, tf.float32))

    return image_feature_vector_uint8.get_concrete_function()


def _bytes_signature(serving, image_size_pixels, channels, background):
    # An input that ends in _bytes may be base64 in the JSON of TF Serving.
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
    def image_feature_vector_bytes(image_bytes):
        return serving(
            images=views_from_bytes(
                image_bytes, image_size_pixels, channels, background
            )
        )

    return image_feature_vector_bytes.get_concrete_function()


def _check_names(class_names, logits):
    require(
        logits is not None and logits[-1] == len(class_names),
        "`class_names` must have the name of each logit of `classifier`.",
        class_names=len(class_names),
        logits=None if logits is None else logits[-1],
    )


def _check_size(image_size_pixels, image_shape):
    require(
        image_shape[-1] in (1, 3),
        "Files can be decoded to 1 or 3 channels.",
        channels=image_shape[-1],
    )
    for fixed, side in zip(image_shape, as_size(image_size_pixels), strict=False):
        require(
            fixed in (None, side),
            "`image_size_pixels` must be the fixed image size of the encoder.",
            image_size_pixels=image_size_pixels,
            encoder=image_shape,
        )


def _regularization_losses(encoder):
    """Return one function without arguments for each penalty on weights."""

    def loss_function(index):
        return tf.function(lambda: encoder.losses[index], input_signature=[])

    return [loss_function(index) for index in range(len(encoder.losses))]
