"""NT-Xent, the objective of SimCLR: pick the other view of an image out of all."""

import math
from dataclasses import dataclass

from simclr_tf.config.schema import GuestOptions, option, require_positive
from simclr_tf.lazy import module
from simclr_tf.objectives.objective import CONTRASTIVE_FIGURES, Memory, Objective

losses = module("simclr_tf.losses")
metrics = module("simclr_tf.metrics")

STUCK_TOLERANCE = 0.02  # Of ln(2G - 1).


@dataclass(frozen=True)
class NTXentOptions(GuestOptions):
    """Options of NT-Xent."""

    name: str = option("nt_xent", "What is learned, by its name.")
    temperature: float = option(0.1, "Softmax temperature (paper: 0.1; CIFAR: 0.5).")
    normalize: bool = option(True, "Compare l2-normalised projections.")
    chunk_size: int | None = option(
        None,
        "Anchors compared with all candidates at a time, which bounds the memory; if "
        "unset, all at once up to 64 MiB of logits, and then as many as stay in a "
        "processor's cache.",
        resumable=True,
    )

    def check(self):
        require_positive(temperature=self.temperature, chunk_size=self.chunk_size)


class NTXent(Objective):
    """Normalized temperature-scaled cross-entropy over the 2G - 1 candidates.

    Args:
      temperature, normalize, chunk_size: as of `simclr_tf.losses.nt_xent`.

    Source: arXiv 2002.05709, equation 1 and algorithm 1.
    """

    Options = NTXentOptions
    title = "SimCLR"
    figures = CONTRASTIVE_FIGURES

    def loss(self, outputs):
        candidates = losses.nt_xent_candidates(
            *outputs.projections,
            temperature=self.options.temperature,
            normalize=self.options.normalize,
            chunk_size=self.options.chunk_size,
        )
        return contrastive_figures(losses.nt_xent_from_logits(candidates), candidates)

    def diagnose(self, figures, global_batch_size):
        stuck = math.log(2 * global_batch_size - 1)
        return stuck_at(stuck, "ln(2 * batch - 1)", figures, global_batch_size)

    def memory(self, global_batch_size, replicas=1):
        return logits_memory(global_batch_size, replicas, self.options.chunk_size)


def contrastive_figures(loss, candidates):
    """What `Objective.loss` returns for a loss over candidates.

    Args:
      loss: float32 `[N]`.
      candidates: `simclr_tf.losses.CandidateLogits` or `StreamedCandidates`.

    Returns:
      (loss, dict of `CONTRASTIVE_FIGURES`).
    """
    return loss, {
        "contrastive_loss": loss,
        "contrastive_accuracy": metrics.contrastive_accuracy(candidates),
        "contrastive_entropy": metrics.contrastive_entropy(candidates),
    }


def stuck_at(value, formula, figures, global_batch_size):
    """The diagnosis of a contrastive loss that stays at what equal projections give.

    Args:
      value: float, the loss of equal projections.
      formula: str, how it follows from the batch.
      figures: dict of figure name to float, with `CONTRASTIVE_FIGURES`.
      global_batch_size: int.

    Yields:
      (name, sentence) as of `Objective.diagnose`, or nothing.
    """
    chance = min(10 / (2 * global_batch_size - 1), 0.5)
    loss = figures.get("contrastive_loss")
    accuracy = figures.get("contrastive_accuracy", 0.0)
    if loss is None or accuracy >= chance:
        return
    if abs(loss - value) < STUCK_TOLERANCE * value:
        yield (
            "stuck",
            f"The loss is stuck at {loss:.3f}: {formula} = {value:.3f} is "
            "what equal projections give, so nothing is being learned. Try a "
            "smaller or larger --base_learning_rate, a longer "
            "--optimizer.warmup_epochs, or weaker augmentation.",
        )


def logits_memory(global_batch_size, replicas=1, chunk_size=None, streams=True):
    """Memory of the logits of a step: float32, all anchors with all candidates.

    Args:
      global_batch_size, replicas: int.
      chunk_size: int or None, as of `simclr_tf.losses.nt_xent`.
      streams: bool, whether the loss can compare some anchors at a time.

    Returns:
      Memory.
    """
    candidates = 2 * global_batch_size
    anchors = candidates // replicas
    rows = losses.block_rows(anchors, candidates, chunk_size) if streams else None
    if rows is None:
        return Memory(4 * anchors * candidates, "logits a step")
    return Memory(
        4 * rows * candidates, f"logits at a time: {rows:,} of {anchors:,} anchors"
    )
