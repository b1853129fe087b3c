"""Building of networks, objective and optimizer from a config."""

import contextlib

import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.config.image_size import as_size
from simclr_tf.models import ProjectionHead, family_of, fitting_encoder
from simclr_tf.models.precision_copy import POLICIES
from simclr_tf.objectives import objective_of
from simclr_tf.optim import (
    WarmupCosine,
    apply_exclusions,
    make_optimizer,
    scaled_learning_rate,
    wrap_optimizer,
)
from simclr_tf.training.precision import fitting_precision
from simclr_tf.training.pretraining_model import PretrainingModel
from simclr_tf.training.replicated_encoder import replicated_encoder

_NO_SMALL_VIEWS = (
    "Leave the small views out (--objective.small_views=0), or change the encoder."
)


@contextlib.contextmanager
def precision_policy(precision):
    """Build layers under a precision; restore the user's global policy afterwards."""
    if (
        precision == "auto"
    ):  # A run has chosen already; a model without a run chooses here.
        precision = fitting_precision(tf.distribute.get_strategy()).name
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(POLICIES[precision])
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def build_encoder(config, channels, *, synchronized=False):
    """Build the untrained encoder of a config; the same weights for the same seed."""
    options = config.encoder
    with precision_policy(config.precision):
        return family_of(options).build(
            options,
            image_shape=config.data.image_shape(channels),
            synchronized=synchronized,
            seed=config.seed,
        )


def build_projection_head(config, *, synchronized=False):
    """Build the projection head of a config."""
    options = config.projection_head
    with precision_policy(config.precision):
        return ProjectionHead(
            num_layers=options.num_layers,
            hidden_features=options.hidden_features,
            out_features=options.out_features,
            kind=options.kind,
            batch_norm=options.batch_norm,
            final_batch_norm=options.final_batch_norm,
            synchronized=synchronized,
            batch_norm_momentum=config.encoder.batch_norm_momentum,
            batch_norm_epsilon=config.encoder.batch_norm_epsilon,
            seed=config.seed + 1,
        )


def build_recipe(options):
    """Build the recipe of an AugmentConfig: the named one with its changes."""
    return options.build()


def build_model(
    config, image_shape, *, num_classes=None, encoder=None, synchronized=False, **known
):
    """Build an untrained model with all its variables.

    Args:
      config: Config.
      image_shape: (H, W, C) of a view.
      num_classes: int, classes of the online probe, or None.
      encoder: keras.Model, the user's own, or None for the config's. On several
        replicas the model trains a copy of it.
      synchronized: bool, batch norm over all replicas.
      **known: fields of `simclr_tf.objectives.Setting` that an objective may need:
        num_examples, is_stream, total_steps, epoch_steps.

    Returns:
      PretrainingModel, built.
    """
    if encoder is None:
        encoder = build_encoder(config, image_shape[-1], synchronized=synchronized)
    else:
        if not isinstance(encoder, keras.Model):  # Of Keras 3, or refused.
            encoder = fitting_encoder(encoder, image_shape)
        encoder = fitting_encoder(replicated_encoder(encoder), image_shape)
    model = PretrainingModel(
        encoder=encoder,
        projection_head=build_projection_head(config, synchronized=synchronized),
        objective=objective_of(config.objective),
        recipe=build_recipe(config.augment),
        image_size_pixels=config.data.image_size_pixels,
        num_classes=num_classes if config.probe.online else None,
        compile_views=config.compile_views,
        on_nonfinite=config.on_nonfinite,
        micro_batch_size=config.micro_batch_size,
        micro_batch_norm=config.micro_batch_norm,
    )
    if not family_of(config.encoder).can_build:
        for size in {view.size for view in model.views_of.plan.views}:
            if size != model.views_of.plan.views[0].size:  # Small views.
                fitting_encoder(
                    encoder, (*as_size(size), image_shape[-1]), _NO_SMALL_VIEWS
                )
    with precision_policy(config.precision):
        model.build_from_shape(
            image_shape,
            global_batch_size=config.global_batch_size,
            synchronized=synchronized,
            seed=config.seed,
            **known,
        )
    return model


def build_optimizer(config, model, *, warmup_steps, total_steps):
    """Build the optimizer with its schedule; exclude variables from weight decay."""
    options = config.optimizer
    peak = scaled_learning_rate(
        options.base_learning_rate, config.global_batch_size, options.scaling
    )
    schedule = WarmupCosine(peak, warmup_steps, total_steps)
    optimizer = make_optimizer(
        options.name,
        schedule,
        weight_decay=options.weight_decay,
        momentum=options.momentum,
        nesterov=options.nesterov,
        trust_coefficient=options.trust_coefficient,
        classic_momentum=options.classic_momentum,
    )
    if options.wrapper != "none":
        optimizer = wrap_optimizer(
            options.wrapper,
            optimizer,
            lookahead_period_steps=options.lookahead_period_steps,
            lookahead_step_size=options.lookahead_step_size,
            swa_start_step=int(options.swa_start_fraction * total_steps),
            swa_period_steps=options.swa_period_steps,
            average_decay=options.average_decay,
        )
    apply_exclusions(optimizer, model, probe=model.probe)
    optimizer.build(model.trainable_variables)
    return optimizer
