"""The views of every recipe, and the random numbers that they are made from."""

import numpy as np
import tensorflow as tf

from simclr_tf.augment import (
    OPERATORS,
    RECIPES,
    OneBranch,
    Recipe,
    crop_views,
    finish_views,
    plan_views,
    sample_blur,
    sample_color_jitter,
    sample_crop,
    sample_cutout,
    sample_flip,
    sample_grayscale,
    sample_noise,
    sample_rotate,
    sample_sobel,
    two_views,
)
from simclr_tf.augment.one_branch import SHARED_VIEW
from simclr_tf.data import batch_ids, open_source
from simclr_tf.seeding import epoch_order, example_seeds, fold_in, normal, uniform
from tests.golden.runs import images

HEIGHT, WIDTH, SIZE, BLOCK = 40, 36, 32, 8
NUMBER = 3
EVERY_OPERATOR = Recipe(
    cutout_probability=0.7,
    rotate_probability=0.7,
    noise_probability=0.7,
    sobel_probability=0.5,
)
VIEWS = {
    **{name: name for name in RECIPES},
    "every_operator": EVERY_OPERATOR,
    "two_recipes": ("simclr_v1", "finetune"),
    "one_branch": OneBranch("simclr_v2", ("crop", "color", "blur", "rotate")),
}
# Every operator's draws: a function of seeds that are folded to its place in the tree.
DRAWS = {
    "crop": lambda seeds: sample_crop(seeds, HEIGHT, WIDTH),
    "flip": sample_flip,
    "color_jitter": lambda seeds: tuple(
        sample_color_jitter(
            seeds,
            probability=0.8,
            strength=0.5,
            brightness=0.8,
            contrast=0.8,
            saturation=0.8,
            hue=0.2,
            brightness_mode="multiplicative",
        )
    ),
    "grayscale": sample_grayscale,
    "blur": sample_blur,
    "cutout": lambda seeds: sample_cutout(seeds, SIZE, SIZE),
    "rotate": sample_rotate,
    "noise": lambda seeds: sample_noise(seeds, (2, 2, 1)),
    "sobel": lambda seeds: sample_sobel(seeds, probability=0.5),
}


def operator_ids():
    """dict of the operators' places in the seed tree."""
    return {name: operator.seed_id for name, operator in OPERATORS.items()}


def seeds():
    """int32 `[NUMBER, 2]`, those of three examples of a run."""
    return example_seeds(7, 2, np.array([5, 0, 11]))


def measure(name):
    """Both views of three images, shrunk to the means of blocks.

    Args:
      name: str, a key of `VIEWS`.

    Returns:
      dict: "batch" and "file", the means of view a and view b `[2, NUMBER, 4, 4, 3]`
      (flat) when views are made of a batch, and of one image after the other.
    """
    recipe = VIEWS[name]
    pictures = np.stack([images(HEIGHT, WIDTH, seed) for seed in range(NUMBER)])
    of_batch = two_views(pictures, seeds(), recipe, image_size_pixels=SIZE)
    plan = plan_views(recipe, SIZE)
    crops = [
        crop_views(picture, seed, plan)
        for picture, seed in zip(pictures, seeds(), strict=True)
    ]
    crops = tuple(tf.stack(views) for views in zip(*crops, strict=True))
    of_files = finish_views(crops, seeds(), plan)
    return {"batch": _blocks(of_batch), "file": _blocks(of_files)}


def measure_seed_tree():
    """Ids, streams and draws: what a run with a given seed sees depends on them.

    Returns:
      dict of lists of numbers.
    """
    source = open_source(np.zeros([20, 4, 4, 3], np.uint8))
    of_view = fold_in(seeds(), 1)
    return {
        "operator_ids": operator_ids(),
        "shared_view": SHARED_VIEW,
        "epoch_order": epoch_order(7, 2, 20).tolist(),
        "example_seeds": seeds().tolist(),
        "example_seeds_of_a_large_seed": example_seeds(
            2**40 + 1, 0, np.array([0, 2**33])
        ).tolist(),
        "fold_in": of_view.numpy().tolist(),
        "uniform": uniform(seeds(), (2,)).numpy().tolist(),
        "normal": normal(seeds(), (2,)).numpy().tolist(),
        "batch_ids": [
            batch_ids(source, global_batch_size=8, seed=7, step=step).tolist()
            for step in range(5)
        ],
        "draws": {
            name: _plain(draw(fold_in(of_view, operator_ids()[name])))
            for name, draw in DRAWS.items()
        },
    }


def _blocks(views):
    """float, flat: `[V, N, S, S, C]` averaged over blocks."""
    views = np.stack([np.asarray(view, np.float64) for view in views])
    blocks = views.reshape(len(views), NUMBER, SIZE // BLOCK, BLOCK, -1, BLOCK, 3)
    return blocks.mean(axis=(3, 5)).ravel().tolist()


def _plain(draws):
    if isinstance(draws, tuple):
        return [_plain(draw) for draw in draws]
    return np.asarray(draws).tolist()
