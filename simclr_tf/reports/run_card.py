"""The model card's facts, gathered from a workdir."""

from simclr_tf.data import LICENCES
from simclr_tf.evaluation import EVALUATION_FILE, read_results
from simclr_tf.reports.tables import card_metrics


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
    options, data = config.encoder, record["data"]
    network = "a user's own encoder"
    if options.kind == "resnet":
        network = (f"ResNet-{options.depth}, width {options.width_multiplier:g}x, stem "
                   f"`{options.stem}`")
    length = (f"{config.steps:,} steps" if config.steps is not None
              else f"{config.epochs} epochs")
    card = {
        "summary": f"SimCLR encoder ({network}), pretrained without labels on "
        f"{data['num_examples']:,} images of {config.data.image_size_pixels} pixels "
        f"for {length} (seed {config.seed}).",
        "data": config.data.source,
        "command": record["command"],
    }
    if config.data.source in LICENCES:
        card["data_licence"] = LICENCES[config.data.source]
    evaluation = workdir.path / EVALUATION_FILE
    if evaluation.is_file():
        results = read_results(evaluation)
        card["metrics"] = card_metrics(results)
        if results.command:
            card["notes"] = [f"Metrics measured by `{results.command.strip()}`."]
    return card
