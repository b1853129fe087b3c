"""Networks of Keras 3 inside the Keras 2 API: calls, variables, roles, configs."""

import copy
import json

import numpy as np
import pytest

from simclr_tf._keras import ADDONS_LANE, keras, keras3, refuse_keras3
from simclr_tf.errors import ConfigError, DataError
from simclr_tf.export.plain_copy import plain_head
from simclr_tf.models import check_encoder, fitting_encoder
from simclr_tf.models.keras3_network import (
    check_rebuilt,
    network_config,
    network_from_config,
    network_of,
)
from simclr_tf.optim import apply_exclusions, make_optimizer, variables_by_role
from simclr_tf.training.replicated_model import ReplicatedModel
from simclr_tf.training.run import pretrain

SHAPE = (16, 16, 3)

if ADDONS_LANE:

    def test_a_config_of_keras_3_is_refused_in_one_line():
        with pytest.raises(DataError, match="TensorFlow 2.16"):
            network_from_config({}, SHAPE)

else:
    from tests.models.keras3_networks import nested_network, values_of

    layers = keras3().layers

    @pytest.fixture(scope="module")
    def network():
        return nested_network(dropout=0.2)

    @pytest.fixture(scope="module")
    def encoder(network):
        return fitting_encoder(network, SHAPE)

    def images(seed=0, side=16):
        return np.random.default_rng(seed).random((4, side, side, 3), np.float32)

    def test_features_are_those_of_the_network_averaged_over_its_maps(network, encoder):
        maps = network(images(), training=False)
        np.testing.assert_allclose(
            encoder(images()), np.mean(maps, axis=(1, 2)), atol=1e-6
        )

    def test_training_updates_statistics_and_seeds_and_inference_does_not(encoder):
        state = network_of(encoder).state
        before = [variable.numpy() for variable in state]
        encoder(images(), training=False)
        assert all((a == b.numpy()).all() for a, b in zip(before, state, strict=True))
        encoder(images(), training=True)
        changed = [(a != b.numpy()).any() for a, b in zip(before, state, strict=True)]
        assert sum(changed) == 5  # Two means, two variances, one seed.

    def test_a_frozen_network_computes_as_in_inference(network, encoder):
        layer = network_of(encoder)
        layer.trainable = False
        frozen = encoder(images(), training=True)
        assert encoder.trainable_variables == []
        layer.trainable = True
        np.testing.assert_array_equal(frozen, encoder(images(), training=False))
        assert len(encoder.trainable_variables) == len(network.trainable_variables)

    def test_layers_that_the_user_froze_are_not_trained():
        network = nested_network()
        network.get_layer("stem").trainable = False
        encoder = check_encoder(network)
        assert len(encoder.trainable_variables) == len(network.trainable_variables) == 6
        assert len(encoder.losses) == 0  # As in Keras 3: a frozen kernel has none.

    def test_penalties_of_weights_and_of_activations_are_losses(network, encoder):
        kernel = network.get_layer("stem").kernel.numpy()
        np.testing.assert_allclose(sum(encoder.losses), 0.01 * (kernel**2).sum(), 1e-5)
        inputs = keras3().Input(SHAPE)
        maps = layers.Conv2D(2, 3, activity_regularizer="l2")(inputs)
        active = check_encoder(keras3().Model(inputs, maps))
        active(images())
        outputs = network_of(active).network(images())
        loss = 0.01 * (np.asarray(outputs) ** 2).sum() / 4  # A mean over images.
        np.testing.assert_allclose(sum(active.losses), loss, 1e-5)

    def test_norms_and_biases_of_any_rank_neither_decay_nor_adapt():
        inputs = keras3().Input(SHAPE)
        x = layers.Reshape((-1, 6))(layers.Conv2D(6, 3, 2)(inputs))
        x = layers.LayerNormalization()(layers.MultiHeadAttention(2, 3)(x, x))
        network = keras3().Model(inputs, layers.GlobalAveragePooling1D()(x))
        roles = variables_by_role(check_encoder(network))
        shapes = {role: [tuple(v.shape) for v in roles[role]] for role in roles}
        assert shapes["normalization"] == [(6,), (6,)]
        assert shapes["bias"] == [(6,), (2, 3), (2, 3), (2, 3), (6,)]
        assert len(shapes["kernel"]) == 5

    def test_bfloat16_is_computed_and_float16_refused():
        for policy in ("mixed_bfloat16", "mixed_float16"):
            inputs = keras3().Input(SHAPE)
            maps = layers.Conv2D(2, 3, dtype=policy)(inputs)
            network = keras3().Model(inputs, maps)
            if policy == "mixed_bfloat16":
                encoder = check_encoder(network)
                assert encoder(images()).dtype == "float32"
                assert encoder.trainable_variables[0].dtype == "float32"
                continue
            with pytest.raises(ConfigError, match="loss scaling.*mixed_bfloat16"):
                check_encoder(network)

    def test_another_backend_is_refused(network, monkeypatch):
        monkeypatch.setattr(keras3().config, "backend", lambda: "jax")
        with pytest.raises(ConfigError, match="KERAS_BACKEND=tensorflow"):
            check_encoder(network)

    def test_images_of_another_size_than_the_networks_are_refused(network):
        with pytest.raises(ConfigError, match="does not take images of"):
            fitting_encoder(network, (24, 24, 3))

    def test_the_config_rebuilds_the_network(network, encoder):
        config = json.loads(json.dumps(network_config(network)))
        rebuilt = network_from_config(config, SHAPE)
        for variable, value in zip(rebuilt.variables, values_of(network), strict=True):
            variable.assign(value)
        np.testing.assert_array_equal(rebuilt(images()), network(images()))
        check_rebuilt(network_of(encoder))

    @pytest.mark.parametrize("activation", ["hard_silu", "leaky_relu", "swish"])
    def test_activations_of_keras_3_are_on_the_list(activation):
        inputs = keras3().Input(SHAPE)
        maps = layers.Conv2D(2, 3, activation=activation)(inputs)
        config = network_config(keras3().Model(inputs, maps))
        network_from_config(config, SHAPE)

    class Scaled(keras3().Model):
        """A user's own class, not registered."""

        def __init__(self, width=4, function=None):
            super().__init__()
            self.convolution = layers.Conv2D(width, 3)
            self.width, self.function = width, function or (lambda x: x)

        def get_config(self):
            return {"width": self.width}

        def call(self, images):
            return self.function(self.convolution(images))

    def test_a_class_of_this_process_is_rebuilt_and_its_functions_are_missed():
        layer = network_of(fitting_encoder(Scaled(width=6), SHAPE))
        check_rebuilt(layer)
        twice = network_of(fitting_encoder(Scaled(function=lambda x: 2 * x), SHAPE))
        with pytest.raises(ConfigError, match="leaves something out"):
            check_rebuilt(twice)

    def first(config, kind):
        """The entry of the first layer of a class."""
        return next(e for e in config["config"]["layers"] if e["class_name"] == kind)

    def of_a_program(config):
        first(config, "Conv2D").update(module="os", class_name="system")

    def of_a_lambda_layer(config):
        first(config, "ReLU").update(class_name="Lambda")

    def of_a_saved_model(config):
        first(config, "ReLU").update(class_name="TFSMLayer")

    def of_a_function_as_activation(config):
        first(config, "Conv2D")["config"]["activation"] = {
            "module": "builtins",
            "class_name": "function",
            "config": "load_model",
            "registered_name": "load_model",
        }

    def of_a_lambda_in_a_call(config):
        call = first(config, "Multiply")["inbound_nodes"][0]
        call["args"][1] = {"class_name": "__lambda__", "config": {"value": []}}

    def of_an_unlisted_operation(config):
        first(config, "Multiply").update(class_name="Map", module="keras.src.ops.core")

    def of_an_endless_graph(config):
        name = first(config, "ReLU")["name"]
        stem = first(config, "Conv2D")["inbound_nodes"][0]["args"][0]["config"]
        stem["keras_history"] = [name, 0, 0]

    def of_a_call_on_constants(config):
        first(config, "Conv2D")["inbound_nodes"][0]["args"] = [1.0]

    def of_a_hidden_program(config):
        first(config, "ReLU")["config"]["name"] = {
            "module": "subprocess",
            "class_name": "Popen",
            "config": {"args": "true"},
        }

    @pytest.mark.parametrize(
        "damage",
        [
            of_a_program,
            of_a_lambda_layer,
            of_a_saved_model,
            of_a_function_as_activation,
            of_a_lambda_in_a_call,
            of_an_unlisted_operation,
            of_an_endless_graph,
            of_a_call_on_constants,
            of_a_hidden_program,
        ],
    )
    def test_a_strangers_config_is_refused_before_anything_is_built(
        network, damage, monkeypatch
    ):
        config = copy.deepcopy(network_config(network))
        damage(config)

        def build(*args, **options):
            raise AssertionError("Keras read the config")

        monkeypatch.setattr(keras3().saving, "deserialize_keras_object", build)
        with pytest.raises(DataError):
            network_from_config(config, SHAPE)

    def of_keras3():
        optimizers = keras3().optimizers
        return {
            "optimizer": optimizers.SGD(0.1),
            "loss": keras3().losses.MeanSquaredError(),
            "learning_rate": optimizers.schedules.CosineDecay(0.1, 10),
            "callbacks": keras3().callbacks.Callback(),
            "classifier": layers.Dense(3),
        }

    def compiled(**given):
        ReplicatedModel(()).compile(**given)

    @pytest.mark.parametrize(
        ("name", "use"),
        [
            ("optimizer", lambda value: compiled(optimizer=value)),
            ("optimizer", lambda value: compiled(optimizer=[value])),
            ("optimizer", lambda value: apply_exclusions(value, [])),
            ("optimizer", lambda value: pretrain(optimizer=value)),
            ("loss", lambda value: compiled(loss=value)),
            ("learning_rate", lambda value: make_optimizer("sgd", value)),
            ("callbacks", lambda value: pretrain(callbacks=[value])),
            ("classifier", lambda value: plain_head(value, 8, "classifier")),
        ],
    )
    def test_other_objects_of_keras_3_get_one_line(name, use):
        with pytest.raises(ConfigError) as caught:
            use(of_keras3()[name])
        assert f"`{name}` is an object of Keras 3" in str(caught.value)
        assert "\n" not in str(caught.value)
        refuse_keras3("Use its name.", value=keras.optimizers.SGD(0.1))
