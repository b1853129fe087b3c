"""Views: every augmentation of SimCLR, batched, stateless, with draws per image.

`operators/` holds what is done to a view, `recipes.py` the numbers, `view_plan.py`
which views there are; `views.py` makes them. Nothing here imports TensorFlow before a
view is made.
"""

from simclr_tf.lazy import public_names

__all__ = public_names(
    __name__,
    {
        "file_crops": ("crop_draws", "crop_view", "crop_views"),
        "one_branch": ("OneBranch", "one_branch_operators", "recipe_of_views"),
        "operators": ("OPERATORS", "Operator"),
        "operators.blur": ("apply_blur", "sample_blur"),
        "operators.color_jitter": (
            "ColorJitter",
            "apply_color_jitter",
            "sample_color_jitter",
        ),
        "operators.crop": ("center_box", "sample_crop"),
        "operators.cutout": ("apply_cutout", "sample_cutout"),
        "operators.flip": ("apply_flip", "sample_flip"),
        "operators.grayscale": ("apply_grayscale", "sample_grayscale"),
        "operators.noise": ("apply_noise", "sample_noise"),
        "operators.rotate": ("apply_rotate", "sample_rotate"),
        "operators.sobel": ("apply_sobel", "sample_sobel"),
        "recipes": ("RECIPES", "Recipe", "get_recipe"),
        "resizing": ("apply_crop",),
        "view_plan": ("View", "ViewGroup", "ViewPlan", "plan_views"),
        "views": (
            "finish_view",
            "finish_views",
            "make_views",
            "one_view",
            "two_views",
        ),
    },
)
