"""The shape of a Reusable SavedModel: callable, trainable, with signatures."""

import tensorflow as tf

from simclr_tf.errors import require
from simclr_tf.models import ENDPOINTS, endpoints, with_endpoints

SIGNATURES = ("serving_default", "image_feature_vector")


class ReusableModule:
    """An encoder as `tf.saved_model.save` and TF-Hub's KerasLayer want it.

    Args:
      encoder: keras.Model with a graph, float32 images to features `[N, F]`.
      projection_head: None, or a layer from features to projections; its output
        becomes the endpoint "projections".

    Attributes:
      root: trackable with `__call__(images, training=False)`, traced for both,
        `variables`, `trainable_variables` and `regularization_losses`.
      signatures: dict of name to function; both take `images` and return a dict with
        "default" (the features) and the endpoints.
      outputs: dict of the names in that dict to their shapes, None being free.
      image_shape: (height, width, channels), None being free.
      variable_names: list of str, in the order of `root.variables`.
    """

    def __init__(self, encoder, projection_head=None):
        parts = [encoder]
        if projection_head is not None:
            projection_head(encoder.output)  # Builds it.
            parts.append(projection_head)
        self.image_shape = tuple(encoder.input_shape[1:])
        require(
            self.image_shape[-1] is not None,
            "An exported encoder needs a known number of channels.",
            image_shape=self.image_shape,
        )
        spec = tf.TensorSpec([None, *self.image_shape], tf.float32, "images")
        variables = [v for part in parts for v in part.variables]
        self.variable_names = [variable.name for variable in variables]
        # The Keras objects stay in the closures: tracked, they would be saved as
        # Keras layers as well, with a trace for every one of them.
        self.root = tf.train.Checkpoint()
        self.root.variables = variables
        self.root.trainable_variables = [
            v for part in parts for v in part.trainable_variables
        ]
        self.root.regularization_losses = _regularization_losses(parts)
        self.root.__call__ = _traced_call(encoder, spec)
        function = _signature(encoder, projection_head, spec)
        self.signatures = dict.fromkeys(SIGNATURES, function)
        self.outputs = {
            name: tuple(tensor.shape)
            for name, tensor in function.structured_outputs.items()
        }


def _traced_call(encoder, spec):
    @tf.function
    def call(images, training=False):
        return encoder(images, training=training)

    for training in (False, True):
        call.get_concrete_function(spec, training=training)
    return call


def _signature(encoder, projection_head, spec):
    """The concrete function of both signatures."""
    named = encoder
    # Of other networks than ours the features are all there is to name.
    known = {layer.name for layer in encoder.layers}.intersection(ENDPOINTS)
    if known and len(endpoints(encoder)) > 1:
        named = with_endpoints(encoder)

    @tf.function(input_signature=[spec])
    def image_feature_vector(images):
        outputs = named(images, training=False)
        if not isinstance(outputs, dict):
            outputs = {"default": outputs}
        outputs = {"default": outputs.get("final_avg_pool"), **outputs}
        if projection_head is not None:
            outputs["projections"] = projection_head(outputs["default"], training=False)
        return outputs

    return image_feature_vector.get_concrete_function()


def _regularization_losses(parts):
    """One function without arguments for each penalty on weights."""

    def loss_function(part, index):
        return tf.function(lambda: part.losses[index], input_signature=[])

    return [
        loss_function(part, index)
        for part in parts
        for index in range(len(part.losses))
    ]
