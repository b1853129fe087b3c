"""List the encoders that ship with the package, or those in a folder of exports.

simclr-tf zoo
simclr-tf zoo --folder=exported_models --readme

`simclr_tf.load_encoder("zoo:NAME")` loads a shipped one, `load_encoder(PATH)` another.
--readme writes the folder's README.md again, from the config.json of the exports that
were made with --publish. An export that is too large or has no licence is refused.
"""

import pathlib
import sys

from simclr_tf.config.export import ZooOptions
from simclr_tf.encoder_zoo import default_folder, zoo
from simclr_tf.tools import command_line
from simclr_tf.tools.quiet_tensorflow import import_tensorflow

SECTIONS = (ZooOptions,)


def run(given):
    """List the encoders; write README.md with --readme."""
    options = given.make(ZooOptions)
    folder = options.folder or default_folder()
    entries = zoo(folder)
    print(entries)
    if not options.readme:
        return
    if folder is None:
        raise command_line.FlagError(
            "--folder is required: README.md is written there."
        )
    import_tensorflow()
    from simclr_tf.files import write_atomically
    from simclr_tf.report import zoo_readme

    path = pathlib.Path(folder).expanduser() / "README.md"
    write_atomically(path, zoo_readme(entries))
    command_line.done(path)


def main(argv=None):
    """Run the tool; return the exit code."""
    return command_line.execute("zoo", __doc__, SECTIONS, run, argv)


if __name__ == "__main__":
    sys.exit(main())
