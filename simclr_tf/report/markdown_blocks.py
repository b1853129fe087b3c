"""The Markdown that this package writes, as blocks: tables, headings, paragraphs."""

import re

from simclr_tf.report.blocks import Table, Text

_RULE = re.compile(r"^\|(\s*:?-+:?\s*\|)+$")
_CELLS = re.compile(r"(?<!\\)\|")


def markdown_blocks(text):
    """Blocks of a Markdown text of ours.

    Tables with pipes become tables, headings headings, everything else paragraphs; the
    marks of lists are taken off, images are left out. It is no parser of Markdown at
    large.

    Args:
      text: str.

    Returns:
      tuple of Table and Text.

    Example:
      >>> markdown_blocks("Some\\nwords.\\n\\n| a | b |\\n|:--|--:|\\n| 1 | 2 |")
      (Text(text='Some words.', kind='plain'), Table(header=('a', 'b'), \
rows=(('1', '2'),), align='lr'))
    """
    blocks, words, lines = [], [], text.splitlines()

    def end_paragraph():
        if words:
            blocks.append(Text(" ".join(words)))
            words.clear()

    while lines:
        line = lines.pop(0).strip()
        if line.startswith("|") and lines and _RULE.match(lines[0].strip()):
            end_paragraph()
            blocks.append(_table(line, lines))
        elif not line or line.startswith("!["):
            end_paragraph()
        elif re.match(r"#+ ", line):
            end_paragraph()
            blocks.append(Text(line.lstrip("# "), "heading"))
        else:
            if re.match(r"[-*] ", line):
                end_paragraph()
            words.append(re.sub(r"^[-*] +", "", line))
    end_paragraph()
    return tuple(blocks)


def _table(first, lines):
    """The table that begins with a line; its other lines are taken off the list."""
    header, rule, rows = _cells(first), lines.pop(0).strip(), []
    while lines and lines[0].strip().startswith("|"):
        row = _cells(lines.pop(0))
        rows.append((*row, *[""] * len(header))[: len(header)])
    align = "".join(
        "r" if cell.strip().endswith(":") else "l" for cell in rule[1:-1].split("|")
    )
    return Table(header, tuple(rows), align.ljust(len(header), "l")[: len(header)])


def _cells(line):
    parts = _CELLS.split(line.strip().removeprefix("|").removesuffix("|"))
    return tuple(part.strip().replace("\\|", "|") for part in parts)
