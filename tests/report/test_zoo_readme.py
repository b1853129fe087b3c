"""exported_models/README.md: generated from what ships, and up to date."""

import dataclasses
import pathlib

import pytest

from simclr_tf.encoder_zoo import ZooEntry, zoo
from simclr_tf.errors import ConfigError
from simclr_tf.evaluation import Measurement, Results
from simclr_tf.report import check_published, zoo_readme

FOLDER = pathlib.Path(__file__).parents[2] / "exported_models"
RESULTS = dataclasses.asdict(
    Results(
        "tfds:fashion_mnist",
        "fashion",
        (
            Measurement(
                "fine-tuned",
                "fine_tune",
                "accuracy_percent",
                82.5,
                10_000,
                600,
                std=0.4,
                settings={"budget": "1 %", "seeds": [0, 1]},
            ),
        ),
        command="simclr-tf finetune --workdir=fashion",
        wall_seconds=754.0,
    )
)
ENTRY = ZooEntry(
    name="shirts",
    path=pathlib.Path("exported_models/shirts"),
    summary="A narrow ResNet-18.",
    method="MoCo",
    architecture="ResNet-18, stem `small`",
    num_parameters=700_320,
    num_features=128,
    input_shape=(None, None, None, 1),
    image_size_pixels=28,
    data="tfds:fashion_mnist",
    data_licence="MIT, Zalando SE",
    command="simclr-tf pretrain --workdir=fashion",
    metrics=tuple(RESULTS["measurements"]),
    results=(RESULTS,),
    formats=("saved_model",),
    num_bytes=6_398_255,
    published=True,
)


def test_the_committed_readme_is_what_the_zoo_tool_writes():
    expected = zoo_readme(zoo(FOLDER))
    assert (FOLDER / "README.md").read_text(encoding="utf-8") == expected, (
        "write it anew: simclr-tf zoo --folder=exported_models --readme"
    )


def test_the_readme_says_what_the_export_says():
    text = zoo_readme([ENTRY])
    for part in (
        "[`shirts`](shirts/card.md)",
        "| MoCo ",
        "ResNet-18, stem `small`, 700,320 parameters, 128 features",
        "28x28 grey (any size)",
        "MIT, Zalando SE",
        "6.4 MB",
        "A narrow ResNet-18.",
        "simclr-tf pretrain --workdir=fashion",
        "### Fine-tuning",
        "82.5 ± 0.4",
        "Measured in 12 min 34 s by `simclr-tf finetune --workdir=fashion`",
        'simclr_tf.load_encoder("zoo:shirts")',
        "np.zeros([1, 28, 28, 1], np.float32)",
        "# [1, 128]",
    ):
        assert part in text, part


def test_what_is_not_published_changes_nothing():
    demo = dataclasses.replace(
        ENTRY,
        name="demo",
        published=False,
        num_bytes=10**9,
        data_licence=None,
        metrics=(),
    )
    assert zoo_readme([demo]) == zoo_readme([])
    assert zoo_readme([demo, ENTRY]) == zoo_readme([ENTRY])
    assert "demo" not in zoo_readme([ENTRY]).split("## What ships")[1]


def test_the_example_is_an_encoder_by_simclr():
    other = dataclasses.replace(ENTRY, name="trousers", method="SimCLR")
    assert 'load_encoder("zoo:trousers")' in zoo_readme([ENTRY, other])


@pytest.mark.parametrize(
    "change, words",
    [
        ({"num_bytes": 8_000_001}, "8,000,000 bytes.*bytes=8000001"),
        ({"data_licence": None}, "licence.*shirts"),
        ({"metrics": ()}, "evaluate its run.*shirts"),
    ],
)
def test_what_must_not_ship_is_refused(change, words):
    check_published(dataclasses.replace(ENTRY, num_bytes=8_000_000))
    with pytest.raises(ConfigError, match=words):
        zoo_readme([dataclasses.replace(ENTRY, **change)])
