"""Find images that look alike to an encoder: nearest neighbours, near-duplicates.

simclr-tf similar --encoder=zoo:NAME --data=folder:PHOTOS --output=similar.html
simclr-tf similar --workdir=runs/mine --data=folder:PHOTOS --queries=folder:MORE
    --output=similar.csv
simclr-tf similar --features_file=features.npz --output=similar.csv

Every image is compared with every other one, by the cosine of their features. A page
shows some images with their neighbours, and the largest groups of near-duplicates; csv
has all of them: query, rank, name, similarity, and in FILE_duplicates.csv group, set,
name, similarity.
"""

import sys

from simclr_tf.config.similar import SimilarOptions
from simclr_tf.tools import command_line
from simclr_tf.tools.quiet_tensorflow import import_tensorflow

SECTIONS = (SimilarOptions,)


def run(given):
    """Find the similar images that the flags describe."""
    options = given.make(SimilarOptions)
    import_tensorflow()
    from simclr_tf.commands.similar import similar_and_report

    command_line.done(similar_and_report(options, command=given.command))


def main(argv=None):
    """Run the tool; return the exit code."""
    return command_line.execute("similar", __doc__, SECTIONS, run, argv)


if __name__ == "__main__":
    sys.exit(main())
