"""The interface of an encoder family: options, network, endpoints.

A family is one file with a subclass of `Family` and a subclass of `EncoderOptions`; a
line in `encoders.py` gives it its names. Such files import TensorFlow only inside
functions, so that `--help` is instant.
"""

import re
from dataclasses import dataclass

from simclr_tf.config.schema import GuestOptions, option, require_positive
from simclr_tf.errors import ConfigError, received_text, require


@dataclass(frozen=True)
class EncoderOptions(GuestOptions):
    """Options of every encoder: its name, and the batch norm that its head shares."""

    batch_norm_momentum: float = option(
        0.9, "Decay of the moving statistics, in encoder and projection head."
    )
    batch_norm_epsilon: float = option(1e-5, "Added to the variance.")

    def check(self):
        require_positive(batch_norm_epsilon=self.batch_norm_epsilon)
        require(
            0 <= self.batch_norm_momentum < 1,
            "`batch_norm_momentum` must be in [0, 1).",
            batch_norm_momentum=self.batch_norm_momentum,
        )


class Family:
    """A kind of encoder: how its networks are built, named, frozen and described.

    The endpoints of a network are layers with fixed names, so that a network from a
    file still has them. The layers decide which variables decay and which adapt, see
    `simclr_tf.optim.variables_by_role`; a custom layer states the roles of its
    variables in an attribute `variable_roles`.

    Attributes:
      Options: subclass of `EncoderOptions`.
      endpoint_names: str, regular expression that the names of the endpoints' layers
        match; the last endpoint is the features.
      inner_endpoints: names of endpoints inside a group of layers, for layer-wise
        learning rates: each group has one rate.
      can_build: bool, whether the network can be built from the options.
    """

    Options: type[EncoderOptions] = EncoderOptions
    endpoint_names = "final_avg_pool"
    inner_endpoints: tuple[str, ...] = ()
    can_build = True

    def build(self, options, *, image_shape, synchronized=False, seed=None):
        """Build the untrained network.

        Args:
          options: instance of `Options`.
          image_shape: (H, W, C), the size at which the network will be trained.
          synchronized: bool, batch norm over all replicas.
          seed: int or None; equal seeds give equal initial values.

        Returns:
          keras.Model: float images `[N, H, W, C]` in [0, 1] to float32 features
          `[N, F]`, for other sizes too if the layers allow it.

        Raises:
          ConfigError: the network does not exist for such images.
        """
        raise NotImplementedError

    def without_download(self, options):
        """Return options of the same network that need no download of weights."""
        return options

    def describe(self, options, image_size_pixels=None):
        """Describe the network in a few words, such as `ResNet-18 (0.25x)`."""
        return options.name

    def num_features(self, options, image_shape):
        """Return F, the width of the features."""
        return self.build(options, image_shape=image_shape).output_shape[-1]

    def endpoints_among(self, names):
        """Return the names of a network's layers that are endpoints, in their order.

        Example:
          >>> Family().endpoints_among(["conv", "final_avg_pool"])
          ['final_avg_pool']
        """
        return [name for name in names if re.fullmatch(self.endpoint_names, name)]


@dataclass(frozen=True)
class CustomOptions(EncoderOptions):
    """A keras.Model that was passed in Python."""

    name: str = option("custom", "Name of the encoder.")


class Custom(Family):
    """A user's own network, which cannot be built from a config."""

    Options = CustomOptions
    can_build = False

    def build(self, options, *, image_shape, synchronized=False, seed=None):
        """Raise an error: the network exists only in Python."""
        raise ConfigError(
            "The encoder of this run is a Python object and must be passed again in "
            "Python: load_encoder(workdir, encoder=...), "
            "evaluate_and_report(EvaluateOptions(workdir=...), encoder=...). "
            + received_text(encoder=options.name)
        )

    def describe(self, options, image_size_pixels=None):
        """Describe the network, of which nothing is known."""
        return "a user's own encoder"
