"""Write the encoder of a run as a SavedModel, with its config and its card.

simclr-tf export --workdir=runs/demo --output=exported_models/demo

The folder gets its name only after a fresh process, which knows nothing but
TensorFlow, has loaded the SavedModel and found the same features.
"""

import sys

from absl import flags

from simclr_tf.tools import command_line
from simclr_tf.tools.quiet_tensorflow import import_tensorflow


def define(values):
    """The tool's flags."""
    flags.DEFINE_string("workdir", None, "Folder of the run.", flag_values=values)
    flags.DEFINE_string("output", None, "Folder to make, e.g. exported_models/NAME.",
                        flag_values=values)
    flags.DEFINE_bool("overwrite", False, "Replace an export that is there already.",
                      flag_values=values)


def run(values):
    """Export as the flags say."""
    path = command_line.required(values, "workdir", "the folder of the run")
    output = command_line.required(
        values, "output", "the folder to make, e.g. exported_models/NAME")
    import_tensorflow()
    from simclr_tf.export import export_saved_model
    from simclr_tf.reports import card_of_run
    from simclr_tf.training import Workdir, load_encoder

    workdir = Workdir(path)
    card, record = card_of_run(workdir), workdir.read()
    exported = export_saved_model(
        load_encoder(path), output, config=record, card=card,
        overwrite=values["overwrite"].value)
    print(f"Exported to {output}: saved_model/, config.json, card.md. A fresh process "
          "found the same features (largest difference "
          f"{exported['parity']['max_abs_difference']:.1e}).")


def main(argv=None):
    """Returns the exit code."""
    return command_line.execute(__doc__, define, run, argv)


if __name__ == "__main__":
    sys.exit(main())
