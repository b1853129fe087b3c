"""One evaluation from a path to files: numbers, table, pictures."""

import dataclasses

import numpy as np

from simclr_tf.commands.encoder_at import channels_of, config_of, output_folder
from simclr_tf.commands.labelled_data import labelled_data
from simclr_tf.commands.view_pairs import view_pairs
from simclr_tf.data import ArraySource, evaluation_batches, plain_errors
from simclr_tf.encoder_zoo import encoder_path
from simclr_tf.errors import ConfigError
from simclr_tf.evaluation import (
    EVALUATION_FILE,
    RAW_PIXELS,
    THIS_ENCODER,
    TrainingViews,
    compare,
    nearest_neighbours,
    write_results,
)
from simclr_tf.evaluation.protocols import DEFAULT_PROTOCOLS, check_labels
from simclr_tf.files import write_atomically
from simclr_tf.markdown import prose
from simclr_tf.models.encoders import family_of
from simclr_tf.report.galleries import (
    ImageRows,
    gallery_drawing,
    neighbours_gallery,
    one_a_class,
    pairs_gallery,
)
from simclr_tf.report.result_tables import results_markdown
from simclr_tf.training import (
    CheckpointStore,
    Workdir,
    load_encoder,
    untrained_encoder,
)
from simclr_tf.training.assembly import build_recipe
from simclr_tf.training.workdir import CHECKPOINTS

_NUM_VIEWS, _NUM_QUERIES, _NUM_NEIGHBOURS = 12, 8, 6


def evaluate_and_report(
    path,
    *,
    chosen=None,
    encoder=None,
    output=None,
    batch_size=256,
    views_recipe="finetune",
    command=None,
    options=None,
    say=print,
    **settings,
):
    """Probe an encoder, print the table, and write everything down.

    Args:
      path: path of a workdir, or of an encoder for `load_encoder` (`zoo:NAME` too).
      chosen: dict with any of data, split, test_split, data_dir, image_size_pixels:
        what differs from the run's own.
      encoder: keras.Model, for a workdir whose encoder was handed in from Python.
      output: folder for the results; the workdir, or the folder of the encoder's
        name under `evaluations/`, if None.
      batch_size: int.
      views_recipe: name or Recipe of `simclr_tf.augment`, for protocols on views.
      command: str, for the record.
      options: dict, JSON, for the record: what the verb was asked for.
      say: function of a str.
      **settings: of simclr_tf.evaluation.evaluate_features.

    Returns:
      simclr_tf.evaluation.Results.

    Raises:
      SimCLRError: what the caller can put right.
    """
    typed, path, chosen = str(path), encoder_path(path), chosen or {}
    config, is_run = config_of(path, chosen)
    encoder = load_encoder(path, encoder=encoder)
    train, test, data = labelled_data(
        config.data,
        chosen,
        channels=channels_of(encoder, path, is_run),
    )
    folder = output_folder(path, is_run, output)
    before, step = None, None
    if is_run:
        step = CheckpointStore(path / CHECKPOINTS).latest().step
        if family_of(config.encoder).can_build:
            before = untrained_encoder(Workdir(path))
    check_labels(
        settings.get("protocols", DEFAULT_PROTOCOLS),
        train.labels,
        test.labels,
        **{name: value for name, value in settings.items() if name != "protocols"},
    )
    features = {}
    with plain_errors():
        results = compare(
            encoder,
            before,
            *(
                evaluation_batches(source, batch_size, data.image_size_pixels)
                for source in (train, test)
            ),
            data=data.source,
            encoder_name=typed,
            command=command,
            step=step,
            train_views=TrainingViews(train, data.image_size_pixels, views_recipe),
            on_measured=lambda m: say(
                f"{m.representation:18}{m.protocol:18}{m.value:5.1f} %"
            ),
            on_features=lambda name, *found: features.update({name: found}),
            **settings,
        )
    results = dataclasses.replace(results, options=options or {})
    write_results(folder / EVALUATION_FILE, results)
    table = results_markdown(results)
    write_atomically(
        folder / "evaluation.md", f"# Evaluation of {prose(typed)}\n\n{table}\n"
    )
    say(f"\n{table}\n")
    if isinstance(train, ArraySource) and isinstance(test, ArraySource):
        _draw(folder, config if is_run else None, (train, test), features, say)
    return results


def _draw(folder, config, sources, features, say):
    """neighbours.png, and of a run views.png; without matplotlib a line says so."""
    train, test = sources
    try:
        if config is not None:
            pairs = view_pairs(
                train,
                build_recipe(config.augment),
                image_size_pixels=config.data.image_size_pixels,
                number=_NUM_VIEWS,
                seed=config.seed,
            )
            views = gallery_drawing([pairs_gallery(pairs, _NUM_VIEWS)])
            views.save(folder / "views.png")
        neighbours = _neighbours(train, test, features)
        gallery_drawing([neighbours]).save(folder / "neighbours.png")
    except ConfigError as error:  # matplotlib is an extra.
        say(f"No pictures: {error}")


def _neighbours(train, test, features):
    """Some test images with their nearest training images, in features and pixels."""
    queries = one_a_class(test.labels, _NUM_QUERIES, seed=0)
    k = min(_NUM_NEIGHBOURS, train.num_examples)
    found = {
        name: nearest_neighbours(features[name][0], features[name][1][queries], k)
        for name in (THIS_ENCODER, RAW_PIXELS)
    }
    # Only the images that are drawn are read.
    shown = np.unique(np.concatenate([rows.ravel() for rows, _ in found.values()]))
    return neighbours_gallery(
        ImageRows(train.read_images(shown), train.labels[shown], None, train.classes),
        ImageRows(test.read_images(queries), test.labels[queries], None, train.classes),
        np.arange(len(queries)),
        {
            name: (np.searchsorted(shown, rows), similarities)
            for name, (rows, similarities) in found.items()
        },
    )
