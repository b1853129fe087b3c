"""Checks that a recipe's views are neither trivially alike nor nearly empty.

The thresholds were chosen by looking at recipes that are known to train and at
recipes that cannot, 256 pairs each, on Freedoom-12 (colour, 32 px, dark scenes) and
Fashion-MNIST (grey, 28 px); fractions of pairs, Freedoom / Fashion:

| recipe | near-identical | by pixels | by histograms | near-empty |
|---|---|---|---|---|
| simclr_v2 | 0.04 / 0.03 | 0.04 / 0.04 | 0.03 / 0.02 | 0.04 / 0.02 |
| cifar | 0.01 / 0.01 | 0.04 / 0.06 | 0.06 / 0.05 | 0.00 / 0.00 |
| small_grey | 0.01 / 0.01 | 0.12 / 0.09 | 0.15 / 0.06 | 0.00 / 0.00 |
| crops and flips alone | 0.02 / 0.02 | 0.13 / 0.07 | 0.40 / 0.27 | 0.00 / 0.00 |
| crops of 0.9, no colour | 0.31 / 0.28 | 0.68 / 0.58 | 0.99 / 0.81 | 0.00 / 0.00 |
| flips alone | 0.54 / 0.60 | 0.67 / 0.72 | 1.00 / 1.00 | 0.00 / 0.00 |
| simclr_v1 (adds brightness) | 0.11 / 0.05 | 0.02 / 0.03 | 0.04 / 0.03 | 0.33 / 0.09 |
| crops of 0.02 to 0.1 | 0.07 / 0.09 | 0.01 / 0.01 | 0.00 / 0.00 | 0.12 / 0.33 |
| crops of 0.001 to 0.01 | 0.09 / 0.27 | 0.00 / 0.00 | 0.01 / 0.00 | 0.50 / 0.84 |
"""

import dataclasses

import numpy as np

from simclr_tf.errors import DataError

# A fraction of the median distance between views of different images. Two views of one
# image that are closer look like the same picture.
NEAR_IDENTICAL_DISTANCE = 0.3
# 2.5 of 255 grey levels: it looks like one flat colour.
NEAR_EMPTY_CONTRAST = 0.01
# Above these fractions of the pairs there is a warning; see the table above.
MOST_NEAR_IDENTICAL = 0.2
MOST_BY_PIXELS = 0.4
MOST_BY_HISTOGRAMS = 0.25
MOST_NEAR_EMPTY = 0.1
# Among fewer pairs the partner is too often nearest by chance.
FEWEST_TO_SEARCH = 64
_BINS = 8


@dataclasses.dataclass(frozen=True)
class ViewMeasures:
    """The results of `measure_views`; fractions are of the pairs.

    Attributes:
      num_pairs: int.
      near_identical: float, pairs whose distance is below `NEAR_IDENTICAL_DISTANCE`
        of the median distance between views of different images.
      by_pixels: float, pairs whose view b is nearer to view a than the view b of any
        other image, in pixels.
      by_histograms: float, the same by histograms of each channel.
      near_empty: float, pairs with a view of a contrast below `NEAR_EMPTY_CONTRAST`.
      near_empty_images: float, original images of such a contrast.
    """

    num_pairs: int
    near_identical: float
    by_pixels: float
    by_histograms: float
    near_empty: float
    near_empty_images: float


def measure_views(images, view_a, view_b):
    """Measure pairs of views.

    The distance is the root of the mean square over pixels and channels; the contrast
    of an image is its standard deviation over the pixels, mean over the channels.

    Args:
      images: float `[N, H, W, C]` in [0, 1], the originals.
      view_a, view_b: float `[N, S, S, C]` in [0, 1], row i being views of image i.

    Returns:
      ViewMeasures.

    Raises:
      DataError: fewer than two pairs, or other numbers of views.

    Example:
      >>> images = np.random.default_rng(0).uniform(size=(8, 6, 6, 1))
      >>> measure_views(images, images, images).near_identical
      1.0
    """
    images, view_a, view_b = (
        np.asarray(part, np.float32) for part in (images, view_a, view_b)
    )
    number = len(view_a)
    if number < 2 or view_a.shape != view_b.shape or len(images) != number:
        raise DataError(
            "Measuring views needs at least two pairs, of equal numbers. Received: "
            f"{len(images)} images, views {view_a.shape} and {view_b.shape}."
        )
    distances = _distances(view_a.reshape(number, -1), view_b.reshape(number, -1))
    usual = np.median(distances[~np.eye(number, dtype=bool)])
    histograms = [_histograms(view) for view in (view_a, view_b)]
    contrasts = np.minimum(_contrasts(view_a), _contrasts(view_b))
    return ViewMeasures(
        number,
        float(np.mean(np.diag(distances) <= NEAR_IDENTICAL_DISTANCE * usual)),
        _found(distances),
        _found(_distances(*histograms)),
        float(np.mean(contrasts < NEAR_EMPTY_CONTRAST)),
        float(np.mean(_contrasts(images) < NEAR_EMPTY_CONTRAST)),
    )


def view_warnings(measures):
    """List what is wrong with a recipe: one line each, with figures and a way out.

    Args:
      measures: ViewMeasures.

    Returns:
      list of str; empty if nothing is wrong.

    Example:
      >>> view_warnings(ViewMeasures(256, 0.5, 0.1, 0.1, 0.0, 0.0))[0][:56]
      'Near-identical pairs: the two views hardly differ in 50%'
    """
    m, found = measures, []
    if m.near_identical > MOST_NEAR_IDENTICAL:
        found.append(
            "Near-identical pairs: the two views hardly differ in "
            f"{m.near_identical:.0%} of {m.num_pairs} pairs (distance below "
            f"{NEAR_IDENTICAL_DISTANCE} of that between different images; more than "
            f"{MOST_NEAR_IDENTICAL:.0%} is too many), so there is no task to learn "
            "from. Smaller crops (--augment.crop_area_min_fraction) or stronger colour "
            "(--augment.color_strength) make them differ."
        )
    if m.num_pairs >= FEWEST_TO_SEARCH and m.by_pixels > MOST_BY_PIXELS:
        found.append(
            f"Solved by pixels: in {m.by_pixels:.0%} of {m.num_pairs} pairs the "
            "nearest image in plain pixels already is the other view (more than "
            f"{MOST_BY_PIXELS:.0%} is too many): smaller crops make the task harder."
        )
    if m.num_pairs >= FEWEST_TO_SEARCH and m.by_histograms > MOST_BY_HISTOGRAMS:
        found.append(
            f"Solved by colours: in {m.by_histograms:.0%} of {m.num_pairs} pairs the "
            "histograms alone find the other view (more than "
            f"{MOST_BY_HISTOGRAMS:.0%} is too many), a shortcut around shapes: "
            "raise --augment.color_strength or --augment.jitter_probability (SimCLR, "
            "Figure 6)."
        )
    if m.near_empty - m.near_empty_images > MOST_NEAR_EMPTY:
        found.append(
            f"Near-empty views: {m.near_empty:.0%} of {m.num_pairs} pairs have a view "
            f"of almost one colour (contrast below {NEAR_EMPTY_CONTRAST}; of the "
            f"images themselves {m.near_empty_images:.0%}; {MOST_NEAR_EMPTY:.0%} more "
            "than that is too many): larger crops (--augment.crop_area_min_fraction), "
            "milder colour (--augment.color_strength) or "
            "--augment.brightness_mode=multiplicative leave more to see."
        )
    return found


def measures_table(measures):
    """Tabulate measures of views as rows (measure, of the pairs, too many from).

    Args:
      measures: ViewMeasures.

    Returns:
      tuple of tuples of str.
    """
    m = measures
    searched = m.num_pairs >= FEWEST_TO_SEARCH
    few = f"needs {FEWEST_TO_SEARCH} pairs"
    return (
        (
            "near-identical pairs",
            f"{m.near_identical:.1%}",
            f"{MOST_NEAR_IDENTICAL:.0%}",
        ),
        (
            "other view is nearest in pixels",
            f"{m.by_pixels:.1%}",
            f"{MOST_BY_PIXELS:.0%}" if searched else few,
        ),
        (
            "other view is nearest in colour histograms",
            f"{m.by_histograms:.1%}",
            f"{MOST_BY_HISTOGRAMS:.0%}" if searched else few,
        ),
        (
            "pairs with a near-empty view",
            f"{m.near_empty:.1%}",
            f"{m.near_empty_images + MOST_NEAR_EMPTY:.0%}",
        ),
    )


def _distances(a, b):
    """Compute root mean squares of rows of a minus rows of b, `[N, N]`."""
    squares = np.zeros([len(a), len(b)])
    for start in range(0, a.shape[1], 4096):  # float64, a part of the pixels at a time.
        x, y = (part[:, start : start + 4096].astype(np.float64) for part in (a, b))
        squares += (
            np.square(x).sum(axis=1)[:, np.newaxis]
            + np.square(y).sum(axis=1)
            - 2 * x @ y.T
        )
    # Equal rows have distance 0; the subtraction leaves a rounding error.
    return np.sqrt(np.where(squares > 1e-9, squares, 0) / a.shape[1])


def _found(distances):
    """Compute the share of rows whose partner is nearer than all others; no ties."""
    others = distances + np.where(np.eye(len(distances), dtype=bool), np.inf, 0)
    return float(np.mean(np.diag(distances) + 1e-9 < others.min(axis=1)))


def _contrasts(images):
    return images.std(axis=(1, 2)).mean(axis=-1)


def _histograms(images):
    """Compute the share of pixels in each of 8 bins, float `[N, bins C]`."""
    bins = np.minimum((images * _BINS).astype(int), _BINS - 1)
    return np.stack(
        [(bins == place).mean(axis=(1, 2)) for place in range(_BINS)], axis=1
    ).reshape(len(images), -1)
