"""Write the features of your images with a trained encoder: one row an image.

simclr-tf embed --encoder=zoo:NAME --data=folder:PHOTOS --output=features.npz
simclr-tf embed --workdir=runs/mine --data=folder:PHOTOS --output=features.csv

All images of the data set are taken, from train/ and test/ too (--split=train takes a
part), in the order of their names, which are paths within the folder. Images are turned
upright, cropped and resized as by an export that takes files. Images that cannot be
read are left out and named; --data.max_corrupt_fraction=0.01 stops instead where there
are many of them.
"""

import sys

from simclr_tf.config.embed import EmbedOptions
from simclr_tf.tools import command_line
from simclr_tf.tools.quiet_tensorflow import import_tensorflow

SECTIONS = (EmbedOptions,)


def run(given):
    """Write the features that the flags describe."""
    options = given.make(EmbedOptions)
    import_tensorflow()
    from simclr_tf.commands.embed import embed_and_report

    embed_and_report(options)
    command_line.done(options.output)


def main(argv=None):
    """Run the tool; return the exit code."""
    return command_line.execute("embed", __doc__, SECTIONS, run, argv)


if __name__ == "__main__":
    sys.exit(main())
