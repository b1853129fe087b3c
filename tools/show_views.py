"""Show what a recipe does to your images, before a run, and warn of bad ones.

simclr-tf show_views --data=folder:PATH --recipe=simclr_v2 --output=views.html
simclr-tf show_views --preset=demo --augment.color_strength=0.8 --output=views.png

One sheet holds each operator at several strengths (the paper's Figure 4, on your own
images) and pairs of final views. The flags of images and views are those of pretrain.
Over a sample of pairs it measures, and warns of, views that are near-identical, that
plain pixels or colours match, and that are near-empty.
"""

import sys

from absl import flags

from simclr_tf.config import Config
from simclr_tf.config.presets import PRESETS
from simclr_tf.config.schema import walk_options
from simclr_tf.tools import command_line, config_flags
from simclr_tf.tools.quiet_tensorflow import import_tensorflow


def define(values):
    """The tool's flags: those of pretrain that shape images and views, and its own."""
    flags.DEFINE_string(
        "preset",
        config_flags.DEFAULT_PRESET,
        "Named experiment whose images and "
        f"views are the starting point: {', '.join(PRESETS)}.",
        flag_values=values,
    )
    config_flags.define_section_flags(
        Config,
        values,
        leave_out=[
            name
            for name, _, _ in walk_options(Config)
            if not name.startswith(("data.", "augment.")) and name != "seed"
        ],
    )
    flags.DEFINE_string(
        "output",
        "show_views",
        "FILE.png, FILE.html, FILE.md, or a folder for all of them.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "images", 2, "Images that the operators are shown on.", flag_values=values
    )
    flags.DEFINE_integer(
        "pairs", 12, "Pairs of views that are shown.", flag_values=values
    )
    flags.DEFINE_integer(
        "num_pairs", 256, "Pairs of views that are measured.", flag_values=values
    )


def run(values):
    """Show the views that the flags describe."""
    config = config_flags.config_from_flags(values)
    import_tensorflow()
    from simclr_tf.reports.views_report import show_views

    show_views(
        config,
        values["output"].value,
        num_images=values["images"].value,
        num_shown=values["pairs"].value,
        num_pairs=values["num_pairs"].value,
    )


def main(argv=None):
    """Returns the exit code."""
    return command_line.execute(__doc__, define, run, argv)


if __name__ == "__main__":
    sys.exit(main())
