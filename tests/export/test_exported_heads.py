"""What stands on the features: made anew as the same function, exported, or refused."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.errors import ConfigError
from simclr_tf.export import (
    ParityError,
    check_in_fresh_process,
    export_saved_model,
    parity,
    plain_copy,
    saved_model,
)
from simclr_tf.export.plain_copy import plain_head
from simclr_tf.models import (
    ProjectionHead,
    classifier_network,
    freeze_until,
    split_classifier,
)

layers = keras.layers
NUM_FEATURES, NUM_CLASSES = 4, 3


def encoder():
    images = keras.Input((None, None, 3), name="images")
    x = layers.Conv2D(NUM_FEATURES, 3, name="initial_conv")(images)
    return keras.Model(images, layers.GlobalAveragePooling2D(name="final_avg_pool")(x))


def projection_head(**options):
    return ProjectionHead(num_layers=2, out_features=6, **options)


class FromTheMiddle(layers.Layer):
    """Logits from the first layer of a projection head, as SimCLRv2 fine-tunes."""

    def __init__(self, num_classes=NUM_CLASSES, **kwargs):
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.projection_head = projection_head()
        self.dense = layers.Dense(num_classes)

    def call(self, features, training=None):
        return self.dense(self.projection_head.layer_outputs(features, training)[1])

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes}


class WholeModel(keras.Model):
    """A subclassed model has no graph of layers that Keras could clone."""

    def __init__(self):
        super().__init__()
        self.inner = FromTheMiddle()

    def call(self, features, training=None):
        return self.inner(features, training=training)

    def get_config(self):
        return {}


def functional():
    features = keras.Input((NUM_FEATURES,))
    x = projection_head(synchronized=True)(features)
    return keras.Model(features, layers.Dense(NUM_CLASSES)(x))


def with_frozen_parts():
    """Its list of weights comes in another order than that of a fresh one."""
    model = functional()
    model(tf.zeros([1, NUM_FEATURES]))
    (head,) = (layer for layer in model.layers if isinstance(layer, ProjectionHead))
    head.dense_layers[0].trainable = False
    head.norm_layers[0].trainable = False
    return model


def frozen_batch_norm_whose_weights_have_one_shape():
    """Taken in the order of a list, the offset would become the moving mean."""
    head = projection_head(hidden_features=6)
    head(tf.zeros([1, NUM_FEATURES]))
    head.norm_layers[0].trainable = False
    return keras.Sequential([head, layers.Dense(NUM_CLASSES)])


def fine_tuned():
    """What `simclr-tf finetune` leaves, frozen up to its features."""
    head = projection_head()
    head(tf.zeros([1, NUM_FEATURES]))
    network = classifier_network(
        encoder(), NUM_CLASSES, projection_head=head, head_layer=1
    )
    freeze_until(network, "final_avg_pool")
    return split_classifier(network)[1]


HEADS = {
    "dense": lambda: layers.Dense(NUM_CLASSES),
    "layers without an input": lambda: keras.Sequential(
        [
            layers.Dense(8, "relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Dense(NUM_CLASSES),
        ]
    ),
    "projection head": projection_head,
    "functional": functional,
    "from the middle": FromTheMiddle,
    "subclassed": WholeModel,
    "nested": lambda: keras.Sequential([functional(), layers.Dense(NUM_CLASSES)]),
    "fine-tuned": fine_tuned,
    "frozen parts": with_frozen_parts,
    "frozen batch norm": frozen_batch_norm_whose_weights_have_one_shape,
}


def random_weights(head):
    """Every weight another number, statistics too."""
    head(tf.zeros([1, NUM_FEATURES]))
    rng = np.random.default_rng(0)
    for variable in head.variables:
        variable.assign(rng.uniform(0.2, 1.0, variable.shape))
    return head


@pytest.fixture
def features():
    return np.random.default_rng(1).uniform(size=(5, NUM_FEATURES)).astype("float32")


@pytest.fixture
def unchecked(monkeypatch):
    """Spares the fresh process of a test about something else."""
    monkeypatch.setattr(saved_model, "check_in_fresh_process", lambda *args: 0.0)


@pytest.mark.parametrize("make", HEADS.values(), ids=HEADS)
def test_head_is_made_anew_as_the_same_function(make, features):
    head = random_weights(make())
    copy = plain_head(head, NUM_FEATURES, "classifier")
    np.testing.assert_allclose(copy(features), head(features), rtol=1e-6)
    ours = {id(variable) for variable in head.variables}
    assert not any(id(variable) in ours for variable in copy.variables)
    assert copy.trainable and len(copy.variables) == len(head.variables)


@pytest.mark.parametrize("make", [fine_tuned, FromTheMiddle])
def test_fine_tuned_head_is_exported_as_logits(make, features, tmp_path, unchecked):
    model, head = encoder(), random_weights(make())
    record = export_saved_model(model, tmp_path / "new", classifier=head)
    images = np.random.default_rng(2).uniform(size=(2, 9, 8, 3)).astype(np.float32)
    loaded = tf.saved_model.load(str(tmp_path / "new" / "saved_model"))
    served = loaded.signatures["serving_default"](images=tf.constant(images))
    np.testing.assert_allclose(served["logits"], head(model(images)), rtol=1e-5)
    assert record["outputs"]["logits"]["shape"] == [None, NUM_CLASSES]
    assert "notes" not in record["card"]  # The SavedModel has everything.
    assert len(loaded.head_variables) == len(head.variables)


def test_head_trained_in_16_bits_over_replicas_computes_plainly_in_float32(features):
    tf.distribute.MirroredStrategy._collective_key_base += 100_000
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
            head = random_weights(projection_head(synchronized=True))
    finally:
        keras.mixed_precision.set_global_policy(before)
    copy = plain_head(head, NUM_FEATURES, "projection_head")
    assert {type(norm) for norm in copy.norm_layers} == {layers.BatchNormalization}
    assert {dense.compute_dtype for dense in copy.dense_layers} == {"float32"}
    assert {type(v).__name__ for v in copy.variables} == {"ResourceVariable"}
    np.testing.assert_allclose(copy(features), head(features), rtol=0.03)


def two_outputs():
    features = keras.Input((NUM_FEATURES,))
    return keras.Model(features, [layers.Dense(2)(features), layers.Dense(3)(features)])


@pytest.mark.parametrize(
    "head, words",
    [
        (lambda features: features, "must be a layer or a model of the Keras 2 API"),
        (keras.Sequential([keras.Input((7,)), layers.Dense(3)]), r"float32 \[N, 4\]"),
        (layers.Reshape((2, 2)), r"output=\(2, 2, 2\)"),
        (two_outputs(), "one tensor of floats"),
        (layers.Lambda(lambda x: tf.argmax(x, axis=1)), r"output=\(2,\)"),
    ],
    ids=["no layer", "another width", "three axes", "two outputs", "classes"],
)
def test_what_maps_no_features_to_logits_is_refused_in_one_line(head, words, tmp_path):
    with pytest.raises(ConfigError, match=words) as caught:
        export_saved_model(encoder(), tmp_path / "new", classifier=head)
    assert "`classifier`" in str(caught.value) and "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_head_with_an_incomplete_config_is_named():
    class Widened(layers.Layer):
        def __init__(self, factor=1, **kwargs):
            super().__init__(**kwargs)
            self.dense = layers.Dense(3 * factor)

        def call(self, features):
            return self.dense(features)

        def get_config(self):
            return {"name": self.name}

    with pytest.raises(ConfigError, match="has other variables.*kind='Widened'"):
        plain_head(Widened(factor=2), NUM_FEATURES, "classifier")


def test_parity_cases_hold_what_the_heads_say_of_the_features(features):
    model, head = encoder(), random_weights(functional())
    copy = plain_head(head, NUM_FEATURES, "classifier")
    cases = parity.parity_cases(model, plain_copy(model), [("logits", head, copy)])
    assert parity.output_names(cases) == ("features", "logits")
    for number in "01":
        np.testing.assert_allclose(
            cases[f"logits{number}"], head(model(cases[f"images{number}"])), rtol=1e-5
        )


# Stands for the SavedModel: the answers come from the cases, but for what is changed.
ANSWERS = """
import sys
import numpy as np
from compare_outputs import compare
answers = np.load(sys.argv[2])
def outputs(images):
    case = "1" if np.array_equal(images, answers["images1"]) else "0"
    found = {name: answers[name + case] for name in ("features", "logits")}
    CHANGE
    return list(found.items())
compare(outputs, sys.argv[2], foreign=[])
"""


@pytest.mark.parametrize(
    "change, words",
    [
        ("pass", None),
        ("found['logits'] = found['logits'] + 2e-3 * (case == '1')", "logits differ"),
        ("found['logits'] = found['logits'] + 2e-4", None),  # They are as large as 100.
        ("found['features'] = found['features'] + 2e-4", "features differ"),
        ("found['features'] = found['features'] * np.nan", "features differ.* by nan"),
        ("del found['logits']", "no result for logits"),
        ("found = {}", "no result for features, logits"),
    ],
)
def test_every_output_has_to_be_there_and_the_same(
    monkeypatch, tmp_path, change, words
):
    program = tmp_path / "program.py"
    program.write_text(ANSWERS.replace("CHANGE", change))
    monkeypatch.setattr(parity, "_CHECK", program)
    cases = {f"images{n}": np.full([1], n) for n in (0, 1)}
    cases |= {f"features{n}": np.ones([1, 2]) for n in (0, 1)}
    cases |= {f"logits{n}": np.full([1, 2], 100.0) for n in (0, 1)}
    if words is None:
        assert check_in_fresh_process("nowhere", cases) < 1e-3
    else:
        with pytest.raises(ParityError, match=words):
            check_in_fresh_process("nowhere", cases)
