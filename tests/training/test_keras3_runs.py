"""Runs that train a network of Keras 3: the user's own object, and what is kept."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

import simclr_tf
from simclr_tf._keras import ADDONS_LANE, keras, keras3
from simclr_tf.distribution import make_strategy
from simclr_tf.errors import ConfigError, WorkdirError
from simclr_tf.models import fitting_encoder
from simclr_tf.tools import command_line
from simclr_tf.tools.pretrain import SECTIONS, options_of
from simclr_tf.training import load_encoder
from simclr_tf.training.replicated_encoder import replicated_encoder
from simclr_tf.training.workdir import NETWORK_FILE

IMAGES = np.random.default_rng(0).integers(0, 256, (16, 16, 16, 3), np.uint8)


def pretrain(encoder, workdir=None, say=lambda line: None, **options):
    return simclr_tf.pretrain(
        IMAGES,
        workdir,
        encoder=encoder,
        say=say,
        **{
            "epochs": 2,
            "checkpoint.every_epochs": 1,
            "global_batch_size": 8,
            "precision": "float32",
            "compile_views": False,
            "probe.online": False,
            "projection_head.hidden_features": 8,
            "data.image_size_pixels": 16,
            **options,
        },
    )


class StopAfterFirstEpoch(keras.callbacks.Callback):
    """A kill, as the run sees it."""

    def on_epoch_end(self, epoch, logs=None):
        raise InterruptedError


if ADDONS_LANE:

    def test_what_is_no_network_of_the_keras_2_api_is_refused_in_one_line():
        with pytest.raises(ConfigError, match="of the Keras 2 API"):
            pretrain(object())

else:
    from tests.models.keras3_networks import nested_network, values_of

    @dataclasses.dataclass
    class Lives:
        """One network trained twice, once in two lives."""

        start: list
        calm: object
        cut: object
        workdir: object
        model: object

    @pytest.fixture(scope="module")
    def lives(tmp_path_factory):
        workdir = tmp_path_factory.mktemp("lives") / "run"
        first, cut, calm = (nested_network(dropout=0.2) for _ in range(3))
        start = values_of(first)
        with pytest.raises(InterruptedError):
            pretrain(first, workdir, callbacks=[StopAfterFirstEpoch()])
        assert all((a != b).any() for a, b in zip(start, values_of(first), strict=True))
        said = []
        model = pretrain(cut, workdir, said.append).model
        assert any("from step 2 " in line for line in said)
        pretrain(calm)
        return Lives(start, calm, cut, workdir, model)

    def test_every_variable_of_the_users_own_network_is_trained(lives):
        moved = zip(lives.start, values_of(lives.calm), strict=True)
        assert all((before != after).any() for before, after in moved)

    def test_the_same_call_continues_a_cut_run_bit_for_bit(lives):
        for calm, cut in zip(values_of(lives.calm), values_of(lives.cut), strict=True):
            np.testing.assert_array_equal(calm, cut)

    def test_the_workdir_alone_gives_the_encoder(lives):
        loaded = load_encoder(lives.workdir)
        images = IMAGES[:4] / np.float32(255)
        np.testing.assert_allclose(
            loaded(images), lives.model.encoder(images), atol=1e-6
        )
        again = load_encoder(lives.workdir, encoder=nested_network(seed=1, dropout=0.2))
        np.testing.assert_allclose(again(images), loaded(images), atol=1e-6)

    def test_the_command_line_continues_a_run_that_kept_its_network(lives, tmp_path):
        run = tmp_path / "run"
        shutil.copytree(lives.workdir, run)
        record = json.loads((run / "config.json").read_text())
        record["config"]["data"]["source"] = "folder:images"
        (run / "config.json").write_text(json.dumps(record))
        flags = [f"--workdir={run}", "--epochs=3"]
        config, _ = options_of(command_line.parse("pretrain", SECTIONS, flags))
        assert (config.encoder.name, config.epochs) == ("custom", 3)
        (run / NETWORK_FILE).unlink()
        with pytest.raises(ConfigError, match="an encoder from Python"):
            options_of(command_line.parse("pretrain", SECTIONS, flags))

    @pytest.mark.parametrize("content", ["", "[]", '{"kind": "keras3_network/1"}'])
    def test_a_damaged_network_file_is_one_line(lives, tmp_path, content):
        run = tmp_path / "run"
        shutil.copytree(lives.workdir, run)
        (run / NETWORK_FILE).write_text(content)
        with pytest.raises(WorkdirError, match="network.json is refused"):
            load_encoder(run)

    def test_two_replicas_train_what_one_device_trains(lives):
        network = nested_network()
        alone = nested_network()
        sgd = {"optimizer.name": "sgd"}
        one, two = (
            pretrain(net, epochs=1, **sgd, **options).metrics["loss"]
            for net, options in (
                (alone, {}),  # Adam would enlarge the noise of zero gradients.
                (network, {"strategy": "mirrored", "replicas": 2}),
            )
        )
        assert one == pytest.approx(two, rel=1e-5)
        for a, b in zip(values_of(alone), values_of(network), strict=True):
            np.testing.assert_allclose(a, b, atol=2e-5)

    def test_replicas_refuse_a_network_that_its_config_does_not_describe():
        class Plain(keras3().Model):
            def __init__(self, function=None):
                super().__init__()
                self.convolution = keras3().layers.Conv2D(4, 3)
                self.function = function

            def call(self, images):
                return self.function(self.convolution(images))

        encoder = fitting_encoder(Plain(lambda maps: 2 * maps), (16, 16, 3))
        strategy = make_strategy("mirrored", replicas=2)
        with strategy.scope(), pytest.raises(ConfigError, match="cannot be copied"):
            replicated_encoder(encoder)

    def test_small_views_and_random_micro_batches_are_refused_in_one_line():
        refused = r"images of \(7, 7, 3\).*--objective.small_views=0.*Input 0"
        with pytest.raises(ConfigError, match=refused):
            pretrain(nested_network(), objective="swav")
        with pytest.raises(ConfigError, match="layers are random.*dropout"):
            pretrain(nested_network(dropout=0.1), micro_batch_size=4)
