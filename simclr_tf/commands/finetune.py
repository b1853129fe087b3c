"""Fine-tuning from a path to files: numbers, table, plot, and the classifiers."""

import re
import time

from simclr_tf.commands.encoder_at import channels_of, config_of, output_folder
from simclr_tf.commands.labelled_data import labelled_data
from simclr_tf.distribution import is_chief, make_strategy
from simclr_tf.encoder_zoo import encoder_path
from simclr_tf.errors import ConfigError, require
from simclr_tf.evaluation import FINETUNE_FILE, Results, write_results
from simclr_tf.evaluation.finetune import ON_FEW_LABELS, FewLabels
from simclr_tf.evaluation.run_log import RunLog
from simclr_tf.export import plain_copy
from simclr_tf.files import whole_file, write_atomically
from simclr_tf.markdown import prose
from simclr_tf.report.result_figures import accuracy_against_labels
from simclr_tf.report.result_tables import finetune_markdown
from simclr_tf.training import (
    CheckpointStore,
    Workdir,
    load_encoder,
    load_projection_head,
)
from simclr_tf.training.keras_files import CLASSIFIER_FILE
from simclr_tf.training.workdir import CHECKPOINTS, versions

RUNS_FILE = "finetune_runs.jsonl"
CLASSIFIERS = "classifiers"


def finetune_and_report(
    path,
    budgets,
    *,
    config,
    chosen=None,
    encoder=None,
    output=None,
    epochs=None,
    methods=ON_FEW_LABELS,
    seeds=(0,),
    strategy="auto",
    replicas=None,
    command=None,
    options=None,
    say=print,
):
    """Fine-tune an encoder on few labels, beside from-scratch training and a probe.

    Writes finetune.json (the schema of every evaluation), finetune.md, finetune.png,
    and for each budget the network fine-tuned with the first seed,
    classifiers/BUDGET/classifier.keras. Each training that is done is kept in
    finetune_runs.jsonl: the same call goes on where it was interrupted, and further
    budgets, methods and seeds are added to what is there.

    Args:
      path: path of a workdir, or of an encoder for `load_encoder` (`zoo:NAME` too).
      budgets: list of LabelBudget.
      config: FineTuneConfig.
      chosen: dict with any of data, split, test_split, data_dir, image_size_pixels:
        what differs from the run's own.
      encoder: keras.Model, for a workdir whose encoder was handed in from Python.
      output: folder for the results; the workdir, or the folder of the encoder's name
        under `evaluations/`, if None.
      epochs: list of int, one a budget; as `config` says if None.
      methods: names of `simclr_tf.evaluation.finetune.METHODS`.
      seeds: ints.
      strategy, replicas: of `simclr_tf.distribution.make_strategy`.
      command: str, for the record.
      options: dict, JSON, for the record: what the verb was asked for.
      say: function of a str.

    Returns:
      simclr_tf.evaluation.Results.

    Raises:
      SimCLRError: what the caller can put right.
    """
    started = time.monotonic()
    strategy = make_strategy(strategy, replicas=replicas)
    require(
        is_chief(strategy),
        "Fine-tuning runs in one process: use --strategy=mirrored for several GPUs.",
        strategy="multi_worker",
    )
    typed, path, chosen = str(path), encoder_path(path), chosen or {}
    run_config, is_run = config_of(path, chosen)
    encoder = load_encoder(path, encoder=encoder)
    head = projection_head_at(path, is_run, encoder, config)
    train, test, data = labelled_data(
        run_config.data,
        chosen,
        channels=channels_of(encoder, path, is_run),
        may_hold_out=True,
    )
    folder = output_folder(path, is_run, output)
    protocol = FewLabels(
        encoder,
        train,
        test,
        config=config,
        projection_head=head,
        image_size_pixels=data.image_size_pixels,
        strategy=strategy,
    )
    log = RunLog(folder / RUNS_FILE, {"data": data.source, **protocol.identity()})
    measurements = protocol.measure(
        budgets,
        epochs=epochs,
        methods=methods,
        seeds=seeds,
        log=log,
        on_run=lambda run: say(
            f"{run.budget:>10}  {run.representation:24}seed {run.seed}  "
            f"{run.accuracy_percent:5.1f} %  {run.wall_seconds:.0f} s"
        ),
        on_network=lambda budget, network: _save_classifier(folder, budget, network),
    )
    results = Results(
        data.source,
        typed,
        measurements,
        command=command,
        options=options or {},
        versions=versions(),
        wall_seconds=round(time.monotonic() - started, 3),
        step=CheckpointStore(path / CHECKPOINTS).latest().step if is_run else None,
    )
    write_results(folder / FINETUNE_FILE, results)
    table = finetune_markdown(results)
    write_atomically(
        folder / "finetune.md", f"# Fine-tuning of {prose(typed)}\n\n{table}\n"
    )
    say(f"\n{table}\n")
    try:
        accuracy_against_labels(results).save(folder / "finetune.png")
    except ConfigError as error:  # matplotlib is an extra.
        say(f"No plot: {error}")
    return results


def projection_head_at(path, is_run, encoder, config):
    """The projection head that a FineTuneConfig needs, or None.

    Raises:
      ConfigError: it needs one, and the path is not a workdir.
    """
    if config.head_layer == 0:
        return None
    require(
        is_run,
        "The projection head is only in the workdir of a run: use "
        "--workdir, or --head_layer=0.",
        head_layer=config.head_layer,
    )
    return load_projection_head(Workdir(path), encoder)


def _save_classifier(folder, budget, network):
    """Keep a fine-tuned network as a Keras file; it is whole or not there."""
    name = re.sub(r"[^\w.]+", "_", budget.title().replace("%", "percent")).strip("_")
    path = folder / CLASSIFIERS / name / CLASSIFIER_FILE
    with whole_file(path, make_folder=True) as temporary:
        plain_copy(network).save(temporary)
