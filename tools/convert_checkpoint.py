"""Import a checkpoint of google-research/simclr or PyTorch, or convert for PyTorch.

simclr-tf convert_checkpoint --source=google_tf2 --checkpoint=PREFIX --output=runs/r50
simclr-tf convert_checkpoint --source=torch --checkpoint=moco_v2_800ep_pretrain.pth.tar --output=runs/moco
simclr-tf convert_checkpoint --source=simclr_tf --checkpoint=runs/demo --target=torchvision --output=torch

Depth, width, selective kernels, stem, projection head and supervised head are found
from the names and shapes. Of PyTorch's ResNets in torchvision's names (safetensors, or
.pth if torch is installed) the encoder is taken, and the heads are left out. conversion.md lists every variable; a missing, surplus or
misshapen variable stops the conversion, and nothing is written. Only the file of
variables is read: the program in a SavedModel or in a .pth file is never run.

The output is a workdir, which evaluate, export and load_encoder take; or, for
torchvision, state_dict.npz with the lines that load it in conversion.md.
"""  # noqa: E501

import sys

from simclr_tf.config.export import ConvertOptions
from simclr_tf.config.schema import to_dict
from simclr_tf.tools import command_line
from simclr_tf.tools.quiet_tensorflow import import_tensorflow

SECTIONS = (ConvertOptions,)


def run(given):
    """Run the conversion that the flags describe."""
    options = given.make(ConvertOptions)
    import_tensorflow()
    from simclr_tf.export import conversion
    from simclr_tf.export.publication import check_new

    check_new(options.output)  # Before the conversion.
    choice = {
        "probe_layer": options.probe_layer,
        "leave_out": [start for start in options.leave_out if start],
    }
    if options.source == "simclr_tf":
        source = conversion.read_own_run(options.checkpoint)
    elif options.source == "google_tf1":
        source = conversion.read_google_tf1(
            options.checkpoint, copy=options.copy, **choice
        )
    elif options.source == "torch":
        source = conversion.read_torch(
            options.checkpoint,
            input_normalization=options.input_normalization,
            leave_out=choice["leave_out"],
        )
    else:
        source = conversion.read_google_tf2(options.checkpoint, **choice)
    print(
        f"Found {source.architecture.describe()}: {len(source.names)} variables, "
        f"{len(source.left_out)} left out."
    )
    if options.target == "torchvision":
        conversion.write_torchvision(source, options.output)
        print("state_dict.npz holds the encoder, conversion.md the lines that load it.")
        command_line.done(options.output)
        return
    conversion.write_workdir(
        source,
        options.output,
        data=options.data,
        image_size_pixels=options.image_size_pixels,
        command=given.command,
        options=to_dict(options),
    )
    print("conversion.md in the workdir lists every variable.")
    command_line.done(
        options.output, "export", **command_line.export_of(options.output)
    )


def main(argv=None):
    """Run the tool; return the exit code."""
    return command_line.execute("convert_checkpoint", __doc__, SECTIONS, run, argv)


if __name__ == "__main__":
    sys.exit(main())
