"""Words of strangers in the pages that we write stay words."""

import html.parser
import json
import pathlib

import markdown
import pytest

from simclr_tf.config import Config
from simclr_tf.evaluation import Measurement, Results
from simclr_tf.export import card_markdown
from simclr_tf.markdown import code_block, code_span, escaped, prose, table_cell
from simclr_tf.report import markdown_table
from simclr_tf.report.blocks import Page, PageSection, Table, Text
from simclr_tf.report.pages import write_page
from simclr_tf.report.result_sections import result_sections
from simclr_tf.training import Workdir
from simclr_tf.training.summary import write_summary
from simclr_tf.training.warm_start import WARM_START_FILE

HOSTILE = [
    "<script>alert(1)</script>",
    "[click](javascript:alert(1))",
    "[click]( javascript:alert(1) )",
    "x\\](javascript:alert(1)) [y\\](javascript:alert(1))",
    "[click\\](javascript:alert(1))",
    "![p](javascript:alert(1))",
    "<javascript:alert(1)>",
    "<img src=x onerror=alert(1)>",
    "`<script>alert(1)</script>```",
    "a` <b onclick=alert(1)>x</b> `b",
    "``<script>` `alert(1)</script>``",
    "\\`<script>alert(1)</script>`",
    "x\n\n<script>alert(1)</script>\n\n[a]: javascript:alert(1)\n\n[a]",
    "[a]: javascript:alert(1)",
    "x | <script> | [a](javascript:b)",
    "```\n<script>alert(1)</script>",
    "~~~",
    "&#60;script&#62;",
    "<script",
    "[click",
    "](javascript:alert(1))",
    "<!-- hidden",
    "<style>body{display:none}</style>",
]


class Tags(html.parser.HTMLParser):
    """The tags of a rendered page, and where its links lead."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.handlers, self.comments = set(), [], [], []
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.links += [v for k, v in attributes if k in ("href", "src")]
        self.handlers += [k for k, _ in attributes if k.startswith("on")]

    def handle_comment(self, data):
        self.comments.append(data)

    def handle_data(self, data):
        self.words += data


def shown(text):
    """Render Markdown as a browser would get it, and check that nothing is active."""
    page = Tags(markdown.markdown(text, extensions=["tables", "fenced_code"]))
    assert not page.tags & {"script", "img", "b", "style", "a"}, page.tags
    assert not page.handlers and not page.links and not page.comments
    return page.words


def letters(text):
    """The text without its code marks and spaces."""
    return "".join(text.replace("`", "").split())


@pytest.mark.parametrize("name", HOSTILE)
def test_each_function_shows_the_words_and_nothing_else(name):
    words = " ".join(name.split())
    assert letters(shown(f"x {escaped(name)}")) == letters(f"x {words}")
    assert shown(f"x {code_span(name)} y") == f"x {words} y"
    shown(prose(name))
    assert letters(words) == letters(shown(prose(name)))
    assert name.strip() in shown("\n".join(["x", "", *code_block(name), "", "y"]))
    row = "\n".join([f"| {table_cell(name)} | {table_cell(code_span(name))} |"])
    cells = shown(f"| a | b |\n|---|---|\n{row}\n")
    assert cells.count("alert") == 2 * words.count("alert")


def test_usual_names_are_left_as_they_are():
    for name in (
        "ResNet-18 (0.25x), [0, 1] for 60 epochs",
        "npz:~/my_images/a.npz",
        "C:\\data\\images",
        "a < b & c",
        "73.2 (71.4 to 74.9)",
        "-0.5",
    ):
        assert escaped(name) == prose(name) == name


@pytest.mark.parametrize("name", HOSTILE)
def test_card_shows_what_it_was_given(name):
    card = {
        "title": name,
        "summary": name,
        "architecture": name,
        "data": name,
        "data_licence": name,
        "command": name,
        "metrics": [{"metric": name, "value": name, "num_test": 3}],
        "sections": result_sections(
            Results(
                name,
                "r",
                (Measurement(name, name, "accuracy_percent", 1.0, 1, 1),),
                command=name,
            )
        ),
        "notes": [name],
    }
    text = card_markdown(
        card,
        image_shape=(8, 8, 3),
        outputs={"default": (None, 4), name: (None, 2)},
        files=[name],
        formats=["safetensors"],
    )
    assert "of the layers; config.json describes" in shown(text)


@pytest.mark.parametrize("name", HOSTILE)
def test_report_shows_what_it_was_given(name, tmp_path):
    table = Table((name, "b"), ((name, name), (1, 2)), best=frozenset({(0, 1)}))
    texts = [Text(name, kind) for kind in ("plain", "note", "warning", "heading")]
    page = Page(name, name, (PageSection(name, (table, *texts, Text("The end."))),))
    write_page(page, tmp_path / "report.md")
    assert "The end." in shown((tmp_path / "report.md").read_text(encoding="utf-8"))
    assert shown(markdown_table(["a", name], [[name, 1]]))


@pytest.mark.parametrize("name", HOSTILE)
def test_summary_shows_what_it_was_given(name, tmp_path):
    workdir = Workdir(tmp_path)
    record = {
        "config": {},
        "data": {},
        "precision": {"asked": name, "chosen": name, "because": name},
    }
    workdir.read = lambda: record
    start = {"source": name, "step": 1, "summary": [name]}
    (tmp_path / WARM_START_FILE).write_text(json.dumps(start))
    write_summary(workdir, Config(), [], command=name, corrupt=[name])
    text = pathlib.Path(tmp_path / "SUMMARY.md").read_text(encoding="utf-8")
    assert "Versions:" in shown(text)
