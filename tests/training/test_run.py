"""A run from one call: what it writes, how it goes on, what it accepts."""

import gc
import json
import re
import weakref

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from simclr_tf import load_encoder, pretrain
from simclr_tf._keras import keras
from simclr_tf.config import Config, DataConfig
from simclr_tf.data import batch_ids, open_source
from simclr_tf.errors import NonFiniteError, SimCLRError, WorkdirError
from simclr_tf.training.checkpoints import CheckpointStore
from simclr_tf.training.records import read_metrics
from simclr_tf.training.workdir import Workdir
from tests.training.small_networks import small_encoder

TINY = {
    "epochs": 2,
    "global_batch_size": 8,
    "precision": "float32",
    "projection_head": {"out_features": 8, "num_layers": 2},
    "data.image_size_pixels": 16,
    "optimizer.warmup_epochs": 1,
    "preset": "demo",
    "compile_views": False,
    "checkpoint.every_epochs": 1,
    "augment.recipe": "finetune",  # See faulty_runs.
}


def images(number=20, size=16, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (number, size, size, channels)).astype("uint8")


RESNET = {"name": "resnet10", "width_multiplier": 0.0625, "stem": "small"}


def run(data=None, workdir=None, encoder=None, say=lambda line: None, **options):
    data = images() if data is None else data
    return pretrain(
        data,
        workdir,
        say=say,
        encoder=small_encoder() if encoder is None else encoder,
        **{**TINY, **options},
    )


def weights_of(result):
    return [w.numpy() for w in result.model.weights]


class StopAt(keras.callbacks.Callback):
    """An interruption after a number of epochs."""

    def __init__(self, epochs):
        super().__init__()
        self.epochs = epochs

    def on_epoch_end(self, epoch, logs=None):
        if epoch + 1 == self.epochs:
            raise KeyboardInterrupt


def test_a_run_leaves_what_the_readme_says(tmp_path):
    labels = np.arange(20) % 3
    result = run((images(), labels), tmp_path / "run")
    names = {p.name for p in (tmp_path / "run").iterdir()}
    assert names == {
        "config.json",
        "checkpoints",
        "metrics.jsonl",
        "tensorboard",
        "SUMMARY.md",
    }
    assert [r["step"] for r in read_metrics(tmp_path / "run" / "metrics.jsonl")] == [
        2,
        4,
    ]
    record = result.history[-1]
    assert record == result.metrics
    for name in (
        "loss",
        "contrastive_accuracy",
        "probe_accuracy",
        "learning_rate",
        "images_per_second",
        "data_wait_fraction",
        "effective_rank",
        "alignment",
        "uniformity",
        "feature_std",
    ):
        assert np.isfinite(record[name]), name
    saved = json.loads((tmp_path / "run" / "config.json").read_text())
    assert saved["data"]["num_classes"] == 3
    assert [" of " in devices for devices in saved["devices"]] == [True]
    assert "embedded" not in saved["config"]["data"]["source"]
    summary = (tmp_path / "run" / "SUMMARY.md").read_text()
    assert "| epochs |" in summary and "contrastive loss" in summary


# Grey images in every suite: test_few_label_tools.
@pytest.mark.parametrize("channels", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_the_encoder_comes_back_from_the_workdir_for_any_number_of_channels(
    tmp_path, channels
):
    pictures = images(channels=channels)
    # With the preset's own views: colour operators that meet grey images, too.
    result = run(
        pictures,
        tmp_path / "run",
        encoder=RESNET,
        epochs=1,
        **{"augment.recipe": "cifar"},
    )
    assert result.encoder.input_shape[-1] == channels
    again = load_encoder(tmp_path / "run")
    x = tf.constant(pictures[:4] / np.float32(255))
    np.testing.assert_array_equal(result.encoder(x), again(x))


@pytest.mark.slow  # Bit for bit, in every suite: test_exact_resume.
def test_an_interrupted_run_ends_like_the_calm_one(tmp_path):
    calm = run(workdir=tmp_path / "calm", epochs=4)
    with pytest.raises(KeyboardInterrupt):
        run(workdir=tmp_path / "cut", epochs=4, callbacks=[StopAt(3)])
    # The checkpoint of epoch 3 was written; the user's callback came after it.
    assert CheckpointStore(tmp_path / "cut" / "checkpoints").latest().step == 6
    resumed = run(workdir=tmp_path / "cut", epochs=4)
    for ours, theirs in zip(weights_of(calm), weights_of(resumed), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    lines = read_metrics(tmp_path / "cut" / "metrics.jsonl")
    assert [r["step"] for r in lines] == [2, 4, 6, 8]
    np.testing.assert_allclose(
        [r["loss"] for r in lines], [r["loss"] for r in calm.history], rtol=1e-4
    )


def test_a_complete_run_is_not_trained_further(tmp_path):
    first = run(workdir=tmp_path / "run")
    written = {
        path: path.stat().st_mtime_ns
        for path in (tmp_path / "run").rglob("*")
        if path.is_file()
    }
    said = []
    again = run(workdir=tmp_path / "run", say=said.append)
    assert "the run is complete, nothing is left to do" in said[-1]
    assert written == {
        path: path.stat().st_mtime_ns
        for path in (tmp_path / "run").rglob("*")
        if path.is_file()
    }
    for before, after in zip(weights_of(first), weights_of(again), strict=True):
        np.testing.assert_array_equal(before, after)
    assert again.metrics == first.metrics


@pytest.mark.parametrize(
    "change, words",
    [
        ({"objective.temperature": 0.9}, "objective.temperature (there 0.2, now 0.9)"),
        ({"seed": 5}, "seed (there 0, now 5)"),
        (
            {"objective": "dcl"},
            "another config: objective.name (there 'nt_xent', now 'dcl'). Use another",
        ),
        ({"epochs": 2}, "epochs (there 1, now 2)"),  # The schedule would be another.
    ],
)
def test_a_workdir_of_another_config_is_refused_with_the_fields(
    tmp_path, change, words
):
    run(workdir=tmp_path / "run", epochs=1)
    with pytest.raises(WorkdirError) as error:
        run(workdir=tmp_path / "run", **{"epochs": 1, **change})
    assert words in str(error.value) and "\n" not in str(error.value)


def test_images_that_changed_are_refused(tmp_path):
    run(images(), tmp_path / "run", epochs=1)
    with pytest.raises(WorkdirError, match="have changed"):
        run(images(seed=1), tmp_path / "run", epochs=1)


def test_images_that_were_moved_are_recognised_and_their_place_is_kept(tmp_path):
    np.savez(tmp_path / "here.npz", x_train=images())
    np.savez(tmp_path / "others.npz", x_train=images(seed=1))
    run(f"npz:{tmp_path}/here.npz", tmp_path / "run", epochs=1)
    (tmp_path / "here.npz").rename(tmp_path / "there.npz")
    lines = []
    run(f"npz:{tmp_path}/there.npz", tmp_path / "run", epochs=1, say=lines.append)
    moved = f"found at npz:{tmp_path}/there.npz (was npz:{tmp_path}/here.npz)"
    assert sum(moved in line for line in lines) == 1
    assert "nothing is left to do" in "".join(lines)
    record = Workdir(tmp_path / "run").read()
    assert record["config"]["data"]["source"] == f"npz:{tmp_path}/there.npz"
    with pytest.raises(WorkdirError, match="others.npz are not those of .*there.npz"):
        run(f"npz:{tmp_path}/others.npz", tmp_path / "run", epochs=1)


def test_a_slice_of_another_meaning_is_refused_with_the_flag_that_continues(tmp_path):
    old, new = (
        Config(data=DataConfig(split="train[:50%]", slices=slices))
        for slices in ("in_order", "stratified")
    )
    data = {"num_examples": 8, "channels": 3, "fingerprint": "1"}
    place = Workdir(tmp_path / "run")
    place.claim(old, data, "x")
    (place.path / "SUMMARY.md").touch()
    with pytest.raises(WorkdirError, match="had --data.slices=in_order: give that"):
        place.claim(new, {**data, "fingerprint": "2"}, "x")
    place.claim(new, data, "x")


def test_neither_the_images_nor_the_model_of_a_run_stay_in_memory():
    pictures = np.array(images())
    result = run(pictures, epochs=1)
    held = [weakref.ref(pictures), weakref.ref(result.model)]
    del pictures, result
    gc.collect()
    assert [reference() for reference in held] == [None, None]


def test_the_number_of_steps_is_exact():
    result = run(steps=3)
    assert int(result.model.optimizer.iterations) == 3
    assert [r["step"] for r in result.history] == [2, 3]
    assert result.history[-1]["learning_rate"] == 0.0


def test_a_tf_data_dataset_of_images_or_pairs_will_do():
    pairs = tf.data.Dataset.from_tensor_slices((images(), np.arange(20) % 2))
    assert "probe_accuracy" in run(pairs, epochs=1).metrics
    alone = tf.data.Dataset.from_tensor_slices(images())
    assert "probe_accuracy" not in run(alone, epochs=1).metrics


def test_an_endless_stream_needs_steps():
    endless = tf.data.Dataset.from_tensor_slices(images()).repeat()
    with pytest.raises(SimCLRError, match="needs `steps`"):
        run(endless)
    assert run(endless, steps=2).metrics["step"] == 2


def test_unlabelled_images_are_probed_on_a_separate_labelled_set(tmp_path):
    np.savez(
        tmp_path / "few.npz", x_train=images(10, size=24), y_train=np.arange(10) % 2
    )
    result = run(**{"probe.data": f"npz:{tmp_path}/few.npz"})
    assert result.model.probe.units == 2
    assert 0 <= result.metrics["probe_accuracy"] <= 1


def test_a_probe_set_without_labels_is_refused(tmp_path):
    np.savez(tmp_path / "few.npz", x_train=images(10))
    with pytest.raises(SimCLRError, match="has no labels"):
        run(**{"probe.data": f"npz:{tmp_path}/few.npz"})


def test_a_folder_of_pictures_of_all_sizes_with_a_broken_one(tmp_path, caplog):
    rng = np.random.default_rng(0)
    for i in range(12):
        shape = (20 + i, 40 - i, 3)
        Image.fromarray(rng.integers(0, 256, shape, "uint8")).save(
            tmp_path / f"{i}.{'jpg' if i % 2 else 'png'}"
        )
    png = (tmp_path / "4.png").read_bytes()
    middle = len(png) // 2
    (tmp_path / "4.png").write_bytes(
        png[:middle]
        + bytes(255 - b for b in png[middle : middle + 40])
        + png[middle + 40 :]
    )
    result = run(f"folder:{tmp_path}", epochs=4, **{"data.max_corrupt_fraction": 0.2})
    assert np.isfinite(result.metrics["loss"])
    assert "4.png" in caplog.text
    with pytest.raises(SimCLRError, match="4.png"):
        run(f"folder:{tmp_path}", epochs=4, **{"data.max_corrupt_fraction": 0.0})


def test_a_users_own_encoder_is_trained_and_comes_back(tmp_path):
    def build():
        pictures = keras.Input((None, None, 3))
        x = keras.layers.Conv2D(6, 3, activation="relu")(pictures)
        return keras.Model(pictures, x)

    result = run(workdir=tmp_path / "run", encoder=build())
    x = tf.constant(images(4) / np.float32(255))
    assert result.encoder(x).shape == (4, 6)
    again = load_encoder(tmp_path / "run", encoder=build())
    np.testing.assert_array_equal(result.encoder(x), again(x))
    with pytest.raises(SimCLRError, match="is a Python object"):
        load_encoder(tmp_path / "run")


def test_an_encoder_that_does_not_fit_the_images_is_refused_with_both_shapes():
    with pytest.raises(SimCLRError, match=r"\(16, 16, 1\).*3"):
        run(images(channels=1), encoder=small_encoder())
    pictures = keras.Input((24, 24, 3))
    fixed = keras.Model(pictures, keras.layers.Flatten()(pictures))
    with pytest.raises(SimCLRError, match=r"\(16, 16, 3\).*24"):
        run(encoder=fixed)


def test_a_subclassed_encoder_takes_grey_images():
    class Grey(keras.Model):
        def __init__(self):
            super().__init__()
            self.layer = keras.layers.Conv2D(4, 3)

        def call(self, pictures, training=False):
            return tf.reduce_mean(self.layer(pictures), [1, 2])

    assert np.isfinite(run(images(channels=1), encoder=Grey()).metrics["loss"])


@pytest.mark.parametrize("kind", ["nonlinear", "linear", "none"])
def test_every_projection_head_trains(kind):
    result = run(epochs=1, **{"projection_head.kind": kind})
    assert np.isfinite(result.metrics["loss"])


def test_bfloat16_trains():
    result = run(precision="bfloat16", encoder=RESNET, epochs=1)
    assert np.isfinite(result.metrics["loss"])


@pytest.mark.slow  # On two replicas, in every suite: test_replica_runs.
def test_views_compiled_by_xla_train_to_the_same_losses():
    losses = [
        [r["loss"] for r in run(compile_views=compiled).history]
        for compiled in (False, True)
    ]
    np.testing.assert_allclose(*losses, rtol=1e-3)


def test_a_non_finite_loss_stops_the_run_at_its_step(tmp_path):
    with pytest.raises(NonFiniteError) as error:
        run(
            workdir=tmp_path / "run",
            epochs=20,
            **{
                "optimizer.name": "sgd",
                "optimizer.scaling": "none",
                "optimizer.base_learning_rate": 1e30,
                "optimizer.warmup_steps": 0,
            },
        )
    assert "at step " in str(error.value) and "\n" not in str(error.value)
    assert "learning_rate" in str(error.value)
    step = int(re.search(r"at step (\d+)", str(error.value)).group(1))
    ids = batch_ids(open_source(images()), global_batch_size=8, seed=0, step=step - 1)
    assert f"held the examples {', '.join(map(str, ids))}." in str(error.value)
    # No checkpoint holds a poisoned weight.
    latest = CheckpointStore(tmp_path / "run" / "checkpoints").latest()
    if latest is not None:
        encoder = load_encoder(tmp_path / "run", encoder=small_encoder())
        assert all(np.isfinite(w).all() for w in encoder.get_weights())


def test_a_run_that_may_skip_non_finite_steps_stops_when_there_are_too_many():
    with pytest.raises(NonFiniteError, match="4 so far.*max_skipped_steps=3"):
        run(
            epochs=20,
            on_nonfinite="skip",
            max_skipped_steps=3,
            **{
                "optimizer.name": "sgd",
                "optimizer.scaling": "none",
                "optimizer.base_learning_rate": 1e30,
                "optimizer.warmup_steps": 0,
            },
        )


def test_the_workdir_says_when_there_is_no_checkpoint(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(
            workdir=tmp_path / "run",
            callbacks=[StopAt(1)],
            **{"checkpoint.every_epochs": 2},
        )
    with pytest.raises(WorkdirError, match="no complete checkpoint"):
        load_encoder(tmp_path / "run")
    assert Workdir(tmp_path / "run").config().checkpoint.every_epochs == 2


def test_small_views_of_a_preset_are_left_out_for_an_encoder_of_one_size():
    fixed = keras.Sequential(
        [keras.Input((16, 16, 3)), keras.layers.Conv2D(4, 3, name="convolution")]
    )
    free = keras.Sequential(
        [keras.Input((None, None, 3)), keras.layers.Conv2D(4, 3, name="convolution")]
    )
    asked = {"objective.small_views": 2}
    for encoder, options, kept in ((fixed, {}, 0), (free, {}, 2), (fixed, asked, 2)):
        lines = []
        options = {**options, "preset": "photos_small", "epochs": 1}
        if encoder is fixed and kept:
            refused = r"images of \(8, 8, 3\).*--objective.small_views=0"
            with pytest.raises(SimCLRError, match=refused):
                run(encoder=encoder, **options)
            continue
        result = run(encoder=encoder, say=lines.append, **options)
        assert result.model.objective.options.small_views == kept
        told = (
            "Views       two full ones: the preset's 2 small ones are left out, since "
        )
        assert any(line.startswith(told) for line in lines) == (not kept)
