"""SimSiam: each view predicts the other, whose branch takes no gradient."""

from dataclasses import dataclass

from simclr_tf.config.schema import GuestOptions, option, require_at_least_one
from simclr_tf.lazy import module, tf
from simclr_tf.objectives.objective import Figure, Memory, Objective

distribution = module("simclr_tf.distribution")
losses = module("simclr_tf.losses")
metrics = module("simclr_tf.metrics")
models = module("simclr_tf.models")

COLLAPSED_STD = 0.05  # 1: directions spread evenly.
SPREAD = Figure(
    "projection_std",
    "standard deviation of the normalised projections, times sqrt(D)",
    better="higher",
    short="proj std",
)


@dataclass(frozen=True)
class SimSiamOptions(GuestOptions):
    """Options of SimSiam."""

    name: str = option("simsiam", "Name of the objective.")
    predictor_features: int = option(
        512,
        "Hidden width of the predictor, a quarter of the projections' (paper: 512).",
    )
    constant_predictor_rate: bool = option(
        True,
        "Train the predictor at the peak learning rate in all steps.",
    )

    def check(self):
        require_at_least_one(predictor_features=self.predictor_features)


class SimSiam(Objective):
    """Negative cosine of a view's prediction and the other view's projection.

    No gradient flows through the projection. The paper's projection head has three
    layers of 2,048 (CIFAR: two).

    Args:
      predictor_features: int >= 1.
      constant_predictor_rate: bool; False lets the predictor's learning rate follow the
        schedule of all other layers.

    Source: Chen & He, Exploring Simple Siamese Representation Learning (2021), arXiv
    2011.10566, algorithm 1.
    """

    Options = SimSiamOptions
    title = "SimSiam"
    figures = (
        Figure(
            "simsiam_loss",
            "negative cosine of prediction and other view",
            better="lower",
        ),
        SPREAD,
    )

    def create_variables(self, setting):
        self.predictor = make_predictor(setting, self.options.predictor_features)

    @property
    def at_constant_rate(self):
        constant = self.options.constant_predictor_rate
        return self.predictor.trainable_variables if constant else []

    def loss(self, outputs):
        a, b = outputs.projections
        predicted_a, predicted_b = predictions(self.predictor, (a, b), outputs.training)
        loss = 0.5 * (
            losses.negative_cosine(predicted_a, b)
            + losses.negative_cosine(predicted_b, a)
        )
        return loss, {"simsiam_loss": loss, "projection_std": projection_std((a, b))}

    def diagnose(self, figures, global_batch_size):
        yield from diagnose_collapse(figures)

    def memory(self, global_batch_size, replicas=1):
        return Memory(0, "the predictor")

    def messages(self, global_batch_size, replicas, norm_channels):
        return predictor_messages(self, replicas)


def make_predictor(setting, hidden_features, **options):
    """Build a PredictionHead for the projections of a Setting."""
    predictor = models.PredictionHead(
        hidden_features,
        synchronized=setting.synchronized,
        seed=setting.seed,
        **options,
    )
    predictor.build((None, setting.num_projections))
    return predictor


def predictions(predictor, projections, training):
    """Apply a predictor to the projections of several views in one pass.

    Args:
      predictor: PredictionHead.
      projections: sequence of `[N, D]`.
      training: bool.

    Returns:
      list of float32 `[N, D]`.
    """
    together = predictor(tf.concat(projections, axis=0), training=training)
    return tf.split(together, len(projections))


def predictor_messages(objective, replicas):
    """List the messages of `predictions`, and of the projections' spread.

    Args:
      objective: Objective with a `predictor`, built.
      replicas: int.

    Returns:
      list of `simclr_tf.distribution.Message`.
    """
    width = objective.setting.num_projections
    return [
        *distribution.norm_messages([objective.predictor.hidden_features], replicas),
        distribution.moments_message(width, "figures", replicas),
    ]


def projection_std(projections):
    """Compute `SPREAD` over the global batch and all views, without a gradient."""
    together = tf.stop_gradient(tf.concat(projections, axis=0))
    return metrics.feature_standard_deviation(together)


def diagnose_collapse(figures):
    """Diagnose projections that are all equal.

    Args:
      figures: dict of figure name to float, with `SPREAD`.

    Yields:
      (name, sentence), see `Objective.diagnose`, or nothing.
    """
    std = figures.get("projection_std", 1.0)
    if std < COLLAPSED_STD:
        yield (
            "collapsed projections",
            f"The projections have collapsed: the standard deviation of their "
            f"directions is {std:.3f} times 1/sqrt(D), so every view has the same "
            "prediction. Try a lower --base_learning_rate, a projection head "
            "with batch norm, or a larger --batch_size.",
        )
