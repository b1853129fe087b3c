"""List the encoders that ship with the package, or those in a folder of exports.

simclr-tf zoo
simclr-tf zoo --folder=exported_models --readme

Each of them is loaded by `simclr_tf.load_encoder("zoo:NAME")`, or by its path. With
--readme, the folder's README.md is written anew from the config.json of the exports
that were made with --publish; one that is too large, or says no licence, is refused.
"""

import pathlib
import sys

from absl import flags

from simclr_tf.encoder_zoo import default_folder, zoo
from simclr_tf.tools import command_line
from simclr_tf.tools.quiet_tensorflow import import_tensorflow


def define(values):
    """The tool's flags."""
    flags.DEFINE_string(
        "folder",
        None,
        "Folder with one export a sub-folder; that of the package if unset.",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "readme", False, "Write README.md of the folder anew.", flag_values=values
    )


def run(values):
    """List, and write README.md if the flags say so."""
    folder = values["folder"].value or default_folder()
    entries = zoo(folder)
    print(entries)
    if not values["readme"].value:
        return
    if folder is None:
        raise command_line.FlagError("--folder is required: where README.md is to be.")
    import_tensorflow()
    from simclr_tf.files import write_atomically
    from simclr_tf.reports import zoo_readme

    path = pathlib.Path(folder) / "README.md"
    write_atomically(path, zoo_readme(entries))
    print(f"Written to {path}.")


def main(argv=None):
    """Returns the exit code."""
    return command_line.execute(__doc__, define, run, argv)


if __name__ == "__main__":
    sys.exit(main())
