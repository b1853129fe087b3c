"""An objective with every kind of state at once: the toy guest of the tests."""

from dataclasses import dataclass

import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.augment import ViewGroup
from simclr_tf.config.schema import GuestOptions, option
from simclr_tf.distribution import (
    assign_on_replicas,
    gather_across_replicas,
    sum_message,
)
from simclr_tf.models import AveragedNetwork
from simclr_tf.objectives import Figure, Memory, Objective
from simclr_tf.objectives.queue import averaged_messages


@dataclass(frozen=True)
class ToyOptions(GuestOptions):
    """Options of the toy."""

    name: str = option("toy", "Name of the objective.")
    queue_length: int = option(12, "Keys kept in the queue.")
    frozen_steps: int = option(2, "Steps in which the prototypes stay.")
    decay: float = option(0.5, "Of the averaged networks.")
    small_views: int = option(6, "Views of half the size, beside two full ones.")
    one_view: bool = option(False, "One view alone.")


class Toy(Objective):
    """A queue, a bank by example, prototypes, a predictor, averaged networks."""

    Options = ToyOptions
    title = "toy"
    figures = (
        Figure("toy_loss", "toy loss", better="lower", short="toy"),
        Figure("toy_queue_similarity", "similarity to the queue"),
    )

    @property
    def view_groups(self):
        if self.options.one_view:
            return (ViewGroup(1),)
        small = self.options.small_views
        return (ViewGroup(2), ViewGroup(small, 0.5, (0.05, 0.3)))[: 2 if small else 1]

    def create_variables(self, setting):
        width = setting.num_projections
        self.predictor = keras.layers.Dense(
            width, kernel_initializer=keras.initializers.GlorotUniform(setting.seed)
        )
        self.predictor.build([None, width])
        self.target_encoder = AveragedNetwork(setting.encoder, name="target_encoder")
        self.target_head = AveragedNetwork(setting.projection_head, name="target_head")
        unit = keras.initializers.RandomNormal(seed=setting.seed + 1)
        self.queue = self._state("queue", [self.options.queue_length, width], unit)
        self.bank = self._state("bank", [setting.known("num_examples"), width], unit)
        self.prototypes = self.add_weight(
            name="prototypes", shape=[4, width], initializer=unit
        )

    def _state(self, name, shape, initializer):
        return self.add_weight(
            name=name, shape=shape, initializer=initializer, trainable=False
        )

    def weights_loaded(self):
        self.target_encoder.follow(self.setting.encoder)
        self.target_head.follow(self.setting.projection_head)

    def targets(self, views, training):
        full = tf.concat(views[:2], axis=0)
        keys = self.target_head(self.target_encoder(full, training), training)
        return tuple(tf.split(keys, len(views[:2])))

    def loss(self, outputs):
        z = tf.math.l2_normalize(tf.stack(outputs.projections, axis=1), axis=2)
        keys = tf.math.l2_normalize(outputs.targets[-1], axis=1)
        predicted = tf.math.l2_normalize(self.predictor(outputs.projections[0]), axis=1)
        own = tf.gather(self.bank, outputs.ids)
        everyone = gather_across_replicas(z[:, 0])
        in_queue = tf.einsum("nvd,kd->nv", z, tf.convert_to_tensor(self.queue))
        in_batch = tf.reduce_mean(z[:, 0] @ tf.transpose(everyone), axis=1)
        to_prototypes = tf.einsum(
            "nvd,kd->nvk", z, tf.convert_to_tensor(self.prototypes)
        )
        loss = (
            -tf.reduce_sum(predicted * keys, axis=1)
            - tf.reduce_sum(z[:, 0] * own, axis=1)
            + in_batch
            + tf.reduce_mean(in_queue, axis=1)
            - tf.reduce_mean(tf.reduce_logsumexp(to_prototypes, axis=2), axis=1)
        )
        return loss, {
            "toy_loss": loss,
            "toy_queue_similarity": tf.reduce_mean(in_queue, axis=1),
        }

    def frozen(self, step):
        return [([self.prototypes], step < self.options.frozen_steps)]

    def after_update(self, outputs):
        keys = gather_across_replicas(outputs.targets[0])
        ids = gather_across_replicas(outputs.ids)
        queue = tf.concat([keys, self.queue], axis=0)[: self.options.queue_length]
        rows = 0.5 * tf.gather(self.bank, ids) + 0.5 * keys
        bank = tf.tensor_scatter_nd_update(self.bank, ids[:, tf.newaxis], rows)
        prototypes = tf.math.l2_normalize(self.prototypes, axis=1)
        assign_on_replicas(
            [self.queue, self.bank, self.prototypes], [queue, bank, prototypes]
        )
        self.target_encoder.average(self.setting.encoder, self.options.decay)
        self.target_head.average(self.setting.projection_head, self.options.decay)

    def diagnose(self, figures, global_batch_size):
        if figures.get("toy_loss", 0.0) > -100.0:
            yield "toy", f"The toy has learned nothing at batch {global_batch_size}."

    def memory(self, global_batch_size, replicas=1):
        return Memory(4 * 1024, "keys in the queue")

    def messages(self, global_batch_size, replicas, norm_channels):
        rows = [global_batch_size, self.setting.num_projections]
        return [
            *averaged_messages(norm_channels, replicas),
            *2 * [sum_message("projections", rows)],  # There and back.
            sum_message("state", rows),
            sum_message("state", [global_batch_size], 8),  # Ids, int64.
        ]
