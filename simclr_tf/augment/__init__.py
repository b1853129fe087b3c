"""Views: every augmentation of SimCLR, batched, stateless, with draws per image.

`recipes.py` holds the numbers, `view_plan.py` which views there are, `views.py` makes
them. Nothing here imports TensorFlow before a view is made.
"""

from simclr_tf.lazy import public_names

__all__ = public_names(
    __name__,
    {
        "ablation": (
            "apply_cutout",
            "apply_noise",
            "apply_rotate",
            "apply_sobel",
            "sample_cutout",
            "sample_noise",
            "sample_rotate",
            "sample_sobel",
        ),
        "blur": ("apply_blur", "sample_blur"),
        "color": ("ColorJitter", "apply_color_jitter", "sample_color_jitter"),
        "crop": (
            "apply_crop",
            "apply_flip",
            "center_box",
            "sample_crop",
            "sample_flip",
        ),
        "file_crops": ("crop_draws", "crop_view", "crop_views"),
        "grayscale": ("apply_grayscale", "sample_grayscale"),
        "one_branch": ("ONE_BRANCH_OPERATORS", "OneBranch", "recipe_of_views"),
        "recipes": ("RECIPES", "Recipe", "get_recipe"),
        "view_plan": ("ViewGroup", "ViewPlan", "plan_views"),
        "views": (
            "finish_view",
            "finish_views",
            "make_views",
            "one_view",
            "two_views",
        ),
    },
)
