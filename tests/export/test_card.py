"""What a model card says."""

import pytest

from simclr_tf.errors import ConfigError
from simclr_tf.export import card_markdown
from simclr_tf.export.card import wall_time_text
from simclr_tf.export.reusable import BYTES_SIGNATURE

CARD = {
    "title": "freedoom_r18",
    "summary": "A quarter-width ResNet-18.",
    "data": "embedded:freedoom_12",
    "data_licence": "BSD-3-Clause, Contributors to the Freedoom project",
    "command": "simclr-tf pretrain --preset=demo --workdir=runs/demo",
    "metrics": [
        {"metric": "kNN", "value": "73.2 (71.4 to 74.9)", "num_test": 2534},
        {"metric": "10 labels a class", "value": "66.2 ± 1.8", "num_test": 2534},
    ],
    "notes": ["Trained for ten minutes."],
}
SHAPES = {
    "image_shape": (None, None, 3),
    "outputs": {"default": (None, 128), "block_group1": (None, None, None, 16)},
}


def test_card_says_everything_it_was_given():
    text = card_markdown(CARD, **SHAPES, files=("saved_model/",))
    assert text.startswith("# freedoom_r18\n")
    for part in (
        CARD["summary"],
        CARD["data"],
        CARD["data_licence"],
        CARD["command"],
        "| kNN | 73.2 (71.4 to 74.9) | 2,534 |",
        "66.2 ± 1.8",
        CARD["notes"][0],
        "float32 `[N, H, W, 3]` in [0, 1], RGB",
        "divided by 255",
        "Values outside [0, 1] are not refused, but their features have no",
        "| `default` | [N, 128] |",
        "| `block_group1` | [N, h, w, 16] |",
        'tf.saved_model.load("saved_model")',
        "only if you trust",
        "`saved_model/`",
    ):
        assert part in text, part


def test_card_of_nothing_has_contract_and_loading_but_no_empty_sections():
    text = card_markdown({}, image_shape=(28, 28, 1), outputs={"default": (None, 9)})
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == ["# An encoder", "## Input", "## Outputs", "## Loading"]
    assert "[N, 28, 28, 1]" in text and "grey" in text
    assert "np.zeros([1, 28, 28, 1], np.float32)" in text
    assert "features = encoder(images)  # [1, 9]" in text


def test_card_carries_the_network_its_size_and_the_sections_of_its_evaluations():
    card = {
        **CARD,
        "architecture": "ResNet-18",
        "image_size_pixels": 28,
        "wall_seconds": 11_115.0,
        "devices": ["2 cores of A_B", "1 x H200"],
        "results": [{"data": "for config.json"}],
        "sections": [{"title": "Fine-tuning", "markdown": "| a |\n|---|"}],
    }
    text = card_markdown(
        card,
        image_shape=(None, None, 1),
        outputs={"default": (None, 128)},
        num_parameters=700_320,
    )
    assert "Network: ResNet-18; 700,320 parameters, 128 features.\n" in text
    assert "grey; height free, width free (trained at 28 x 28)" in text
    assert (
        "```\n\nIt trained for 3 h 5 min on 2 cores of A_B, then on 1 x H200.\n" in text
    )
    assert "## Fine-tuning\n\n| a |\n|---|\n\n## Input" in text
    assert "for config.json" not in text


@pytest.mark.parametrize(
    "formats, there, missing",
    [
        (["saved_model"], ["The signatures (", "`class_names()`"], ["Keras 3 casts"]),
        (["litert"], ["return all by name", "labels.txt"], ["ignature", "SavedModel"]),
        (["keras3"], ["network returns", "but Keras 3 casts"], ["ignature"]),
        (["safetensors"], ["network returns"], ["ignature", "Keras 3 casts"]),
    ],
)
def test_a_card_describes_what_its_formats_have(formats, there, missing):
    names = None if "network returns" in there else ["a", "b"]
    text = card_markdown(CARD, **SHAPES, formats=formats, class_names=names)
    # The name of LiteRT's function in the code.
    text = text.replace("get_signature_runner", "")
    assert [part for part in there if part not in text] == []
    assert [part for part in missing if part in text] == []


@pytest.mark.parametrize(
    "shape, size, sides",
    [
        ((None, None, 1), 28, "28, 28"),
        ((None, None, 1), (14, 21), "14, 21"),
        ((None, None, 1), None, "35, 35"),
        ((42, 49, 1), 28, "42, 49"),
    ],
)
def test_a_card_names_the_multiple_of_the_sides_and_its_examples_keep_it(
    shape, size, sides
):
    card = {} if size is None else {"image_size_pixels": size}
    shapes = {"image_shape": shape, "outputs": SHAPES["outputs"]}
    text = card_markdown(card, **shapes, side_multiple=7)
    assert f"images = np.zeros([1, {sides}, 1]" in text
    assert ("in multiples of 7 pixels" in text) == (shape[0] is None)
    assert "multiples" not in card_markdown(card, **shapes)


def test_free_sizes_and_endpoints_are_offered_where_there_are_some():
    for shape, has_layers in (((None, None, 3), True), ((8, 8, 3), False)):
        text = card_markdown(
            CARD,
            image_shape=shape,
            outputs=SHAPES["outputs"],
            formats=["saved_model", "litert"],
            has_layers=has_layers,
        )
        assert ("sizes are free" in text) == (shape[0] is None)
        assert ("with named endpoints" in text) == has_layers


@pytest.mark.parametrize(
    "size, words",
    [
        (28, "resizes the whole image to 28 x 28 pixels, whatever its shape"),
        ((32, 40), "its centre in the shape of the view, with 0.875 of the sides"),
    ],
)
def test_a_card_describes_how_files_are_resized(size, words):
    text = card_markdown(
        CARD, **SHAPES, signatures=[BYTES_SIGNATURE], bytes_size_pixels=size
    )
    assert words in text and "bicubic, without antialiasing" in text


@pytest.mark.parametrize(
    "seconds, text",
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 0 min"),
        (90_061, "25 h 1 min"),
    ],
)
def test_wall_times_are_said_in_two_units(seconds, text):
    assert wall_time_text(seconds) == text


def test_section_without_its_title_is_refused():
    with pytest.raises(ConfigError, match="section of the card.*title, markdown"):
        card_markdown({"sections": [{"markdown": "x"}]}, **SHAPES)


def test_licence_that_nobody_stated_is_said_to_be_unknown():
    card = {name: CARD[name] for name in ("title", "data")}
    assert "Licence of the images: not stated" in card_markdown(card, **SHAPES)


def test_unknown_field_gets_the_nearest_name():
    with pytest.raises(ConfigError, match="Did you mean data_licence"):
        card_markdown({"data_license": "MIT"}, **SHAPES)


def test_metric_without_its_test_size_is_refused():
    with pytest.raises(ConfigError, match="num_test"):
        card_markdown({"metrics": [{"metric": "kNN", "value": 1}]}, **SHAPES)
