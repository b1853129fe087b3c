"""What every objective of the registry promises a step and a run."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

import simclr_tf
from simclr_tf.config.schema import GuestOptions, option
from simclr_tf.errors import ConfigError
from simclr_tf.objectives import OBJECTIVES, Objective
from simclr_tf.objectives.objective import Setting
from tests.objectives import toy_runs
from tests.objectives.small_models import (
    a_batch,
    a_model,
    mirrored,
    state_of,
    stepper,
    values,
)
from tests.training.small_networks import small_encoder

# Options that make every part of an objective small enough to be seen in three steps.
SMALL = {
    "dcl": {},
    "dclw": {},
    "sup_con": {},
    "barlow_twins": {},
    "vicreg": {},
    "moco": {
        "queue_length": 12,
        "target_momentum": 0.5,
        "symmetric": True,
        "batch_norm_groups": 2,
    },
    "moco_v3": {"predictor_features": 4, "target_momentum": 0.5},
    "nnclr": {"queue_length": 12, "predictor_features": 4, "temperature": 1.0},
    "nt_xent": {"memory_size": 12, "memory_momentum": 0.5, "small_views": 1},
    "instance_discrimination": {
        "temperature": 0.5,
        "negatives": 6,
        "normalizer_momentum": 0.9,
        "proximal_weight": 0.5,
    },
    "simsiam": {"predictor_features": 4},
    "byol": {"predictor_features": 4, "target_momentum": 0.5},
    "swav": {
        "prototypes": 6,
        "queue_length": 16,
        "queue_start_epoch": 0,
        "small_views": 2,
        "small_size_fraction": 0.5,
    },
    "dino": {
        "outputs": 6,
        "target_momentum": 0.5,
        "teacher_warmup_epochs": 1.0,
        "small_views": 1,
        "small_size_fraction": 0.5,
    },
}
# Of the runs: the kNN monitor beside a queue; bfloat16.
MORE = {
    "moco": {"probe.knn_every_epochs": 1},
    "swav": {"precision": "bfloat16"},
    "byol": {"precision": "bfloat16"},
}
EVERY = pytest.mark.parametrize("name", SMALL)


def _number(view_groups):
    return sum(group.count for group in view_groups)


@dataclasses.dataclass(frozen=True)
class AllOptions(GuestOptions):
    """No options of its own."""

    name: str = option("all", "Name of the objective.")


class AllAtOnce(Objective):
    """The sum of all objectives, so that one step of several replicas holds them all.

    Each part keeps its own networks and state.
    """

    Options = AllOptions
    title = "all"
    figures = tuple(
        dataclasses.replace(figure, name=f"{name}/{figure.name}")
        for name in SMALL
        for figure in OBJECTIVES[name].figures
    )

    def __init__(self, **options):
        super().__init__(**options)
        self.parts = [OBJECTIVES[name](**options) for name, options in SMALL.items()]

    def create_variables(self, setting):
        for part in self.parts:
            part.setting = setting
            part.create_variables(setting)

    @property
    def view_groups(self):
        return max((part.view_groups for part in self.parts), key=_number)

    def targets(self, views, training):
        return tuple(
            part.targets(views[: _number(part.view_groups)], training)
            for part in self.parts
        )

    @property
    def at_constant_rate(self):
        return [variable for part in self.parts for variable in part.at_constant_rate]

    def _outputs_of_parts(self, outputs):
        for part, targets in zip(self.parts, outputs.targets, strict=True):
            number = _number(part.view_groups)
            yield (
                part,
                outputs._replace(
                    features=outputs.features[:number],
                    projections=outputs.projections[:number],
                    targets=targets,
                ),
            )

    def frozen(self, step):
        return [pair for part in self.parts for pair in part.frozen(step)]

    def loss(self, outputs):
        total, figures = 0.0, {}
        for part, own in self._outputs_of_parts(outputs):
            loss, values = part.loss(own)
            name = part.options.name
            # So that no gradient drowns in another.
            total += (0.05 if name == "vicreg" else 1.0) * tf.reduce_mean(loss)
            figures |= {f"{name}/{figure}": value for figure, value in values.items()}
        return total, figures

    def after_update(self, outputs):
        for part, own in self._outputs_of_parts(outputs):
            part.after_update(own)


RATE = 0.1  # Ten steps of larger ones would amplify the rounding.


def all_at_once(strategy=None):
    return a_model(AllAtOnce(), strategy, learning_rate=RATE, on_nonfinite="skip")


@pytest.fixture(scope="module")
def on_one_device():
    model = all_at_once()
    step = stepper(model)
    before = values(state_of(model))
    figures = [step(a_batch(seed)) for seed in range(10)]
    moved = zip(state_of(model), before, strict=True)
    assert all(np.any(variable != old) for variable, old in moved)
    after = values(state_of(model))
    require_no_trace_of_a_skipped_step(model, step)
    return figures, after


def require_no_trace_of_a_skipped_step(model, step):
    before = values(state_of(model))
    bad = a_batch(11)
    bad["images"][3] = np.nan
    assert step(bad)["skipped_steps"] == 1
    for old, variable in zip(before, state_of(model), strict=True):
        np.testing.assert_array_equal(variable, old, err_msg=variable.name)


@pytest.mark.parametrize("replicas", [2, 4])
def test_replicas_have_the_figures_weights_and_state_of_one_device(
    replicas, on_one_device
):
    model = all_at_once(mirrored(replicas))
    step = stepper(model)
    for seed, expected in enumerate(on_one_device[0]):
        for name, value in step(a_batch(seed)).items():
            np.testing.assert_allclose(value, expected[name], 1e-4, 2e-6, err_msg=name)
    strategy = model.distribute_strategy
    for variable, expected in zip(state_of(model), on_one_device[1], strict=True):
        copies = strategy.experimental_local_results(variable)
        for copy in copies:  # Bit for bit between replicas.
            np.testing.assert_array_equal(copy, copies[0], err_msg=variable.name)
        np.testing.assert_allclose(
            copies[0], expected, 1e-3, 2e-5, err_msg=variable.name
        )
    require_no_trace_of_a_skipped_step(model, step)


def test_gradient_caching_gives_the_step_of_the_whole_batch():
    models = [
        a_model(AllAtOnce(), batch_norm=False, micro_batch_size=size)
        for size in (None, 2)
    ]
    assert all(OBJECTIVES[name].micro_batches_refused is None for name in SMALL)
    figures = [stepper(model)(a_batch(0)) for model in models]
    for figure, value in figures[0].items():
        np.testing.assert_allclose(
            figures[1][figure], value, 1e-4, 2e-6, err_msg=figure
        )
    for whole, parts in zip(*map(state_of, models), strict=True):
        np.testing.assert_allclose(parts, whole, 1e-3, 2e-5, err_msg=whole.name)


@EVERY
def test_a_run_reports_its_figures_and_its_memory(name, tmp_path):
    lines = []
    result = simclr_tf.pretrain(
        toy_runs.images(),
        tmp_path,
        encoder=small_encoder(),
        say=lines.append,
        **{
            **toy_runs.OPTIONS,
            "deterministic": False,
            "steps": 3,
            "objective": {"name": name, **SMALL[name]},
            **MORE.get(name, {}),
        },
    )
    last = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    summary = (tmp_path / "SUMMARY.md").read_text()
    figures = result.model.objective.figures
    for figure in figures:
        assert np.isfinite(last[figure.name])
        assert figure.meaning in summary
    loss = last["loss"] - last["probe_loss"]
    assert last[figures[0].name] == pytest.approx(loss, rel=1e-4)
    assert "loss 0 MiB" in "\n".join(lines)
    assert ("knn_accuracy" in last) == ("probe.knn_every_epochs" in MORE.get(name, {}))


# Bytes of a step of 8 images of 5 projections on 2 replicas, with the options above.
STEP_BYTES = {
    "dcl": 4 * 8 * 16,
    "dclw": 4 * 8 * 16,
    "sup_con": 4 * 8 * 16,
    "barlow_twins": 4 * 5**2,
    "vicreg": 4 * 2 * 5**2,
    "moco": 4 * 2 * 4 * (1 + 12),
    "moco_v3": 4 * 2 * 4 * 8,
    "nnclr": 4 * 8 * (12 + 8),
    "nt_xent": 4 * 8 * (3 * 16 + 12),
    "instance_discrimination": 4 * 4 * 6 * 5,
    "simsiam": 0,
    "byol": 0,
    "swav": 4 * 4 * 4 * 6,
    "dino": 4 * (3 + 2) * 4 * 6,
}


@EVERY
def test_the_memory_of_a_step_is_that_of_its_logits(name):
    objective = OBJECTIVES[name](**SMALL[name])
    objective.setting = Setting(None, None, (8, 8, 3), 6, 5, num_examples=20)
    memory = objective.memory(8, replicas=2)
    assert memory.bytes == STEP_BYTES[name] and memory.of


def test_the_registry_names_each_objective_by_its_options():
    for name, objective in OBJECTIVES.items():
        assert objective.Options().name == name
        assert objective.title and objective.figures


@pytest.mark.parametrize(
    "name, figures, word",
    [
        ("dcl", {"contrastive_loss": 5.541, "contrastive_accuracy": 0.0}, "ln(2 *"),
        ("dclw", {"contrastive_loss": 5.541, "contrastive_accuracy": 0.0}, "ln(2 *"),
        ("sup_con", {"contrastive_loss": 5.545, "class_accuracy": 0.0}, "ln(2 *"),
        ("sup_con", {"contrastive_loss": 2.0, "positives": 1.0}, "no image"),
        ("barlow_twins", {"view_correlation": 0.01}, "do not correlate"),
        ("barlow_twins", {"dimension_correlation": 0.99}, "become equal"),
        ("vicreg", {"vicreg_variance": 0.95}, "collapsed"),
        (
            "nt_xent",
            {"contrastive_loss": 5.587, "contrastive_accuracy": 0.0},
            "memory_size",
        ),
        ("instance_discrimination", {"instance_loss": 2.871}, "cannot distinguish"),
        ("instance_discrimination", {"projection_spread": 0.01}, "become equal"),
        ("instance_discrimination", {"bank_age": 2e5}, "out of date"),
        ("moco", {"contrastive_loss": 2.5649}, "ln(1 + queue_length)"),
        ("moco", {"contrastive_loss": 1.0, "key_agreement": 0.05}, "far behind"),
        ("moco", {"contrastive_loss": 1.0, "projection_spread": 0.01}, "become equal"),
        ("moco_v3", {"contrastive_loss": 19.41}, "4 * temperature * ln(batch)"),
        ("moco_v3", {"contrastive_loss": 9.0, "key_agreement": 0.05}, "far behind"),
        (
            "moco_v3",
            {"contrastive_loss": 9.0, "projection_spread": 0.01},
            "become equal",
        ),
        ("nnclr", {"contrastive_loss": 4.852}, "ln(batch_size)"),
        ("nnclr", {"neighbours_in_use": 0.01}, "same few neighbours"),
        ("nnclr", {"neighbour_similarity": 0.9995}, "its own neighbour"),
        ("nnclr", {"projection_std": 0.01}, "collapsed"),
        ("simsiam", {"projection_std": 0.01}, "collapsed"),
        ("byol", {"projection_std": 0.01}, "collapsed"),
        ("swav", {"swav_loss": 1.79}, "ln(prototypes)"),
        ("swav", {"outputs_in_use": 1.1}, "one cluster"),
        ("dino", {"prediction_entropy": 1.79}, "ln(outputs)"),
        ("dino", {"outputs_in_use": 1.1}, "one cluster"),
    ],
)
def test_a_collapse_of_its_own_is_told_and_a_good_epoch_is_not(name, figures, word):
    objective = OBJECTIVES[name](**SMALL[name])
    messages = [text for _, text in objective.diagnose(figures, 128)]
    assert len(messages) == 1 and word.lower() in messages[0].lower()
    assert list(objective.diagnose(GOOD, 128)) == []


@pytest.mark.parametrize(
    "name, value, accuracy",
    [
        ("sup_con", 5.541, {"class_accuracy": 0.44, "positives": 24.8}),
        ("moco", 2.565, {"contrastive_accuracy": 0.6}),
        ("nnclr", 4.852, {"contrastive_accuracy": 0.2}),
    ],
)
def test_a_loss_on_its_way_past_the_value_of_equal_projections_is_not_stuck(
    name, value, accuracy
):
    objective = OBJECTIVES[name](**SMALL[name])
    figures = {**GOOD, "contrastive_loss": value}
    assert list(objective.diagnose({**figures, **accuracy}, 128)) == []
    guesses = {"class_accuracy": 0.1, "positives": 24.8, "contrastive_accuracy": 0.0}
    messages = [text for _, text in objective.diagnose({**figures, **guesses}, 128)]
    assert len(messages) == 1 and "is stuck" in messages[0]


@pytest.mark.parametrize(
    "name, value, spread",
    [
        ("moco", 2.565, "projection_spread"),
        ("moco_v3", 19.41, "projection_spread"),
        ("nnclr", 4.852, "projection_std"),
    ],
)
def test_equal_projections_are_stuck_also_where_rounding_finds_the_pairs(
    name, value, spread
):
    figures = {**GOOD, "contrastive_loss": value, "contrastive_accuracy": 0.9}
    objective = OBJECTIVES[name](**SMALL[name])
    assert list(objective.diagnose(figures, 128)) == []
    found = [found for found, _ in objective.diagnose({**figures, spread: 0.0}, 128)]
    assert found == ["stuck", "collapsed projections"]


GOOD = {
    "contrastive_loss": 2.0,
    "contrastive_accuracy": 0.6,
    "class_accuracy": 0.7,
    "positives": 20.0,
    "view_correlation": 0.9,
    "dimension_correlation": 0.05,
    "vicreg_variance": 0.2,
    "instance_loss": 1.0,
    "bank_age": 40.0,
    "key_agreement": 0.9,
    "projection_spread": 0.8,
    "projection_std": 0.8,
    "neighbour_similarity": 0.8,
    "neighbours_in_use": 0.6,
    "swav_loss": 1.0,
    "outputs_in_use": 5.0,
    "prediction_entropy": 1.0,
}


def test_sup_con_without_labels_is_refused_with_the_way_out():
    model = a_model(OBJECTIVES["sup_con"]())
    batch = a_batch(0)
    del batch["labels"]
    with pytest.raises(ConfigError, match="sup_con learns from labels"):
        tf.function(model.train_step, autograph=False)(batch)
