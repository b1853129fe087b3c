"""The export formats, and the requirements of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from simclr_tf.config.export import FROM_LAYERS
from simclr_tf.errors import require, unknown_choice
from simclr_tf.export import converters, keras3, weights
from simclr_tf.models.keras3_network import network_of


@dataclasses.dataclass(frozen=True)
class Format:
    """A file format of an export.

    Attributes:
      file: str, its name.
      check: function that raises `ConfigError` unless the needed packages are
        installed.
      write: function of (path, parts) that writes and checks it, and returns the
        largest difference of the features.
    """

    file: str
    check: Callable
    write: Callable


@dataclasses.dataclass(frozen=True)
class Parts:
    """The inputs of every format.

    Attributes:
      encoder: keras.Model, plain.
      network: dict of `describe_network`, or None.
      saved_model: path with saved_model.pb.
      cases: dict of `parity_cases`.
      class_names: sequence of str, the name of each logit, or None.
      float16_weights: bool, safetensors in half precision.
    """

    encoder: object
    network: dict | None
    saved_model: object
    cases: dict
    class_names: Sequence[str] | None = None
    float16_weights: bool = False


SAVED_MODEL = "saved_model"
FORMATS = {
    "keras3": Format(
        keras3.FILE,
        keras3.check_keras3,
        lambda path, parts: (
            keras3.write_keras3_here(path, parts.encoder, parts.cases)
            if parts.network is None
            else keras3.write_keras3(path, parts.encoder, parts.network, parts.cases)
        ),
    ),
    "litert": Format(
        converters.LITERT_FILE,
        converters.check_litert,
        lambda path, parts: converters.write_litert(
            path, parts.saved_model, parts.cases, parts.class_names
        ),
    ),
    "safetensors": Format(
        weights.FILE,
        weights.check_safetensors,
        lambda path, parts: weights.write_weights(
            path, parts.encoder, parts.network, parts.cases, parts.float16_weights
        ),
    ),
    "onnx": Format(
        converters.ONNX_FILE,
        converters.check_onnx,
        lambda path, parts: converters.write_onnx(path, parts.saved_model, parts.cases),
    ),
}
NAMES = (SAVED_MODEL, *FORMATS)


def check_formats(names: Sequence[str]) -> None:
    """Raise unless every format is known and can be written here.

    Args:
      names: sequence of str.

    Raises:
      ConfigError: none, an unknown one, or one whose packages are missing.

    Example:
      >>> check_formats(["saved_model"])
    """
    require(
        len(names) > 0,
        f"`formats` needs at least one of {', '.join(NAMES)}.",
        formats=list(names),
    )
    for name in names:
        if name not in NAMES:
            raise unknown_choice("format", name, NAMES)
        if name in FORMATS:
            FORMATS[name].check()


def check_network(names, network, encoder):
    """Raise unless the network can be written in every format.

    Args:
      names: sequence of str.
      network: dict of `describe_network`, or None.
      encoder: keras.Model, plain.

    Raises:
      ConfigError: a format that is written layer by layer, for a network with custom
        layers.
    """
    from_layers = [
        name
        for name in names
        if name in FROM_LAYERS
        and not (name == "keras3" and network_of(encoder) is not None)
    ]
    require(
        network is not None or not from_layers,
        "These formats are written layer by layer, and this encoder has custom layers "
        "(or nested networks, or is of Keras 3); use saved_model, litert or onnx.",
        formats=from_layers,
    )


def heads_note(names, heads):
    """Name the files of an export that lack its heads.

    Args:
      names: sequence of str, the formats.
      heads: sequence of str, the outputs of the heads.

    Returns:
      str, a sentence; None if all files have all outputs.

    Example:
      >>> heads_note(["saved_model", "keras3"], ["logits"])
      'encoder.keras holds the encoder alone, without the outputs logits.'
    """
    files = [FORMATS[name].file for name in names if name in FROM_LAYERS]
    if not files or not heads:
        return None
    verb = "holds" if len(files) == 1 else "hold"
    return (
        f"{' and '.join(files)} {verb} the encoder alone, without the outputs "
        f"{', '.join(heads)}."
    )
