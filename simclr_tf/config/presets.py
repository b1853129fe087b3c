"""Presets: named experiments, each with its source, command and expected result.

Options are in the order of their importance to a reader.
"""

from __future__ import annotations

from simclr_tf.config import (
    AugmentConfig,
    CheckpointConfig,
    Config,
    DataConfig,
    OptimizerConfig,
    ProbeConfig,
    ProjectionHeadConfig,
)
from simclr_tf.config.method_presets import METHOD_PRESETS
from simclr_tf.errors import unknown_choice

_YOURS = "folder:PATH"  # Presets for your own images need --data.
# Networks for two CPU cores: 18 and 32 million operations an image of 32 pixels.
_NARROW = {"name": "resnet18", "width_multiplier": 0.25, "stem": "small"}
_SHALLOW = {"name": "resnet10", "width_multiplier": 0.5, "stem": "small"}


def demo():
    """Configure Freedoom-12 in colour: a first run, on two CPU cores.

    Source: settings found by short runs on these images (see the README). Crops from
    0.3 of the area and a mild colour distortion fit small crops of game scenes.
    Command: simclr-tf pretrain --preset=demo --workdir=runs/demo
    Expected (3 seeds): kNN 87.4 ± 0.6, linear 88.1 ± 0.2, 10 labels a class
    83.3 ± 0.3; raw pixels 66.1, 74.9, 52.4.
    """
    return _small_images(
        preset="demo",
        epochs=100,
        data=DataConfig(source="embedded:freedoom_12", image_size_pixels=32),
        augment=AugmentConfig(
            recipe="cifar", color_strength=0.4, crop_area_min_fraction=0.3
        ),
        temperature=0.2,
    )


def fashion_mnist():
    """Configure Fashion-MNIST, 10,000 grey images, on two CPU cores.

    Source: settings found by short runs on these images. The clothes fill their frame
    and are grey: larger crops, brightness and contrast, no hue and no blur.
    Command: simclr-tf pretrain --preset=fashion_mnist --workdir=runs/fashion
    Expected (3 seeds): kNN 83.7 ± 0.5, linear 86.0 ± 0.4, 10 labels a class
    77.4 ± 0.3; raw pixels 81.2, 84.5, 70.3.
    """
    return _small_images(
        preset="fashion_mnist",
        epochs=80,
        data=DataConfig(source="embedded:fashion_mnist_10k", image_size_pixels=28),
        augment=AugmentConfig(recipe="small_grey"),
        temperature=0.3,
    )


def fashion_mnist_full():
    """Configure all 60,000 images of Fashion-MNIST: the zoo's encoder.

    Source: the settings of `fashion_mnist`, with a shallower and wider network.
    Command: simclr-tf pretrain --preset=fashion_mnist_full --data_dir=... \
      --workdir=runs/fashion_full
    Expected (1 seed): kNN 87.0, linear 89.8, 10 labels a class 79.5 (raw pixels 84.6,
    84.5, 70.5); the encoder ships as zoo:fashion_mnist_simclr.
    """
    return _small_images(
        preset="fashion_mnist_full",
        epochs=80,
        data=DataConfig(source="tfds:fashion_mnist", image_size_pixels=28),
        augment=AugmentConfig(recipe="small_grey"),
        temperature=0.3,
        encoder=_SHALLOW,
    )


def photos_small():
    """Configure your own photographs on two CPU cores, 64 px.

    Source: runs on CIFAR-10 and Imagenette, tested on a fifth of their training images
    (docs/photographs.md): crops from 0.2 of the area and half the colour distortion,
    without blur; a shallow network with small views beside the full ones is ahead of a
    deeper, narrower one at equal time.
    Command: simclr-tf pretrain --data=npz:cifar10.npz --minutes=30 --workdir=runs/mine
    Expected (3 seeds, two cores): kNN 70.1, linear 71.4, 10 labels a class 52.3 on
    CIFAR-10 as JPEG of quality 75 (raw pixels 36.3, 41.4, 23.9); 77.6, 79.6, 68.5 on
    Imagenette (raw pixels 24.6, 40.3, 23.3).
    """
    return _small_images(
        preset="photos_small",
        epochs=100,
        data=DataConfig(source=_YOURS, image_size_pixels=64),
        augment=AugmentConfig(recipe="cifar", crop_area_min_fraction=0.2),
        temperature=0.2,
        encoder=_SHALLOW,
        small_views=2,
    )


def photos():
    """Configure your own photographs on one GPU, 128 px.

    Source: arXiv 2002.05709: the views of appendix A, and appendix B.1 for smaller
    batches and shorter runs (learning rate 0.075 times the root of the batch, LARS).
    Temperature, batch and length are our choice.
    Command: simclr-tf pretrain --preset=photos --data=folder:PATH --workdir=runs/mine
    Expected: no figure yet; not run by us.
    """
    return _photographs(
        preset="photos",
        size=128,
        epochs=200,
        encoder={"name": "resnet18"},
        head_layers=2,
        temperature=0.2,
    )


def photos_224():
    """Configure your own photographs with ResNet-50 at 224 px, on large or many GPUs.

    Source: the settings of `photos` with the network, the head and the temperature of
    SimCLRv2 (arXiv 2006.10029, section 3).
    Command: simclr-tf pretrain --preset=photos_224 --data=folder:PATH \
      --workdir=runs/mine
    Expected: no figure yet; not run by us.
    """
    return _photographs(
        preset="photos_224",
        size=224,
        epochs=200,
        encoder={"name": "resnet50"},
        head_layers=3,
        temperature=0.1,
    )


def _photographs(*, preset, size, epochs, encoder, head_layers, temperature):
    """Configure what the presets for photographs on GPUs share: batch 256, LARS."""
    return Config(
        preset=preset,
        epochs=epochs,
        global_batch_size=256,
        precision="auto",
        data=DataConfig(source=_YOURS, image_size_pixels=size),
        augment=AugmentConfig(recipe="simclr_v2"),
        encoder=encoder,
        projection_head=ProjectionHeadConfig(num_layers=head_layers),
        objective={"temperature": temperature},
        optimizer=OptimizerConfig(
            name="lars",
            base_learning_rate=0.075,
            scaling="sqrt",
            warmup_epochs=10,
            weight_decay=1e-4,
        ),
    )


def _small_images(
    *, preset, epochs, data, augment, temperature, encoder=_NARROW, small_views=0
):
    """Return the options that the presets for two CPU cores share.

    Many small steps beat few large ones at this size: batch 128 and a high learning
    rate of AdamW; a stride-2 stem costs a third of the stride-1 stem of CIFAR.
    """
    return Config(
        preset=preset,
        epochs=epochs,
        global_batch_size=128,
        precision="auto",
        data=data,
        augment=augment,
        encoder=encoder,
        projection_head=ProjectionHeadConfig(num_layers=2, hidden_features=512),
        objective={"temperature": temperature, "small_views": small_views},
        optimizer=OptimizerConfig(
            name="adamw",
            base_learning_rate=8e-3,
            scaling="none",
            warmup_epochs=2,
            weight_decay=0.05,
        ),
        checkpoint=CheckpointConfig(every_epochs=10),
    )


def cifar10_resnet18():
    """Configure CIFAR-10 with ResNet-18, the reference's recipe for one GPU.

    Source: the reference's README (LARS 1.0 linear, weight decay 1e-4, t 0.5,
    strength 0.5, no blur, batch 512, 1000 epochs).
    Command: simclr-tf pretrain --preset=cifar10_resnet18 --workdir=runs/cifar10
    Expected: the reference states about 91 % linear accuracy after 1000 epochs; not
    run by us (CIFAR-10 cannot be downloaded where this was built).
    """
    return Config(
        preset="cifar10_resnet18",
        epochs=1000,
        global_batch_size=512,
        data=DataConfig(source="tfds:cifar10", image_size_pixels=32),
        augment=AugmentConfig(recipe="cifar"),
        encoder={"name": "resnet18", "stem": "cifar"},
        projection_head=ProjectionHeadConfig(num_layers=3),
        objective={"temperature": 0.5},
        optimizer=OptimizerConfig(
            name="lars",
            base_learning_rate=1.0,
            scaling="linear",
            warmup_epochs=10,
            weight_decay=1e-4,
        ),
    )


def imagenet_resnet50_v1():
    """Configure ImageNet with ResNet-50 as in the SimCLR paper's default setting.

    Source: arXiv 2002.05709, section 2 and Table B.1 (batch 4096, 100 epochs, LARS
    0.3 linear = 4.8, weight decay 1e-6, 2-layer head, t 0.1, blur, strength 1).
    Command: simclr-tf pretrain --preset=imagenet_resnet50_v1 --data_dir=... \
      --workdir=...
    Expected: 64.6 % linear top-1 (paper, Table B.1); not run by us.
    """
    return _imagenet(
        preset="imagenet_resnet50_v1",
        epochs=100,
        encoder={"name": "resnet50"},
        recipe="simclr_v1",
        head_layers=2,
        optimizer=OptimizerConfig(
            name="lars",
            base_learning_rate=0.3,
            scaling="linear",
            warmup_epochs=10,
            weight_decay=1e-6,
        ),
    )


def imagenet_resnet50x4_v1():
    """Configure ImageNet with ResNet-50 (4x), the paper's best model.

    Source: arXiv 2002.05709, Table 6 (1000 epochs).
    Command: simclr-tf pretrain --preset=imagenet_resnet50x4_v1 --data_dir=... \
      --workdir=...
    Expected: 76.5 % linear top-1 (paper, Table 6); not run by us.
    """
    return _imagenet(
        preset="imagenet_resnet50x4_v1",
        epochs=1000,
        encoder={"name": "resnet50", "width_multiplier": 4.0},
        recipe="simclr_v1",
        head_layers=2,
        optimizer=OptimizerConfig(
            name="lars",
            base_learning_rate=0.3,
            scaling="linear",
            warmup_epochs=10,
            weight_decay=1e-6,
        ),
    )


def imagenet_resnet50_v2():
    """Configure ImageNet with ResNet-50 and the three-layer head of SimCLRv2.

    Source: arXiv 2006.10029, section 3 (800 epochs, batch 4096, LARS 0.1 sqrt = 6.4,
    5 % warm-up, weight decay 1e-4).
    Command: simclr-tf pretrain --preset=imagenet_resnet50_v2 --data_dir=... \
      --workdir=...
    Expected: 71.7 % linear top-1 (the reference's table); not run by us.
    """
    return _imagenet(
        preset="imagenet_resnet50_v2",
        epochs=800,
        encoder={"name": "resnet50"},
        recipe="simclr_v2",
        head_layers=3,
        optimizer=OptimizerConfig(
            name="lars",
            base_learning_rate=0.1,
            scaling="sqrt",
            warmup_epochs=40,
            weight_decay=1e-4,
        ),
    )


def imagenet_resnet152x3_sk_v2():
    """Configure ImageNet with ResNet-152 (3x, selective kernels), SimCLRv2's best.

    Source: arXiv 2006.10029, Table 1 (800 epochs, batch 4096).
    Command: simclr-tf pretrain --preset=imagenet_resnet152x3_sk_v2 --data_dir=... \
      --workdir=...
    Expected: 79.8 % linear top-1 (the reference's table); not run by us.
    """
    return _imagenet(
        preset="imagenet_resnet152x3_sk_v2",
        epochs=800,
        encoder={"name": "resnet152", "width_multiplier": 3.0, "sk_ratio": 0.0625},
        recipe="simclr_v2",
        head_layers=3,
        optimizer=OptimizerConfig(
            name="lars",
            base_learning_rate=0.1,
            scaling="sqrt",
            warmup_epochs=40,
            weight_decay=1e-4,
        ),
    )


def _imagenet(*, preset, epochs, encoder, recipe, head_layers, optimizer):
    """Configure what the ImageNet presets share: 224 pixels, batch 4096, t 0.1."""
    return Config(
        preset=preset,
        epochs=epochs,
        global_batch_size=4096,
        data=DataConfig(
            source="tfds:imagenet2012", image_size_pixels=224, test_split="validation"
        ),
        augment=AugmentConfig(recipe=recipe),
        encoder=encoder,
        projection_head=ProjectionHeadConfig(num_layers=head_layers),
        objective={"temperature": 0.1},
        optimizer=optimizer,
        probe=ProbeConfig(online=True),
    )


PRESETS = {
    "demo": demo,
    "fashion_mnist": fashion_mnist,
    "fashion_mnist_full": fashion_mnist_full,
    "photos_small": photos_small,
    "photos": photos,
    "photos_224": photos_224,
    "cifar10_resnet18": cifar10_resnet18,
    "imagenet_resnet50_v1": imagenet_resnet50_v1,
    "imagenet_resnet50_v2": imagenet_resnet50_v2,
    "imagenet_resnet50x4_v1": imagenet_resnet50x4_v1,
    "imagenet_resnet152x3_sk_v2": imagenet_resnet152x3_sk_v2,
    **METHOD_PRESETS,
}


def get_preset(name: str) -> Config:
    """Return the config of a named experiment.

    Args:
      name: str, a key of `PRESETS`.

    Returns:
      Config.

    Raises:
      ConfigError: an unknown name; the message lists the nearest and all names.

    Example:
      >>> get_preset("demo").global_batch_size
      128
    """
    if name not in PRESETS:
        raise unknown_choice("preset", name, PRESETS)
    return PRESETS[name]()
