"""One evaluation from a path to files: numbers, table, pictures."""

import dataclasses
import json
import logging
import pathlib

from simclr_tf.config import Config, DataConfig, from_dict
from simclr_tf.data import ArraySource, evaluation_batches, open_source
from simclr_tf.errors import ConfigError, DataError, WorkdirError
from simclr_tf.evaluation import (
    EVALUATION_FILE,
    RAW_PIXELS,
    THIS_ENCODER,
    compare,
    extract_features,
    raw_pixels,
    write_results,
)
from simclr_tf.reports.pictures import picture_of_neighbours, picture_of_views
from simclr_tf.reports.tables import results_markdown
from simclr_tf.training import Workdir, load_encoder, untrained_encoder
from simclr_tf.training.assembly import build_recipe
from simclr_tf.training.workdir import write_atomically

LOG = logging.getLogger("simclr_tf")


def evaluate_and_report(path, *, is_run, chosen, output=None, batch_size=256,
                        command=None, say=print, **settings):
    """Probe an encoder, print the table, and write everything down.

    Args:
      path: path of a workdir, or of an encoder for `load_encoder`.
      is_run: bool, whether `path` is a workdir.
      chosen: dict with any of data, split, test_split, data_dir, image_size_pixels:
        what differs from the run's own.
      output: folder for the results; the workdir, or the folder of the encoder's
        name under `evaluations/`, if None.
      batch_size: int.
      command: str, for the record.
      say: function of a str.
      **settings: of simclr_tf.evaluation.evaluate_features.

    Returns:
      simclr_tf.evaluation.Results.

    Raises:
      SimCLRError: what the caller can put right.
    """
    path = pathlib.Path(path)
    config = Workdir(path).config() if is_run else _config_of_export(path, chosen)
    data = _labelled_data(config.data, chosen)
    encoder = load_encoder(path)
    train, test = (_open(data, split) for split in (data.split, data.test_split))
    before = None
    if is_run and config.encoder.kind == "resnet":
        before = untrained_encoder(Workdir(path))
    size = data.image_size_pixels
    train_batches, test_batches = (
        evaluation_batches(source, batch_size, size) for source in (train, test))
    results = compare(
        encoder, before, train_batches, test_batches, data=data.source,
        encoder_name=str(path), command=command,
        on_measured=lambda m: say(
            f"{m.representation:18}{m.protocol:18}{m.value:5.1f} %"), **settings)
    folder = _output_folder(path, is_run, output)
    write_results(folder / EVALUATION_FILE, results)
    table = results_markdown(results)
    write_atomically(folder / "evaluation.md", f"# Evaluation of {path}\n\n{table}\n")
    say(f"\n{table}\n")
    if isinstance(train, ArraySource) and isinstance(test, ArraySource):
        _draw(folder, config, encoder, (train, test), (train_batches, test_batches),
              say)
    say(f"Written to {folder}.")
    return results


def _config_of_export(path, chosen):
    """The run's config that an export carries, or one that the flags make up for."""
    file = path / "config.json"
    if file.is_file():
        try:
            return from_dict(json.loads(file.read_text("utf-8"))["config"]["config"])
        except (KeyError, TypeError, ValueError):
            LOG.info("%s names no run; taking data and size from the flags.", file)
    for name in ("data", "image_size_pixels"):
        if name not in chosen:
            raise ConfigError(
                f"{path} does not say what it was trained on: --{name} is required.")
    return Config()


def _labelled_data(data: DataConfig, chosen):
    names = {"data": "source"}
    return dataclasses.replace(
        data, **{names.get(name, name): value for name, value in chosen.items()})


def _open(data, split):
    source = open_source(data.source, split=split, data_dir=data.data_dir,
                         channels=data.channels,
                         max_corrupt_fraction=data.max_corrupt_fraction)
    if source.labels is None:
        raise DataError(
            f"{data.source} has no labels in its split '{split}': probes need a "
            "labelled set, e.g. --data=folder:PATH with one sub-folder a class.")
    return source


def _output_folder(path, is_run, output):
    folder = pathlib.Path(output) if output else (
        path if is_run else pathlib.Path("evaluations") / path.name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkdirError(f"Cannot write to {folder}: {error.strerror}.") from error
    return folder


def _draw(folder, config, encoder, sources, batches, say):
    """views.png and neighbours.png; without matplotlib a line that says so."""
    train, _ = sources
    try:
        picture_of_views(
            train, build_recipe(config.augment), folder / "views.png",
            image_size_pixels=config.data.image_size_pixels, seed=config.seed)
        pixels = [raw_pixels(b) for b in batches]
        features = [extract_features(encoder, b) for b in batches]
        picture_of_neighbours(
            *((source.read_images(ids), labels) for source, (_, labels, ids)
              in zip(sources, pixels, strict=True)),
            {THIS_ENCODER: [f for f, _, _ in features],
             RAW_PIXELS: [p for p, _, _ in pixels]},
            folder / "neighbours.png", class_names=train.classes, seed=config.seed)
    except ConfigError as error:  # matplotlib is an extra.
        say(f"No pictures: {error}")
