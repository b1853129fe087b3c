"""The newest checkpoint of a run of this package, as a source of a conversion."""

from __future__ import annotations

from typing import Any

from simclr_tf.array_types import StrPath
from simclr_tf.errors import require
from simclr_tf.export.conversion.account import SourceModel, check_finite
from simclr_tf.export.conversion.architecture import Architecture
from simclr_tf.export.conversion.networks import named_variables
from simclr_tf.models.resnet import ResNetOptions
from simclr_tf.training import Workdir
from simclr_tf.training.load import encoder_and_checkpoint
from simclr_tf.training.path_contents import inspect_path


def read_own_run(path: StrPath) -> SourceModel:
    """Read the encoder of a workdir.

    Args:
      path: workdir of a run, or of a conversion.

    Returns:
      SourceModel of the encoder alone.

    Raises:
      WorkdirError: not a workdir, or no checkpoint.
      ConfigError: the encoder is a user's own network.
    """
    workdir = Workdir(path)
    options: Any = workdir.config().encoder
    require(
        isinstance(options, ResNetOptions),
        "Only the ResNets of this package can be converted; this run has another "
        "encoder.",
        encoder=options.name,
    )
    found: Any = encoder_and_checkpoint(inspect_path(workdir.path))
    encoder, checkpoint = found
    architecture = Architecture(
        depth=options.depth,
        width_multiplier=options.width_multiplier,
        sk_ratio=options.sk_ratio,
        se_ratio=options.se_ratio,
        stem=options.stem,
        channels=encoder.input_shape[-1],
        input_normalization=options.input_normalization,
        symmetric_max_pool=options.symmetric_max_pool,
        identity_shortcuts=options.identity_shortcuts,
        bottleneck_width=options.bottleneck_width,
    )
    variables = named_variables(encoder, architecture)
    names = {name: name.removeprefix("encoder/") for name in variables}
    for name, variable in variables.items():
        check_finite(variable.numpy(), names[name])
    return SourceModel(
        kind="simclr_tf",
        path=str(workdir.path),
        architecture=architecture,
        variables=variables,
        objects={"encoder": encoder},
        names=names,
        left_out=[],
        step=checkpoint.step,
    )
