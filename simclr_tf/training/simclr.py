"""SimCLR as a Keras model with its own train step."""

import functools
import types

import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.augment import finish_views, recipe_of_views, two_views
from simclr_tf.distribution import (
    keep_or_restore,
    num_replicas,
    require_equal_rows,
    sum_over_replicas,
)
from simclr_tf.errors import require, unknown_choice
from simclr_tf.losses import (
    candidate_logits,
    nt_xent_candidates,
    nt_xent_from_logits,
    supervised_cross_entropy,
)
from simclr_tf.metrics import (
    contrastive_accuracy,
    contrastive_entropy,
    feature_standard_deviation,
    label_weights,
    top_k_correct,
)
from simclr_tf.training.former_values import values_before_update
from simclr_tf.training.gradient_cache import GradientCache
from simclr_tf.training.running_means import RunCount, RunningMean

METRICS = (
    "loss",
    "contrastive_loss",
    "contrastive_accuracy",
    "contrastive_entropy",
    "feature_std",
    "gradient_norm",
)
PROBE_METRICS = ("probe_loss", "probe_accuracy")
ON_NONFINITE = ("stop", "skip")


class SimCLR(keras.Model):
    """Two views, one encoder, one projection head, one contrastive loss.

    view_a, view_b = augment(images); h = encoder(views); z = projection_head(h);
    loss = mean over the global batch of the contrastive loss of (z_a, z_b). With
    `num_classes`, a linear probe learns on stop_gradient(h) beside it, so that the
    labels never reach the encoder.

    `fit` takes batches that are dicts of
      * "images" `[N, H, W, C]` uint8 or float in [0, 1], and "seeds" `[N, 2]` int32:
        the views are made here, on the device, by `recipe`; or
      * "crops_a", "crops_b" `[N, S, S, C]` and "seeds": the views are finished here; or
      * "view_a", "view_b" `[N, S, S, C]` float: used as they are;
    and optionally "labels" `[N]` (integers, -1 for unlabelled), or "probe_images" and
    "probe_labels": a separate labelled set for the probe.

    Args:
      encoder: keras.Model, float images `[N, H, W, C]` in [0, 1] to features `[N, F]`.
      projection_head: keras layer or model, features to projections `[N, D]`.
      temperature: float > 0; the similarities are divided by it.
      normalize: bool, compare the directions of the projections, not their lengths.
      loss: function of simclr_tf.losses.CandidateLogits to losses `[N]`; NT-Xent by
        default. `nt_logistic_from_logits` fits too, and at temperature 1
        `margin_triplet_from_logits`.
      chunk_size: int >= 1, anchors whose logits NT-Xent holds at a time; None chooses
        (see `nt_xent`). Other losses need all logits at once.
      recipe: name, Recipe or OneBranch of the views; needed for batches without
        views.
      image_size_pixels: int, size of a view; the images' own size if None.
      num_classes: int, classes of the online probe; no probe if None.
      compile_views: bool, compile the making of views with XLA.
      on_nonfinite: "stop": a step whose loss or gradient is not finite is like any
        other, for a callback (`HealthCheck`) to stop at; "skip": it changes no weight,
        no moving statistic and no momentum on any replica, only the step counter, and
        is counted in `skipped_steps` (of the whole run) instead of the other metrics.
      micro_batch_size: int >= 1, images of one replica that are in the network at a
        time: the gradient of the whole batch in the memory of a part. None: all.
      micro_batch_norm: "batch" or "inference", their statistics; see `GradientCache`.

    On several replicas the batch is their joint, global batch, in equal parts: the
    figures and the gradient are those that one device would compute from all of it.

    Raises:
      ConfigError: a temperature that is not > 0, an unknown recipe or choice, a
        `chunk_size` for a loss without one, or micro-batches that cannot be.

    Source: arXiv 2002.05709, Algorithm 1; the online probe: section B.6.
    """

    def __init__(
        self,
        encoder,
        projection_head,
        *,
        temperature=0.1,
        normalize=True,
        loss=nt_xent_from_logits,
        chunk_size=None,
        recipe=None,
        image_size_pixels=None,
        num_classes=None,
        compile_views=True,
        on_nonfinite="stop",
        micro_batch_size=None,
        micro_batch_norm="batch",
        **kwargs,
    ):
        super().__init__(**kwargs)
        require(temperature > 0, "`temperature` must be > 0.", temperature=temperature)
        require(
            num_classes is None or num_classes >= 1,
            "`num_classes` must be >= 1.",
            num_classes=num_classes,
        )
        if on_nonfinite not in ON_NONFINITE:
            raise unknown_choice("on_nonfinite", on_nonfinite, ON_NONFINITE)
        self.encoder = encoder
        self.projection_head = projection_head
        self.losses_of = loss
        self.chunk_size, self.micro_batch_size = chunk_size, micro_batch_size
        self._candidates_of = functools.partial(
            _candidate_maker(loss, chunk_size),
            temperature=temperature,
            normalize=normalize,
        )
        self.recipe = None if recipe is None else recipe_of_views(recipe)
        self.probe = None
        if num_classes is not None:
            # A linear classifier is convex: it can start at zero, whatever the seed.
            self.probe = keras.layers.Dense(
                num_classes,
                kernel_initializer="zeros",
                dtype="float32",
                name="linear_probe",
            )
        self._make_views = _view_makers(self.recipe, image_size_pixels, compile_views)
        # Read-only: Keras would track a dict, and checkpoints hold the means elsewhere.
        names = METRICS if self.probe is None else (*METRICS, *PROBE_METRICS)
        self._means = types.MappingProxyType(
            {name: RunningMean(name=name) for name in names}
        )
        self._skipped_steps = RunCount(name="skipped_steps")
        self._skips = on_nonfinite == "skip"
        self._cache = (
            None
            if micro_batch_size is None
            else GradientCache(self, micro_batch_size, micro_batch_norm)
        )
        # What a step returns is the same on every replica: Keras need not add it up.
        self.distribute_reduction_method = "first"

    def build_from_shape(self, image_shape):
        """Create every variable for images of shape (H, W, C)."""
        images = tf.zeros([1, *image_shape])
        features = self.encoder(images, training=False)
        projections = self.projection_head(features, training=False)
        if self._cache is not None:
            self._cache.expect(features, projections)
        if self.probe is not None:
            self.probe(features)
        self.built = True

    def call(self, images, training=False):
        """Features h `[N, F]` of images `[N, H, W, C]` in [0, 1]."""
        return self.encoder(images, training=training)

    def train_step(self, batch):
        former = values_before_update(self) if self._skips else None
        gradients, shares, scalars = self.gradients(batch)
        pairs = [
            (gradient, variable)
            for gradient, variable in zip(
                gradients, self.trainable_variables, strict=True
            )
            if gradient is not None
        ]
        gradients, variables = zip(*pairs, strict=True)
        # The one collective of the update: gradients and figures together.
        gradients, sums = sum_over_replicas((gradients, shares))
        scalars.update(sums, gradient_norm=tf.linalg.global_norm(gradients))
        self.optimizer.apply_gradients(
            zip(gradients, variables, strict=True), skip_gradients_aggregation=True
        )
        if not self._skips:
            return self._record(scalars)
        is_finite = tf.math.is_finite(scalars["loss"] + scalars["gradient_norm"])
        keep_or_restore(is_finite, *zip(*former, strict=True))
        return self._record(scalars, is_finite)

    def test_step(self, batch):
        features, *outputs = self.represent(batch, training=False)
        shares, scalars = self.contrastive_figures(features, *outputs)
        self.add_probe_figures(batch, features, shares, scalars)
        return self._record({**scalars, **sum_over_replicas(shares)})

    def gradients(self, batch):
        """This replica's part of a step.

        Returns:
          (gradients of the trainable variables, None where there is none; this
          replica's shares of the global figures; figures that are already global). The
          sum of the shares over the replicas is the mean over the global batch, and
          the sum of the gradients is the gradient of shares["loss"].
        """
        if self._cache is not None:
            return self._cache.gradients(batch)
        views = self.make_views(batch)
        with tf.GradientTape() as tape:
            features, *outputs = self.forward(views, training=True)
            shares, scalars = self.contrastive_figures(features, *outputs)
            self.add_probe_figures(batch, features, shares, scalars)
        return tape.gradient(shares["loss"], self.trainable_variables), shares, scalars

    def represent(self, batch, training):
        """`forward` of all views of a batch, in micro-batches if there are any."""
        if self._cache is not None:
            return self._cache.represent(batch, training)
        return self.forward(self.make_views(batch), training)

    def forward(self, views, training):
        """One forward pass for both views.

        Args:
          views: pair of `[N, S, S, C]`.
          training: bool.

        Returns:
          (features `[2N, F]`, projections `[2N, D]`, scalar: the sum of the
          regularizers of a user's own encoder).
        """
        features = self.encoder(tf.concat(views, axis=0), training=training)
        projections = self.projection_head(features, training=training)
        regularizers = tf.add_n(self.losses) if self.losses else tf.constant(0.0)
        return features, projections, regularizers

    def make_views(self, batch):
        """Both views `[N, S, S, C]` of a batch, float32 in [0, 1]."""
        if "view_a" in batch:
            return batch["view_a"], batch["view_b"]
        require(
            self._make_views is not None,
            "SimCLR needs `recipe` for batches without view_a and view_b.",
            batch=sorted(batch),
        )
        two_views_of, finish = self._make_views
        if "crops_a" in batch:
            return finish(batch["crops_a"], batch["crops_b"], batch["seeds"])
        return two_views_of(batch["images"], batch["seeds"])

    def contrastive_figures(self, features, projections, regularizers):
        """(shares, scalars) as of `gradients`, without the probe's."""
        require_equal_rows(projections)
        candidates = self._candidates_of(*tf.split(projections, 2))
        loss = tf.reduce_mean(self.losses_of(candidates))
        means = {
            "contrastive_loss": loss,
            "contrastive_accuracy": tf.reduce_mean(contrastive_accuracy(candidates)),
            "contrastive_entropy": tf.reduce_mean(contrastive_entropy(candidates)),
            "loss": loss + regularizers,
        }
        shares = {name: mean / num_replicas() for name, mean in means.items()}
        return shares, {"feature_std": feature_standard_deviation(features)}

    def add_probe_figures(self, batch, features, shares, scalars):
        """Add the probe's loss and accuracy to `shares`, its weight to `scalars`."""
        if self.probe is None:
            return
        if "probe_images" in batch:
            features = self.encoder(batch["probe_images"], training=False)
            labels = batch["probe_labels"]
        elif "labels" in batch:
            labels = tf.tile(batch["labels"], [2])  # Both views.
        else:
            return
        logits = self.probe(tf.stop_gradient(features))
        # Replicas may hold different numbers of labels.
        labelled = sum_over_replicas(tf.reduce_sum(label_weights(labels)))
        scalars["labelled"] = labelled
        shares["probe_loss"] = tf.math.divide_no_nan(
            tf.reduce_sum(supervised_cross_entropy(labels, logits)), labelled
        )
        shares["probe_accuracy"] = tf.math.divide_no_nan(
            tf.reduce_sum(top_k_correct(labels, logits)), labelled
        )
        shares["loss"] += shares["probe_loss"]

    def _record(self, scalars, is_finite=None):
        """Update the running means; figures that this batch has none of stay away."""
        labelled = scalars.pop("labelled", 1.0)
        counts = 1.0 if is_finite is None else tf.cast(is_finite, tf.float32)
        for name, value in scalars.items():
            weight = labelled if name in PROBE_METRICS else 1.0
            if is_finite is not None:
                value = tf.where(is_finite, value, 0.0)
            self._means[name].update_state(value, sample_weight=weight * counts)
        logs = {name: self._means[name].result() for name in scalars}
        if is_finite is not None:
            self._skipped_steps.update_state(1.0 - counts)
            logs["skipped_steps"] = self._skipped_steps.result()
        return logs

    @property
    def metrics(self):
        return [*self._means.values(), self._skipped_steps]

    @property
    def skipped_steps(self):
        """int, steps of the whole run whose update was left out."""
        return int(self._skipped_steps.result())


def _candidate_maker(loss, chunk_size):
    """What turns projections into that which `loss` and the metrics read."""
    if loss is nt_xent_from_logits:
        return functools.partial(nt_xent_candidates, chunk_size=chunk_size)
    require(
        chunk_size is None,
        "`chunk_size` is for nt_xent: other losses need all logits at once.",
        chunk_size=chunk_size,
    )
    return candidate_logits


def _view_makers(recipe, image_size_pixels, compile_views):
    """(images, seeds) -> views, and (crops, seeds) -> views; compiled if asked."""
    if recipe is None:
        return None
    makers = (
        functools.partial(
            two_views, recipe=recipe, image_size_pixels=image_size_pixels
        ),
        functools.partial(finish_views, recipe=recipe),
    )
    if not compile_views:  # Autograph has nothing to convert, but would look for it.
        return tuple(map(tf.autograph.experimental.do_not_convert, makers))
    return tuple(
        tf.function(maker, jit_compile=True, autograph=False) for maker in makers
    )
