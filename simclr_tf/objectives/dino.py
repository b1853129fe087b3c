"""DINO: a student predicts the output of its averaged copy on other crops."""

import math
from dataclasses import dataclass, replace

from simclr_tf.config.schema import (
    option,
    require_at_least_one,
    require_fraction,
    require_not_negative,
    require_positive,
)
from simclr_tf.lazy import module, tf
from simclr_tf.objectives.byol import WithTarget
from simclr_tf.objectives.multi_crop import (
    MultiCropOptions,
    require_fitting_views,
    warn_if_too_short,
)
from simclr_tf.objectives.objective import Figure, Memory
from simclr_tf.objectives.queue import averaged_messages
from simclr_tf.objectives.swav import (
    STUCK_TOLERANCE,
    USAGE_FIGURES,
    diagnose_prototype_use,
    scores_of,
    unit_rows_initializer,
    usage_figures,
)

candidates = module("simclr_tf.losses.candidates")
distribution = module("simclr_tf.distribution")
losses = module("simclr_tf.losses")


@dataclass(frozen=True)
class DINOOptions(MultiCropOptions):
    """Options of DINO."""

    name: str = option("dino", "Name of the objective.")
    small_views: int = option(8, "Views of the small size, beside two full ones.")
    small_crop_area: tuple[float, ...] = option(
        (0.05, 0.4), "Smallest and largest share of an image that a small view shows."
    )
    temperature: float = option(0.1, "Divides the student's logits (paper: 0.1).")
    outputs: int = option(65536, "Width of the logits (small images: 4,096).")
    teacher_temperature: float = option(
        0.07, "Divides the teacher's logits, after the warm-up (paper: 0.07)."
    )
    first_teacher_temperature: float = option(
        0.04, "The teacher's first temperature; it rises linearly (paper: 0.04)."
    )
    teacher_warmup_epochs: float = option(
        30.0, "Epochs in which the teacher's temperature rises (paper: 30)."
    )
    center_momentum: float = option(0.9, "Share of the centre that stays (paper: 0.9).")
    target_momentum: float = option(
        0.996,
        "Share of the teacher's weights kept in a step; it rises to 1 over the run "
        "(paper: 0.996; CIFAR: 0.9995).",
    )
    freeze_epochs: float = option(
        1.0, "First epochs in which the last layer is not trained."
    )

    def check(self):
        super().check()
        require_positive(
            temperature=self.temperature,
            teacher_temperature=self.teacher_temperature,
            first_teacher_temperature=self.first_teacher_temperature,
        )
        require_at_least_one(outputs=self.outputs)
        require_fraction("center_momentum", self.center_momentum)
        require_fraction("target_momentum", self.target_momentum)
        require_not_negative(
            teacher_warmup_epochs=self.teacher_warmup_epochs,
            freeze_epochs=self.freeze_epochs,
        )


class DINO(WithTarget):
    """Cross-entropy of the student's logits with the teacher's, centred and sharpened.

    The teacher, an average of the student, sees the two full views; the student sees
    all views. Logits are cosines of a projection with the rows of a last layer. The
    paper's head has three layers, 2,048 wide and 256 at the end, without batch norm
    (`--projection_head.batch_norm=false`); its full views show 0.4 of the image or more
    (`--augment.crop_area_min_fraction`).

    Args:
      temperature, teacher_temperature, first_teacher_temperature: float > 0.
      teacher_warmup_epochs, freeze_epochs: float >= 0.
      center_momentum, target_momentum: float in [0, 1).
      outputs: int.
      small_views, small_size_fraction, small_crop_area: see ViewGroup.

    Source: Caron et al., Emerging Properties in Self-Supervised Vision Transformers
    (2021), arXiv 2104.14294, algorithm 1.
    """

    Options = DINOOptions
    title = "DINO"
    figures = (
        Figure("dino_loss", "cross-entropy of student and teacher", better="lower"),
        Figure(
            "dino_divergence",
            "divergence of student and teacher",
            unit="nats",
            better="lower",
        ),
        replace(
            USAGE_FIGURES[0],
            meaning="entropy of the teacher's prediction "
            "(0: one output alone, ln(outputs): uniform)",
            better="",
        ),
        *USAGE_FIGURES[1:],
    )

    @property
    def view_groups(self):
        return self.options.view_groups

    def create_variables(self, setting):
        require_fitting_views(self.options, setting)
        options = self.options
        epoch = setting.known("epoch_steps")
        self.freeze_steps = options.freeze_epochs * epoch
        self.warmup_steps = options.teacher_warmup_epochs * epoch
        warn_if_too_short(
            setting,
            self.freeze_steps,
            "train the last layer",
            freeze_epochs=options.freeze_epochs,
        )
        if options.first_teacher_temperature != options.teacher_temperature:
            warn_if_too_short(
                setting,
                self.warmup_steps,
                f"reach --objective.teacher_temperature={options.teacher_temperature}",
                teacher_warmup_epochs=options.teacher_warmup_epochs,
            )
        self.create_target(setting)
        shape = [options.outputs, setting.num_projections]
        start = unit_rows_initializer(setting.seed)
        self.last_layer = self.add_weight(
            name="last_layer", shape=shape, initializer=start
        )
        self.teacher_layer = self.add_weight(
            name="teacher_layer", shape=shape, initializer=start, trainable=False
        )
        self.center = self.add_weight(
            name="center", shape=shape[:1], initializer="zeros", trainable=False
        )

    def loss(self, outputs):
        student = scores_of(outputs.projections, candidates.unit_rows(self.last_layer))
        # The teacher's temperature changes with the step, so it is applied here.
        warmth = self.teacher_temperature(outputs.step)
        teacher = [
            scores / warmth
            for scores in scores_of(
                outputs.targets, candidates.unit_rows(self.teacher_layer)
            )
        ]
        center = self.center / warmth
        terms = [
            losses.dino_cross_entropy(
                own,
                other,
                center,
                student_temperature=self.options.temperature,
                teacher_temperature=1.0,
            )
            for view, other in enumerate(teacher)
            for place, own in enumerate(student)
            if place != view
        ]
        loss = tf.add_n(terms) / len(terms)
        usage = usage_figures(tf.nn.softmax(tf.concat(teacher, axis=0) - center))
        return loss, {
            "dino_loss": loss,
            "dino_divergence": tf.reduce_mean(loss) - usage["prediction_entropy"],
            **usage,
        }

    def teacher_temperature(self, step):
        """Return the teacher's temperature at a step, a float32 scalar."""
        first, last = (
            self.options.first_teacher_temperature,
            self.options.teacher_temperature,
        )
        done = tf.cast(step, tf.float32) / max(self.warmup_steps, 1e-6)
        return first + (last - first) * tf.minimum(done, 1.0)

    def frozen(self, step):
        return [([self.last_layer], tf.cast(step, tf.float32) < self.freeze_steps)]

    def after_update(self, outputs):
        rows = candidates.unit_rows(tf.concat(outputs.targets, axis=0))
        mean = distribution.sum_over_replicas(tf.reduce_mean(rows, axis=0))
        mean /= distribution.num_replicas()
        # The mean of the logits, with the weights before the update.
        logits = tf.linalg.matvec(candidates.unit_rows(self.teacher_layer), mean)
        momentum, stays = self.momentum(outputs.step), self.options.center_momentum
        distribution.assign_on_replicas(
            [self.center, self.teacher_layer],
            [
                stays * self.center + (1.0 - stays) * logits,
                momentum * self.teacher_layer + (1.0 - momentum) * self.last_layer,
            ],
        )
        super().after_update(outputs)

    def diagnose(self, figures, global_batch_size):
        even = math.log(self.options.outputs)
        entropy = figures.get("prediction_entropy", 0.0)
        if abs(entropy - even) < STUCK_TOLERANCE * even:
            yield (
                "uniform",
                f"The teacher's predictions are uniform: an entropy of {entropy:.3f}, "
                f"with ln(outputs) = {even:.3f}. Try a lower "
                "--objective.teacher_temperature, a longer "
                "--objective.teacher_warmup_epochs or fewer --objective.outputs.",
            )
        yield from diagnose_prototype_use(figures)

    def memory(self, global_batch_size, replicas=1):
        views = sum(group.count for group in self.view_groups) + 2
        logits = 4 * views * (global_batch_size // replicas) * self.options.outputs
        return Memory(logits, "the teacher, last layers, and logits a step")

    def messages(self, global_batch_size, replicas, norm_channels):
        return [
            *averaged_messages(norm_channels, replicas),
            distribution.sum_message("figures", [self.options.outputs]),
            # The mean of the teacher's projections, for the centre.
            distribution.sum_message("state", [self.setting.num_projections]),
        ]
