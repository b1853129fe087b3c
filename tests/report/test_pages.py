"""Pages are strict HTML that loads nothing, and say the same as Markdown."""

import base64
import io
import re

import html5lib
import numpy as np
import pytest
from PIL import Image

from simclr_tf.errors import ConfigError, WorkdirError
from simclr_tf.report.blocks import Curves, Page, PageSection, Text
from simclr_tf.report.figures import lines_drawing
from simclr_tf.report.pages import html_of, prepare_output, write_page
from simclr_tf.report.thumbnails import sprite_sheet
from tests.report.page_of_everything import HOSTILE, page_of_everything

LOADING = {"src", "href", "action", "data", "poster", "srcset", "formaction"}


@pytest.fixture(scope="module")
def text():
    return html_of(page_of_everything())


@pytest.fixture(scope="module")
def tree(text):
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(text)


def words_of(element):
    return " ".join("".join(element.itertext()).split())


def local(element):
    """The name of an element, those of SVG without their namespace."""
    return str(element.tag).split("}")[-1]


def all_named(tree, name):
    return [element for element in tree.iter() if local(element) == name]


def test_page_is_strict_html_that_refers_to_nothing_outside_itself(text, tree):
    for element in tree.iter():
        for name, value in element.attrib.items():
            name = name.split("}")[-1]
            if name in LOADING:
                assert re.match(r"data:|#", value), (element.tag, name, value[:60])
            assert not name.startswith("on"), "scripts are in one place"
    assert {local(e) for e in tree.iter()}.isdisjoint(
        {"iframe", "object", "embed", "base", "form"}
    )
    code = "".join(
        "".join(e.itertext())
        for name in ("script", "style")
        for e in all_named(tree, name)
    )
    assert not re.search(r"https?:|//[a-z]|@import|fetch\(|XMLHttp|import\(|eval", code)
    assert all("url(data" not in e.attrib.get("style", "") for e in tree.iter())


def test_page_names_its_language_viewport_and_both_colour_schemes(text, tree):
    assert all_named(tree, "html")[0].attrib["lang"] == "en"
    viewports = [
        e.attrib["content"]
        for e in all_named(tree, "meta")
        if e.attrib.get("name") == "viewport"
    ]
    assert viewports == ["width=device-width, initial-scale=1"]
    light, dark = text.split("prefers-color-scheme: dark")
    names = set(re.findall(r"(--[a-z0-9]+):", light.split(":root", 1)[1]))
    assert names == set(re.findall(r"(--[a-z0-9]+):", dark.split("* {")[0]))
    assert set(re.findall(r"var\((--[a-z0-9]+)\)", text)) <= names


def luminance(color):
    channels = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """WCAG 2.1's contrast ratio of two colours."""
    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1])
def test_words_and_marks_stand_out_from_their_ground_in_both_schemes(text, scheme):
    rule = text.split("prefers-color-scheme: dark")[scheme].split(":root {")[1]
    colors = dict(re.findall(r"--([a-z0-9]+): (#[0-9a-fA-F]{6})", rule.split("}")[0]))
    for ground in ("paper", "panel"):
        for ink in ("ink", "faint", "accent"):  # AA for text.
            assert contrast(colors[ink], colors[ground]) >= 4.5, (ink, ground)
        for mark in (f"c{n}" for n in range(10)):  # AA for graphics.
            assert contrast(colors[mark], colors[ground]) >= 3, (mark, ground)
    assert contrast(colors["ink"], colors["warn"]) >= 4.5


def test_names_are_shown_as_they_are_and_never_become_markup(text, tree):
    assert words_of(all_named(tree, "h1")[0]) == HOSTILE
    assert not all_named(tree, "b")
    assert HOSTILE in {e.attrib.get("alt") for e in all_named(tree, "img")}
    cells = {words_of(e) for e in all_named(tree, "td")}
    assert {"a|b", HOSTILE, "c"} <= cells
    assert words_of(all_named(tree, "code")[0]) == "code"


def test_every_block_is_drawn_with_titles_to_hover(tree):
    titles = [words_of(e) for e in all_named(tree, "title")]
    assert "one: 3.000 at epoch 1" in titles and "one: 100.0% at epoch 2" in titles
    assert sum(title.startswith("one:") for title in titles) == 2 + 2 + 1  # No NaN.
    assert f"cat taken for {HOSTILE}: 1 of 4 (25.0%)" in titles
    assert "class 11 · n2" in titles and "unlabelled · n3" in titles
    for name in {"plain", "noted", "warned"}:
        assert any(name in words_of(e) for e in all_named(tree, "p"))
    kinds = {e.attrib.get("class") for e in all_named(tree, "figure")}
    assert {"tile", "tile same", "tile other", "panel", "panel matrix"} <= kinds
    assert f"{HOSTILE}: 70.0 (65.0 to 75.0)" in titles and "raw: 50.0" in titles


def test_images_of_a_pair_share_a_line_and_the_best_cell_is_marked(tree):
    groups = [e for e in tree.iter("div") if e.attrib.get("class") == "together"]
    assert [len(list(group.iter("figure"))) for group in groups] == [3, 3]
    best = [e for e in tree.iter("span") if e.attrib.get("class") == "best"]
    assert [words_of(e) for e in best] == ["1"]


def test_a_tile_shows_the_end_of_a_file_name_and_keeps_the_whole(tree):
    tile = next(e for e in all_named(tree, "figure") if e.find("img") is not None)
    assert words_of(tile.find("figcaption/small")) == "<i>.png"
    assert tile.find("img").attrib["title"] == "a/<i>.png"


def test_a_reader_can_choose_each_class_that_is_shown(tree):
    options = [e.attrib["value"] for e in all_named(tree, "option")]
    classes = {"", "unlabelled", "class 1", "class 3", "class 11", HOSTILE}
    assert set(options) == classes and len(options) == len(classes)
    groups = {e.attrib["data-group"] for e in tree.iter() if "data-group" in e.attrib}
    assert groups == classes - {""}


def test_figures_take_their_colours_from_the_page(text, tree):
    for svg in all_named(tree, "svg"):
        for element in svg.iter():
            colors = re.findall(
                r"(?:fill|stroke): ([^;]*)", element.attrib.get("style", "")
            )
            assert all(c == "none" or c.startswith("var(--") for c in colors), colors


def test_names_that_no_file_could_hold_are_shown_with_a_mark(tmp_path):
    name = "\udcff\x0b$x$ 圖"
    curves = Curves(name, {name: ([1], [1.0]), "b": ([1], [2.0])})
    page = Page(name, name, (PageSection(name, (Text(name), curves)),))
    written = write_page(page, tmp_path)
    tree = html5lib.HTMLParser(strict=True).parse(written[0].read_text("utf-8"))
    assert tree is not None and "$x$ 圖" in written[1].read_text("utf-8")


def test_sprite_holds_the_thumbnail_of_every_point(tree):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (7, 6, 5, 3), "uint8")
    maps = [e for e in tree.iter() if "data-sprite" in e.attrib][0]
    png = base64.b64decode(maps.attrib["data-sprite"].partition(",")[2])
    sheet = np.asarray(Image.open(io.BytesIO(png)))
    width, height, columns = (
        int(maps.attrib[f"data-{name}"]) for name in ("width", "height", "columns")
    )
    assert sheet.shape == (int(maps.attrib["data-rows"]) * height, columns * width, 3)
    points = [int(e.attrib["data-i"]) for e in maps.iter() if "data-i" in e.attrib]
    assert sorted(points[:7]) == sorted(points[7:]) == [*range(7)]
    for index in range(7):
        top, left = index // columns * height, index % columns * width
        np.testing.assert_array_equal(
            sheet[top : top + height, left : left + width], images[index]
        )


def test_curves_stand_where_their_values_are():
    svg = lines_drawing(Curves("x", {"a": ([0, 5, 10], [0.0, 1.0, 0.5])})).svg()
    marks = re.findall(r"<use [^>]*data-words[^>]*>", svg)
    (x0, y0), (x1, y1), (x2, y2) = [
        [float(re.search(rf' {axis}="([-0-9.]*)"', mark).group(1)) for axis in "xy"]
        for mark in marks
    ]
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y0 > y2 > y1 and y0 - y2 == pytest.approx(y2 - y1, abs=0.2)


@pytest.mark.parametrize(
    "values, value_format",
    [
        ([1.6, 9.1], ".3f"),
        ([2.0, 9.0], ".3f"),
        ([-3.4, -2.3], ".3f"),
        ([0.0, 0.0049], ".3f"),
        ([0.1, 0.8], ".1%"),
        ([800.0, 2600.0], ".3f"),
        ([0.12, 0.121], ".1%"),
        ([0, 1e5], ".3f"),
    ],
)
def test_the_numbers_of_an_axis_are_those_of_its_lines(values, value_format):
    """Not rounded: between equal steps of the drawing there are equal numbers."""
    curves = Curves("x", {"a": ([0, 1], values)}, value_format=value_format)
    svg = lines_drawing(curves).svg()
    found = re.findall(r'text-anchor: end[^>]* y="([0-9.]*)"[^>]*>([^<]*)<', svg)
    places = np.array([float(place) for place, _ in found])
    numbers = np.array(
        [float(re.sub("[,%]", "", number.replace("−", "-"))) for _, number in found]
    )
    assert len(numbers) > 2 and all(len(number) < 8 for _, number in found)
    np.testing.assert_allclose(np.diff(numbers), numbers[1] - numbers[0], rtol=1e-6)
    np.testing.assert_allclose(np.diff(places), places[1] - places[0], atol=0.2)


def test_markdown_says_the_same_and_its_pictures_are_there(tmp_path, tree):
    written = write_page(page_of_everything(), tmp_path / "out", name="page")
    assert [path.name for path in written] == ["page.html", "page.md"]
    text = written[1].read_text()
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == [
        words_of(e) for e in all_named(tree, "h2")
    ]
    assert "> warned" in text and "| a\\|b " in text and "**1**" in text
    shown = re.findall(r"!\[[^\]]*\]\(([^)]*)\)", text)
    # Curves, galleries, planes of the maps, matrix, picture, results.
    assert len(shown) == len(set(shown)) == 3 + 2 + 3 + 1 + 1 + 1
    for name in shown:
        with Image.open(written[1].parent / name) as picture:
            picture.load()


def test_output_with_an_ending_is_that_file_alone(tmp_path):
    page = page_of_everything(4)
    assert write_page(page, tmp_path / "a" / "x.html") == [tmp_path / "a" / "x.html"]
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["x.html"]


def test_output_that_cannot_be_is_refused_before_the_work(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkdirError, match="Cannot write to"):
        prepare_output(tmp_path / "file" / "report")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'pip install "simclr-tf\[report\]"'):
        prepare_output(tmp_path / "report")


@pytest.mark.parametrize("number", [1, 2, 5, 9, 10])
def test_sprite_sheets_are_large_enough(number):
    images = np.arange(number * 6, dtype="uint8").reshape(number, 3, 2, 1)
    sheet, columns = sprite_sheet(images)
    assert sheet.shape[0] // 3 * columns >= number and columns**2 >= number
    assert sheet[:3, :2, 0].tolist() == images[0, ..., 0].tolist()
