"""The normalized temperature-scaled cross-entropy loss."""

import tensorflow as tf

from simclr_tf.losses.candidates import candidate_logits, mean_over_directions


def nt_xent(projections_a, projections_b, *, temperature, normalize=True):
    """NT-Xent: pick the other view of an image out of all 2G - 1 candidates.

    For an anchor i with positive j, and s the cosine similarity,

        l(i, j) = -log( exp(s_ij / t) / sum_{k != i} exp(s_ik / t) ),

    where k runs over the 2G projections of the global batch except the anchor. The
    loss of an image is (l(a, b) + l(b, a)) / 2, so that the mean over the batch is the
    paper's mean over 2N anchors. (The authors' code sums the two directions: twice
    this value.)

    Inside `strategy.run`, candidates are gathered from all replicas. The loss of the
    global batch is the mean of the replicas' means, so each replica differentiates
    its mean divided by the number of replicas, and gradients are summed.

    Args:
      projections_a: floating point `[N, D]`, the first views, of any precision.
      projections_b: the same for the second views; row i belongs to row i.
      temperature: float > 0. (Table 5: 0.1 is best on ImageNet.)
      normalize: bool, compare directions, not lengths (Table 5: yes).

    Returns:
      float32 `[N]`. All equal projections give log(2G - 1).

    Raises:
      ConfigError: for a temperature that is not positive, or shapes that differ.

    Example:
      >>> same = tf.ones([4, 8])
      >>> loss = nt_xent(same, same, temperature=0.5)
      >>> loss.shape, round(float(loss[0]), 4)  # log(7)
      (TensorShape([4]), 1.9459)

    Source: Chen et al., SimCLR (2020), equation 1 and algorithm 1.
    """
    return nt_xent_from_logits(
        candidate_logits(
            projections_a, projections_b, temperature=temperature, normalize=normalize
        )
    )


def nt_xent_from_logits(candidates):
    """NT-Xent from logits that the metrics of the same step share.

    Args:
      candidates: `CandidateLogits`, at the loss's temperature.

    Returns:
      float32 `[N]`.

    Example:
      >>> z = tf.eye(4)
      >>> candidates = candidate_logits(z, z, temperature=0.5)
      >>> bool(tf.reduce_all(
      ...     nt_xent_from_logits(candidates) == nt_xent(z, z, temperature=0.5)))
      True
    """
    # Not logsumexp - positive: that difference loses small losses to rounding.
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=candidates.positives, logits=candidates.logits
    )
    return mean_over_directions(losses)
