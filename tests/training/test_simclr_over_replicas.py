"""The step over several replicas: one batch, one decision, one set of figures."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.errors import ConfigError, NonFiniteError
from simclr_tf.models import ProjectionHead, SynchronizedBatchNormalization
from simclr_tf.optim import LARS, AdamW
from simclr_tf.training import SimCLR
from simclr_tf.training.continuation import ContinueMetrics, metric_state
from simclr_tf.training.health import HealthCheck
from simclr_tf.training.step_clock import StepClock

SIZE, CLASSES, GLOBAL_BATCH_SIZE = 8, 3, 8


def mirrored(num_replicas):
    # Groups of another size in one process need other keys for their collectives.
    tf.distribute.MirroredStrategy._collective_key_base += 100_000
    return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(num_replicas)])


def an_encoder(batch_norm, regularizer=None):
    images = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Conv2D(
        4,
        3,
        2,
        use_bias=not batch_norm,
        kernel_regularizer=regularizer,
        kernel_initializer=initializer(0),
    )(images)
    if batch_norm:
        x = SynchronizedBatchNormalization()(x)
    x = keras.layers.Activation("swish")(x)
    x = keras.layers.Flatten()(x)
    return keras.Model(
        images,
        keras.layers.Dense(
            6, activity_regularizer=regularizer, kernel_initializer=initializer(1)
        )(x),
    )


def initializer(seed):
    return keras.initializers.GlorotUniform(seed)


def a_model(strategy, *, batch_norm=True, regularizer=None, optimizer=None, **kwargs):
    with strategy.scope():
        model = SimCLR(
            encoder=an_encoder(batch_norm, regularizer),
            temperature=0.5,
            projection_head=ProjectionHead(
                num_layers=2,
                out_features=5,
                batch_norm=batch_norm,
                kind="nonlinear" if batch_norm else "linear",
                synchronized=True,
                seed=3,
            ),
            num_classes=CLASSES,
            **kwargs,
        )
        model.build_from_shape((SIZE, SIZE, 3))
        model.compile(optimizer=optimizer or keras.optimizers.SGD(0.1, momentum=0.9))
    return model


def a_batch(seed=0, labels=None, nan_at_row=None):
    rng = np.random.default_rng(seed)
    shape = (GLOBAL_BATCH_SIZE, SIZE, SIZE, 3)
    batch = {name: rng.random(shape).astype("float32") for name in ("view_a", "view_b")}
    batch["labels"] = rng.integers(0, CLASSES, GLOBAL_BATCH_SIZE).astype("int32")
    if labels is not None:
        batch["labels"][:] = labels
    if nan_at_row is not None:
        batch["view_a"][nan_at_row, 0, 0, 0] = np.nan
    return batch


def stepper(model):
    """batch -> the figures of every replica after one step on it."""
    strategy = model.distribute_strategy
    rows = GLOBAL_BATCH_SIZE // strategy.num_replicas_in_sync
    run = tf.function(
        lambda batch: strategy.run(model.train_step, (batch,)), autograph=False
    )

    def step(batch):
        parts = {
            name: strategy.experimental_distribute_values_from_function(
                lambda c, rows_of_all=rows_of_all: tf.constant(
                    rows_of_all[c.replica_id_in_sync_group * rows :][:rows]
                )
            )
            for name, rows_of_all in batch.items()
        }
        logs = {
            name: strategy.experimental_local_results(value)
            for name, value in run(parts).items()
        }
        for name, copies in logs.items():
            assert len({float(v) for v in copies if not np.isnan(v)}) <= 1, name
        return {name: float(copies[0]) for name, copies in logs.items()}

    return step


def weights_of(model):
    """All that training changes, every replica's copy, but counters and figures."""
    parts = (model.encoder, model.projection_head, model.probe)
    variables = [v for part in parts for v in part.variables]
    variables += model.optimizer.momentums
    strategy = model.distribute_strategy
    return [
        copy.numpy()
        for variable in variables
        for copy in strategy.experimental_local_results(variable)
    ]


def all_in_one(model):
    """Weights and moving statistics of the first replica as one vector."""
    parts = (model.encoder, model.projection_head, model.probe)
    return np.concatenate([v.numpy().ravel() for p in parts for v in p.variables])


ONE = tf.distribute.get_strategy


def test_a_regularized_encoder_without_batch_norm_trains_as_on_one_device():
    options = {"batch_norm": False, "regularizer": keras.regularizers.L2(0.1)}
    # A rate at which a step does not amplify rounding: 4e-7 apart, 1e-5 at 0.1.
    models = [
        a_model(strategy, optimizer=LARS(0.02, trust_coefficient=0.01), **options)
        for strategy in (mirrored(2), ONE())
    ]
    steps = [stepper(model) for model in models]
    initial = all_in_one(models[1])
    for seed in range(3):
        found, expected = (step(a_batch(seed)) for step in steps)
        regularizers = (
            expected["loss"] - expected["contrastive_loss"] - expected["probe_loss"]
        )
        assert regularizers > 0.01
        np.testing.assert_allclose(found["loss"], expected["loss"], rtol=1e-6)
    several, single = map(all_in_one, models)
    assert np.linalg.norm(several - single) <= 1e-5 * np.linalg.norm(single - initial)


@pytest.mark.slow  # Of whole runs, in every suite: test_replica_runs.
def test_a_separate_probe_set_is_averaged_over_all_its_labels():
    rng = np.random.default_rng(5)
    shape = (GLOBAL_BATCH_SIZE, SIZE, SIZE, 3)
    batch = a_batch() | {
        "probe_images": rng.random(shape).astype("float32"),
        "probe_labels": np.array([0, -1, -1, -1, 1, 2, 2, 0], "int32"),
    }
    models = [a_model(strategy) for strategy in (mirrored(2), ONE())]
    steps = [stepper(model) for model in models]
    for _ in range(2):
        found, expected = (step(batch) for step in steps)
    np.testing.assert_allclose(found["probe_loss"], expected["probe_loss"], rtol=1e-5)
    np.testing.assert_allclose(
        models[0].probe.kernel, models[1].probe.kernel, rtol=1e-4, atol=1e-6
    )


def collectives_of_step(**kwargs):
    model = a_model(mirrored(2), **kwargs)
    strategy, batch = model.distribute_strategy, a_batch()
    parts = {
        name: strategy.experimental_distribute_values_from_function(
            lambda c, v=v: tf.constant(v[:4])
        )
        for name, v in batch.items()
    }
    run = tf.function(
        lambda batch: strategy.run(model.train_step, (batch,)), autograph=False
    )
    graph = run.get_concrete_function(parts).graph.as_graph_def()
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    return sum(node.op.startswith("Collective") for node in nodes) / 2


def test_a_step_takes_few_collectives():
    # Gathering the projections and its gradient; the moments of the features; the
    # number of labels; gradients and figures together.
    assert collectives_of_step(batch_norm=False) == 5
    # And two for each of the three batch norms; skipping a step adds none.
    assert collectives_of_step(on_nonfinite="skip") == 5 + 3 * 2


def test_figures_are_saved_and_shown_without_a_collective():
    model = a_model(mirrored(2), on_nonfinite="skip")
    variables = [v for metric in model.metrics for v in metric.variables]
    variables += [
        v
        for v in model.variables
        if v.synchronization == tf.VariableSynchronization.ON_READ
    ]
    assert len(variables) > 20
    for variable in variables:
        assert variable.aggregation == tf.VariableAggregation.ONLY_FIRST_REPLICA


@pytest.mark.slow  # Of whole runs, in every suite: test_exact_resume.
def test_figures_survive_an_interruption_on_every_replica(tmp_path):
    model, twin = (a_model(mirrored(2), on_nonfinite="skip") for _ in range(2))
    step, twin_step = stepper(model), stepper(twin)
    twin_step(a_batch(1))
    step(a_batch(0))
    step(a_batch(2, nan_at_row=1))
    path = tf.train.Checkpoint(model=model, optimizer=model.optimizer).write(
        str(tmp_path / "c")
    )
    tf.train.Checkpoint(model=twin, optimizer=twin.optimizer).read(
        path
    ).assert_consumed()
    assert model.skipped_steps == twin.skipped_steps == 1
    continued = ContinueMetrics(metric_state(model))
    continued.set_model(twin)
    continued.on_epoch_begin(0)
    assert step(a_batch(3)) == twin_step(a_batch(3))


@pytest.mark.parametrize(
    "batch_norm", [True, pytest.param(False, marks=pytest.mark.slow)]
)
def test_a_nan_on_one_replica_is_skipped_on_all(batch_norm):
    model = a_model(mirrored(2), batch_norm=batch_norm, on_nonfinite="skip")
    step = stepper(model)
    good = step(a_batch(0))
    before = weights_of(model)
    for skipped in (1, 2):
        logs = step(a_batch(skipped, nan_at_row=GLOBAL_BATCH_SIZE - 1))
        assert logs == {**good, "skipped_steps": skipped}  # No NaN in any mean.
        for old, new in zip(before, weights_of(model), strict=True):
            np.testing.assert_array_equal(old, new)
    assert int(model.optimizer.iterations.numpy()) == 3
    step(a_batch(3))
    after = weights_of(model)
    assert all(np.all(np.isfinite(new)) for new in after)
    assert all(np.any(old != new) for old, new in zip(before, after, strict=True))
    for copy, other in zip(after[::2], after[1::2], strict=True):
        np.testing.assert_array_equal(copy, other)
    # The next good step is the one of a run that never saw the bad ones.
    calm = a_model(mirrored(2), batch_norm=batch_norm)
    calm_step = stepper(calm)
    calm_step(a_batch(0))
    calm_step(a_batch(3))
    for new, expected in zip(after, weights_of(calm), strict=True):
        np.testing.assert_array_equal(new, expected)


@pytest.mark.parametrize(
    "make",
    [
        lambda: AdamW(0.01),
        lambda: keras.optimizers.SGD(
            keras.optimizers.schedules.PolynomialDecay(0.1, 5), momentum=0.9
        ),
    ],
)
def test_skipping_needs_no_certain_optimizer_and_works_on_one_device(make):
    model = a_model(ONE(), optimizer=make(), on_nonfinite="skip")
    step, variables = stepper(model), list(model.optimizer.variables)
    step(a_batch(0))
    variables = [
        v
        for v in [*model.optimizer.variables, *model.trainable_variables]
        if v is not model.optimizer.iterations and v.shape.rank > 0
    ]
    assert len(variables) > 2 * len(model.trainable_variables) - 1
    before = [v.numpy() for v in variables]
    step(a_batch(1, nan_at_row=0))
    for old, variable in zip(before, variables, strict=True):
        np.testing.assert_array_equal(old, variable)


def test_fit_over_replicas_shows_global_figures_and_stops_at_a_nan():
    # Three labels of eight, all in the first replica's half.
    labels = [0, 2, 1, -1, -1, -1, -1, -1]
    batches = [
        a_batch(seed, labels, nan_at_row=6 if seed == 3 else None) for seed in range(5)
    ]
    model, single = a_model(mirrored(2)), stepper(a_model(ONE()))
    dataset = tf.data.Dataset.from_generator(
        lambda: iter(batches),
        output_signature={
            name: tf.TensorSpec(v.shape, v.dtype) for name, v in batches[0].items()
        },
    )
    shown, clock = [], StepClock(len(batches), len(batches))
    with pytest.raises(NonFiniteError, match=r"step 4.*examples 30, 31\."):
        model.fit(
            dataset,
            verbose=0,
            callbacks=[
                clock,
                keras.callbacks.LambdaCallback(
                    on_batch_end=lambda batch, logs: shown.append(dict(logs))
                ),
                HealthCheck(
                    clock,
                    global_batch_size=GLOBAL_BATCH_SIZE,
                    ids_of_batch=lambda k: [10 * k, 10 * k + 1],
                ),
            ],
        )
    for logs, batch in zip(shown, batches[:3], strict=False):
        expected = single(batch)
        assert sorted(logs) == sorted(expected)
        assert sum(abs(value) > 1e-3 for value in expected.values()) >= 7
        for name, value in expected.items():
            np.testing.assert_allclose(logs[name], value, rtol=1e-5, err_msg=name)


def test_evaluation_over_replicas_gives_the_figures_of_one_device():
    dataset = tf.data.Dataset.from_tensors(a_batch())
    results = [
        a_model(strategy).evaluate(dataset, verbose=0, return_dict=True)
        for strategy in (mirrored(4), ONE())
    ]
    assert "skipped_steps" not in results[0]
    for name, value in results[1].items():
        np.testing.assert_allclose(results[0][name], value, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("rows", [6, None])
def test_unequal_parts_of_a_batch_are_refused_in_one_line(rows):
    model = a_model(mirrored(4))
    batch = {name: v[:rows] for name, v in a_batch().items()}
    dataset = tf.data.Dataset.from_tensor_slices(batch).batch(rows or 8)  # No remainder
    if rows is not None:  # dropped: the size is then unknown. 6 does not divide by 4.
        dataset = dataset.map(
            lambda b: {
                name: tf.ensure_shape(v, [rows, *v.shape[1:]]) for name, v in b.items()
            }
        )
    with pytest.raises(ConfigError) as error:
        model.fit(dataset, verbose=0)
    assert "drop_remainder=True" in str(error.value)
    assert "\n" not in str(error.value)
