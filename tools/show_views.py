"""Show what a recipe does to your images, before a run, and warn of bad ones.

simclr-tf show_views --data=folder:PATH --recipe=simclr_v2 --output=views.html
simclr-tf show_views --preset=demo --augment.color_strength=0.8 --output=views.png

The page shows each operator at several strengths (the paper's Figure 4, on your own
images) and pairs of final views. The flags of images and views are those of pretrain.
A sample of pairs is measured: warnings name views that are nearly identical, that can
be matched by plain pixels or colours, or that are nearly empty.
"""

import sys

from simclr_tf.config import Config
from simclr_tf.config.report import ShowViewsOptions
from simclr_tf.tools import command_line
from simclr_tf.tools.config_flags import FlagsOf, flags_of
from simclr_tf.tools.pretrain import starting_point
from simclr_tf.tools.quiet_tensorflow import import_tensorflow

SECTIONS = (
    ShowViewsOptions,
    FlagsOf(
        Config,
        without=("preset",),
        only=("data.", "augment.", "objective.", "seed"),
        preset=True,
    ),
)


def run(given):
    """Show the views that the flags describe."""
    options = given.make(ShowViewsOptions)
    start, line = starting_point(given, options.preset)
    config = given.make(Config, start)
    import_tensorflow()
    if line is not None:
        print(line)
    from simclr_tf.commands.show_views import show_views

    written = show_views(
        config,
        options.output,
        num_images=options.num_images,
        num_shown=options.num_shown,
        num_pairs=options.num_pairs,
        command=given.command,
    )
    if given.file:  # The file may also have options of show_views.
        command_line.done(written)
        return
    same = {
        flag: given.typed[name]
        for part in flags_of(SECTIONS)
        for flag, name, _, _ in part.options()
        if name in given.typed and (part.section is Config or name == "preset")
    }
    workdir = command_line.new_path("runs/mine")
    command_line.done(written, "pretrain", **same, workdir=workdir)


def main(argv=None):
    """Run the tool; return the exit code."""
    return command_line.execute("show_views", __doc__, SECTIONS, run, argv)


if __name__ == "__main__":
    sys.exit(main())
