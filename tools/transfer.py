"""Measure an encoder on several labelled sets, and compare random weights.

simclr-tf transfer --workdir=runs/demo --datasets=embedded:fashion_mnist_10k,folder:PATH
simclr-tf transfer --encoder=exported_models/NAME --datasets=tfds:cifar10 --seeds=3

Writes transfer.json and transfer.md into the workdir or --output: the sets and seeds of
this call. What an earlier call measured is not measured again, so that the same command
continues after an interruption, and one with further sets or seeds adds them.
"""

import sys

from simclr_tf.config.few_label_options import TransferOptions
from simclr_tf.tools import command_line
from simclr_tf.tools.quiet_tensorflow import import_tensorflow

SECTIONS = (TransferOptions,)


def run(given):
    """Run the measurements that the flags describe."""
    options = given.make(TransferOptions)
    import_tensorflow()
    from simclr_tf.commands.transfer import transfer_and_report

    transfer_and_report(options, command=given.command)
    export = command_line.export_of(options.workdir) if options.workdir else {}
    command_line.done(
        command_line.results_folder(options), "export" if export else None, **export
    )


def main(argv=None):
    """Run the tool; return the exit code."""
    return command_line.execute("transfer", __doc__, SECTIONS, run, argv)


if __name__ == "__main__":
    sys.exit(main())
