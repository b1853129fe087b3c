"""The networks of `keras.applications` as encoders, with the same names.

`--encoder=keras:MobileNetV3Small` and all others: without the classifier, with the
scaling of images that the network expects, and pooled to one vector.
"""

import dataclasses
import difflib
from dataclasses import dataclass
from typing import Literal

from simclr_tf.config.schema import option
from simclr_tf.errors import ConfigError, DataError, received_text, require
from simclr_tf.lazy import keras, module
from simclr_tf.models.family import EncoderOptions, Family

np = module("numpy")
checks = module("simclr_tf.models.check_encoder")
plain_graph = module("simclr_tf.models.plain_graph")

PREFIX = "keras:"


@dataclass(frozen=True)
class KerasNetworkOptions(EncoderOptions):
    """Networks of `keras.applications`."""

    name: str = option(f"{PREFIX}MobileNetV3Small", "Name of the encoder.")
    weights: Literal["imagenet"] | None = option(
        None,
        "Start from the weights that Keras publishes and downloads to "
        "~/.keras/models; random weights if unset.",
    )
    batch_norm_epsilon: float = option(
        1e-5,
        "Added to the variance in the projection head; not used in the network.",
    )


class KerasNetworks(Family):
    """The networks of `keras.applications`, rewritten in plain layers.

    Dropout and stochastic depth inside a network are left out, so that runs continue
    exactly and do not depend on the number of replicas. The decay of moving statistics
    is the option of the run: Keras's 0.99 and 0.999 are for long runs with labels.
    """

    Options = KerasNetworkOptions
    endpoint_names = r"stage\d+|final_avg_pool"

    def build(self, options, *, image_shape, synchronized=False, seed=None):
        """Build the network; it takes images of other sizes too, if not too small."""
        name = options.name.removeprefix(PREFIX)
        home = _module_of(name)
        require(
            image_shape[-1] == 3,
            f"{options.name} takes colour images: use --data.channels=3.",
            channels=image_shape[-1],
        )
        original = _original(name, options.weights)
        network = plain_graph.plain_network(
            original,
            scaling=_scaling(home),
            momentum=options.batch_norm_momentum,
            seed=seed,
            synchronized=synchronized,
            keep_weights=options.weights is not None,
            name=name,
        )
        return checks.fitting_encoder(network, image_shape)

    def without_download(self, options):
        """Return the options without published weights."""
        return dataclasses.replace(options, weights=None)

    def describe(self, options, image_size_pixels=None):
        """Describe the network by its name in Keras.

        Example:
          >>> KerasNetworks().describe(KerasNetworkOptions("keras:ConvNeXtTiny"))
          'ConvNeXtTiny of Keras'
        """
        text = f"{options.name.removeprefix(PREFIX)} of Keras"
        return f"{text}, from {options.weights} weights" if options.weights else text


def _module_of(name):
    """Return the module of `keras.applications` that a network comes from."""
    applications = keras.applications
    modules = {
        known: getattr(applications, function.__module__.split(".")[-1])
        for known, function in vars(applications).items()
        if known[0].isupper()
    }
    if name not in modules:
        near = difflib.get_close_matches(name, modules, n=2, cutoff=0.3)
        hint = " or ".join(PREFIX + match for match in near)
        raise ConfigError(
            f"Keras has no network {name}.{f' Did you mean {hint}?' if near else ''} "
            f"Its networks: {', '.join(sorted(modules))}. "
            + received_text(encoder=PREFIX + name)
        )
    return modules[name]


def _original(name, weights):
    """Build the network as Keras does, for images of any size."""
    try:
        return getattr(keras.applications, name)(
            include_top=False, weights=weights, input_shape=(None, None, 3)
        )
    except Exception as error:
        # Keras raises a plain Exception if a download fails.
        if weights is None:
            raise
        raise DataError(
            f"Keras could not load the {weights} weights of {name}: "
            f"{' '.join(str(error).split())[:200]} Put its file into ~/.keras/models, "
            "or leave out --encoder.weights."
        ) from error


def _scaling(home):
    """Return the scaling of pixels that a network expects: (channel, scale, offset).

    One for each input channel, measured on Keras's own function for that network, which
    takes pixels in [0, 255]; the numbers returned are for pixels in [0, 1].
    """
    black = np.zeros([1, 1, 1, 3], np.float32)
    offsets = np.ravel(home.preprocess_input(black.copy()))
    slopes = np.zeros([3, 3])  # Input channel, output channel.
    for channel in range(3):
        pure = black.copy()
        pure[..., channel] = 255.0
        slopes[channel] = np.ravel(home.preprocess_input(pure)) - offsets
    return [
        (int(channel), float(slopes[channel, output]), float(offsets[output]))
        for output, channel in enumerate(np.abs(slopes).argmax(axis=0))
    ]
