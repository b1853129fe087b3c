"""The work of a cell: its trainings and measurements.

A value is a number with a name. All accuracies are in percent on the test images; the
linear probe is that of `simclr-tf evaluate`. The value `NAME_held_out` chose its
penalty, and also chooses among the cells of a grid.
"""

import dataclasses
import functools
import gc

import numpy as np

from simclr_tf.commands.labelled_data import labelled_data
from simclr_tf.config.finetune import FineTuneConfig
from simclr_tf.data import LabelBudget, evaluation_batches, plain_errors
from simclr_tf.distribution import make_strategy
from simclr_tf.errors import DataError, unknown_choice
from simclr_tf.evaluation import (
    EvaluateConfig,
    evaluate_features,
    extract_features,
    raw_pixels,
)
from simclr_tf.evaluation.few_labels import METHODS, FewLabels
from simclr_tf.models import classifier_network, count_parameters
from simclr_tf.objectives import REPRESENTATION_FIGURES
from simclr_tf.studies.transforms import transform_accuracies_percent
from simclr_tf.training import (
    load_encoder,
    load_projection_head,
    pretrain_from_config,
)
from simclr_tf.training.assembly import build_encoder, build_recipe
from simclr_tf.training.classifier_training import ClassifierTraining
from simclr_tf.training.precision import choose_precision
from simclr_tf.training.workdir import Workdir

_BATCH = 256


def run_cell(
    run,
    folder,
    *,
    command="simclr_tf.studies",
    say=lambda line: None,
    stream=None,
):
    """Train and measure a run.

    Args:
      run: Run.
      folder: path, the workdir of the run; an interrupted pretraining continues.
      command: str, the study's command line.
      say: function that prints a line (str) of the report of a pretraining.
      stream: text file for the progress of a pretraining; stderr if None.

    Returns:
      dict of str to float, the values.

    Raises:
      SimCLRError: invalid options or data, or a training that diverged.
    """
    if run.cell.work not in WORKS:
        raise unknown_choice("work", run.cell.work, WORKS)
    gc.collect()  # Frees the networks of the previous cell.
    pretrain = functools.partial(
        pretrain_from_config,
        run.config,
        workdir=folder,
        say=say,
        command=command,
        stream=stream,
    )
    with plain_errors():
        values = WORKS[run.cell.work](run, folder, pretrain)
    return {name: round(float(value), 4) for name, value in values.items()}


def labelled_sources(config, channels=None):
    """Open the labelled images of a config: (train, test), by split or held out.

    Raises:
      DataError: the images have no labels, or no test split.
    """
    train, test, _ = labelled_data(
        config.data,
        {},
        channels=channels or config.data.channels,
    )
    return train, test


def _pretrain(run, folder, pretrain):
    """Pretrain, and probe the features h (and, if chosen, the projections z)."""
    encoder, values = _pretrained(folder, pretrain)
    sets = _features(run.config, encoder)
    values.update(_probed(sets, "", ("knn", "linear"), run.seed))
    if run.cell.settings.get("probe_projections"):
        head = load_projection_head(Workdir(folder), encoder)
        projected = [(head(features).numpy(), labels) for features, labels in sets]
        values.update(_probed(projected, "_projections", ("linear",), run.seed))
    return values


def _baselines(run, folder, pretrain):
    """Probe what every encoder must surpass: raw pixels and the untrained encoder."""
    plain = dataclasses.replace(run.config, precision="float32")
    sources = labelled_sources(plain)
    encoder = build_encoder(plain, sources[0].channels)
    pixels = [raw_pixels(_batches(plain, source))[:2] for source in sources]
    return {
        **_probed(pixels, "_raw_pixels", ("knn", "linear"), run.seed),
        **_probed(_features(plain, encoder), "_untrained", ("knn", "linear"), run.seed),
    }


def _supervised(run, folder, pretrain):
    """Train with labels from scratch, on views of the recipe of the pretraining."""
    config = dataclasses.replace(run.config, precision="float32")
    train, test = labelled_sources(config)
    train = train.subset(np.flatnonzero(train.labels >= 0))
    encoder = build_encoder(config, train.channels)
    strategy = strategy_of(config)
    precision = choose_precision(run.config.precision, strategy).name
    with strategy.scope():
        network = classifier_network(
            encoder,
            max(train.num_classes, test.num_classes),
            synchronized=strategy.num_replicas_in_sync > 1,
        )
    training = ClassifierTraining(
        network,
        dataclasses.replace(supervised_config(config), precision=precision),
        num_examples=train.num_examples,
        epochs=config.epochs,
        image_size_pixels=config.data.image_size_pixels,
        strategy=strategy,
        recipe=build_recipe(config.augment),
    )
    history = training.run(network.get_weights(), train, seed=run.seed)
    logits, labels, _ = extract_features(training.network, _batches(config, test))
    correct = (logits.argmax(axis=1) == labels)[labels >= 0]
    return {
        "supervised": 100 * correct.mean(),
        "training_accuracy": 100 * history["accuracy"][-1],
        "training_loss": history["loss"][-1],
        "parameters": count_parameters(encoder)[0],
    }


def _few_labels(run, folder, pretrain):
    """Fine-tune, probe, or train from scratch on fractions of the labels."""
    config, settings = run.config, run.cell.settings
    if settings["pretrain"]:
        encoder, values = _pretrained(folder, pretrain)
    else:
        train, _ = labelled_sources(config)
        plain = dataclasses.replace(config, precision="float32")
        encoder, values = build_encoder(plain, train.channels), {}
    train, test = labelled_sources(config, encoder.input_shape[-1])
    # Training from scratch needs a higher learning rate and a smaller batch.
    training = FineTuneConfig() if settings["pretrain"] else supervised_config(config)
    training = dataclasses.replace(training, precision=config.precision)
    few = FewLabels(
        encoder,
        train,
        test,
        config=training,
        strategy=strategy_of(config),
        image_size_pixels=config.data.image_size_pixels,
    )
    budgets = {
        LabelBudget(fraction=fraction).title(): fraction
        for fraction in settings["fractions"]
    }
    found = few.measure(
        [LabelBudget(fraction=fraction) for fraction in settings["fractions"]],
        epochs=list(settings["epochs"]),
        methods=settings["methods"],
        seeds=(run.seed,),
    )
    names = {title: method for method, title in METHODS.items()}
    values.update(
        {
            f"{names[m.representation]}_{budgets[m.settings['budget']]:g}": m.value
            for m in found
        }
    )
    return values


def _transforms(run, folder, pretrain):
    """Pretrain, and test whether h and z show which transform a view had."""
    encoder, values = _pretrained(folder, pretrain)
    head = load_projection_head(Workdir(folder), encoder)
    train, test = labelled_sources(run.config, encoder.input_shape[-1])
    percents = transform_accuracies_percent(
        encoder,
        head,
        train,
        test,
        recipe=build_recipe(run.config.augment),
        transform=run.cell.settings["transform"],
        seed=run.seed,
        image_size_pixels=run.config.data.image_size_pixels,
    )
    return {
        **values,
        **{f"transform_{name}": value for name, value in percents.items()},
    }


WORKS = {
    "pretrain": _pretrain,
    "baselines": _baselines,
    "supervised": _supervised,
    "few_labels": _few_labels,
    "transforms": _transforms,
}


def supervised_config(config):
    """Choose the options of a supervised training that is compared with pretraining.

    They are the options of the pretraining; instead of LARS, SGD with Nesterov
    momentum, learning rate 0.1 at batch 256 and weight decay 1e-4, as the authors did
    (issue 10 of their repository).

    Args:
      config: Config.

    Returns:
      FineTuneConfig.
    """
    options = config.optimizer
    if options.name == "lars":
        return FineTuneConfig(
            batch_size=config.global_batch_size,
            optimizer="sgd",
            base_learning_rate=0.1,
            weight_decay=1e-4,
        )
    return FineTuneConfig(
        batch_size=config.global_batch_size,
        optimizer=options.name,
        base_learning_rate=options.base_learning_rate,
        scaling=options.scaling,
        weight_decay=options.weight_decay,
        momentum=options.momentum,
        warmup_fraction=min(0.5, options.warmup_epochs / config.epochs),
    )


def _pretrained(folder, pretrain):
    """Pretrain; return (the saved encoder, values of its training)."""
    result = pretrain()
    objective = result.model.objective
    values = {
        "online_probe" if figure.name == "probe_accuracy" else figure.name: (
            100 if figure.unit == "fraction" else 1
        )
        * result.metrics[figure.name]
        for figure in (*objective.figures, *REPRESENTATION_FIGURES)
        if figure.name in result.metrics
    }
    encoder = load_encoder(folder)
    values["parameters"] = count_parameters(encoder)[0]
    return encoder, values


def _features(config, encoder):
    """Embed the training and the test images: [(features, labels)] of both."""
    found = []
    for source in labelled_sources(config, encoder.input_shape[-1]):
        features, labels, _ = extract_features(encoder, _batches(config, source))
        if labels is None:
            raise DataError(f"{source.name} has no labels, and probes need them.")
        found.append((features, labels))
    return found


def _probed(sets, suffix, protocols, seed):
    values = {}
    config = EvaluateConfig(protocols=protocols, seed=seed)
    for m in evaluate_features("cell", *sets, config):
        name = {"weighted_knn": "knn", "linear_probe": "linear"}[m.protocol] + suffix
        values[name] = m.value
        if m.protocol == "linear_probe":
            values[f"{name}_held_out"] = next(
                entry["held_out_accuracy_percent"]
                for entry in m.settings["l2_sweep"]
                if entry["l2"] == m.settings["l2"]
            )
    return values


def _batches(config, source):
    return evaluation_batches(source, _BATCH, config.data.image_size_pixels)


def strategy_of(config):
    """Make the tf.distribute.Strategy of a Config."""
    return make_strategy(
        config.strategy,
        replicas=config.replicas,
        tpu=config.tpu,
        cluster=config.cluster,
        collective_timeout_seconds=config.collective_timeout_seconds,
    )
