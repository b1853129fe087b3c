"""Few labels: all methods see the same ones, and seeds change what they should."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.config.finetune import FineTuneConfig, SelfDistillation
from simclr_tf.data import ArraySource, LabelBudget, evaluation_batches
from simclr_tf.errors import ConfigError, DataError, NonFiniteError
from simclr_tf.evaluation import few_label_stages
from simclr_tf.evaluation.few_label_stages import probe_start
from simclr_tf.evaluation.few_labels import FINE_TUNED, FROM_SCRATCH, FROZEN, FewLabels
from simclr_tf.evaluation.run_log import RunLog
from simclr_tf.models import (
    LOGITS,
    ProjectionHead,
    classifier_network,
    weights_by_name,
)

SIZE, CLASSES = 6, 3
CONFIG = FineTuneConfig(
    epochs=2, batch_size=8, base_learning_rate=0.5, recipe="evaluate"
)
BUDGET = LabelBudget(per_class=4)


def an_encoder(seed=0):
    """Mean of each channel of a convolution: colour alone tells the classes."""
    images = keras.Input((None, None, 3), name="images")
    x = keras.layers.Conv2D(
        4,
        3,
        kernel_initializer=keras.initializers.GlorotUniform(seed),
        name="initial_conv",
    )(images)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(name="bn")(x))
    return keras.Model(
        images,
        keras.layers.GlobalAveragePooling2D(name="final_avg_pool")(x),
        name="toy",
    )


def a_source(number, seed):
    rng = np.random.default_rng(seed)
    labels = np.arange(number) % CLASSES
    images = rng.integers(0, 120, (number, SIZE, SIZE, 3))
    images[np.arange(number), :, :, labels] += 130
    return ArraySource("toy", images.astype("uint8"), labels)


def a_head():
    head = ProjectionHead(
        num_layers=2, hidden_features=5, out_features=3, synchronized=False
    )
    head(tf.zeros([1, 4]))
    return head


def a_protocol(config=CONFIG, **kwargs):
    return FewLabels(
        kwargs.pop("encoder", None) or an_encoder(),
        a_source(60, 0),
        a_source(30, 1),
        config=config,
        image_size_pixels=SIZE,
        strategy=tf.distribute.get_strategy(),
        **kwargs,
    )


@pytest.fixture(scope="module")
def measured():
    """(measurements, runs, networks of the first seed, encoder's weights before)."""
    protocol = a_protocol(dataclasses.replace(CONFIG, epochs=30))
    before, runs, networks = protocol.encoder.get_weights(), [], []
    found = protocol.measure(
        [BUDGET],
        seeds=(3, 4),
        on_run=runs.append,
        on_network=lambda budget, network, method, _: networks.append(
            (budget, network, network.get_weights())
        ),
    )
    for old, new in zip(before, protocol.encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)  # No method touches the encoder.
    return found, runs, networks


def test_every_method_learns_from_the_same_labels_and_is_measured_over_seeds(measured):
    found, runs, _ = measured
    assert [m.representation for m in found] == [FINE_TUNED, FROM_SCRATCH, FROZEN]
    assert {m.num_train_labels for m in found} == {12}
    assert {m.num_test for m in found} == {30}
    for m in found:
        assert m.value > 80  # Chance is 33; the classes are colours.
        own = [
            run.accuracy_percent
            for run in runs
            if run.representation == m.representation
        ]
        np.testing.assert_allclose(
            [m.value, m.std], [np.mean(own), np.std(own, ddof=1)]
        )
        assert m.settings["seeds"] == [3, 4]


def test_the_network_of_the_first_seed_is_handed_on_as_it_was_tested(measured):
    _, runs, networks = measured
    ((budget, network, weights),) = networks
    network.set_weights(weights)
    test = a_source(30, 1)
    found = np.argmax(network(test.images / np.float32(255)), axis=1)
    first = next(run for run in runs if run.representation == FINE_TUNED)
    assert budget == BUDGET and first.seed == 3
    np.testing.assert_allclose(
        100 * np.mean(found == test.labels), first.accuracy_percent
    )


def test_what_was_measured_before_is_not_measured_again():
    log = RunLog(None, {})
    ran = []
    protocol = a_protocol()
    for seeds in ((0,), (0, 1)):
        protocol.measure(
            [BUDGET],
            seeds=seeds,
            methods=["linear"],
            log=log,
            on_run=lambda run: ran.append(run.seed),
        )
    assert ran == [0, 1]


def test_a_log_holds_no_runs_of_other_defaults_or_of_another_list(tmp_path):
    """What was unset may come to something else: a head, a newer version, a list."""

    class Named(ArraySource):
        def files(self):
            return [(f"{number}.png",) for number in range(self.num_examples)]

    log, ran = RunLog(None, {}), []
    config = dataclasses.replace(CONFIG, base_learning_rate=None, start_share=None)
    for head in (None, a_head(), None):
        protocol = a_protocol(config, projection_head=head)
        protocol.measure(
            [BUDGET], methods=["fine_tune"], log=log, on_run=lambda r: ran.append(r)
        )
    assert [run.settings["head_layer"] for run in ran] == [0, 1]
    source, path = a_source(60, 0), tmp_path / "list.txt"
    protocol = FewLabels(
        an_encoder(),
        Named("toy", source.images, source.labels),
        a_source(30, 1),
        config=CONFIG,
        image_size_pixels=SIZE,
        strategy=tf.distribute.get_strategy(),
    )
    found = []
    for number in (12, 36, 36):
        path.write_text("\n".join(f"{name}.png" for name in range(number)))
        found += protocol.measure(
            [LabelBudget(listed=str(path))],
            methods=["linear"],
            log=log,
            on_run=lambda r: ran.append(r),
        )
    assert [m.num_train_labels for m in found] == [12, 36, 36] and len(ran) == 4


def test_a_network_that_is_not_there_is_trained_again():
    log, ran, made = RunLog(None, {}), [], []
    for has_network in (False, True, False):
        a_protocol().measure(
            [BUDGET],
            seeds=(2, 3),
            methods=["fine_tune"],
            log=log,
            on_run=lambda run: ran.append(run.seed),
            on_network=lambda budget, network, method, training: made.append(training),
            has_network=lambda *_, there=has_network: there,
        )
    assert ran == [2, 3, 2] and len(made) == 2 and len(set(made)) == 1


def test_labels_a_class_are_counted_over_the_classes_that_have_labels():
    train, test = a_source(60, 0), a_source(30, 1)
    shares = []
    for first_class in (0, 100):
        sources = [
            ArraySource("toy", s.images, s.labels + first_class) for s in (train, test)
        ]
        FewLabels(
            an_encoder(),
            *sources,
            config=FineTuneConfig(epochs=1, batch_size=8, recipe="evaluate"),
            image_size_pixels=SIZE,
            strategy=tf.distribute.get_strategy(),
        ).measure(
            [LabelBudget(fraction=1.0)],
            methods=["fine_tune"],
            on_budget=lambda _, config: shares.append(config.start_share),
        )
    assert shares == [0.5, 0.5]  # 20 images a class.


def test_classes_without_labels_do_not_disturb_the_start_from_a_probe():
    network = classifier_network(an_encoder(3), 40)
    train = a_source(60, 0)
    batches = evaluation_batches(train, 30, SIZE)
    probe_start(network, network.get_weights(), batches, seed=0)
    logits = network(train.images / np.float32(255)).numpy()
    assert logits[:, CLASSES:].max() < logits[:, :CLASSES].min() - 9


@pytest.mark.parametrize("start", ["encoder", "fresh"])
def test_a_student_has_the_views_of_the_fine_tuning_and_begins_with_its_first_weights(
    start, monkeypatch
):
    head, encoder, seen = a_head(), an_encoder(), {}

    def train(student, teacher, source, *, recipe, **_):
        seen["weights"] = weights_by_name(student)
        seen["jitter"] = recipe.jitter_probability
        return [{"step": 1, "loss": 0.0}]

    monkeypatch.setattr(few_label_stages, "train_student", train)
    config = dataclasses.replace(
        CONFIG, recipe="finetune", color_strength=0.5, head_layer=1
    )
    a_protocol(config, encoder=encoder, projection_head=head).measure(
        [BUDGET], methods=["fine_tune"], student=SelfDistillation(start=start)
    )
    assert seen["jitter"] == 0.8
    first = classifier_network(encoder, CLASSES, projection_head=head, head_layer=1)
    same = {
        name: np.array_equal(value, seen["weights"][name])
        for name, value in weights_by_name(first).items()
        if name.endswith("kernel") and LOGITS not in name
    }
    assert len(same) == 2 and set(same.values()) == {start == "encoder"}


def test_runs_do_not_depend_on_what_was_trained_before_them(measured):
    """Seed 4 after seed 3 in one compiled training is seed 4 alone."""
    _, before, _ = measured
    alone = []
    a_protocol(dataclasses.replace(CONFIG, epochs=30)).measure(
        [BUDGET], seeds=(4,), methods=["fine_tune", "scratch"], on_run=alone.append
    )
    for run in alone:
        same = next(r for r in before if r.key == run.key)
        assert same.accuracy_percent == run.accuracy_percent
        np.testing.assert_allclose(
            same.settings["final_loss"], run.settings["final_loss"], rtol=1e-4
        )


def test_frozen_until_the_features_only_the_linear_layer_moves():
    protocol = a_protocol(dataclasses.replace(CONFIG, freeze_until="final_avg_pool"))
    networks = []
    protocol.measure(
        [BUDGET],
        methods=["fine_tune"],
        on_network=lambda _, network, method, training: networks.append(network),
    )
    (network,) = networks
    features = keras.Model(network.input, network.get_layer(LOGITS).input)
    for ours, theirs in zip(
        features.get_weights(), protocol.encoder.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert np.any(network.get_layer(LOGITS).kernel)


@pytest.mark.parametrize("classifier_start", ["probe", "auto"])
def test_a_classifier_that_starts_from_the_probe_begins_where_the_probe_ends(
    classifier_start, caplog
):
    """Nothing else moves, and the linear layer by nothing: the probe is left."""
    config = dataclasses.replace(
        CONFIG,
        classifier_start=classifier_start,
        base_learning_rate=1e-30,
        freeze_until="final_avg_pool",
    )
    protocol = a_protocol(config, encoder=an_encoder(3))
    tuned, probe = protocol.measure(
        [BUDGET], seeds=(0, 1, 2), methods=["fine_tune", "linear"]
    )
    assert tuned.settings["accuracies_percent"] == probe.settings["accuracies_percent"]
    assert probe.value > 50
    one = {"budgets": [LabelBudget(per_class=1)], "methods": ["fine_tune"]}
    if classifier_start == "auto":  # It starts at zeros, and goes nowhere.
        (run,) = protocol.measure(**one)[0].settings["runs"]
        assert run["final_loss"] == pytest.approx(np.log(CLASSES))
        assert run["start_share"] == 0
        assert "starts at zeros, not from a linear probe" in caplog.text
    else:
        with pytest.raises(DataError, match="enough images to hold some out"):
            protocol.measure(**one)


def test_small_features_do_not_start_from_a_probe(caplog):
    """Its weights would be as large as the features are small."""
    encoder = an_encoder()
    norm = encoder.get_layer("bn")
    norm.set_weights([1e-4 * norm.gamma, *norm.get_weights()[1:]])
    (found,) = a_protocol(encoder=encoder).measure([BUDGET], methods=["fine_tune"])
    assert "The features spread by" in caplog.text
    assert found.settings["runs"][0]["final_loss"] < 1.2  # ln 3 is 1.10.


def test_few_labels_are_trained_on_for_the_fewest_steps():
    config = dataclasses.replace(CONFIG, epochs=2, min_steps=5)
    found = a_protocol(config).measure([BUDGET], methods=["fine_tune"])
    (run,) = found[0].settings["runs"]
    assert (run["steps"], run["epochs"]) == (5, 5)  # 12 images, batches of 8.


def test_few_and_many_labels_have_defaults_of_their_own():
    """Three classes: 100 images a class are few, and 101 are not."""
    found = {}

    def note(budget, config):
        found[budget.per_class] = config

    protocol = FewLabels(
        an_encoder(),
        a_source(330, 0),
        a_source(6, 1),
        config=FineTuneConfig(early_stopping_epochs=1),
        image_size_pixels=SIZE,
        strategy=tf.distribute.get_strategy(),
        projection_head=a_head(),
    )
    budgets = [LabelBudget(per_class=number) for number in (100, 101)]
    protocol.measure(budgets, methods=["fine_tune"], on_budget=note)
    assert [
        (
            c.epochs,
            c.base_learning_rate,
            c.head_layer,
            c.start_share,
        )
        for c in (found[100], found[101])
    ] == [(60, 0.02, 1, 20 / 120), (30, 0.05, 0, 20 / 121)]
    scratch = [FineTuneConfig().for_labels(number) for number in (10, 400, 5000)]
    assert [c.scratch_epochs for c in scratch] == [300, 100, 30]
    assert {c.scratch_learning_rate for c in scratch} == {0.2}
    given = FineTuneConfig(
        epochs=3, base_learning_rate=0.2, head_layer=2, start_share=0.1
    )
    assert given.for_labels(1, head_layers=3) == dataclasses.replace(
        given, scratch_epochs=3, scratch_learning_rate=0.2
    )
    assert FineTuneConfig().for_labels(1, head_layers=1).head_layer == 0
    assert FineTuneConfig(classifier_start="zeros").for_labels(1).start_share == 0
    with pytest.raises(ConfigError, match="there is no probe"):
        FineTuneConfig(classifier_start="zeros", start_share=0.5)


def test_a_share_of_the_first_weights_is_kept():
    def kept(**options):
        protocol, networks = a_protocol(dataclasses.replace(CONFIG, **options)), []
        protocol.measure(
            [BUDGET],
            methods=["fine_tune"],
            on_network=lambda _, network, method, training: networks.append(network),
        )
        return networks[0].get_weights()

    trained, mixed = kept(start_share=0.0), kept(start_share=0.25)
    still = {"base_learning_rate": 1e-30, "freeze_until": "final_avg_pool"}
    start = kept(start_share=0.0, **still)
    assert len(start) == 8  # The moving statistics of batch norm are among them.
    for first, last, found in zip(start, trained, mixed, strict=True):
        assert np.any(first != last)
        np.testing.assert_allclose(found, 0.25 * first + 0.75 * last, rtol=1e-4)


def test_half_an_image_is_the_smallest_crop_of_the_recipe_finetune_alone():
    smallest = [
        config.build_recipe().crop_area_min_fraction
        for config in (
            FineTuneConfig(),
            FineTuneConfig(recipe="cifar"),
            FineTuneConfig(crop_area_min_fraction=0.3),
        )
    ]
    assert smallest == [0.5, 0.08, 0.3]


def test_early_stopping_holds_out_part_of_the_budget_and_counts_it():
    config = dataclasses.replace(
        CONFIG, epochs=40, early_stopping_epochs=1, held_out_fraction=0.25
    )
    (found,) = a_protocol(config).measure([BUDGET], methods=["fine_tune"])
    assert found.num_train_labels == 12
    (run,) = found.settings["runs"]
    assert run["batch_size"] == 8 and run["epochs"] < 40


def test_one_seed_has_the_interval_of_the_test_images():
    (found,) = a_protocol().measure([BUDGET], methods=["linear"])
    assert found.std is None and found.low_95 < found.value <= found.high_95


def test_epochs_are_by_budget_and_scratch_may_have_its_own():
    protocol = a_protocol(dataclasses.replace(CONFIG, scratch_epochs=1))
    found = protocol.measure([BUDGET], epochs=[3], methods=["fine_tune", "scratch"])
    assert [m.settings["runs"][0]["epochs"] for m in found] == [3, 1]
    with pytest.raises(ConfigError, match="one number for each label budget"):
        protocol.measure([BUDGET, LabelBudget(fraction=1.0)], epochs=[3])


@pytest.mark.parametrize("epochs, rate", [(1, 1e300), (3, 3e39)])
def test_a_training_that_diverges_says_so(epochs, rate):
    config = dataclasses.replace(CONFIG, base_learning_rate=rate, epochs=epochs)
    with pytest.raises(NonFiniteError, match="smaller --base_learning_rate"):
        a_protocol(config).measure([BUDGET], methods=["fine_tune"])


def test_refusals():
    with pytest.raises(ConfigError, match="give one of them"):
        dataclasses.replace(CONFIG, average_decay=0.9, early_stopping_epochs=1)
    with pytest.raises(ConfigError, match="Unknown `method`"):
        a_protocol().measure([BUDGET], methods=["zero_shot"])
    with pytest.raises(DataError, match="too few to hold some out"):
        a_protocol(dataclasses.replace(CONFIG, early_stopping_epochs=1)).measure(
            [LabelBudget(per_class=1)], methods=["fine_tune"]
        )
    unlabelled = ArraySource("toy", np.zeros([9, SIZE, SIZE, 3], np.uint8))
    with pytest.raises(DataError, match="training images of toy have no labels"):
        FewLabels(
            an_encoder(),
            unlabelled,
            a_source(30, 1),
            config=CONFIG,
            image_size_pixels=SIZE,
            strategy=tf.distribute.get_strategy(),
        )


def test_a_probe_without_enough_labels_is_left_out_of_that_budget_alone(caplog):
    protocol = a_protocol()
    budgets = [LabelBudget(per_class=1), BUDGET]
    found = protocol.measure(budgets, methods=["linear"])
    assert [m.settings["budget"] for m in found] == ["4 a class"]
    (reason,) = protocol.not_measured.items()
    assert reason[0] == "linear probe (frozen), 1 a class"
    assert "enough images to hold some out" in reason[1] and reason[1] in caplog.text
    with pytest.raises(DataError, match="enough images to hold some out"):
        a_protocol().measure(budgets[:1], methods=["linear"])
