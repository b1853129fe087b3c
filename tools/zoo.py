"""List the encoders that ship with the package, or those in a folder of exports.

simclr-tf zoo
simclr-tf zoo --folder=exported_models --readme

Each of them is loaded by `simclr_tf.load_encoder("zoo:NAME")`, or by its path. With
--readme, the folder's README.md is written anew from the config.json of the exports
that were made with --publish; one that is too large, or says no licence, is refused.
"""

import pathlib
import sys

from simclr_tf.config.export import ZooOptions
from simclr_tf.encoder_zoo import default_folder, zoo
from simclr_tf.tools import command_line
from simclr_tf.tools.quiet_tensorflow import import_tensorflow

SECTIONS = (ZooOptions,)


def run(given):
    """List, and write README.md if the flags say so."""
    options = given.make(ZooOptions)
    folder = options.folder or default_folder()
    entries = zoo(folder)
    print(entries)
    if not options.readme:
        return
    if folder is None:
        raise command_line.FlagError("--folder is required: where README.md is to be.")
    import_tensorflow()
    from simclr_tf.files import write_atomically
    from simclr_tf.report import zoo_readme

    path = pathlib.Path(folder) / "README.md"
    write_atomically(path, zoo_readme(entries))
    command_line.done(path)


def main(argv=None):
    """Run the tool; return the exit code."""
    return command_line.execute("zoo", __doc__, SECTIONS, run, argv)


if __name__ == "__main__":
    sys.exit(main())
