"""The model card's facts, gathered from a workdir."""

from simclr_tf.data import LICENCES
from simclr_tf.evaluation import EVALUATION_FILE, read_results
from simclr_tf.reports.tables import card_metrics
from simclr_tf.training import CheckpointStore
from simclr_tf.training.warm_start import read_warm_start
from simclr_tf.training.workdir import CHECKPOINTS


def card_of_run(workdir):
    """The card of a run's encoder, with the metrics of its last evaluation.

    Args:
      workdir: simclr_tf.training.Workdir.

    Returns:
      dict for `simclr_tf.export.card_markdown`.

    Raises:
      WorkdirError: not a workdir.
      DataError: an evaluation.json that cannot be read.
    """
    record, config = workdir.read(), workdir.config()
    data = record["data"]
    checkpoint = CheckpointStore(workdir.path / CHECKPOINTS).latest()
    step = 0 if checkpoint is None else checkpoint.step
    number = data["num_examples"]
    images = "a stream of" if number is None else f"{number:,}"
    card = {
        "summary": f"SimCLR encoder ({_network(config.encoder)}), pretrained without "
        f"labels on {images} images of {config.data.image_size_pixels} pixels for "
        f"{step:,} steps of {config.global_batch_size} (seed {config.seed}).",
        "data": config.data.source,
        "command": record["command"],
    }
    if config.data.source in LICENCES:
        card["data_licence"] = LICENCES[config.data.source]
    started = read_warm_start(workdir.path)
    if started is not None:
        card["notes"] = [f"Started from `{started['source']}` ("
                         f"{'; '.join(started['summary'])})."]
    if "conversion" in record:
        card["summary"] = _conversion(record, config, step)
    evaluation = workdir.path / EVALUATION_FILE
    if evaluation.is_file():
        measured = _measured(read_results(evaluation), step)
        card |= {**measured, "notes": card.get("notes", []) + measured["notes"]}
    return card


def _conversion(record, config, step):
    source = record["conversion"]["source"]
    return (f"An encoder ({_network(config.encoder)}) converted from a "
            f"{source['kind']} checkpoint, `{source['path']}`, of step {step:,}. How "
            "it was trained is not in that file.")


def _network(options):
    if options.kind != "resnet":
        return "a user's own encoder"
    return (f"ResNet-{options.depth}, width {options.width_multiplier:g}x, stem "
            f"`{options.stem}`")


def _measured(results, step):
    """The card's metrics, unless they are of another checkpoint."""
    if results.step != step:
        return {"notes": [f"The last evaluation is of step {results.step}, not of step "
                          f"{step}: evaluate again for metrics."]}
    return {"metrics": card_metrics(results),
            "notes": [f"Metrics measured by `{results.command}`."]}
