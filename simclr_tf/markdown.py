"""Words of others in Markdown that we write: shown as they are, never as markup.

Names of classes and files, licences, commands and figures come from elsewhere. Every
page passes them through one of these functions, so that they hold no HTML, no link, no
picture and no new line of the page.
"""

from __future__ import annotations

import re

# What begins HTML, an autolink, a link's target or a code span; and a backslash that
# would undo the escape.
_MARKUP = re.compile(
    r"<(?=[A-Za-z/!?]|$)|\](?=[(\[:]|$)|`|&(?=[#\w]+;)|\\(?=[^\w\s]|$)"
)
# What begins a heading, a quote, a fence, a list, a rule or a definition.
_BEGINNING = re.compile(r"[#>~=\[]|[-+*_](?=\s|[-+*_=]|$)|\d+(?=[.)]\s)")
_BEGINNINGS = {"~": "&#126;", "=": "&#61;", ">": "&gt;"}
_CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)")


class Markdown(str):
    """Text that is Markdown already: a table takes it as it is."""

    __slots__ = ()


def escaped(text: object) -> str:
    """Escape text within a line, but for its words between single backticks.

    Args:
      text: anything with a `str`.

    Returns:
      str, in one line.

    Example:
      >>> print(escaped("<b>[x](javascript:y) `a <b>`"))
      &lt;b>[x\\](javascript:y) `a <b>`
      >>> escaped("ResNet-18 [0.25x], <1 h")
      'ResNet-18 [0.25x], <1 h'
    """
    parts = _CODE.split(" ".join(str(text).split()))
    return "".join(
        f"`{part}`" if place % 2 else _MARKUP.sub(_as_text, part)
        for place, part in enumerate(parts)
    )


def prose(text: object) -> str:
    """Escape a paragraph or a heading: `escaped`, and no heading or list begins.

    Args:
      text: anything with a `str`.

    Returns:
      str, in one line.

    Example:
      >>> print(prose("# no heading"))
      \\# no heading
    """
    line = escaped(text)
    begins = _BEGINNING.match(line)
    if begins is None:
        return line
    if begins[0].isdigit():
        return f"{begins[0]}\\{line[begins.end() :]}"
    return _BEGINNINGS.get(line[0], f"\\{line[0]}") + line[1:]


def code_span(text: object) -> Markdown:
    """Write text as code within a line.

    Args:
      text: anything with a `str`.

    Returns:
      str.

    Example:
      >>> code_span("a|b"), code_span("a`b")
      ('`a|b`', '`` a`b ``')
    """
    text = " ".join(str(text).split())
    ticks = _fence(text, 1)
    space = " " * (len(ticks) > 1)
    return Markdown(f"{ticks}{space}{text}{space}{ticks}")


def table_cell(text: object) -> str:
    """Escape a cell of a table; of `Markdown` only what ends a cell.

    Args:
      text: Markdown, or anything with a `str`.

    Returns:
      str, in one line.

    Example:
      >>> table_cell("<a>|b"), table_cell(code_span("<a>|b"))
      ('&lt;a>\\\\|b', '`<a>\\\\|b`')
    """
    text = " ".join(text.split()) if isinstance(text, Markdown) else escaped(text)
    return text.replace("|", "\\|")


def code_block(text: object, language: str = "") -> list[str]:
    """Write lines of code.

    Args:
      text: anything with a `str`; it may have several lines.
      language: str, for the colours.

    Returns:
      list of str, lines.

    Example:
      >>> code_block("ls", "sh")
      ['```sh', 'ls', '```']
    """
    ticks = _fence(str(text), 3)
    return [f"{ticks}{language}", str(text), ticks]


def _as_text(found):
    """Return what shows as the character; not every renderer knows an escaped `<`."""
    return {"<": "&lt;", "&": "&amp;"}.get(found[0], f"\\{found[0]}")


def _fence(text, shortest):
    """Return more backticks than the text has in a row."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    return "`" * max(shortest, longest + 1)
