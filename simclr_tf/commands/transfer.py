"""One encoder on several labelled sets: linear, fine-tuned, and from random weights."""

import dataclasses
import re
import time

from simclr_tf.commands.encoder_at import channels_of, config_of, output_folder
from simclr_tf.commands.finetune import projection_head_at
from simclr_tf.commands.labelled_data import labelled_data
from simclr_tf.data import LabelBudget
from simclr_tf.distribution import is_chief, make_strategy
from simclr_tf.encoder_zoo import encoder_path
from simclr_tf.errors import DataError, require
from simclr_tf.evaluation import TRANSFER_FILE, Results, write_results
from simclr_tf.evaluation.finetune import FewLabels
from simclr_tf.evaluation.run_log import RunLog
from simclr_tf.files import write_atomically
from simclr_tf.markdown import prose
from simclr_tf.report.result_tables import transfer_markdown
from simclr_tf.training import CheckpointStore, load_encoder
from simclr_tf.training.workdir import CHECKPOINTS, versions

ON_TRANSFER = ("linear", "linear_untrained", "fine_tune", "scratch")


def transfer_and_report(
    path,
    datasets,
    *,
    config,
    chosen=None,
    encoder=None,
    output=None,
    budget=None,
    methods=ON_TRANSFER,
    seeds=(0,),
    strategy="auto",
    replicas=None,
    command=None,
    options=None,
    say=print,
):
    """Measure an encoder on several labelled sets, random weights beside it.

    On each set: a linear probe of the frozen encoder and of an untrained one, the
    encoder fine-tuned, and the same network trained from scratch. Writes transfer.json
    (the schema of every evaluation), transfer.md, and transfer_runs/SET.jsonl, from
    which the same call goes on where it was interrupted.

    Args:
      path: path of a workdir, or of an encoder for `load_encoder` (`zoo:NAME` too).
      datasets: list of str in the grammar of `--data`, each with labels. Without a test
        split a fifth of the images is held out and said so.
      config: FineTuneConfig.
      chosen: dict with any of split, test_split, data_dir, image_size_pixels; the
        splits are "train" and "test" by default, the size is the run's.
      encoder: keras.Model, for a workdir whose encoder was handed in from Python.
      output: folder; the workdir, or the folder of the encoder's name under
        `evaluations/`, if None.
      budget: LabelBudget; all labels if None.
      methods: names of `simclr_tf.evaluation.finetune.METHODS`.
      seeds: ints.
      strategy, replicas: of `simclr_tf.distribution.make_strategy`.
      command: str, for the record.
      options: dict, JSON, for the record: what the verb was asked for.
      say: function of a str.

    Returns:
      simclr_tf.evaluation.Results.

    Raises:
      SimCLRError: what the caller can put right; no set is left out silently.

    Source: arXiv 2002.05709, section 4.2 "transfer", Table 8 and section B.8.
    """
    started = time.monotonic()
    strategy = make_strategy(strategy, replicas=replicas)
    require(
        is_chief(strategy),
        "Transfer runs in one process: use --strategy=mirrored for several GPUs.",
        strategy="multi_worker",
    )
    typed, path = str(path), encoder_path(path)
    chosen = {"split": "train", "test_split": None, **(chosen or {})}
    run_config, is_run = config_of(path, {**chosen, "data": datasets[0]})
    encoder = load_encoder(path, encoder=encoder)
    head = projection_head_at(path, is_run, encoder, config)
    # All sets are opened before the first training: a typo costs no hours.
    opened = [
        _opened(name, run_config.data, chosen, channels_of(encoder, path, is_run))
        for name in datasets
    ]
    folder = output_folder(path, is_run, output)
    measurements = []
    for name, train, test, data in opened:
        protocol = FewLabels(
            encoder,
            train,
            test,
            config=config,
            projection_head=head,
            image_size_pixels=data.image_size_pixels,
            strategy=strategy,
        )
        log = RunLog(
            folder / "transfer_runs" / f"{_file_name(name)}.jsonl",
            {"data": name, **protocol.identity()},
        )
        found = protocol.measure(
            [budget or LabelBudget(fraction=1.0)],
            methods=methods,
            seeds=seeds,
            log=log,
            on_run=lambda run, name=name: say(
                f"{name:28}  {run.representation:24}  seed {run.seed}  "
                f"{run.accuracy_percent:5.1f} %  {run.wall_seconds:.0f} s"
            ),
        )
        measurements += [
            dataclasses.replace(m, settings={**m.settings, "data": name}) for m in found
        ]
    results = Results(
        ", ".join(datasets),
        typed,
        tuple(measurements),
        command=command,
        options=options or {},
        versions=versions(),
        wall_seconds=round(time.monotonic() - started, 3),
        step=CheckpointStore(path / CHECKPOINTS).latest().step if is_run else None,
    )
    write_results(folder / TRANSFER_FILE, results)
    table = transfer_markdown(results)
    write_atomically(
        folder / "transfer.md", f"# Transfer of {prose(typed)}\n\n{table}\n"
    )
    say(f"\n{table}\n")
    return results


def _opened(name, options, chosen, channels):
    """(name, training images, test images, DataConfig) of one set."""
    given = {key: value for key, value in chosen.items() if value is not None}
    options = dataclasses.replace(options, split="train", test_split="test")
    try:
        train, test, data = labelled_data(
            options, {**given, "data": name}, channels=channels, may_hold_out=True
        )
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    return name, train, test, data


def _file_name(name):
    return re.sub(r"[^\w.-]+", "_", name).strip("_")
