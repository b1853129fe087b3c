"""Views: every augmentation of SimCLR, batched, stateless, with draws per image.

`operators/` has the operators, `recipes.py` their parameters, `view_plan.py` the list
of views; `views.py` makes the views. TensorFlow is imported only when a view is made.
"""

from typing import TYPE_CHECKING

from simclr_tf.lazy import public_names

if TYPE_CHECKING:
    from simclr_tf.augment.file_crops import crop_draws as crop_draws
    from simclr_tf.augment.file_crops import crop_view as crop_view
    from simclr_tf.augment.file_crops import crop_views as crop_views
    from simclr_tf.augment.one_branch import OneBranch as OneBranch
    from simclr_tf.augment.one_branch import (
        one_branch_operators as one_branch_operators,
    )
    from simclr_tf.augment.one_branch import recipe_of_views as recipe_of_views
    from simclr_tf.augment.operators import OPERATORS as OPERATORS
    from simclr_tf.augment.operators import Operator as Operator
    from simclr_tf.augment.operators.blur import apply_blur as apply_blur
    from simclr_tf.augment.operators.blur import sample_blur as sample_blur
    from simclr_tf.augment.operators.color_jitter import ColorJitter as ColorJitter
    from simclr_tf.augment.operators.color_jitter import (
        apply_color_jitter as apply_color_jitter,
    )
    from simclr_tf.augment.operators.color_jitter import (
        sample_color_jitter as sample_color_jitter,
    )
    from simclr_tf.augment.operators.crop import center_box as center_box
    from simclr_tf.augment.operators.crop import sample_crop as sample_crop
    from simclr_tf.augment.operators.cutout import apply_cutout as apply_cutout
    from simclr_tf.augment.operators.cutout import sample_cutout as sample_cutout
    from simclr_tf.augment.operators.flip import apply_flip as apply_flip
    from simclr_tf.augment.operators.flip import sample_flip as sample_flip
    from simclr_tf.augment.operators.grayscale import apply_grayscale as apply_grayscale
    from simclr_tf.augment.operators.grayscale import (
        sample_grayscale as sample_grayscale,
    )
    from simclr_tf.augment.operators.noise import apply_noise as apply_noise
    from simclr_tf.augment.operators.noise import sample_noise as sample_noise
    from simclr_tf.augment.operators.rotate import apply_rotate as apply_rotate
    from simclr_tf.augment.operators.rotate import sample_rotate as sample_rotate
    from simclr_tf.augment.operators.sobel import apply_sobel as apply_sobel
    from simclr_tf.augment.operators.sobel import sample_sobel as sample_sobel
    from simclr_tf.augment.recipes import RECIPES as RECIPES
    from simclr_tf.augment.recipes import Recipe as Recipe
    from simclr_tf.augment.recipes import get_recipe as get_recipe
    from simclr_tf.augment.resizing import apply_crop as apply_crop
    from simclr_tf.augment.view_plan import View as View
    from simclr_tf.augment.view_plan import ViewGroup as ViewGroup
    from simclr_tf.augment.view_plan import ViewPlan as ViewPlan
    from simclr_tf.augment.view_plan import plan_views as plan_views
    from simclr_tf.augment.views import finish_view as finish_view
    from simclr_tf.augment.views import finish_views as finish_views
    from simclr_tf.augment.views import make_views as make_views
    from simclr_tf.augment.views import one_view as one_view
    from simclr_tf.augment.views import two_views as two_views

__all__ = public_names(__name__, __file__)
