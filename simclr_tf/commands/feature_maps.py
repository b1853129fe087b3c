"""Maps of features in two dimensions: principal axes and t-SNE."""

import numpy as np
import threadpoolctl

from simclr_tf.errors import require
from simclr_tf.evaluation.principal_axes import PrincipalAxes
from simclr_tf.extras import import_extra

PERPLEXITY = 30
_AXES_OF_TSNE = 50


def plane_maps(features, seed=0):
    """Lay features out as two maps, by cosine similarity.

    The rows are first scaled to length 1, as for kNN. t-SNE takes the first 50
    principal axes (van der Maaten's advice), starts from PCA, and has perplexity 30,
    or (n - 1) / 3 for few images.

    Args:
      features: float array `[n, F]`, n >= 4.
      seed: int, of t-SNE.

    Returns:
      dict of title to float `[n, 2]`.

    Raises:
      ConfigError: fewer than 4 images, or scikit-learn is missing.

    Example:
      >>> rng = np.random.default_rng(0)
      >>> [places.shape for places in plane_maps(rng.normal(size=(8, 5))).values()]
      [(8, 2), (8, 2)]

    Source: van der Maaten and Hinton, Visualizing Data using t-SNE (2008).
    """
    features = np.asarray(features, np.float32)
    require(
        len(features) >= 4,
        "A map of features needs at least 4 images.",
        images=len(features),
    )
    manifold = import_extra("sklearn.manifold", extra="report", wanted="t-SNE")
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    axes = PrincipalAxes(features / np.where(norms > 0, norms, 1))
    coordinates = axes.transform(features / np.where(norms > 0, norms, 1))
    share = axes.variances[:2].sum() / max(axes.variances.sum(), 1e-30)
    flat = np.zeros([len(features), 2], np.float32)
    flat[:, : coordinates.shape[1]] = coordinates[:, :2]
    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    tsne = manifold.TSNE(
        init=flat / max(flat[:, 0].std(), 1e-12) * 1e-4,
        perplexity=perplexity,
        learning_rate="auto",
        random_state=seed,
    )
    # More BLAS threads busy-wait: one thread is 5 times faster on two loaded cores.
    with threadpoolctl.threadpool_limits(1):
        places = tsne.fit_transform(coordinates[:, :_AXES_OF_TSNE])
    return {
        f"PCA ({share:.0%} of the variance)": flat,
        f"t-SNE (perplexity {perplexity:.0f})": places,
    }
