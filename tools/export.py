"""Write the encoder of a run as a SavedModel, with its config and its card.

simclr-tf export --workdir=runs/demo --output=exported_models/demo
simclr-tf export --workdir=runs/demo --output=exported_models/demo_all
    --formats=saved_model,keras3,litert,safetensors,onnx

Before the folder appears, each format is read back and its features are compared: in a
fresh process without this package, but for safetensors, which are read in this one.
"""

import pathlib
import sys

from simclr_tf.config.export import ExportOptions
from simclr_tf.config.schema import to_dict
from simclr_tf.tools import command_line
from simclr_tf.tools.quiet_tensorflow import import_tensorflow

SECTIONS = (ExportOptions,)


def run(given):
    """Run the export that the flags describe."""
    options = given.make(ExportOptions)
    import_tensorflow()
    from simclr_tf.commands.run_card import record_of_run
    from simclr_tf.commands.stripped_paths import strip_folders
    from simclr_tf.export import check_formats, export_saved_model
    from simclr_tf.export.formats import heads_note
    from simclr_tf.export.publication import check_free
    from simclr_tf.export.reusable import HEAD_OUTPUTS
    from simclr_tf.training import Workdir

    # Before the work, not after it.
    check_formats(options.formats)
    output = pathlib.Path(options.output).expanduser()
    check_free(output, options.overwrite, options.version)
    workdir = Workdir(options.workdir)
    encoder, card, parts = _encoder_and_heads(options, workdir)
    if options.data_licence:
        card["data_licence"] = options.data_licence
    if options.with_preprocessing:
        parts["image_size_pixels"] = card["image_size_pixels"]
    heads = [HEAD_OUTPUTS[name] for name in HEAD_OUTPUTS if name in parts]
    used = to_dict(options)
    exported = export_saved_model(
        encoder,
        options.output,
        config=record_of_run(workdir, publish=options.publish),
        card=card,
        formats=options.formats,
        version=options.version,
        float16_weights=options.float16_weights,
        archive=options.archive,
        overwrite=options.overwrite,
        published=options.publish,
        options=strip_folders(used) if options.publish else used,
        **parts,
    )
    differences = exported["parity"]["formats"].items()
    print(
        f"Exported to {options.output}: {', '.join(options.formats)}, config.json, "
        "card.md. Loaded afresh, they give the same features (largest difference: "
        + ", ".join(f"{name} {difference:.1e}" for name, difference in differences)
        + ")."
    )
    note = heads_note(options.formats, heads)
    if note is not None:
        print(note)
    folder = pathlib.Path(options.output).parent
    command_line.done(options.output, "zoo", folder=folder)


def _encoder_and_heads(options, workdir):
    """Load (encoder, its card, keyword arguments: its heads, names of classes)."""
    from simclr_tf.commands.run_card import (
        card_of_run,
        fine_tuned_card,
        fine_tuning_of,
        names_of_probe,
    )
    from simclr_tf.models import split_classifier
    from simclr_tf.training import load_classifier, load_probe, load_projection_head
    from simclr_tf.training.classifier_records import classifier_record
    from simclr_tf.training.keras_files import classifier_file
    from simclr_tf.training.load import encoder_and_checkpoint
    from simclr_tf.training.path_contents import inspect_path

    publish = options.publish
    workdir.read()  # Refuses what is no run.
    if options.classifier:
        path = options.classifier
        tuning = fine_tuning_of(workdir, path)
        encoder, head = split_classifier(load_classifier(path))
        record = classifier_record(classifier_file(path))
        card = card_of_run(workdir, step=tuning and tuning.step)
        card = fine_tuned_card(card, path, record, tuning and tuning.data)
        parts = {"classifier": head, "class_names": record.class_names}
        return encoder, card, {**parts, "background": record.background}
    # All parts are of one checkpoint, also if the run saves another one meanwhile.
    encoder, checkpoint = encoder_and_checkpoint(inspect_path(workdir.path))
    card, heads = card_of_run(workdir, publish=publish, step=checkpoint.step), {}
    if options.with_projection_head:
        head = load_projection_head(workdir, encoder, checkpoint)
        heads["projection_head"] = head
    if options.with_probe:
        heads["classifier"] = probe = load_probe(workdir, encoder, checkpoint)
        heads["class_names"] = names_of_probe(workdir, probe.units)
    return encoder, card, heads


def main(argv=None):
    """Run the tool; return the exit code."""
    return command_line.execute("export", __doc__, SECTIONS, run, argv)


if __name__ == "__main__":
    sys.exit(main())
