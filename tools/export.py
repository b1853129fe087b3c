"""Write the encoder of a run as a SavedModel, with its config and its card.

simclr-tf export --workdir=runs/demo --output=exported_models/demo
simclr-tf export --workdir=runs/demo --output=exported_models/demo_all
    --formats=saved_model,keras3,litert,safetensors,onnx

The folder gets its name only after, for each format, a fresh process that knows
nothing but the runtime has loaded it and found the same features.
"""

import sys

from absl import flags

from simclr_tf.tools import command_line
from simclr_tf.tools.quiet_tensorflow import import_tensorflow


def define(values):
    """The tool's flags."""
    flags.DEFINE_string("workdir", None, "Folder of the run.", flag_values=values)
    flags.DEFINE_string(
        "output", None, "Folder to make, e.g. exported_models/NAME.", flag_values=values
    )
    flags.DEFINE_list(
        "formats",
        ["saved_model"],
        "What to write, with commas between: saved_model, "
        "keras3 (a .keras file for Keras 3), litert, safetensors (with config.json: "
        "data, not a program), onnx (best effort).",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "with_projection_head",
        False,
        "The layers of the projection head as outputs too.",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "with_probe",
        False,
        "The online probe as the output `logits`.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "classifier",
        None,
        "A fine-tuned network of this run, "
        "WORKDIR/classifiers/BUDGET: its encoder instead of the "
        "pretrained one, and its output `logits`.",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "with_preprocessing",
        False,
        "One more signature, from the bytes "
        "of image files to features, at the size of the run.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "version",
        None,
        "Write saved_model/VERSION/, the layout of TF Serving.",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "archive",
        False,
        "Write saved_model.tar.gz as well, which TF-Hub loads from a URL.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "data_licence",
        None,
        "Licence of the images, for the card; that of known data sets if unset.",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "publish",
        False,
        "To give away: leave the folders of this "
        "machine out of the card and config.json (of absolute paths only "
        "the last name is kept), ask for the licence of the images, and "
        "mark the export as one that ships in exported_models/.",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "overwrite",
        False,
        "Replace an export that is there already.",
        flag_values=values,
    )


def run(values):
    """Export as the flags say."""
    path = command_line.required(values, "workdir", "the folder of the run")
    output = command_line.required(
        values, "output", "the folder to make, e.g. exported_models/NAME"
    )
    classifier = values["classifier"].value
    for name in ("with_probe", "with_projection_head"):
        if classifier and values[name].value:
            raise command_line.FlagError(
                f"--classifier and --{name} do not go together: probe and projection "
                "head belong to the pretrained encoder."
            )
    import_tensorflow()
    from simclr_tf.export import check_formats, export_saved_model
    from simclr_tf.models import split_classifier
    from simclr_tf.reports import card_of_run, fine_tuned_card, record_of_run
    from simclr_tf.training import (
        Workdir,
        load_classifier,
        load_encoder,
        load_probe,
        load_projection_head,
    )

    formats = values["formats"].value
    check_formats(formats)
    workdir = Workdir(path)
    publish = values["publish"].value
    card = card_of_run(workdir, publish=publish)
    if values["data_licence"].value:
        card["data_licence"] = values["data_licence"].value
    options = {}
    if classifier:
        encoder, options["classifier"] = split_classifier(load_classifier(classifier))
        card = fine_tuned_card(card, classifier)
    else:
        encoder = load_encoder(path)
    if values["with_projection_head"].value:
        options["projection_head"] = load_projection_head(workdir, encoder)
    if values["with_probe"].value:
        options["classifier"] = load_probe(workdir, encoder)
    if values["with_preprocessing"].value:
        options["image_size_pixels"] = workdir.config().data.image_size_pixels
    exported = export_saved_model(
        encoder,
        output,
        config=record_of_run(workdir, publish=publish),
        card=card,
        formats=formats,
        version=values["version"].value,
        archive=values["archive"].value,
        overwrite=values["overwrite"].value,
        published=publish,
        **options,
    )
    print(
        f"Exported to {output}: {', '.join(formats)}, config.json, card.md. Loaded "
        "afresh, they give the same features (largest difference "
        f"{exported['parity']['max_abs_difference']:.1e})."
    )


def main(argv=None):
    """Returns the exit code."""
    return command_line.execute(__doc__, define, run, argv)


if __name__ == "__main__":
    sys.exit(main())
