"""Train a student network on a fine-tuned teacher's predictions for unlabelled images.

simclr-tf distill --teacher=runs/demo/classifiers/10_percent --output=runs/student
    --data=embedded:freedoom_12
simclr-tf distill ... --student=resnet18 --student.stem=small
simclr-tf distill ... --student=fashion_mnist --alpha=0.1 --label_fraction=0.1

The defaults are those of SimCLRv2 (LARS). For small images and batches AdamW did a
little better in our trials: --optimizer=adamw --base_learning_rate=0.003
--optimizer.scaling=none --optimizer.weight_decay=0.05.

Teacher and student are tested on the test split. Writes student.keras, encoder.keras
(for evaluate, finetune and load_encoder), config.json, distill.json and distill.md into
the folder --output, which must not exist yet; if anything fails, nothing is left.
"""

import sys

from simclr_tf.config.distill import DistillOptions, named_student
from simclr_tf.tools import command_line
from simclr_tf.tools.config_flags import FlagsOf
from simclr_tf.tools.quiet_tensorflow import import_tensorflow

SECTIONS = (FlagsOf(DistillOptions, defaults={"student.name": "same"}),)


def run(given):
    """Run the distillation that the flags describe."""
    options = options_of(given)
    import_tensorflow()
    from simclr_tf.commands.distill import distill_and_report

    distill_and_report(options, command=given.command)
    command_line.done(options.output)


def options_of(given):
    """Read the DistillOptions from the command line.

    Args:
      given: Given.

    Returns:
      DistillOptions.

    Raises:
      ConfigError: a missing flag, flags that exclude each other, or an invalid value.
    """
    return given.make(DistillOptions, translate=_with_student)


def _with_student(typed, file):
    """Replace `--student=NAME` by the options of that network."""
    is_other = file.get("architecture") == "other"
    if is_other and "student.name" not in typed:
        return typed
    typed = dict(typed)
    of_student = [name for name in typed if name.startswith("student.")]
    student = {name.removeprefix("student."): typed.pop(name) for name in of_student}
    return typed | named_student(student.pop("name", "same"), student)


def main(argv=None):
    """Run the tool; return the exit code."""
    return command_line.execute("distill", __doc__, SECTIONS, run, argv)


if __name__ == "__main__":
    sys.exit(main())
