"""NNCLR: a view predicts the nearest neighbour of the other view in a queue."""

import math
from dataclasses import dataclass

from simclr_tf.config.schema import (
    GuestOptions,
    option,
    require_at_least_one,
    require_positive,
)
from simclr_tf.lazy import module, tf
from simclr_tf.objectives.moco import figures_of_directions
from simclr_tf.objectives.nt_xent import diagnose_stuck_loss
from simclr_tf.objectives.objective import (
    CONTRASTIVE_FIGURES,
    Figure,
    Memory,
    Objective,
)
from simclr_tf.objectives.queue import (
    enqueue,
    random_unit_rows,
    warn_if_longer_than_data,
)
from simclr_tf.objectives.simsiam import (
    SPREAD,
    diagnose_collapse,
    make_predictor,
    predictions,
    predictor_messages,
    projection_std,
)

candidates = module("simclr_tf.losses.candidates")
distribution = module("simclr_tf.distribution")
losses = module("simclr_tf.losses")

ITSELF, FEW = 0.999, 0.05


@dataclass(frozen=True)
class NNCLROptions(GuestOptions):
    """Options of NNCLR."""

    name: str = option("nnclr", "Name of the objective.")
    temperature: float = option(
        0.1, "Divides the similarities (paper: 0.1; CIFAR: 0.2)."
    )
    queue_length: int = option(
        98304, "Projections of earlier images, the support set (CIFAR: 65536)."
    )
    predictor_features: int = option(4096, "Hidden width of the predictor.")

    def check(self):
        require_positive(temperature=self.temperature)
        require_at_least_one(
            queue_length=self.queue_length, predictor_features=self.predictor_features
        )


class NNCLR(Objective):
    """Find, for the nearest neighbour of a view, the image whose other view it is.

    With s the row of the support set nearest to z_a, and p = predictor(z_b), the loss
    of an image is the cross-entropy of s . p / temperature over the predictions of the
    global batch; it is averaged with that of the views exchanged. The gradient flows
    through p alone. The neighbours are looked up before the first views of the step
    enter the support set; else each image would find itself. The paper's head has
    three layers, 2,048 wide and 256 at its end.

    Args:
      temperature: float > 0.
      queue_length: int >= 1, K; no multiple of the batch is needed.
      predictor_features: int >= 1.

    Source: Dwibedi et al., With a Little Help from My Friends (2021), arXiv
    2104.14548, section 3.
    """

    Options = NNCLROptions
    title = "NNCLR"
    figures = (
        *CONTRASTIVE_FIGURES,
        Figure(
            "neighbour_similarity",
            "cosine of a view's projection and its nearest neighbour",
            better="higher",
        ),
        Figure(
            "neighbours_in_use",
            "different neighbours of the first views, a share of the batch",
            unit="fraction",
            better="higher",
            form=".1%",
        ),
        SPREAD,
    )

    def create_variables(self, setting):
        warn_if_longer_than_data(setting, queue_length=self.options.queue_length)
        self.predictor = make_predictor(setting, self.options.predictor_features)
        self.queue = self.add_weight(
            name="queue",
            shape=[self.options.queue_length, setting.num_projections],
            initializer=random_unit_rows(setting.seed),
            trainable=False,
        )

    def loss(self, outputs):
        queue = tf.convert_to_tensor(self.queue)
        places, rows, similarities = zip(
            *(nearest_rows(view, queue) for view in outputs.projections), strict=True
        )
        predicted = predictions(self.predictor, outputs.projections, outputs.training)
        loss, figures = figures_of_directions(
            [
                losses.batch_logits(row, other, temperature=self.options.temperature)
                for row, other in zip(rows, predicted[::-1], strict=True)
            ]
        )
        return loss, {
            **figures,
            "neighbour_similarity": tf.reduce_mean(tf.stack(similarities), axis=0),
            "neighbours_in_use": _share_of_different(places[0]),
            "projection_std": projection_std(outputs.projections),
        }

    def after_update(self, outputs):
        queue = enqueue(tf.convert_to_tensor(self.queue), outputs.projections[0])
        distribution.assign_on_replicas([self.queue], [queue])

    def diagnose(self, figures, global_batch_size):
        yield from diagnose_stuck_loss(
            math.log(global_batch_size),
            "ln(batch_size)",
            figures,
            global_batch_size,
            "Try another --base_learning_rate, or a lower --objective.temperature.",
        )
        if figures.get("neighbours_in_use", 1.0) < FEW:
            yield (
                "few neighbours",
                "Nearly all images have the same few neighbours, so the predictions "
                "learn to be equal. Try a longer --objective.queue_length, a larger "
                "--batch_size, or a lower --base_learning_rate.",
            )
        elif figures.get("neighbour_similarity", 0.0) > ITSELF:
            yield (
                "no other neighbours",
                "Each image is its own neighbour, as if it had been in the queue: the "
                "same images come back before --objective.queue_length others. Make it "
                "shorter than the data set.",
            )
        yield from diagnose_collapse(figures)

    def memory(self, global_batch_size, replicas=1):
        rows = 2 * global_batch_size // replicas
        similarities = 4 * rows * (self.options.queue_length + global_batch_size)
        return Memory(similarities, "the queue, the predictor, and similarities a step")

    def messages(self, global_batch_size, replicas, norm_channels):
        shape = [global_batch_size, self.setting.num_projections]
        return [
            *predictor_messages(self, replicas),
            # The predictions of each view, there and back.
            *4 * [distribution.sum_message("projections", shape)],
            # The places of the neighbours, int64.
            distribution.sum_message("figures", [global_batch_size], 8),
            distribution.sum_message("state", shape),
        ]


def nearest_rows(projections, queue):
    """Find the row of a queue nearest to each projection, without a gradient.

    Args:
      projections: float `[N, D]`.
      queue: float32 `[K, D]`, unit rows.

    Returns:
      (int64 `[N]` the places, float32 `[N, D]` the rows, float32 `[N]` their cosines).
    """
    units = tf.stop_gradient(candidates.unit_rows(projections))
    similarities = tf.matmul(units, queue, transpose_b=True)
    places = tf.argmax(similarities, axis=1)
    return places, tf.gather(queue, places), tf.reduce_max(similarities, axis=1)


def _share_of_different(places):
    """Compute the number of different values over that of all, of the global batch."""
    everyone = distribution.gather_across_replicas(places)
    equal = tf.cast(everyone[:, tf.newaxis] == everyone, tf.float32)
    return tf.reduce_mean(1.0 / tf.reduce_sum(equal, axis=1))
