"""The facts of a model card, collected from a workdir."""

import dataclasses
import os
import pathlib

from simclr_tf.commands.finetune import CLASSIFIERS
from simclr_tf.commands.stripped_paths import strip_folders
from simclr_tf.config.image_size import size_text
from simclr_tf.config.schema import find_guest
from simclr_tf.config.shared_choices import OBJECTIVES
from simclr_tf.data import licence_of
from simclr_tf.errors import require
from simclr_tf.evaluation import (
    DISTILL_FILE,
    EVALUATION_FILE,
    FINETUNE_FILE,
    read_results,
    results_of_record,
)
from simclr_tf.models.encoders import family_of
from simclr_tf.report.result_sections import result_sections
from simclr_tf.training import CheckpointStore
from simclr_tf.training.keras_files import STUDENT_FILE, SUFFIXES, classifier_file
from simclr_tf.training.records import read_metrics
from simclr_tf.training.warm_start import read_warm_start
from simclr_tf.training.workdir import CHECKPOINTS, CONFIG_FILE, METRICS_FILE

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
        card |= {"devices": record["devices"]} if "devices" in record else {}
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


def fine_tuning_of(workdir, path):
    """Find the fine-tuning of a run that made a classifier, or the teacher of one.

    Args:
      workdir: simclr_tf.training.Workdir, the run.
      path: path of the classifier, as for `load_classifier`.

    Returns:
      Results of the finetune.json above it; None for a file that was put elsewhere.

    Raises:
      ConfigError: the classifier is of another encoder than that of the run.
      DataError: no such classifier, or damaged results.
    """
    file = classifier_file(path).resolve()
    if (file.parent / DISTILL_FILE).is_file():
        teacher = _expanded(read_results(file.parent / DISTILL_FILE).encoder)
        if not teacher.exists():
            return None
        file = classifier_file(teacher).resolve()
    if file.parent.parent.name != CLASSIFIERS:
        return None
    folder = file.parent.parent.parent
    results = folder / FINETUNE_FILE
    found = read_results(results) if results.is_file() else None
    source = folder
    if not (folder / CONFIG_FILE).is_file() and found is not None:
        source = found.options.get("workdir") or found.encoder
    _require_same_run(workdir, source, path)
    return found


def _require_same_run(workdir, source, classifier):
    """Refuse a classifier whose encoder, at the path `source`, is not of the run."""
    source, run = _expanded(source), workdir.path.resolve()
    # A run may have been moved, or named from another folder.
    same = source.resolve() == run if source.exists() else source.name == run.name
    way_out = "export it in Python, with simclr_tf.export.export_saved_model"
    if (source / CONFIG_FILE).is_file():
        way_out = f"give --workdir={source}"
    require(
        same,
        f"--classifier was fine-tuned from {source}, not from the run in --workdir: "
        f"{way_out}.",
        workdir=str(workdir.path),
        classifier=str(classifier),
    )


def _expanded(path):
    # pathlib's own way raises for the home of a user who is not on this machine.
    return pathlib.Path(os.path.expanduser(str(path)))


def fine_tuned_card(card, path, record, data=None):
    """Make the card of a fine-tuned encoder from the card of its run.

    Results of the pretrained encoder do not hold for it and are left out.

    Args:
      card: dict, see `card_of_run`.
      path: path of the fine-tuned network, for its last names.
      record: ClassifierRecord of that network: the size of its images, its precision.
      data: str, the labelled images; None if not known.

    Returns:
      dict for `simclr_tf.export.card_markdown`.

    Example:
      >>> from simclr_tf.training.classifier_records import ClassifierRecord
      >>> card = {"data": "mine", "results": [1]}
      >>> fine_tuned_card(card, "run/classifiers/1_percent", ClassifierRecord())
      {'data': 'mine', 'notes': ['Fine-tuned on labels afterwards (1_percent): encoder \
and logits are from that network, of the first seed, trained in float32.']}
    """
    path = pathlib.Path(path).expanduser()
    folder = path.resolve().parent if path.suffix in SUFFIXES else path
    is_distilled = (folder / DISTILL_FILE).is_file()
    what = "Fine-tuned on labels afterwards"
    if path.name == STUDENT_FILE or (folder / STUDENT_FILE).is_file():
        what = "A student of the network that was fine-tuned on labels afterwards"
    labels = "" if data is None else f", labels of `{data}`"
    seed = "" if is_distilled else ", of the first seed"
    note = (
        f"{what} ({folder.name}{labels}): encoder and logits are from that "
        f"network{seed}, trained in {record.precision}."
    )
    card = {key: card[key] for key in card if key not in ("sections", "results")}
    if is_distilled:  # Its network may be another one.
        card.pop("architecture", None)
        card["summary"] = f"A student, of a network that began as: {card['summary']}"
    if record.image_size_pixels is not None:
        card["image_size_pixels"] = record.image_size_pixels
    return {**card, "notes": [*card.get("notes", ()), note]}


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
    objective = find_guest(OBJECTIVES, config.objective.name)
    labels = "with" if objective.learns_from_labels else "without"
    size = size_text(config.data.image_size_pixels, " x ")
    return (
        f"{objective.title} encoder ({network}), pretrained {labels} labels on "
        f"{images} images of {size} pixels for {step:,} steps of "
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
