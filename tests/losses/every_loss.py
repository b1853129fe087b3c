"""One case of every loss of an objective: the loss, its oracle, and what goes in."""

import functools
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from simclr_tf import losses
from tests.oracles import losses_contrastive as contrastive
from tests.oracles import losses_without_negatives as others

ROWS, WIDTH, REMEMBERED = 8, 3, 7
RNG = np.random.default_rng(7)
LABELS = np.array([0, 1, 0, -1, 1, 2, -1, 0])
IDS = np.array([3, 6, 0, 1, 5, 2, 4, 3])
NEGATIVE_IDS = RNG.integers(0, REMEMBERED, [ROWS, 4])
MEMORY = RNG.normal(size=[REMEMBERED, WIDTH]).astype(np.float32)
CENTER = np.array([0.3, -0.2, 0.1], np.float32)
CODES = np.array(others.sinkhorn(RNG.normal(size=[ROWS, WIDTH])), np.float32)


class Case(NamedTuple):
    """A loss and its oracle.

    Fields:
      loss: function of `trained` floating point `[N, D]`, then of `of_rows`, to `[N]`
        or a scalar.
      oracle: function of the same arrays, in float64.
      trained: int, how many arrays get a gradient.
      of_rows: tuple of arrays with N rows that get none.
      cold: the loss at temperature 0.01 (at its lowest temperature); None if it has
        no temperature.
    """

    loss: object
    oracle: object
    trained: int = 2
    of_rows: tuple = ()
    cold: object = None


def _case(loss, oracle, options, oracle_options=None, cold=None, **fields):
    """A case whose loss and oracle take the options by their own names."""
    part = functools.partial
    return Case(
        part(loss, **options),
        part(oracle, **(options if oracle_options is None else oracle_options)),
        cold=cold and part(loss, **{**options, **cold}),
        **fields,
    )


WARM, COLD = {"temperature": 0.3}, {"temperature": 0.01}
CASES = {
    "nt_xent": _case(losses.nt_xent, contrastive.nt_xent, WARM, cold=COLD),
    "nt_xent in blocks": _case(
        losses.nt_xent, contrastive.nt_xent, {**WARM, "chunk_size": 3}, WARM, COLD
    ),
    "nt_logistic": _case(losses.nt_logistic, contrastive.nt_logistic, WARM, cold=COLD),
    "margin_triplet": _case(
        losses.margin_triplet,
        contrastive.margin_triplet,
        {"margin": 0.4, "semi_hard": True},
    ),
    "dcl": _case(losses.dcl, contrastive.dcl, WARM, cold=COLD),
    "dcl in blocks": _case(
        losses.dcl, contrastive.dcl, {**WARM, "chunk_size": 3}, WARM, COLD
    ),
    "sup_con": _case(
        losses.sup_con, contrastive.sup_con, WARM, cold=COLD, of_rows=(LABELS,)
    ),
    "info_nce": _case(
        lambda q, k, **options: losses.info_nce(q, k, MEMORY, **options),
        lambda q, k, **options: contrastive.info_nce(q, k, MEMORY, **options),
        WARM,
        cold=COLD,
        trained=1,
        of_rows=(RNG.normal(size=[ROWS, WIDTH]).astype(np.float32),),
    ),
    "info_nce over the batch": _case(
        lambda q, k, **options: losses.info_nce_from_logits(
            losses.batch_logits(q, k, **options)
        ),
        contrastive.info_nce_over_the_batch,
        WARM,
        cold=COLD,
    ),
    "instance_softmax": _case(
        lambda v, i, **options: losses.instance_softmax(v, i, MEMORY, **options),
        lambda v, i, **options: contrastive.instance_softmax(v, i, MEMORY, **options),
        WARM,
        cold=COLD,
        trained=1,
        of_rows=(IDS,),
    ),
    "instance_nce": _case(
        lambda v, i, j, **options: losses.instance_nce(v, i, MEMORY, j, **options),
        lambda v, i, j, **options: contrastive.instance_nce(v, i, MEMORY, j, **options),
        {**WARM, "normalizer": 20.0},
        cold=COLD,
        trained=1,
        of_rows=(IDS, NEGATIVE_IDS),
    ),
    "swapped_prediction": _case(
        losses.swapped_prediction,
        others.swapped_prediction,
        WARM,
        cold=COLD,
        trained=1,
        of_rows=(CODES,),
    ),
    "dino_cross_entropy": _case(
        lambda s, t, **options: losses.dino_cross_entropy(s, t, CENTER, **options),
        lambda s, t: others.dino_cross_entropy(s, t, CENTER),
        {},
        cold={"student_temperature": 0.01, "teacher_temperature": 0.01},
        trained=1,
        of_rows=(RNG.normal(size=[ROWS, WIDTH]).astype(np.float32),),
    ),
    "negative_cosine": _case(
        losses.negative_cosine,
        others.negative_cosine,
        {},
        trained=1,
        of_rows=(RNG.normal(size=[ROWS, WIDTH]).astype(np.float32),),
    ),
    "barlow_twins": _case(
        losses.barlow_twins, others.barlow_twins, {"off_diagonal_weight": 0.1}
    ),
    "vicreg": _case(losses.vicreg, others.vicreg, {}),
}
# Its weights take no gradient: finite differences of the oracle hold them.
DCLW = _case(losses.dclw, contrastive.dclw, {**WARM, "sigma": 0.4}, cold=COLD)
CASES["dclw"] = DCLW


def inputs_of(case, rows=ROWS):
    """(arrays with a gradient, arrays without), of the first rows."""
    trained = np.random.default_rng(0).normal(size=(case.trained, ROWS, WIDTH))
    trained = [array[:rows].astype(np.float32) for array in trained]
    return trained, [array[:rows] for array in case.of_rows]


def value_and_gradients(loss_of, trained, fixed, share=1):
    """The mean loss divided by `share`, and its gradients."""
    trained = [tf.convert_to_tensor(array) for array in trained]
    with tf.GradientTape() as tape:
        tape.watch(trained)
        loss = tf.reduce_mean(loss_of(*trained, *fixed)) / share
    return loss, tape.gradient(loss, trained)
