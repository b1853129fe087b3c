"""Supervised contrastive learning: all images of a class are positives."""

import math
from dataclasses import dataclass

from simclr_tf.config.schema import GuestOptions, option, require_positive
from simclr_tf.errors import require
from simclr_tf.lazy import module, tf
from simclr_tf.objectives.nt_xent import (
    diagnose_stuck_loss,
    logits_memory,
    messages_of_pairs,
)
from simclr_tf.objectives.objective import CONTRASTIVE_FIGURES, Figure, Objective

distribution = module("simclr_tf.distribution")
losses = module("simclr_tf.losses")


@dataclass(frozen=True)
class SupConOptions(GuestOptions):
    """Options of SupCon."""

    name: str = option("sup_con", "Name of the objective.")
    temperature: float = option(0.1, "Divides the similarities (paper: 0.1).")

    def check(self):
        require_positive(temperature=self.temperature)


class SupCon(Objective):
    """Pull images of a class together; unlabelled images learn as in NT-Xent.

    The encoder is trained with labels: it is not self-supervised.

    Args:
      temperature: see `simclr_tf.losses.sup_con`.

    Source: Khosla et al., Supervised Contrastive Learning (2020), arXiv 2004.11362.
    """

    Options = SupConOptions
    title = "SupCon"
    learns_from_labels = True
    figures = (
        CONTRASTIVE_FIGURES[0],
        Figure(
            "class_accuracy",
            "most similar candidate is of the same image or class",
            unit="fraction",
            better="higher",
            short="class acc",
            form=".1%",
        ),
        Figure("positives", "positives of an image's view in the batch", form=".1f"),
    )

    def loss(self, outputs):
        require(
            outputs.labels is not None,
            "The objective sup_con learns from labels: use labelled images, or "
            "--objective=nt_xent.",
            labels=None,
        )
        candidates = losses.candidate_logits(
            *outputs.projections, temperature=self.options.temperature
        )
        loss = losses.sup_con_from_logits(candidates, outputs.labels)
        is_positive = losses.same_class(candidates, outputs.labels)
        lowest = candidates.logits.dtype.min
        highest, highest_other = (
            tf.reduce_max(tf.where(mask, candidates.logits, lowest), axis=1)
            for mask in (is_positive, ~is_positive)
        )
        correct = tf.cast(highest > highest_other, tf.float32)
        positives = tf.reduce_sum(tf.cast(is_positive, tf.float32), axis=1)
        return loss, {
            "contrastive_loss": loss,
            "class_accuracy": tf.reduce_mean(correct),
            "positives": tf.reduce_mean(positives),
        }

    def diagnose(self, figures, global_batch_size):
        if figures.get("positives") == 1.0:
            yield (
                "unlabelled",
                "No image of a batch shares its label with another, so sup_con learns "
                "what nt_xent does. Use labelled images, or a larger --batch_size.",
            )
        candidates = 2 * global_batch_size - 1
        guesses = figures.get("positives", 1.0) / candidates  # Of them, right ones.
        if figures.get("class_accuracy", 0.0) < 2 * guesses:
            yield from diagnose_stuck_loss(
                math.log(candidates),
                "ln(2 * batch - 1)",
                {**figures, "contrastive_accuracy": 0.0},
                candidates,
            )

    def memory(self, global_batch_size, replicas=1):
        return logits_memory(global_batch_size, replicas, streams=False)

    def messages(self, global_batch_size, replicas, norm_channels):
        width = self.setting.num_projections
        return [
            *messages_of_pairs(global_batch_size, replicas, width, streams=False),
            # Labels, int64.
            distribution.sum_message("loss", [global_batch_size], 8),
            distribution.sum_message("figures", [global_batch_size], 8),
        ]
