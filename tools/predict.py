"""Predict the classes of your images with a fine-tuned classifier.

simclr-tf predict --classifier=runs/mine/classifiers/10_percent --data=folder:NEW
    --output=predictions.csv
simclr-tf predict --classifier=exported_models/mine_10_percent --data=folder:NEW
    --output=predictions.csv --top=5

Writes the columns name, rank, class and probability: --top lines for each image, in the
order of the names, which are paths within the folder. Images are turned upright,
cropped and resized as by an export that takes files. Images that cannot be read are
left out and named. If the images are in folders with the names of the classes, the
accuracy is printed.
"""

import sys

from simclr_tf.config.predict import PredictOptions
from simclr_tf.tools import command_line
from simclr_tf.tools.quiet_tensorflow import import_tensorflow

SECTIONS = (PredictOptions,)


def run(given):
    """Write the predictions that the flags describe."""
    options = given.make(PredictOptions)
    import_tensorflow()
    from simclr_tf.commands.predict import predict_and_report

    predict_and_report(options)
    command_line.done(options.output)


def main(argv=None):
    """Run the tool; return the exit code."""
    return command_line.execute("predict", __doc__, SECTIONS, run, argv)


if __name__ == "__main__":
    sys.exit(main())
