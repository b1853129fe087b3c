"""Train a student on what a fine-tuned teacher says about unlabelled images.

simclr-tf distill --teacher=runs/demo/classifiers/10_percent --output=runs/student
    --data=embedded:freedoom_12 --image_size_pixels=32
simclr-tf distill ... --student=resnet18 --student.stem=small
simclr-tf distill ... --student=fashion_mnist --alpha=0.1 --label_fraction=0.1

The defaults are those of SimCLRv2 (LARS). For small images and batches AdamW did a
little better in our trials: --optimizer=adamw --base_learning_rate=0.003
--scaling=none --weight_decay=0.05.

Both are tested on the test split, side by side. The folder --output, which must not
exist yet, gets student.keras, encoder.keras (for evaluate, finetune and load_encoder),
config.json, distill.json and distill.md, all of them or none.
"""

import dataclasses
import sys

from absl import flags

from simclr_tf.config.distill import DistillConfig
from simclr_tf.config.presets import PRESETS, get_preset
from simclr_tf.config.pretrain import ENCODERS
from simclr_tf.config.schema import guest_names, guest_options
from simclr_tf.errors import ConfigError, unknown_choice
from simclr_tf.tools import command_line, config_flags
from simclr_tf.tools.quiet_tensorflow import import_tensorflow

LEFT_OUT = ("architecture", "student.name")


def define(values):
    """The tool's flags."""
    flags.DEFINE_string(
        "output", None, "Folder to make, e.g. runs/student.", flag_values=values
    )
    flags.DEFINE_string(
        "student",
        "same",
        "same: the teacher's own network, with fresh weights; "
        "an encoder by its name, with --student.OPTION; or a preset, whose encoder it "
        f"is. Encoders: {', '.join(guest_names(ENCODERS))}. Presets: "
        f"{', '.join(PRESETS)}.",
        flag_values=values,
    )
    config_flags.define_section_flags(DistillConfig, values, leave_out=LEFT_OUT)


def run(values):
    """Distil as the flags say."""
    output = command_line.required(
        values, "output", "the folder to make, e.g. runs/student"
    )
    config = config_of(values)
    import_tensorflow()
    from simclr_tf.reports import distill_and_report

    distill_and_report(config, output, command=command_line.typed("distill", values))


def config_of(values):
    """The DistillConfig that the command line asks for.

    Args:
      values: parsed `flags.FlagValues`.

    Returns:
      DistillConfig.

    Raises:
      FlagError: a flag is missing, or flags that do not go together.
      ConfigError: a value that an option refuses.
    """
    start = DistillConfig(
        teacher=command_line.required(
            values, "teacher", "classifier.keras of a fine-tuning, or its folder"
        ),
        data=command_line.required(
            values, "data", "the images to learn from, e.g. folder:PATH"
        ),
        image_size_pixels=config_flags.parse_value(
            command_line.required(
                values, "image_size_pixels", "the size at which the teacher sees images"
            ),
            int,
        ),
    )
    student = values["student"].value
    if student in PRESETS:
        start = dataclasses.replace(
            start, architecture="other", student=get_preset(student).encoder
        )
    elif student != "same":
        try:
            options = guest_options(ENCODERS, student)
        except ConfigError:
            choices = ["same", *guest_names(ENCODERS), *PRESETS]
            raise unknown_choice("student", student, choices) from None
        start = dataclasses.replace(start, architecture="other", student=options)
    typed = [
        name for name in values if name.startswith("student.") and values[name].present
    ]
    if typed and start.architecture == "same":
        raise command_line.FlagError(
            f"--{typed[0]} describes another network than the teacher's: it goes with "
            "--student=ENCODER or --student=PRESET."
        )
    return config_flags.section_from_flags(start, values, leave_out=LEFT_OUT)


def main(argv=None):
    """Returns the exit code."""
    return command_line.execute(__doc__, define, run, argv)


if __name__ == "__main__":
    sys.exit(main())
