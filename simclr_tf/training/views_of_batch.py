"""Views of a batch in any form, made on the device that trains."""

import functools

import tensorflow as tf

from simclr_tf.augment import finish_views, make_views
from simclr_tf.errors import require


class ViewsOfBatch:
    """Make the views of a batch.

    A batch is a dict of
      * "images" `[N, H, W, C]` uint8 or float in [0, 1], and "seeds" `[N, 2]` int32:
        the views are made here; or
      * "crops", a tuple of `[N, h, w, C]`, one a view, and "seeds": the other operators
      are applied here; or
      * "views", a tuple of float `[N, h, w, C]`, or "view_a" and "view_b": they are
        used unchanged; or
      * for one view, "images" without "seeds": used unchanged, e.g. for validation.

    Args:
      plan: ViewPlan; None for batches that hold their views.
      compile_views: bool, compile the making of views with XLA.

    Attributes:
      plan: ViewPlan or None.
      is_compiled: bool, whether XLA compiles the making of views.

    Example:
      >>> from simclr_tf.augment import plan_views
      >>> views_of = ViewsOfBatch(plan_views("finetune", 8), compile_views=False)
      >>> batch = {"images": tf.zeros([2, 12, 12, 3], tf.uint8),
      ...          "seeds": tf.zeros([2, 2], tf.int32)}
      >>> [view.shape.as_list() for view in views_of(batch)]
      [[2, 8, 8, 3], [2, 8, 8, 3]]
    """

    # The columns of a batch that views are made of.
    COLUMNS = ("images", "crops", "seeds", "views", "view_a", "view_b")

    def __init__(self, plan, compile_views=True):
        self.plan, self.is_compiled = plan, compile_views
        self._make, self._finish = (
            _compiled(functools.partial(function, plan=plan), compile_views)
            for function in (make_views, finish_views)
        )

    def __call__(self, batch):
        """Make float32 `[N, h, w, C]` in [0, 1] for each view, in order of the plan."""
        if "views" in batch:
            return tuple(batch["views"])
        if "view_a" in batch:
            return batch["view_a"], batch["view_b"]
        require(
            self.plan is not None,
            "`recipe` is needed for batches without views.",
            batch=sorted(batch),
        )
        if "crops" in batch:
            return tuple(self._finish(batch["crops"], batch["seeds"]))
        if "seeds" in batch:
            return tuple(self._make(batch["images"], batch["seeds"]))
        return (tf.image.convert_image_dtype(batch["images"], tf.float32),)

    def count(self, batch):
        """Count the views of the batch."""
        return len(batch["views"]) if "views" in batch else len(self.sizes(None))

    def sizes(self, own_size):
        """Return (height, width) of every view; `own_size` for the images' own."""
        if self.plan is None:
            return [own_size] * 2
        return [view.size or own_size for view in self.plan.views]


def _compiled(function, is_compiled):
    if (
        not is_compiled
    ):  # Autograph has nothing to convert; without this it would search.
        return tf.autograph.experimental.do_not_convert(function)
    return tf.function(function, jit_compile=True, autograph=False)
