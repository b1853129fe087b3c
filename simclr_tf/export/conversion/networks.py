"""Our networks for an architecture: config, variables by name, and shapes."""

import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.config import Config
from simclr_tf.config.schema import override
from simclr_tf.export.conversion.architecture import WEIGHTS, encoder_layers
from simclr_tf.training.assembly import build_encoder, build_projection_head

PROBE = "probe"
PROBE_WEIGHTS = ("kernel", "bias")
_OF_ENCODER = (
    *("sk_ratio", "se_ratio", "stem", "input_normalization", "symmetric_max_pool"),
    *("identity_shortcuts", "bottleneck_width"),
)
_IMAGE_SIZES = {"imagenet": 224, "cifar": 32, "small": 32}


def config_of_architecture(architecture, *, data="unknown", image_size_pixels=None):
    """Build the Config of an architecture; unknown options keep their defaults.

    Args:
      architecture: Architecture.
      data: str, the training data.
      image_size_pixels: int, (height, width), or None for that of the stem (224, or
        32).

    Returns:
      Config.
    """
    head = {"kind": "none"}
    if architecture.head_layers:
        head = {
            "kind": "nonlinear",
            "num_layers": architecture.head_layers,
            "hidden_features": architecture.head_hidden,
            "out_features": architecture.head_out,
            "batch_norm": architecture.head_batch_norm,
        }
    return override(
        Config(),
        {
            "encoder": {name: getattr(architecture, name) for name in _OF_ENCODER}
            | {
                "name": f"resnet{architecture.depth}",
                "width_multiplier": float(architecture.width_multiplier),
            },
            "projection_head": head,
            "probe.online": architecture.num_classes is not None,
            "data.source": data,
            "data.image_size_pixels": image_size_pixels
            or _IMAGE_SIZES[architecture.stem],
            "data.channels": architecture.channels,
        },
    )


class Networks:
    """Encoder, projection head and probe of an architecture, as in a run.

    Args:
      architecture: Architecture.
      config: Config of it.

    Attributes:
      objects: dict of the names in a checkpoint to the objects.
    """

    def __init__(self, architecture, config):
        encoder = build_encoder(config, architecture.channels)
        head = build_projection_head(config)
        features = tf.TensorShape([None, encoder.output_shape[-1]])
        head.build(features)
        self.objects = {"encoder": encoder, "projection_head": head}
        if architecture.num_classes is not None:
            probe = keras.layers.Dense(
                architecture.num_classes, dtype="float32", name="linear_probe"
            )
            probe.build(features)
            self.objects["probe"] = probe
        self._architecture = architecture

    def variables(self):
        """Map our names to variables, for all networks."""
        encoder, head = self.objects["encoder"], self.objects["projection_head"]
        found = named_variables(encoder, self._architecture)
        layers = {"dense": head.dense_layers, "bn": head.norm_layers}
        for (index, part, weight), name in head_names(self._architecture):
            found[name] = getattr(layers[part][index], weight)
        if "probe" in self.objects:
            for weight in PROBE_WEIGHTS:
                found[f"{PROBE}/{weight}"] = getattr(self.objects["probe"], weight)
        return found


def named_variables(encoder, architecture):
    """Map our names to variables, for an encoder.

    Args:
      encoder: keras.Model, as `simclr_tf.models.resnet` makes it.
      architecture: Architecture.

    Returns:
      dict of "encoder/LAYER/WEIGHT" to variable, in the order of creation.
    """
    resnet_d = architecture.sk_ratio > 0
    layers = encoder_layers(
        architecture.depth,
        sk=resnet_d,
        se=architecture.se_ratio > 0,
        three_stem_convs=resnet_d and architecture.stem == "imagenet",
        identity_shortcuts=architecture.identity_shortcuts,
    )
    return {
        f"encoder/{layer.name}/{weight}": getattr(encoder.get_layer(layer.name), weight)
        for layer in layers
        for weight in WEIGHTS[layer.kind]
    }


def head_names(architecture):
    """Yield ((index of the layer, "dense" or "bn", weight), our name), of the head.

    The last batch norm has no offset.
    """
    for index in range(architecture.head_layers):
        norm = architecture.head_batch_norm
        for weight in ("kernel",) if norm else ("kernel", "bias"):
            yield (index, "dense", weight), f"projection_head/dense{index + 1}/{weight}"
        for weight in WEIGHTS["norm"] if norm else ():
            if weight != "beta" or index < architecture.head_layers - 1:
                yield (index, "bn", weight), f"projection_head/bn{index + 1}/{weight}"
