"""Losses with stored negatives: a queue of keys, or a bank with every image.

Queues and banks are not normalised here. They and the keys get no gradient: they come
from another network or from another step.
"""

from __future__ import annotations

import math

import tensorflow as tf

from simclr_tf.array_types import Tensor, TensorLike
from simclr_tf.errors import require
from simclr_tf.losses.candidates import (
    CandidateLogits,
    matching_tensors,
    require_temperature,
    unit_rows,
)


def info_nce(
    queries: TensorLike, keys: TensorLike, queue: TensorLike, *, temperature: float
) -> Tensor:
    """Compute InfoNCE: find an image's key among it and a queue of other keys.

        l = -log( exp(q.k / t) / (exp(q.k / t) + sum_{j=1..K} exp(q.Q_j / t)) )

    with q and k of unit length. All negatives come from the queue, so the loss of an
    image does not depend on the other images of its batch.

    Args:
      queries: floating point `[N, D]`, of any precision.
      keys: the same of the other views, row i belongs to row i; without gradient.
      queue: floating point `[K, D]`, keys of earlier steps, the same on all replicas;
        without gradient, and not normalised here.
      temperature: float > 0. (MoCo: 0.07; MoCo v2: 0.2.)

    Returns:
      float32 `[N]`. All equal vectors give log(1 + K).

    Raises:
      ConfigError: for a temperature that is not positive, or shapes that do not fit.

    Example:
      >>> q, queue = tf.constant([[2.0, 0.0]]), tf.zeros([3, 2])
      >>> round(float(info_nce(q, q, queue, temperature=1.0)[0]), 4)  # ln(1 + 3 / e)
      0.7437

    Source: He et al., MoCo (2020), equation 1.
    """
    return info_nce_from_logits(
        info_nce_logits(queries, keys, queue, temperature=temperature)
    )


def info_nce_logits(
    queries: TensorLike, keys: TensorLike, queue: TensorLike, *, temperature: float
) -> CandidateLogits:
    """Compute once the logits for `info_nce` and the figures of a step.

    Args:
      queries, keys, queue, temperature: see `info_nce`.

    Returns:
      CandidateLogits: float32 `[N, 1 + K]`, the key of the same row in column 0.

    Raises:
      ConfigError: as `info_nce`.

    Example:
      >>> q = tf.eye(2)
      >>> info_nce_logits(q, q, -q, temperature=0.5).logits.numpy().tolist()
      [[2.0, -2.0, 0.0], [2.0, 0.0, -2.0]]
    """
    require_temperature(temperature=temperature)
    queries, keys = matching_tensors(queries=queries, keys=keys)
    queue = _memory(queries, queue=queue)
    queries, keys = unit_rows(queries), tf.stop_gradient(unit_rows(keys))
    positive = tf.reduce_sum(queries * keys, axis=1, keepdims=True)
    negatives = tf.matmul(queries, queue, transpose_b=True)
    logits = tf.concat([positive, negatives], axis=1) / temperature
    return CandidateLogits(logits, tf.zeros(tf.shape(logits)[:1], tf.int32))


def info_nce_from_logits(candidates: CandidateLogits) -> Tensor:
    """Compute InfoNCE from what the figures of the same step share.

    Args:
      candidates: CandidateLogits, of `info_nce_logits`, or of `batch_logits`: then the
        negatives are the keys of the other images of the batch.

    Returns:
      float32 `[N]`.

    Example:
      >>> q = tf.eye(2)
      >>> candidates = info_nce_logits(q, q, 0 * q, temperature=1.0)
      >>> round(float(info_nce_from_logits(candidates)[0]), 4)  # ln(1 + 2 / e)
      0.5514
    """
    return tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=candidates.positives, logits=candidates.logits
    )


def instance_softmax(
    features: TensorLike, ids: TensorLike, bank: TensorLike, *, temperature: float
) -> Tensor:
    """Compute the non-parametric softmax: every image is a class.

        l_i = -log( exp(M_i.v / t) / sum_{j=1..n} exp(M_j.v / t) )

    with v of unit length, and row j of the bank M an earlier output of image j. It
    costs N n similarities a step; `instance_nce` estimates it from a few.

    Args:
      features: floating point `[N, D]`, of any precision.
      ids: integers `[N]` in 0 .. n - 1, the images' rows of the bank.
      bank: floating point `[n, D]`, the same on all replicas; without gradient, and
        not normalised here.
      temperature: float > 0. (The paper: 0.07; its CIFAR code: 0.1.)

    Returns:
      float32 `[N]`. A bank of equal rows gives log(n).

    Raises:
      ConfigError: for a temperature that is not positive, or shapes that do not fit.

    Example:
      >>> bank = tf.ones([5, 2])
      >>> loss = instance_softmax([[3.0, 4.0]], [2], bank, temperature=0.1)
      >>> round(float(loss[0]), 4)  # log(5)
      1.6094

    Source: Wu et al., Instance Discrimination (2018), equation 2.
    """
    require_temperature(temperature=temperature)
    features, ids, bank = _of_images(features, ids, bank)
    logits = tf.matmul(unit_rows(features), bank, transpose_b=True) / temperature
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=ids, logits=logits)


def instance_nce(
    features: TensorLike,
    ids: TensorLike,
    bank: TensorLike,
    negative_ids: TensorLike,
    *,
    temperature: float,
    normalizer: float | TensorLike,
) -> Tensor:
    """Estimate `instance_softmax` by noise-contrastive estimation.

    The noise is m images drawn at random out of all n. With

        p(j) = exp(M_j.v / t) / Z,    h(j) = p(j) / (p(j) + m / n),

    h is the probability that row j belongs to the image and not to the noise, and

        l_i = -ln h(i) - sum_{j of the m} ln(1 - h(j)).

    Args:
      features: floating point `[N, D]`, of any precision.
      ids: integers `[N]` in 0 .. n - 1, the images' rows of the bank.
      bank: floating point `[n, D]`, the same on all replicas; without gradient, and
        not normalised here.
      negative_ids: integers `[N, m]` in 0 .. n - 1, drawn with replacement.
      temperature: float > 0. (The paper: 0.07.)
      normalizer: float or float32 scalar Z > 0: n times the mean of exp(M_j.v / t),
        estimated once and then kept. (At temperature 0.01 its value may leave the
        range of float32; a Python float serves up to 1e308.)

    Returns:
      float32 `[N]`. Where all h are 1/2 it is (1 + m) ln 2.

    Raises:
      ConfigError: for a temperature or normalizer that is not positive, or shapes that
        do not fit.

    Example:
      >>> loss = instance_nce([[1.0, 0.0]], [0], tf.zeros([6, 2]), [[1, 2, 3]],
      ...                     temperature=0.1, normalizer=2.0)  # p = 1/2 = m / n
      >>> round(float(loss[0]), 4)  # 4 ln 2
      2.7726

    Source: Wu et al., Instance Discrimination (2018), equations 4 to 8.
    """
    require_temperature(temperature=temperature)
    features, ids, bank = _of_images(features, ids, bank)
    negative_ids = tf.convert_to_tensor(negative_ids)
    require(
        negative_ids.dtype.is_integer
        and negative_ids.shape.rank == 2
        and negative_ids.shape[:1].is_compatible_with(ids.shape),
        "`negative_ids` must be integers [N, m].",
        negative_ids=(negative_ids.dtype.name, tuple(negative_ids.shape)),
    )
    negative_ids = tf.cast(negative_ids, ids.dtype)
    rows = tf.gather(bank, tf.concat([ids[:, tf.newaxis], negative_ids], axis=1))
    scores = tf.einsum("nd,nmd->nm", unit_rows(features), rows)
    return nce_from_scores(
        scores, tf.shape(bank)[0], temperature=temperature, normalizer=normalizer
    )


def nce_from_scores(scores, num_images, *, temperature, normalizer):
    """Compute `instance_nce` from similarities, where the bank is not at hand.

    Args:
      scores: float32 `[N, 1 + m]`, of an image with its own row and with the noise.
      num_images: int or int scalar, n.
      temperature, normalizer: as for `instance_nce`.

    Returns:
      float32 `[N]`.
    """
    noise = tf.cast(tf.shape(scores)[1] - 1, tf.float32)
    share = tf.math.log(noise) - tf.math.log(tf.cast(num_images, tf.float32))
    # ln(h / (1 - h)).
    log_odds = scores / temperature - _log_normalizer(normalizer) - share
    # -ln h = softplus(-x), -ln(1 - h) = softplus(x): without a division.
    return tf.nn.softplus(-log_odds[:, 0]) + tf.reduce_sum(
        tf.nn.softplus(log_odds[:, 1:]), axis=1
    )


def _log_normalizer(normalizer):
    if tf.is_tensor(normalizer) or isinstance(normalizer, tf.Variable):
        return tf.stop_gradient(tf.math.log(tf.cast(normalizer, tf.float32)))
    normalizer = float(normalizer)
    require(
        0 < normalizer < math.inf,
        "`normalizer` must be > 0 and finite.",
        normalizer=normalizer,
    )
    return math.log(normalizer)


def _of_images(features, ids, bank):
    """Return features, ids and the bank as tensors, checked."""
    features, ids = tf.convert_to_tensor(features), tf.convert_to_tensor(ids)
    require(
        features.dtype.is_floating and features.shape.rank == 2,
        "`features` must be floating point [N, D].",
        features=(features.dtype.name, tuple(features.shape)),
    )
    require(
        ids.dtype.is_integer and ids.shape.is_compatible_with(features.shape[:1]),
        "`ids` must be integers [N].",
        ids=(ids.dtype.name, tuple(ids.shape)),
    )
    # Of 8 or 16 bits they could not name every row of a bank.
    return features, tf.cast(ids, tf.int64), _memory(features, bank=bank)


def _memory(features, **named):
    """Return a bank or queue in float32, without gradient, as wide as the features."""
    ((name, memory),) = named.items()
    memory = tf.convert_to_tensor(memory)
    require(
        memory.dtype.is_floating
        and memory.shape.rank == 2
        and memory.shape[1:].is_compatible_with(features.shape[1:]),
        f"`{name}` must be floating point, with rows as wide as the features.",
        features=tuple(features.shape),
        **{name: (memory.dtype.name, tuple(memory.shape))},
    )
    return tf.stop_gradient(tf.cast(memory, tf.float32))
