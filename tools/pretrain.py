"""Learn an encoder from images, without labels (SimCLR).

simclr-tf pretrain --preset=demo --workdir=runs/demo
simclr-tf pretrain --data=folder:PATH --workdir=runs/mine --epochs=50
simclr-tf pretrain --workdir=runs/mine

The last line continues a run; so does its first command typed again. SIGTERM and Ctrl-C
save the run before it ends. The workdir holds config.json, checkpoints/, metrics.jsonl,
tensorboard/ and, at the end, SUMMARY.md.
"""

import pathlib
import sys

from simclr_tf.config import Config
from simclr_tf.config.image_size import size_text
from simclr_tf.config.presets import PRESETS, get_preset
from simclr_tf.config.pretrain import (
    DEFAULT_PRESET,
    OF_MINUTES,
    PretrainOptions,
    require_one_length,
    stored_config,
)
from simclr_tf.config.schema import differences
from simclr_tf.errors import require
from simclr_tf.tools import command_line
from simclr_tf.tools.config_flags import FlagsOf
from simclr_tf.tools.quiet_tensorflow import import_tensorflow

SECTIONS = (PretrainOptions, FlagsOf(Config, without=("preset",), preset=True))


def run(given):
    """Run the pretraining that the flags describe."""
    workdir = given.make(PretrainOptions).workdir
    config, origin = options_of(given)
    # TensorFlow is imported here, so that --help and typos are answered at once.
    import_tensorflow()
    from simclr_tf.distribution import is_chief
    from simclr_tf.training.run import pretrain_from_config

    result = pretrain_from_config(
        config, workdir=workdir, command=given.command, origin=origin
    )
    if workdir and is_chief(result.model.distribute_strategy):
        _done(workdir, config)


def _done(workdir, config):
    """Advise to evaluate where images have labels to test on, else to export."""
    from simclr_tf.commands.labelled_data import has_labels_to_test_on

    labelled = {} if config.probe.data is None else {"data": config.probe.data}
    if has_labels_to_test_on(config.data, labelled):
        command_line.done(workdir, "evaluate", workdir=workdir, **labelled)
    else:
        command_line.done(workdir, "export", **command_line.export_of(workdir))


def options_of(given):
    """Read the Config from the command line.

    Args:
      given: Given.

    Returns:
      (Config, str): the config, and a line that names the run whose options were
      taken, or the preset that was chosen; None if the preset was named.

    Raises:
      ConfigError: an unknown preset, or an invalid value.
      WorkdirError: the run in the workdir was written by another version.
    """
    options = given.make(PretrainOptions)
    require_one_length(given.typed)
    stored = None
    if not given.has("preset") and not given.file:
        stored = stored_config(options.workdir, given.typed)
    if stored is None:
        start, line = starting_point(given, options.preset)
        return given.make(Config, start, _without_minutes), line
    config = given.make(Config, stored)
    require(
        not config.data.source.startswith("python:")
        and (config.encoder.name != "custom" or _keeps_network(options.workdir)),
        f"The run in {options.workdir} has images or an encoder from Python: "
        "continue it in Python, with simclr_tf.pretrain(...) and the same objects.",
        data=config.data.source,
        encoder=config.encoder.name,
    )
    return config, _origin(options.workdir, stored, config)


def _without_minutes(typed, file):
    """Unset the minutes of a file, and what they came to, beside another length."""
    if file.get("minutes") is None or not {"epochs", "steps"} & set(typed):
        return typed
    return {**dict.fromkeys(OF_MINUTES, "none"), **typed}


def starting_point(given, preset):
    """Return the config that file and flags change, and how it was chosen.

    Args:
      given: Given.
      preset: str, the value of --preset; None if it is not given.

    Returns:
      (Config, str): the named preset and None; or the one that fits images and device,
      and a line for the user.
    """
    if preset is not None:
        return get_preset(preset) if preset else Config(), None
    default = get_preset(DEFAULT_PRESET)
    if "preset" in given.file or not given.has("data.source"):
        return default, None
    data = given.make(
        Config,
        default,
        lambda typed, file: {n: typed[n] for n in typed if n.startswith("data.")},
    ).data
    from simclr_tf.data.preset_choice import choose_start
    from simclr_tf.data.stored_sizes import are_folders

    if not are_folders(data.source):
        import_tensorflow()  # Without its banner: it opens the other kinds.

    size = data.image_size_pixels if given.has("data.image_size_pixels") else None
    return choose_start(
        data.source,
        split=data.split,
        data_dir=data.data_dir,
        image_size_pixels=size,
    )


def _keeps_network(workdir):
    return (pathlib.Path(workdir).expanduser() / "network.json").is_file()


def _origin(workdir, stored, config):
    """Describe which options a continued run takes, and which differ from the run's."""
    base = get_preset(stored.preset) if stored.preset in PRESETS else Config()
    own = [_shown(name, new) for name, _, new in differences(base, stored)]
    now = [_shown(name, new) for name, _, new in differences(stored, config)]
    options = ", ".join([f"preset {stored.preset}" if stored.preset else "", *own])
    changed = f"; now {', '.join(now)}" if now else ""
    return f"Options     of {workdir}/config.json: {options.lstrip(', ')}{changed}"


def _shown(name, value):
    is_size = value is not None and name.endswith("image_size_pixels")
    return f"{name}={size_text(value) if is_size else value}"


def main(argv=None):
    """Run the tool; return the exit code."""
    return command_line.execute("pretrain", __doc__, SECTIONS, run, argv)


if __name__ == "__main__":
    sys.exit(main())
