"""Views: every augmentation of SimCLR, batched, stateless, with draws per image."""

from simclr_tf.augment.ablation import (
    apply_cutout,
    apply_noise,
    apply_rotate,
    apply_sobel,
    sample_cutout,
    sample_noise,
    sample_rotate,
    sample_sobel,
)
from simclr_tf.augment.blur import apply_blur, sample_blur
from simclr_tf.augment.color import (
    ColorJitter,
    apply_color_jitter,
    sample_color_jitter,
)
from simclr_tf.augment.crop import (
    apply_crop,
    apply_flip,
    center_box,
    sample_crop,
    sample_flip,
)
from simclr_tf.augment.file_crops import crop_draws, crop_view, crop_views
from simclr_tf.augment.grayscale import apply_grayscale, sample_grayscale
from simclr_tf.augment.one_branch import (
    ONE_BRANCH_OPERATORS,
    OneBranch,
    recipe_of_views,
)
from simclr_tf.augment.recipes import RECIPES, Recipe, get_recipe
from simclr_tf.augment.views import finish_view, finish_views, one_view, two_views

__all__ = [
    "ONE_BRANCH_OPERATORS",
    "RECIPES",
    "ColorJitter",
    "OneBranch",
    "Recipe",
    "apply_blur",
    "apply_color_jitter",
    "apply_crop",
    "apply_cutout",
    "apply_flip",
    "apply_grayscale",
    "apply_noise",
    "apply_rotate",
    "apply_sobel",
    "center_box",
    "crop_draws",
    "crop_view",
    "crop_views",
    "finish_view",
    "finish_views",
    "get_recipe",
    "one_view",
    "recipe_of_views",
    "sample_blur",
    "sample_color_jitter",
    "sample_crop",
    "sample_cutout",
    "sample_flip",
    "sample_grayscale",
    "sample_noise",
    "sample_rotate",
    "sample_sobel",
    "two_views",
]
