"""The registry of encoders: what every family answers, before TensorFlow is there."""

import subprocess
import sys

import pytest

from simclr_tf.config import Config
from simclr_tf.config.schema import guest_names, override
from simclr_tf.errors import ConfigError
from simclr_tf.models import ENCODERS, family_of
from simclr_tf.models.family import EncoderOptions, Family


def test_the_registry_is_read_and_asked_without_tensorflow():
    program = (
        "import sys\n"
        "from simclr_tf.config import Config\n"
        "from simclr_tf.config.schema import override\n"
        "from simclr_tf.models import ENCODERS, family_of\n"
        "for name in ('resnet18', 'vit_tiny', 'keras:MobileNetV2', 'custom'):\n"
        "    options = override(Config(), {'encoder': name}).encoder\n"
        "    print(family_of(options).describe(options, 32))\n"
        "sys.exit(len({'tensorflow', 'tf_keras', 'numpy'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "ResNet-18 (1x)",
        "ViT-Tiny/4",
        "MobileNetV2 of Keras",
        "a user's own encoder",
    ]


@pytest.mark.parametrize("name", ENCODERS)
def test_every_family_has_the_options_that_the_head_shares(name):
    family = ENCODERS[name]
    assert isinstance(family, Family) and issubclass(family.Options, EncoderOptions)
    assert family.build.__doc__ and family.Options.__doc__


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"encoder": "resnt18"}, "Did you mean resnet18"),
        ({"encoder": "keras:"}, "Unknown `encoder`"),
        (
            {"encoder": "vit_tiny", "encoder.stem": "small"},
            "vit_tiny has no option `stem`. .*patch_size, pooling",
        ),
        ({"encoder": "vit_tiny", "encoder.patch_size": 0}, "`patch_size` must be > 0"),
        ({"encoder": "keras:VGG16", "encoder.weights": "jft"}, "Choices: imagenet"),
    ],
)
def test_a_mistake_is_answered_with_the_choices(changes, words):
    with pytest.raises(ConfigError, match=words):
        override(Config(), changes)


def test_a_network_of_the_users_own_can_only_come_from_python():
    options = override(Config(), {"encoder": "custom"}).encoder
    with pytest.raises(ConfigError, match="is a Python object"):
        family_of(options).build(options, image_shape=(8, 8, 3))
    assert not family_of(options).can_build
    assert guest_names("simclr_tf.models.encoders:ENCODERS")[-1] == "custom"
