"""The verb `evaluate`: from a path to files of numbers, a table and pictures."""

import dataclasses

import numpy as np

from simclr_tf.commands.encoder_at import (
    open_encoder,
    output_folder,
    write_results_and_table,
)
from simclr_tf.commands.labelled_data import (
    LOG,
    labelled_data,
    warn_of_small_classes,
)
from simclr_tf.commands.view_pairs import view_pairs
from simclr_tf.config.schema import to_dict
from simclr_tf.data import ArraySource, evaluation_batches, plain_errors
from simclr_tf.data.left_out import LEFT_OUT_FILE, left_out_listed
from simclr_tf.errors import ConfigError
from simclr_tf.evaluation import (
    EVALUATION_FILE,
    RAW_PIXELS,
    THIS_ENCODER,
    TrainingViews,
    compare,
    nearest_neighbours,
)
from simclr_tf.evaluation.protocols import measurable
from simclr_tf.markdown import prose
from simclr_tf.models.encoders import family_of
from simclr_tf.objectives import objective_of
from simclr_tf.report.galleries import (
    ImageRows,
    gallery_drawing,
    neighbours_gallery,
    one_per_class,
    pairs_gallery,
)
from simclr_tf.report.result_tables import results_markdown
from simclr_tf.training import Workdir, untrained_encoder
from simclr_tf.training.assembly import build_recipe

_NUM_VIEWS, _NUM_QUERIES, _NUM_NEIGHBOURS = 12, 8, 6


def evaluate_and_report(options, *, encoder=None, command=None, say=print):
    """Evaluate a frozen encoder, print the table, and write the results.

    Args:
      options: simclr_tf.config.evaluate.EvaluateOptions.
      encoder: keras.Model, for a workdir whose encoder is a Python object.
      command: str, for the record.
      say: function that prints a line (str).

    Returns:
      simclr_tf.evaluation.Results.

    Raises:
      SimCLRError: invalid options or data.
    """
    folder = output_folder(options)
    chosen = options.chosen()
    place = open_encoder(options, chosen, encoder, step=options.step)
    left_out = folder / f"evaluate_{LEFT_OUT_FILE}"
    with left_out_listed(left_out):
        train, test, data = labelled_data(
            place.config.data, chosen, channels=place.channels, workdir=place.path
        )
    measured, too_few = measurable(options, train.labels, test.labels)
    for protocol, reason in too_few.items():
        LOG.warning("Not measured: %s. %s", protocol, reason)
    if "few" in measured.protocols:
        warn_of_small_classes(train, options.few.labels_per_class)
    before = None
    if place.is_run and family_of(place.config.encoder).can_build:
        before = untrained_encoder(Workdir(place.path))
    size, features = data.image_size_pixels, {}
    with left_out_listed(left_out, train, test), plain_errors():
        results = compare(
            place.encoder,
            before,
            evaluation_batches(train, options.batch_size, size),
            evaluation_batches(test, options.batch_size, size),
            measured,
            data=data.source,
            encoder_name=place.name,
            command=command,
            step=place.step,
            train_views=TrainingViews(train, size, options.linear.recipe),
            on_measured=lambda m: say(
                f"{m.representation:18}{m.protocol:18}{m.value:5.1f} %"
            ),
            on_features=lambda name, *found: features.update({name: found}),
        )
    results = dataclasses.replace(
        results, options=to_dict(options), not_measured=too_few
    )
    title, table = f"Evaluation of {prose(place.name)}", results_markdown(results)
    write_results_and_table(folder / EVALUATION_FILE, results, title, table, say)
    if isinstance(train, ArraySource) and isinstance(test, ArraySource):
        config = place.config if place.is_run else None
        _draw(folder, config, (train, test), features, say)
    return results


def _draw(folder, config, sources, features, say):
    """Draw neighbours.png and, of a run, views.png; print a line without matplotlib."""
    train, test = sources
    try:
        if config is not None:
            pairs = view_pairs(
                train,
                build_recipe(config.augment),
                image_size_pixels=config.data.image_size_pixels,
                number=_NUM_VIEWS,
                seed=config.seed,
                groups=objective_of(config.objective).view_groups,
            )
            views = gallery_drawing([pairs_gallery(pairs, _NUM_VIEWS)])
            views.save(folder / "views.png")
        neighbours = _neighbours(train, test, features)
        gallery_drawing([neighbours]).save(folder / "neighbours.png")
    except ConfigError as error:  # matplotlib is an extra.
        say(f"No pictures: {error}")


def _neighbours(train, test, features):
    """Find the nearest training images of test images, by features and by pixels."""
    queries = one_per_class(test.labels, _NUM_QUERIES, seed=0)
    k = min(_NUM_NEIGHBOURS, train.num_examples)
    found = {
        name: nearest_neighbours(features[name][0], features[name][1][queries], k)
        for name in (THIS_ENCODER, RAW_PIXELS)
    }
    # Only the images that are drawn are read.
    shown = np.unique(np.concatenate([rows.ravel() for rows, _ in found.values()]))
    return neighbours_gallery(
        ImageRows(train.read_images(shown), train.labels[shown], None, train.classes),
        # The test images may show more classes than the training images.
        ImageRows(test.read_images(queries), test.labels[queries], None, test.classes),
        np.arange(len(queries)),
        {
            name: (np.searchsorted(shown, rows), similarities)
            for name, (rows, similarities) in found.items()
        },
    )
