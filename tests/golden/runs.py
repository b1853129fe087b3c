"""Short seeded runs: their losses, and a digest of their weights."""

import numpy as np
import tensorflow as tf

from simclr_tf import pretrain
from simclr_tf._keras import keras

STEPS = 4
BATCH = 16
CLASSES = 5
# name -> what is special about the run; `options` below says what the rest is.
RUNS = {
    "nt_xent_lars": {"objective": "nt_xent", "optimizer": "lars"},
    "nt_logistic_lamb": {"objective": "nt_logistic", "optimizer": "lamb"},
    "margin_triplet_sgd": {"objective": "margin_triplet", "optimizer": "sgd"},
    "nt_xent_adamw_bfloat16": {"optimizer": "adamw", "precision": "bfloat16"},
    "nt_logistic_sgd_bfloat16": {
        "objective": "nt_logistic",
        "optimizer": "sgd",
        "precision": "bfloat16",
    },
    "margin_triplet_lars_bfloat16": {
        "objective": "margin_triplet",
        "optimizer": "lars",
        "precision": "bfloat16",
    },
    "nt_xent_lamb_bfloat16": {"optimizer": "lamb", "precision": "bfloat16"},
    "micro_batches": {"optimizer": "adamw", "micro_batch_size": 8},
    "online_probe": {"optimizer": "sgd", "source": "labelled"},
    "jpeg_folder": {"optimizer": "lars", "source": "folder"},
}
# Large enough to change the weights in four steps, and small enough that the rounding
# of another processor does not grow.
LEARNING_RATES = {"lars": 0.02, "lamb": 0.003, "sgd": 0.003, "adamw": 0.001}
# Figures of the last epoch beside the losses; times are another on every machine.
FIGURES = ("probe_loss", "gradient_norm", "alignment", "uniformity", "feature_std")


def options(
    *, objective="nt_xent", optimizer, precision="float32", micro_batch_size=None
):
    """The keywords of `pretrain`: the one place that knows what options are called."""
    loss = {} if objective == "margin_triplet" else {"temperature": 0.2}
    return {
        "preset": "demo",
        "steps": STEPS,
        "global_batch_size": BATCH,
        "micro_batch_size": micro_batch_size,
        "seed": 3,
        "precision": precision,
        "compile_views": False,
        "encoder": {"name": "resnet10", "width_multiplier": 0.0625, "stem": "small"},
        "projection_head": {"hidden_features": 32, "out_features": 16},
        "objective": {"name": objective, **loss},
        "data.image_size_pixels": 16,
        "optimizer.name": optimizer,
        "optimizer.base_learning_rate": LEARNING_RATES[optimizer],
        "optimizer.trust_coefficient": 0.1,
        "optimizer.warmup_epochs": 0.0,
    }


def measure(name, folder):
    """Run one of `RUNS` and write down what came of it.

    Args:
      name: str, a key of `RUNS`.
      folder: pathlib.Path, an empty folder for images in files.

    Returns:
      dict: "losses", "figures", "encoder" and "projection_head" (see `digest`).
    """
    special = dict(RUNS[name])
    data = _images_of(special.pop("source", "images"), folder)
    losses = _Losses()
    result = pretrain(
        data, callbacks=[losses], say=lambda line: None, **options(**special)
    )
    return {
        "losses": losses.values,
        "figures": {
            figure: result.metrics[figure]
            for figure in FIGURES
            if figure in result.metrics
        },
        "encoder": digest(result.encoder.weights),
        "projection_head": digest(result.model.projection_head.weights),
    }


def digest(weights):
    """What a list of variables holds, in three numbers each, without their names.

    Returns:
      list of [shape, mean, norm, projection]: the norm is that of L2, the projection
      the inner product with signs that are drawn for the variable's size.
    """
    rows = []
    for variable in weights:
        values = np.asarray(variable.numpy(), np.float64)
        signs = np.random.default_rng(values.size).choice([-1.0, 1.0], values.size)
        rows.append(
            [
                list(values.shape),
                float(values.mean()),
                float(np.linalg.norm(values)),
                float(values.ravel() @ signs),
            ]
        )
    return rows


def bfloat16_rounding():
    """Sums of a convolution, its gradient and a product in bfloat16.

    oneDNN, TensorFlow's own code and a GPU round them at different places: from these
    numbers on, a training in bfloat16 is another one.

    Returns:
      list of float.
    """
    rng = np.random.default_rng(0)
    pictures, kernels = (
        tf.cast(rng.normal(size=shape), tf.bfloat16)
        for shape in ((8, 8, 8, 4), (3, 3, 4, 8))
    )
    with tf.GradientTape() as tape:
        tape.watch(kernels)
        features = tf.nn.conv2d(pictures, kernels, 1, "SAME")
        value = tf.reduce_sum(tf.cast(features, tf.float32) ** 2)
    product = tf.matmul(tf.reshape(features, [64, -1]), tf.reshape(features, [-1, 64]))
    sums = [
        tf.reduce_sum(tf.abs(tf.cast(part, tf.float32)))
        for part in (tape.gradient(value, kernels), product)
    ]
    return [float(value), *map(float, sums)]


def images(height, width, seed):
    """uint8 `[H, W, 3]`: a smooth picture, which JPEG stores almost as it is."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = [
        np.sin(a * x / width + b * y / height + c)
        for a, b, c in rng.uniform(-6, 6, (3, 3))
    ]
    return np.clip(128 + 110 * np.stack(waves, -1), 0, 255).astype("uint8")


class _Losses(keras.callbacks.Callback):
    """The loss after every step, as Keras shows it: the mean since the epoch began."""

    def __init__(self):
        super().__init__()
        self.values = []

    def on_train_batch_end(self, batch, logs=None):
        self.values.append(float(logs["loss"]))


def _images_of(source, folder):
    """Two batches of images: in memory, with labels, or as JPEG files of many sizes."""
    number = 2 * BATCH
    labels = np.arange(number) % CLASSES
    if source == "folder":
        for place in range(number):
            path = folder / f"class_{labels[place]}" / f"{place:02d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture = images(20 + place, 50 - place, seed=place)
            path.write_bytes(tf.io.encode_jpeg(picture, quality=95).numpy())
        return f"folder:{folder}"
    pictures = np.stack([images(16, 16, seed=place) for place in range(number)])
    return (pictures, labels) if source == "labelled" else pictures
