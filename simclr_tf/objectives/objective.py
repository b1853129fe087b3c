"""The interface of an objective: a loss with its views, state, figures and diagnosis.

The model (`simclr_tf.training.PretrainingModel`) makes the views, runs encoder and
head, and updates the weights; the objective does everything else. A step is

    views -> targets(views)                       networks of the objective's own
          -> features, projections                encoder and head, with gradients
          -> loss(outputs) -> update of the weights -> after_update(outputs)

on the rows of this replica; the rest of the global batch is reached through
`simclr_tf.distribution`. Importing this file loads no TensorFlow.
"""

import dataclasses
import functools
import types
from typing import Any, ClassVar, NamedTuple

from simclr_tf.augment.view_plan import ViewGroup
from simclr_tf.config.schema import GuestOptions, find_guest
from simclr_tf.config.shared_choices import OBJECTIVES
from simclr_tf.errors import ConfigError, received_text


@dataclasses.dataclass(frozen=True)
class Figure:
    """A number that a run reports, with the name and meaning used everywhere.

    Attributes:
      name: str, key in metrics.jsonl and TensorBoard.
      meaning: str, what it is.
      unit: str: "fraction", "nats", or another; "" if it has none.
      better: "lower", "higher", or "" where neither is.
      short: str, its name in the progress bar; "" leaves it out there.
      form: str, how a value is formatted (`format(value, form)`).
    """

    name: str
    meaning: str
    unit: str = ""
    better: str = ""
    short: str = ""
    form: str = ".3f"

    @property
    def title(self):
        """The meaning with its unit."""
        return f"{self.meaning} ({self.unit})" if self.unit == "nats" else self.meaning


# Figures of every run, for any objective.
REPRESENTATION_FIGURES = (
    Figure(
        "probe_accuracy",
        "online probe accuracy (training views)",
        unit="fraction",
        better="higher",
        short="probe acc",
        form=".1%",
    ),
    Figure(
        "knn_accuracy",
        "kNN accuracy (of labelled training images set aside)",
        unit="fraction",
        better="higher",
        short="kNN",
        form=".1%",
    ),
    Figure(
        "effective_rank", "effective rank of the features", "", "higher", form=".1f"
    ),
    Figure("alignment", "alignment of the projections", "", "lower"),
    Figure("uniformity", "uniformity of the projections", "", "lower"),
)
RUNNING_FIGURES = (
    Figure("learning_rate", "learning rate", form=".3g"),
    Figure("gradient_norm", "gradient norm"),
    Figure(
        "data_wait_fraction", "share of time waiting for data", "fraction", form=".1%"
    ),
    Figure("images_per_second", "images a second", "", "higher", form=".0f"),
)
# Figures of objectives that find the other view of an image among candidates.
CONTRASTIVE_FIGURES = (
    Figure("contrastive_loss", "contrastive loss", better="lower"),
    Figure(
        "contrastive_accuracy",
        "contrastive accuracy over all candidates",
        unit="fraction",
        better="higher",
        short="contrastive acc",
        form=".1%",
    ),
    Figure("contrastive_entropy", "contrastive entropy", unit="nats", form=".2f"),
)


class Outputs(NamedTuple):
    """The input of an objective in a step: rows are this replica's N images, in order.

    Attributes:
      features: tuple of float `[N, F]`, h of every view of the plan, or of the first
        `Objective.trained_views`.
      projections: tuple of float `[N, D]`, z of the same views.
      targets: what `Objective.targets` returned.
      ids: int64 `[N]`, positions of the images in their source; None in batches
        without them.
      labels: int32 `[N]`, -1 for unlabelled; None in batches without them.
      step: int64 scalar, updates done before this step.
      training: bool; without it, as in validation, nothing may change.
    """

    features: tuple
    projections: tuple
    targets: Any = ()
    ids: Any = None
    labels: Any = None
    step: Any = None
    training: bool = True


@dataclasses.dataclass(frozen=True)
class Setting:
    """What an objective creates its variables for.

    Attributes:
      encoder, projection_head: the networks, built.
      image_shape: (H, W, C) of a view of full size.
      num_features, num_projections: int, F and D.
      global_batch_size: int G, or None where it is not known.
      num_examples: int, images of the source; None where not known.
      total_steps, epoch_steps: int, or None where not known.
      synchronized: bool, batch norm over all replicas.
      seed: int, of initial values.
      is_stream: bool, the images come in a stream's order; ids are places in it.
    """

    encoder: Any
    projection_head: Any
    image_shape: tuple
    num_features: int
    num_projections: int
    global_batch_size: int | None = None
    num_examples: int | None = None
    total_steps: int | None = None
    epoch_steps: int | None = None
    synchronized: bool = False
    seed: int = 0
    is_stream: bool = False

    def known(self, name):
        """Return a value that the objective needs, or raise.

        Raises:
          ConfigError: it is not known.
        """
        value = getattr(self, name)
        if value is None:
            raise ConfigError(
                f"This objective needs `{name}`, which is not known here. Pass "
                f"`build_from_shape({name}=...)`, or use a source with a known number "
                "of images. " + received_text(**{name: None})
            )
        return value


class Memory(NamedTuple):
    """Memory that an objective needs beside the networks.

    Attributes:
      bytes: int.
      of: str, what it is for.
    """

    bytes: int
    of: str


class Objective:
    """Base of all objectives; each is a class in a file and a line in `OBJECTIVES`.

    An object is a Keras layer: what `create_variables` makes is tracked, saved,
    restored and undone with a skipped step without being named anywhere. (The class
    becomes a layer when it is first used, so that options can be read without
    TensorFlow.)

    Attributes:
      Options: dataclass of its options, whose defaults are the paper's.
      title: str, what a card calls the method.
      learns_from_labels: bool, whether the loss reads the labels of the images.
      figures: tuple of Figure, what `loss` returns besides the loss; the first is the
        loss itself.
      micro_batches_refused: str, why gradient caching would not be exact with this
        objective. None where it is exact: the loss depends on the images only through
        `projections`, `targets` and `features` (the latter without a gradient).
      options: Options of this object.
      setting: Setting, once the model is built. An objective reaches the trained
        encoder and head through it, and must not hold them as attributes.

    Args:
      **options: fields of `Options`.

    Raises:
      ConfigError: an unknown option, or a value outside its range.
    """

    Options: ClassVar[type] = GuestOptions
    title: ClassVar[str] = ""
    figures: ClassVar[tuple] = ()
    learns_from_labels: ClassVar[bool] = False
    micro_batches_refused: ClassVar[str | None] = None

    def __new__(cls, **options):
        """Make an object of the class that is also a Keras layer."""
        return object.__new__(_as_layer(cls))

    def __init__(self, **options):
        super().__init__(name="objective")
        known = [item.name for item in dataclasses.fields(self.Options)]
        for name in options:
            if name not in known:
                raise ConfigError(
                    f"{type(self).__name__} has no option `{name}`. Its options: "
                    f"{', '.join(known[1:])}. {received_text(option=name)}"
                )
        self.options = self.Options(**options)
        self.setting = None

    @property
    def view_groups(self):
        """tuple of ViewGroup: how many views of which size. Two of the full size."""
        return (ViewGroup(2),)

    @property
    def trained_views(self):
        """int: of so many views, from the first, encoder and head compute features
        and projections; all if None. `targets` sees all views."""
        return None

    def create_variables(self, setting):
        """Make networks, queues, banks and prototypes, as attributes.

        Called once, in the strategy's scope, after encoder and head are built.

        Args:
          setting: Setting.
        """

    def weights_loaded(self):
        """Update copies of encoder and head after `--init_from` changed the weights."""

    def targets(self, views, training):
        """Compute what the loss needs beside the projections, without a gradient.

        Args:
          views: tuple of float32 `[N, h, w, C]` in [0, 1], in the order of the plan.
          training: bool; without it nothing may change.

        Returns:
          Nested structure of tensors with N rows each; an empty tuple for nothing.
        """
        return ()

    def loss(self, outputs):
        """Compute the losses of this replica's images, and the figures of the step.

        Args:
          outputs: Outputs.

        Returns:
          (loss, figures): a float32 `[N]` or scalar, and a dict of figure name to
          float32 `[N]` or scalar. The mean over the replicas of their means is the
          global value; gradients are summed over the replicas.
        """
        raise NotImplementedError

    def frozen(self, step):
        """Return variables of the objective that are not trained in a step.

        Args:
          step: int64 scalar tensor.

        Returns:
          list of (variables, bool scalar tensor: whether they are frozen now).
        """
        return []

    @property
    def at_constant_rate(self):
        """list: variables whose learning rate stays at the peak of the schedule."""
        return []

    def after_update(self, outputs):
        """Change the state after the weights: queue, bank, centre, averaged networks.

        Every replica calls it and must compute the same values.

        Args:
          outputs: Outputs of the step, made by the weights before the update.
        """

    def diagnose(self, figures, global_batch_size):
        """Explain from the figures of an epoch why a run does not learn.

        Args:
          figures: dict of figure name to float.
          global_batch_size: int.

        Returns:
          iterable of (name, sentence with what to try).
        """
        return ()

    def memory(self, global_batch_size, replicas=1):
        """Estimate what a step takes on one replica for the loss: logits and similar.

        The networks' part and the objective's own variables are counted elsewhere.

        Args:
          global_batch_size, replicas: int.

        Returns:
          Memory, its purpose naming the variables too.
        """
        return Memory(0, "the objective")

    def messages(self, global_batch_size, replicas, norm_channels):
        """List what replicas send each other in a step for the loss and the state.

        With what the networks of the objective send, and the gradients of sums; without
        `simclr_tf.distribution.model_messages`. `simclr_tf.benchmarks.message_counts`
        compares the list with the graph of a step.

        Args:
          global_batch_size, replicas: int.
          norm_channels: tuple of int, channels of each batch norm of encoder and head.

        Returns:
          list of `simclr_tf.distribution.Message`; None if they are not stated.
        """
        return None


@functools.cache
def _as_layer(cls):
    """Return the same class as a subclass of Keras's Layer."""
    from simclr_tf._keras import keras

    return types.new_class(
        cls.__name__,
        (cls, keras.layers.Layer),
        exec_body=lambda names: names.update(__module__=cls.__module__),
    )


def figures_of(options):
    """List the figures of a run in the order in which they are shown.

    Args:
      options: GuestOptions, see `Config.objective`.

    Returns:
      tuple of Figure.
    """
    objective = find_guest(OBJECTIVES, options.name)
    return (*objective.figures, *REPRESENTATION_FIGURES, *RUNNING_FIGURES)


def objective_of(options):
    """Build the objective that the options of a config describe.

    Args:
      options: GuestOptions, see `Config.objective`.

    Returns:
      Objective.

    Example:
      >>> from simclr_tf.config import Config
      >>> objective_of(Config().objective).options.temperature
      0.1
    """
    values = {f.name: getattr(options, f.name) for f in dataclasses.fields(options)}
    return find_guest(OBJECTIVES, options.name)(**values)
