"""Presets of the objectives beside NT-Xent: each method as its own authors trained it.

What our options cannot repeat of a recipe stands in the preset's text. `presets.py`
lists these presets with the others.

The published codes with SGD add the weight decay to the gradient, before the momentum
of 0.9, which makes it ten times as strong as Keras's decay outside the momentum. So
presets with SGD have ten times the published number. Those codes also decay biases and
batch norm, which never decay here.
"""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Callable, Mapping

from simclr_tf.config import (
    AugmentConfig,
    Config,
    DataConfig,
    OptimizerConfig,
    ProjectionHeadConfig,
)

_SOLO_LEARN = "solo-learn's settings for CIFAR-10"
_LARS = " (LARS with a trust coefficient of 0.02, without its clipping of the rate)"
# Views of solo-learn, as changes of the recipe `cifar`, whose color_strength is 0.5.
_BLURRED = {"blur_probability": 0.5, "blur_kernel_fraction": 0.4}
_STRONG = {**_BLURRED, "color_strength": 1.0}
_UNEQUAL = {"saturation": 0.4}  # 0.2 at this strength.
_SOLARIZED = "; there a fifth of the second views is solarized"


@dataclasses.dataclass(frozen=True)
class Method:
    """A published recipe of an objective.

    Attributes:
      title: str, the method.
      source: str, where the settings were published, and what differs here.
      expected: str, the published figure; "" where these settings have none.
      objective, head, optimizer, augment: dicts of options.
      batch: int, the global batch.
      epochs: int.
    """

    title: str
    source: str
    expected: str
    objective: Mapping
    head: Mapping
    optimizer: Mapping
    batch: int
    epochs: int
    augment: Mapping = dataclasses.field(default_factory=dict)


def _lars(rate, weight_decay):
    """Set up LARS as solo-learn uses it: ten epochs of warm-up, then a cosine."""
    return {
        "name": "lars",
        "base_learning_rate": rate,
        "scaling": "linear",
        "warmup_epochs": 10,
        "weight_decay": weight_decay,
        "trust_coefficient": 0.02,
    }


def _sgd(rate, weight_decay, warmup_epochs=0):
    """Set up SGD with momentum 0.9, a rate for a batch of 256 and a published decay."""
    return {
        "name": "sgd",
        "base_learning_rate": rate,
        "scaling": "linear",
        "warmup_epochs": warmup_epochs,
        "weight_decay": 10 * weight_decay,  # / (1 - 0.9), see the top of this file.
    }


def _mlp(num_layers, hidden, out, batch_norm=True, final=True):
    return {
        "num_layers": num_layers,
        "hidden_features": hidden,
        "out_features": out,
        "batch_norm": batch_norm,
        "final_batch_norm": final,
    }


_LINEAR_HEAD = {"kind": "linear", "out_features": 128, "batch_norm": False}


def _solo(objective, head, optimizer, percent, title, augment, more=""):
    if optimizer["name"] == "lars":
        more = _LARS + more
    if augment is _UNEQUAL:
        more += _SOLARIZED
    return Method(
        title,
        _SOLO_LEARN + more,
        f"{percent} % with the probe beside the training after 1,000 epochs",
        objective,
        head,
        optimizer,
        256,
        1000,
        augment,
    )


_DCL = Method(
    "decoupled contrastive learning",
    "arXiv 2110.06848 for the loss. Temperature, projections, views and epochs are "
    "those of github.com/raminnakhli/Decoupled-Contrastive-Learning for CIFAR-10, "
    "which trains with Adam at 1e-3 and a weight decay of 1e-6, without a schedule; "
    "SGD with a cosine, as in MoCo's notebook, is our choice",
    "",
    {"temperature": 0.1},
    _mlp(2, 512, 128, final=False),
    _sgd(0.03, 5e-4),
    256,
    100,
)
# Objective -> its recipe for CIFAR-10 and ResNet-18.
CIFAR10 = {
    "dcl": _DCL,
    "dclw": dataclasses.replace(
        _DCL,
        title="decoupled contrastive learning with weights",
    ),
    "sup_con": _solo(
        {"temperature": 0.2},
        _mlp(2, 2048, 256, batch_norm=False),
        _sgd(0.4, 1e-5, 10),
        93.82,
        "supervised contrastive learning",
        _STRONG,
    ),
    "moco": Method(
        "MoCo v1 with the options of small images",
        "the authors' notebook for CIFAR-10; it splits the batch norm of queries as "
        "that of keys, here it has the statistics of the whole batch",
        "kNN 82.6, 86.3 and 88.7 % after 200, 400 and 800 epochs",
        {"temperature": 0.1, "queue_length": 4096, "target_momentum": 0.99},
        _LINEAR_HEAD,
        _sgd(0.03, 5e-4),
        512,
        800,
    ),
    "moco_v3": dataclasses.replace(
        _solo(
            {"temperature": 0.2, "predictor_features": 4096, "target_momentum": 0.99},
            _mlp(2, 4096, 256),
            _lars(0.3, 1e-6),
            93.10,
            "MoCo v3",
            _UNEQUAL,
            "; there the last batch norm has no scale",
        ),
        expected="93.10 % with the probe beside the training after 1,000 epochs "
        "(about 90 % in issue 385 of solo-learn)",
    ),
    "instance_discrimination": Method(
        "instance discrimination, softmax over all images",
        "the authors' code for CIFAR-10; it divides the learning rate by 10 at epochs "
        "120 and 160, where this preset has a cosine, and makes views grey before the "
        "jitter, not after it",
        "kNN 80.8 % after 200 epochs",
        {"temperature": 0.1, "negatives": 0},
        _LINEAR_HEAD,
        {**_sgd(0.03, 5e-4), "scaling": "none"},
        128,
        200,
        {
            "jitter_probability": 1.0,
            "hue": 0.8,  # 0.4 at this strength.
            "crop_area_min_fraction": 0.2,
            "flip_probability": 0.0,
        },
    ),
    "nnclr": _solo(
        {"temperature": 0.2, "queue_length": 65536},
        _mlp(3, 2048, 256),
        _lars(0.4, 1e-5),
        91.88,
        "NNCLR",
        _UNEQUAL,
        "; its support set is longer than the 50,000 images, so that an image may find "
        "itself of the epoch before",
    ),
    "barlow_twins": _solo(
        {},
        _mlp(3, 2048, 2048, final=False),
        _lars(0.3, 1e-4),
        92.10,
        "Barlow Twins",
        _UNEQUAL,
        "; there the loss is multiplied by 0.1, which these options cannot repeat: "
        "LARS divides by the gradient's length, but biases and batch norm, which it "
        "does not adapt, take ten times larger steps here",
    ),
    "vicreg": _solo(
        {},
        _mlp(3, 2048, 2048, final=False),
        _lars(0.3, 1e-4),
        92.07,
        "VICReg",
        {**_UNEQUAL, "crop_area_min_fraction": 0.2},
        "; there a tenth of all views is solarized",
    ),
    "simsiam": _solo(
        {"predictor_features": 512},
        _mlp(3, 2048, 2048),
        _sgd(0.5, 1e-5, 10),
        90.51,
        "SimSiam",
        _BLURRED,
        "; there the last batch norm of the projections has no scale",
    ),
    "byol": _solo(
        {"predictor_features": 4096, "target_momentum": 0.99},
        _mlp(2, 4096, 256, final=False),
        _lars(1.0, 1e-5),
        92.58,
        "BYOL",
        _UNEQUAL,
    ),
    "swav": _solo(
        {
            "small_views": 0,
            "freeze_epochs": 2.0,
            "queue_length": 3840,
            "queue_start_epoch": 50,
        },
        _mlp(2, 2048, 128, final=False),
        _lars(0.6, 1e-6),
        89.17,
        "SwAV with two views",
        _STRONG,
    ),
    "dino": _solo(
        {"small_views": 0, "outputs": 4096, "target_momentum": 0.9995},
        _mlp(3, 2048, 256, batch_norm=False),
        _lars(0.3, 1e-6),
        89.52,
        "DINO with two views",
        _UNEQUAL,
        "; there the head has GELUs, ours ReLUs",
    ),
}
# Objective -> its recipe for ImageNet and ResNet-50; names as in the papers.
IMAGENET = {
    "moco_v2": Method(
        "MoCo v2",
        "arXiv 2003.04297 and the authors' code",
        "67.5 % linear top-1 (200 epochs; 71.1 after 800)",
        {"name": "moco", "temperature": 0.2},
        _mlp(2, 2048, 128, batch_norm=False),
        _sgd(0.03, 1e-4),
        256,
        200,
        {"color_strength": 0.5, "crop_area_min_fraction": 0.2},
    ),
    "moco_v3": Method(
        "MoCo v3 for 100 epochs",
        "arXiv 2104.02057 and the authors' code; its two views are blurred and "
        "solarized unequally, and the last batch norm has no scale. For 300 epochs "
        "--base_learning_rate=0.3; for 1,000 also "
        "--optimizer.weight_decay=1.5e-6 --objective.target_momentum=0.996",
        "68.9 % linear top-1 (100 epochs; 72.8 after 300, 74.6 after 1,000)",
        {"name": "moco_v3"},
        _mlp(2, 4096, 256),
        {
            "name": "lars",
            "base_learning_rate": 0.6,
            "scaling": "linear",
            "warmup_epochs": 10,
            "weight_decay": 1e-6,
        },
        4096,
        100,
        {"color_strength": 0.5, "saturation": 0.4, "crop_area_min_fraction": 0.2},
    ),
    "swav": Method(
        "SwAV with two views of 224 and six of 96 pixels",
        "arXiv 2006.09882 and the authors' code; its warm-up begins at 0.3, "
        "its cosine ends at 0.0048, and its LARS adapts biases and batch norm too",
        "75.3 % linear top-1 (800 epochs; 72.1 after 100)",
        {"name": "swav"},
        _mlp(2, 2048, 128, final=False),
        {
            "name": "lars",
            "base_learning_rate": 0.3,
            "scaling": "linear",
            "warmup_epochs": 10,
            "weight_decay": 1e-6,
        },
        4096,
        800,
        {"crop_area_min_fraction": 0.14},
    ),
    "instance_discrimination": Method(
        "instance discrimination with 4,096 negatives",
        "arXiv 1805.01978 and the authors' code; it divides the learning rate by 10 at "
        "epochs 120 and 160, where this preset has a cosine, and makes views grey "
        "before the jitter, not after it",
        "kNN 46.8 % top-1 (200 epochs)",
        {"name": "instance_discrimination"},
        _LINEAR_HEAD,
        _sgd(0.03, 1e-4),
        256,
        200,
        {
            "jitter_probability": 1.0,
            "color_strength": 0.5,
            "hue": 0.8,  # 0.4 at this strength.
            "crop_area_min_fraction": 0.2,
            "blur_probability": 0.0,
        },
    ),
}


def _preset(name, method, describe, **options):
    """Make the function of a preset, with its source, command and expected figure."""

    def preset():
        return Config(
            preset=name,
            epochs=method.epochs,
            global_batch_size=method.batch,
            projection_head=ProjectionHeadConfig(**method.head),
            optimizer=OptimizerConfig(**method.optimizer),
            **options,
        )

    preset.__name__ = name
    expected = "no figure is published for these settings; not run by us"
    if method.expected:
        expected = f"{method.expected}, as published; not run by us"
    parts = (
        f"Configure {describe}: {method.title}.",
        "",
        f"Source: {method.source}.",
        f"Command: simclr-tf pretrain --preset={name} --data_dir=... --workdir=...",
        f"Expected: {expected}.",
    )
    preset.__doc__ = "\n".join(
        line for part in parts for line in (textwrap.wrap(part, 84) or [""])
    )
    return preset


def _cifar10(objective, method):
    return _preset(
        f"cifar10_resnet18_{objective}",
        method,
        "CIFAR-10 with ResNet-18",
        data=DataConfig(source="tfds:cifar10", image_size_pixels=32),
        augment=AugmentConfig(recipe="cifar", **method.augment),
        encoder={"name": "resnet18", "stem": "cifar"},
        objective={"name": objective, **method.objective},
    )


def _imagenet(name, method):
    return _preset(
        f"imagenet_resnet50_{name}",
        method,
        "ImageNet with ResNet-50",
        data=DataConfig(
            source="tfds:imagenet2012", image_size_pixels=224, test_split="validation"
        ),
        augment=AugmentConfig(recipe="simclr_v2", **method.augment),
        encoder={"name": "resnet50"},
        objective=method.objective,
    )


METHOD_PRESETS: dict[str, Callable[[], Config]] = {
    preset.__name__: preset
    for preset in (
        *(_cifar10(name, method) for name, method in CIFAR10.items()),
        *(_imagenet(name, method) for name, method in IMAGENET.items()),
    )
}
