"""A run, several runs or a study as one page to look at: HTML, and Markdown with PNG.

simclr-tf report --workdir=runs/demo
simclr-tf report --workdir=runs/a --workdir=runs/b --output=comparison.html
simclr-tf report --study=studies/temperature

The HTML file holds everything in itself and loads nothing; the Markdown has its
figures beside it. One workdir: configuration, curves, view pairs, nearest neighbours
before and after training, maps of the features, confusion of the probe, evaluation,
environment and cost. Several: what differs, side by side.
"""

import sys

from absl import flags

from simclr_tf.tools import command_line
from simclr_tf.tools.quiet_tensorflow import import_tensorflow


def define(values):
    """The tool's flags."""
    flags.DEFINE_multi_string(
        "workdir",
        None,
        "Folder of a run; given several times, the runs are compared.",
        flag_values=values,
    )
    texts = {
        "study": "Instead of --workdir: folder of a study of ablate.",
        "output": "FILE.html, FILE.md, or a folder for both; `report` in the workdir "
        "or study if unset.",
        "data": "Images to look at; those of the run if unset.",
        "split": "Split of the training images; the run's if unset.",
        "test_split": "Split of the test images; the run's if unset.",
        "data_dir": "Folder of prepared tfds data sets.",
    }
    for name, text in texts.items():
        flags.DEFINE_string(name, None, text, flag_values=values)
    flags.DEFINE_bool(
        "features",
        True,
        "Load the encoder and images, for views, "
        "neighbours, maps and confusion; false: files only.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "num_images",
        2000,
        "Training and test images looked at, of each.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "map_images", 1000, "Test images on the maps.", flag_values=values
    )
    flags.DEFINE_integer(
        "seed", 0, "Seed of the samples and of t-SNE.", flag_values=values
    )


def run(values):
    """Write the report that the flags describe."""
    workdirs, study = values["workdir"].value or [], values["study"].value
    if bool(workdirs) == bool(study):
        raise command_line.FlagError(
            "Exactly one of --workdir (once or several times) and --study is required."
        )
    output = values["output"].value
    if output is None:
        if len(workdirs) > 1:
            raise command_line.FlagError(
                "--output is required for a comparison: FILE.html, FILE.md or a folder."
            )
        output = f"{(study or workdirs[0]).rstrip('/')}/report"
    import_tensorflow()
    if study:
        from simclr_tf.reports.study_report import report_of_study

        report_of_study(study, output)
        return
    from simclr_tf.reports.workdir_report import report_of_runs

    chosen = {
        name: values[name].value for name in ("data", "split", "test_split", "data_dir")
    }
    report_of_runs(
        workdirs,
        output,
        features=values["features"].value,
        chosen={name: value for name, value in chosen.items() if value is not None},
        num_images=values["num_images"].value,
        map_images=values["map_images"].value,
        seed=values["seed"].value,
    )


def main(argv=None):
    """Returns the exit code."""
    return command_line.execute(__doc__, define, run, argv)


if __name__ == "__main__":
    sys.exit(main())
