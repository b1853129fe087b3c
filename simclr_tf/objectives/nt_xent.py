"""NT-Xent, the objective of SimCLR: find an image's other view among all views."""

import itertools
import math
from dataclasses import dataclass

from simclr_tf.config.schema import option, require_fraction, require_positive
from simclr_tf.errors import require
from simclr_tf.lazy import module, tf
from simclr_tf.objectives.multi_crop import MultiCropOptions, require_fitting_views
from simclr_tf.objectives.objective import CONTRASTIVE_FIGURES, Memory, Objective
from simclr_tf.objectives.queue import (
    averaged_messages,
    enqueue,
    random_unit_rows,
    warn_if_longer_than_data,
)

distribution = module("simclr_tf.distribution")
losses = module("simclr_tf.losses")
metrics = module("simclr_tf.metrics")
models = module("simclr_tf.models")

STUCK_TOLERANCE = 0.02  # Of ln(2G - 1).
COLLAPSED = 0.05  # Spread of the projections; 1: directions spread evenly.
WAY_OUT = (
    "Try a smaller or larger --base_learning_rate, a longer "
    "--optimizer.warmup_epochs, or weaker augmentation."
)


@dataclass(frozen=True)
class NTXentOptions(MultiCropOptions):
    """Options of NT-Xent."""

    name: str = option("nt_xent", "Name of the objective.")
    temperature: float = option(0.1, "Softmax temperature (paper: 0.1; CIFAR: 0.5).")
    normalize: bool = option(True, "Compare l2-normalised projections.")
    chunk_size: int | None = option(
        None,
        "Anchors compared with all candidates at a time, which bounds the memory; if "
        "unset, all at once up to 64 MiB of logits, and then as many as stay in a "
        "processor's cache.",
        resumable=True,
    )
    memory_size: int | None = option(
        None,
        "Keys from earlier steps, by an averaged network, as additional negatives "
        "(SimCLRv2: 65536); if unset, none.",
    )
    memory_momentum: float = option(0.999, "Decay of the averaged network.")
    small_views: int = option(
        0,
        "Views of the small size, beside two full ones (multi-crop); each is compared "
        "with both. The paper has none.",
    )
    small_size_fraction: float = option(
        0.5, "Side of a small view / side of a full view."
    )
    small_crop_area: tuple[float, ...] = option(
        (0.05, 0.3), "Smallest and largest share of an image that a small view shows."
    )

    def check(self):
        super().check()
        require_positive(
            temperature=self.temperature,
            chunk_size=self.chunk_size,
            memory_size=self.memory_size,
        )
        require_fraction("memory_momentum", self.memory_momentum)
        require(
            not self.memory_size or (self.chunk_size is None and self.normalize),
            "`memory_size` takes neither `chunk_size` nor `normalize=False`.",
            memory_size=self.memory_size,
            chunk_size=self.chunk_size,
            normalize=self.normalize,
        )


class NTXent(Objective):
    """Normalized temperature-scaled cross-entropy over the 2G - 1 candidates.

    With a memory, each anchor has K more negatives: keys of the second views of earlier
    batches, made by an averaged network. The authors published no code for the memory;
    here it is read before the step's keys enter it.

    With small views, the loss is the mean over the pair of full views and all pairs of
    a full and a small view; each pair is compared within its own 2G - 1 candidates.
    Accuracy and entropy are those of the full views.

    Args:
      temperature, normalize, chunk_size: see `simclr_tf.losses.nt_xent`.
      memory_size: int >= 1, K; None: no memory.
      memory_momentum: float in [0, 1], of the averaged encoder and head.
      small_views, small_size_fraction, small_crop_area: see ViewGroup.

    Source: arXiv 2002.05709, equation 1 and algorithm 1; the memory: Chen et al.,
    SimCLRv2 (2020), arXiv 2006.10029, section 2; SimCLR with small views: Caron et al.,
    SwAV (2020), arXiv 2006.09882, section 3.2 (the pairs are our choice).
    """

    Options = NTXentOptions
    title = "SimCLR"
    figures = CONTRASTIVE_FIGURES

    @property
    def view_groups(self):
        return self.options.view_groups

    def create_variables(self, setting):
        require_fitting_views(self.options, setting)
        if self.options.memory_size:
            warn_if_longer_than_data(setting, memory_size=self.options.memory_size)
            self.averaged = models.AveragedPair(
                setting.encoder, setting.projection_head
            )
            self.queue = self.add_weight(
                name="memory",
                shape=[self.options.memory_size, setting.num_projections],
                initializer=random_unit_rows(setting.seed),
                trainable=False,
            )

    def weights_loaded(self):
        if self.options.memory_size:
            self.averaged.follow(self.setting.encoder, self.setting.projection_head)

    def targets(self, views, training):
        if not self.options.memory_size:
            return ()
        return (self.averaged(views[1], training=training),)

    def loss(self, outputs):
        full, small = outputs.projections[:2], outputs.projections[2:]
        if self.options.memory_size:
            candidates = self._candidates_with_memory(full)
        else:
            candidates = self._candidates(full)
        loss, figures = contrastive_figures(
            losses.nt_xent_from_logits(candidates), candidates
        )
        of_pairs = [
            losses.nt_xent_from_logits(self._candidates(pair))
            for pair in itertools.product(full, small)
        ]
        loss = tf.add_n([loss, *of_pairs]) / (1 + len(of_pairs))
        return loss, {**figures, "contrastive_loss": loss}

    def _candidates(self, pair):
        return losses.nt_xent_candidates(
            *pair,
            temperature=self.options.temperature,
            normalize=self.options.normalize,
            chunk_size=self.options.chunk_size,
        )

    def _candidates_with_memory(self, pair):
        temperature = self.options.temperature
        in_batch = losses.candidate_logits(*pair, temperature=temperature)
        anchors = tf.concat(pair, axis=0)
        remembered = losses.info_nce_logits(
            anchors, anchors, self.queue, temperature=temperature
        ).logits[:, 1:]
        return losses.CandidateLogits(
            tf.concat([in_batch.logits, remembered], axis=1), in_batch.positives
        )

    def after_update(self, outputs):
        if not self.options.memory_size:
            return
        queue = enqueue(tf.convert_to_tensor(self.queue), outputs.targets[0])
        distribution.assign_on_replicas([self.queue], [queue])
        self.averaged.average(
            self.setting.encoder,
            self.setting.projection_head,
            self.options.memory_momentum,
        )

    def diagnose(self, figures, global_batch_size):
        remembered = self.options.memory_size or 0
        candidates = 2 * global_batch_size - 1 + remembered
        formula = f"ln(2 * batch - 1{' + memory_size' if remembered else ''})"
        return diagnose_stuck_loss(math.log(candidates), formula, figures, candidates)

    def memory(self, global_batch_size, replicas=1):
        pairs = 2 * self.options.small_views
        if not self.options.memory_size:
            chunk_size = self.options.chunk_size
            return logits_memory(global_batch_size, replicas, chunk_size, 1 + pairs)
        anchors, candidates = 2 * global_batch_size // replicas, 2 * global_batch_size
        logits = 4 * anchors * ((1 + pairs) * candidates + self.options.memory_size)
        return Memory(logits, "the averaged networks, the memory, and logits a step")

    def messages(self, global_batch_size, replicas, norm_channels):
        width, pairs = self.setting.num_projections, 2 * self.options.small_views
        of_pair = messages_of_pairs(
            global_batch_size, replicas, width, self.options.chunk_size
        )
        if not self.options.memory_size:
            return (1 + pairs) * of_pair
        return [
            *messages_of_pairs(global_batch_size, replicas, width, streams=False),
            *averaged_messages(norm_channels, replicas),
            distribution.sum_message("state", [global_batch_size, width]),
            *pairs * of_pair,
        ]


def contrastive_figures(loss, candidates):
    """Compute what `Objective.loss` returns for a loss over candidates.

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


def diagnose_stuck_loss(value, formula, figures, candidates, way_out=WAY_OUT):
    """Diagnose a contrastive loss that stays at the value of equal projections.

    A loss that falls passes that value on its way; the accuracy of guesses
    distinguishes the two. It counts for nothing where the projections have collapsed:
    rounding then decides which of the equal candidates is nearest.

    Args:
      value: float, the loss of equal projections.
      formula: str, how it follows from the options.
      figures: dict of figure name to float, with `CONTRASTIVE_FIGURES`, and the spread
        of the projections where an objective has it.
      candidates: int, among which a view is found.
      way_out: str, what to try.

    Yields:
      (name, sentence), see `Objective.diagnose`, or nothing.
    """
    chance = min(10 / candidates, 0.5)
    loss = figures.get("contrastive_loss")
    accuracy = figures.get("contrastive_accuracy", 0.0)
    spreads = [figures.get(f"projection_{name}", 1.0) for name in ("spread", "std")]
    if loss is None or (accuracy >= chance and min(spreads) >= COLLAPSED):
        return
    if abs(loss - value) < STUCK_TOLERANCE * value:
        yield (
            "stuck",
            f"The loss is stuck at {loss:.3f}: {formula} = {value:.3f} is "
            f"what equal projections give, so nothing is being learned. {way_out}",
        )


def logits_memory(
    global_batch_size, replicas=1, chunk_size=None, pairs=1, *, streams=True
):
    """Estimate the memory of a step's logits: float32, all anchors with all candidates.

    Args:
      global_batch_size, replicas: int.
      chunk_size: int or None, see `simclr_tf.losses.nt_xent`.
      pairs: int, pairs of views that are compared.
      streams: bool, whether the loss can compare some anchors at a time.

    Returns:
      Memory.
    """
    candidates = 2 * global_batch_size
    anchors = candidates // replicas
    rows = losses.block_rows(anchors, candidates, chunk_size) if streams else None
    if rows is None:
        return Memory(4 * pairs * anchors * candidates, "logits a step")
    return Memory(
        4 * rows * candidates, f"logits at a time: {rows:,} of {anchors:,} anchors"
    )


def messages_of_pairs(
    global_batch_size, replicas, num_projections, chunk_size=None, streams=True
):
    """List the messages of a loss that compares all anchors with all candidates.

    Args:
      global_batch_size, replicas, chunk_size, streams: as for `logits_memory`.
      num_projections: int, D.

    Returns:
      list of `simclr_tf.distribution.Message`.
    """
    candidates = 2 * global_batch_size
    rows = losses.block_rows(candidates // replicas, candidates, chunk_size)
    dense = rows is None or not streams
    return list(
        distribution.pair_messages(global_batch_size, num_projections, dense=dense)
    )
