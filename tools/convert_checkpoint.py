"""Bring in a checkpoint of google-research/simclr, or take an encoder to PyTorch.

simclr-tf convert_checkpoint --source=google_tf2 --checkpoint=PREFIX --output=runs/r50
simclr-tf convert_checkpoint --source=simclr_tf --checkpoint=runs/demo --target=torchvision --output=torch

Depth, width, selective kernels, stem, projection head and supervised head are found
from the names and shapes. Every variable is accounted for, in conversion.md; one that
is missing, too many or of another shape stops the conversion, and nothing is written.
Only the variables file is read: the program in a SavedModel is never run.

The output is a workdir, which evaluate, export and load_encoder take; or, for
torchvision, state_dict.npz with the lines that load it in conversion.md.
"""  # noqa: E501

import sys

from absl import flags

from simclr_tf.tools import command_line
from simclr_tf.tools.quiet_tensorflow import import_tensorflow

SOURCES = ["google_tf2", "google_tf1", "simclr_tf"]
TARGETS = ["simclr_tf", "torchvision"]


def define(values):
    """The tool's flags."""
    flags.DEFINE_enum(
        "source",
        None,
        SOURCES,
        "What wrote the checkpoint: the "
        "reference under TensorFlow 2 or 1, or a run of this package "
        f"(its workdir). One of {', '.join(SOURCES)}.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "checkpoint",
        None,
        "Prefix of a checkpoint (DIR/ckpt-100), "
        "its folder, a SavedModel's folder, or a workdir.",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "target",
        TARGETS[0],
        TARGETS,
        "A workdir of this package, or "
        "arrays in torchvision's names and layouts. One of "
        f"{', '.join(TARGETS)}.",
        flag_values=values,
    )
    flags.DEFINE_string("output", None, "Folder to make.", flag_values=values)
    flags.DEFINE_enum(
        "copy",
        "raw",
        ["raw", "ema"],
        "google_tf1: the trained weights, "
        "or their moving average under ema_model/. One of raw, ema.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "probe_layer",
        0,
        "Layer of the projection head that the "
        "supervised head reads, which no file says: 0, the features; "
        "fine-tuned from the middle of the head: 1. Only a head on "
        "the features becomes the run's probe.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "leave_out",
        None,
        "Beginnings of names in the source, "
        "separated by commas, of variables that may be lost.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "data",
        "unknown",
        "What it was trained on, for the record and "
        "as the default of evaluate, e.g. tfds:imagenet2012.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "image_size_pixels",
        None,
        "Size of its images; that of the stem if unset: 224, or 32.",
        lower_bound=1,
        flag_values=values,
    )


def run(values):
    """Convert as the flags say."""
    kind = command_line.required(
        values, "source", f"what wrote the checkpoint, {', '.join(SOURCES)}"
    )
    path = command_line.required(
        values, "checkpoint", "the prefix of a checkpoint, or a SavedModel's folder"
    )
    output = command_line.required(values, "output", "the folder to make")
    target = values["target"].value
    if kind == target:
        raise command_line.FlagError(
            f"--source={kind} and --target={target} are the same. For other formats "
            "of a run, see simclr-tf export."
        )
    _check_meaning(values, kind, target)
    import_tensorflow()
    from simclr_tf.export import conversion
    from simclr_tf.export.publication import check_new

    check_new(output)  # Before the work, not after it.
    given_up = (values["leave_out"].value or "").split(",")
    options = {
        "probe_layer": values["probe_layer"].value,
        "leave_out": [start for start in given_up if start],
    }
    if kind == "simclr_tf":
        source = conversion.read_own_run(path)
    elif kind == "google_tf1":
        source = conversion.read_google_tf1(path, copy=values["copy"].value, **options)
    else:
        source = conversion.read_google_tf2(path, **options)
    print(
        f"Found {source.architecture.describe()}: {len(source.names)} variables, "
        f"{len(source.left_out)} left out."
    )
    if target == "torchvision":
        conversion.write_torchvision(source, output)
        print(
            f"Written to {output}: state_dict.npz; conversion.md has the lines that "
            "load it."
        )
        return
    conversion.write_workdir(
        source,
        output,
        data=values["data"].value,
        image_size_pixels=values["image_size_pixels"].value,
        command=command_line.typed("convert_checkpoint", values),
    )
    print(
        f"Written to {output}, a workdir; conversion.md is the account. Next: "
        f"simclr-tf export --workdir={output} --output=exported_models/NAME"
    )


def _check_meaning(values, kind, target):
    """Raise if a flag was typed that this conversion would not look at."""
    looked_at = {
        "copy": kind == "google_tf1",
        "probe_layer": kind != "simclr_tf",
        "leave_out": kind != "simclr_tf",
        "data": target == "simclr_tf",
        "image_size_pixels": target == "simclr_tf",
    }
    for name, has_meaning in looked_at.items():
        if values[name].present and not has_meaning:
            raise command_line.FlagError(
                f"--{name} means nothing with --source={kind} and --target={target}."
            )


def main(argv=None):
    """Returns the exit code."""
    return command_line.execute(__doc__, define, run, argv)


if __name__ == "__main__":
    sys.exit(main())
