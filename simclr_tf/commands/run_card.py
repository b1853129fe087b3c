"""The facts of a model card, collected from a workdir."""

import dataclasses
import pathlib

from simclr_tf.commands.stripped_paths import strip_folders
from simclr_tf.config.image_size import size_text
from simclr_tf.config.pretrain import OBJECTIVES
from simclr_tf.config.schema import find_guest
from simclr_tf.data import licence_of
from simclr_tf.evaluation import (
    EVALUATION_FILE,
    FINETUNE_FILE,
    read_results,
    results_of_record,
)
from simclr_tf.models.encoders import family_of
from simclr_tf.report.result_sections import result_sections
from simclr_tf.training import CheckpointStore
from simclr_tf.training.records import read_metrics
from simclr_tf.training.warm_start import read_warm_start
from simclr_tf.training.workdir import CHECKPOINTS, METRICS_FILE

RESULT_FILES = (EVALUATION_FILE, FINETUNE_FILE)


def card_of_run(workdir, *, publish=False, step=None):
    """Make the card of a run's encoder, with every result measured so far.

    Args:
      workdir: simclr_tf.training.Workdir.
      publish: bool, leave out the folders of this machine: only the last name of an
        absolute path is kept.
      step: int, of the checkpoint whose encoder it describes; the newest if None.

    Returns:
      dict for `simclr_tf.export.card_markdown`. Its sections and results come from
      evaluation.json and finetune.json in the workdir, if they belong to this step.

    Raises:
      WorkdirError: not a workdir.
      DataError: a file of results that cannot be read.
    """
    hidden = strip_folders if publish else lambda value: value
    record, config = record_of_run(workdir, publish=publish), workdir.config()
    if step is None:
        checkpoint = CheckpointStore(workdir.path / CHECKPOINTS).latest()
        step = 0 if checkpoint is None else checkpoint.step
    card = {
        "summary": _summary(record, config, step),
        "image_size_pixels": config.data.image_size_pixels,
        "data": hidden(config.data.source),
        "command": record["command"],
    }
    if family_of(config.encoder).can_build:
        card["architecture"] = _network(config)
    licence = licence_of(config.data.source)
    if licence is not None:
        card["data_licence"] = licence
    if "conversion" not in record:
        card["method"] = _method(config)
        seconds = [
            r["seconds"]
            for r in read_metrics(workdir.path / METRICS_FILE)
            if "seconds" in r and r["step"] <= step
        ]
        card |= {"wall_seconds": round(sum(seconds), 1)} if seconds else {}
    notes = []
    started = read_warm_start(workdir.path)
    if started is not None:
        notes.append(
            f"Started from `{hidden(started['source'])}` ("
            f"{'; '.join(started['summary'])})."
        )
    measured = _measured(workdir, step, hidden)
    notes += measured.pop("notes")
    return {**card, **measured, **({"notes": notes} if notes else {})}


def fine_tuned_card(card, path, record=None):
    """Make the card of a fine-tuned encoder from the card of its run.

    Results of the pretrained encoder do not hold for it and are left out.

    Args:
      card: dict, see `card_of_run`.
      path: path of the fine-tuned network, for its last name.
      record: ClassifierRecord of that network: the size of its images, its precision.

    Returns:
      dict for `simclr_tf.export.card_markdown`.

    Example:
      >>> fine_tuned_card({"data": "mine", "results": [1]}, "run/classifiers/1_percent")
      {'data': 'mine', 'notes': ['Fine-tuned on labels afterwards (1_percent of \
finetune.md): encoder and logits are from that network, of the first seed.']}
    """
    measured = ("sections", "results")
    name = pathlib.Path(path).name
    if name.endswith(".keras"):
        name = pathlib.Path(path).resolve().parent.name
    note = (
        f"Fine-tuned on labels afterwards ({name} of finetune.md): encoder and "
        "logits are from that network, of the first seed"
        + ("." if record is None else f", trained in {record.precision}.")
    )
    size = None if record is None else record.image_size_pixels
    return {
        **{key: value for key, value in card.items() if key not in measured},
        **({} if size is None else {"image_size_pixels": size}),
        "notes": [*card.get("notes", ()), note],
    }


def names_of_probe(workdir, num_classes):
    """Return the names of the classes of a run's online probe; None if not known.

    Args:
      workdir: simclr_tf.training.Workdir.
      num_classes: int, logits of the probe.

    Returns:
      tuple of str, or None: config.json has the classes of the pretraining images,
      which a probe on another set (`--probe.data`) does not share.
    """
    names = workdir.read()["data"].get("classes")
    if workdir.config().probe.data or names is None or len(names) != num_classes:
        return None
    return tuple(map(str, names))


def record_of_run(workdir, *, publish=False):
    """Make the record of a workdir, for the config.json of an export.

    Args:
      workdir: simclr_tf.training.Workdir.
      publish: bool, leave out the folders of this machine; prepared data sets are then
        searched in the default folder of TensorFlow Datasets.

    Returns:
      dict, see `Workdir.read`.

    Raises:
      WorkdirError: not a workdir.
    """
    record = workdir.read()
    if not publish:
        return record
    record = strip_folders(record)
    if "data_dir" in record["config"].get("data", {}):
        record["config"]["data"]["data_dir"] = None
    return record


def _summary(record, config, step):
    network = _network(config)
    if "conversion" in record:
        source = record["conversion"]["source"]
        return (
            f"An encoder ({network}) converted from a {source['kind']} checkpoint, "
            f"`{source['path']}`, of step {step:,}. How it was trained is not in "
            "that file."
        )
    number = record["data"]["num_examples"]
    images = "a stream of" if number is None else f"{number:,}"
    size = size_text(config.data.image_size_pixels, " x ")
    return (
        f"{_method(config)} encoder ({network}), pretrained without labels on {images} "
        f"images of {size} pixels for {step:,} steps of "
        f"{config.global_batch_size} (seed {config.seed})."
    )


def _method(config):
    return find_guest(OBJECTIVES, config.objective.name).title


def _network(config):
    return family_of(config.encoder).describe(
        config.encoder, config.data.image_size_pixels
    )


def _measured(workdir, step, hidden):
    """Collect sections, results and notes of the files of results in a workdir."""
    parts = {"sections": [], "results": [], "notes": []}
    for name in RESULT_FILES:
        if not (workdir.path / name).is_file():
            continue
        results = read_results(workdir.path / name)
        if results.step != step:
            parts["notes"].append(
                f"{name} is of step {results.step}, not of step {step}: measure again "
                "to have its results here."
            )
            continue
        results = hidden(dataclasses.asdict(results))
        parts["results"].append(results)
        parts["sections"] += result_sections(results_of_record(results, name))
    return parts
