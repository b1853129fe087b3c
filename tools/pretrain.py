"""Learn an encoder from images, without labels (SimCLR).

simclr-tf pretrain --preset=demo --workdir=runs/demo
simclr-tf pretrain --preset=demo --data=folder:PATH --workdir=runs/mine --epochs=50

The same command again continues the run; SIGTERM and Ctrl-C save it before it ends.
The workdir holds config.json, checkpoints/, metrics.jsonl, tensorboard/ and, at the
end, SUMMARY.md.
"""

import sys

from absl import flags

from simclr_tf.tools import command_line, config_flags
from simclr_tf.tools.quiet_tensorflow import import_tensorflow


def define(values):
    """The tool's flags."""
    config_flags.define_config_flags(values)
    flags.DEFINE_string("workdir", None, "Folder of the run.", flag_values=values)


def run(values):
    """Pretrain as the flags say."""
    workdir = command_line.required(values, "workdir", "the folder of the run")
    config = config_flags.config_from_flags(values)
    # TensorFlow is imported only now: --help and typos are answered at once.
    import_tensorflow()
    from simclr_tf.training.run import pretrain_from_config

    pretrain_from_config(
        config, workdir=workdir, command=command_line.typed("pretrain", values)
    )


def main(argv=None):
    """Returns the exit code."""
    return command_line.execute(__doc__, define, run, argv)


if __name__ == "__main__":
    sys.exit(main())
