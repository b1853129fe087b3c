"""Figures by matplotlib, as SVG in a page and as PNG, with one palette.

Colours have names. A page defines them for its light and its dark scheme, and the SVG
refers to the names; a PNG has the light colours. Names of classes and files are text,
never formulas or markup. pyplot and its global state are not used.
"""

import io
import re
import warnings
from xml.etree import ElementTree

from simclr_tf.errors import ConfigError
from simclr_tf.files import write_atomically

# Name -> (light, dark). c0 to c9 begin with the colours of Okabe and Ito, which people
# with colour blindness can distinguish. c0 frames what is right, c1 what is wrong.
COLORS = {
    "paper": ("#FFFFFF", "#14181F"),
    "panel": ("#F5F6F8", "#1E242D"),
    "ink": ("#1D2430", "#E6E9EE"),
    "faint": ("#5D6675", "#A3ADBB"),
    "rule": ("#D9DDE3", "#38414E"),
    "accent": ("#0063A8", "#7CC0F5"),
    "warn": ("#FFF3D6", "#4A3A12"),
    "c0": ("#0072B2", "#56B4E9"),
    "c1": ("#D55E00", "#FF8A3D"),
    "c2": ("#008A64", "#2BC79C"),
    "c3": ("#B8578A", "#E29AC6"),
    "c4": ("#A67C00", "#F0C649"),
    "c5": ("#2B93C7", "#9AD6FF"),
    "c6": ("#7A3E9D", "#C79BEF"),
    "c7": ("#5C5C5C", "#B8B8B8"),
    "c8": ("#8F1D2C", "#F07383"),
    "c9": ("#5E7D1B", "#B6D96B"),
}
PAPER, PANEL, INK, FAINT, RULE = (
    COLORS[name][0] for name in ("paper", "panel", "ink", "faint", "rule")
)
SERIES = tuple(COLORS[f"c{number}"][0] for number in range(10))
CORRECT, INCORRECT = SERIES[0], SERIES[1]
MARKERS, DASHES = "os^DvPX*", ("-", "--", "-.", ":")
# (colour, marker, dashes) of the lines of a figure, distinguishable in print too.
STYLES = tuple(
    (color, MARKERS[number % 8], DASHES[number % 4])
    for number, color in enumerate(SERIES)
)
_SETTINGS = {
    "text.parse_math": False,
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-5, 7),
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "errorbar.capsize": 3,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "image.interpolation": "nearest",
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor"), INK
    ),
    **dict.fromkeys(("xtick.color", "ytick.color"), FAINT),
}


class Drawing:
    """One figure with hover text on its marks.

    Args:
      width, height: float, inches.
      draw: function of (matplotlib Figure, this Drawing) that draws.
      title: str, read aloud by screen readers.

    Raises:
      ConfigError: matplotlib is missing.

    Example:
      >>> drawing = Drawing(3, 2, lambda figure, _: figure.add_subplot(), "empty")
      >>> drawing.svg()[:4], drawing.png()[1:4]
      ('<svg', b'PNG')
    """

    def __init__(self, width, height, draw, title):
        try:
            import matplotlib
            import matplotlib.backends.backend_agg
            import matplotlib.figure
        except ImportError as error:
            raise ConfigError(
                'Pictures need matplotlib: pip install "simclr-tf[plots]".'
            ) from error
        self.title, self._words, self._context = title, {}, matplotlib.rc_context
        with self._context(_SETTINGS):
            self._figure = matplotlib.figure.Figure(
                figsize=(width, height), layout="constrained"
            )
            matplotlib.backends.backend_agg.FigureCanvasAgg(self._figure)
            draw(self._figure, self)

    def name_marks(self, artist, words, **attributes):
        """Give each mark of an artist its hover text, and `data-` attributes.

        Args:
          artist: matplotlib artist: a line or a collection with a mark for each of
            `words`, or a patch with one.
          words: list of str.
          **attributes: name to list, a value for each mark.
        """
        name = f"marks{len(self._words)}"
        artist.set_gid(name)
        self._words[name] = (words, attributes)

    def png(self, pixels_an_inch=140):
        """Return the figure as the bytes of a PNG on white."""
        return self._saved(format="png", dpi=pixels_an_inch, facecolor=PAPER)

    def save(self, path):
        """Write a PNG or an SVG; a reader sees the old file or the whole new one.

        Args:
          path: path that ends in .png or .svg.

        Raises:
          WorkdirError: the file cannot be written.
        """
        is_png = str(path).endswith(".png")
        content = self.png() if is_png else self.svg(stands_alone=True)
        write_atomically(path, content, make_folder=True)

    def svg(self, *, stands_alone=False):
        """Return the figure as an `<svg>` element in the colours of the page.

        Args:
          stands_alone: bool, whether the SVG defines both colour schemes itself.

        Returns:
          str.
        """
        text = self._saved(format="svg", transparent=True, metadata={"Date": None})
        root = ElementTree.fromstring(text)
        used = set(re.findall(r"#(\w+)", text.decode()))
        named = []
        for element in list(root.iter()):
            for child in list(element):
                if child.tag.endswith(("}metadata", "}style")):
                    element.remove(child)
            element.tag = element.tag.split("}")[1]
            if element.tag != "text":  # Only an indentation.
                element.text = None
            element.tail = None
            if element.get("id") in self._words:
                named.append((element, self._words[element.get("id")]))
            values = {
                name.split("}")[-1]: _by_name(value)
                for name, value in element.attrib.items()
                if name != "id" or value in used
            }
            element.attrib.clear()
            element.attrib.update(values)
        for element, (words, attributes) in named:
            _add_words(element, words, attributes)
        size = root.get("viewBox")
        root.attrib.clear()
        root.attrib.update(
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "class": "chart",
                "viewBox": size,
                "role": "img",
                "aria-label": plain(self.title),
                "style": f"max-width: {1.6 * float(size.split()[2]):.0f}px",
            }
        )
        if stands_alone:
            dark = "".join(f"--{name}:{shade};" for name, (_, shade) in COLORS.items())
            rule = f"@media (prefers-color-scheme: dark) {{ svg {{ {dark} }} }}"
            style = ElementTree.Element("style")
            style.text = f"text {{ font-family: sans-serif }} {rule}"
            root.insert(0, style)
        return ElementTree.tostring(root, encoding="unicode")

    def _saved(self, **options):
        buffer = io.BytesIO()
        settings = {**_SETTINGS, "svg.hashsalt": plain(self.title)}
        with self._context(settings), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # The font may lack a letter.
            self._figure.savefig(buffer, **options)
        return buffer.getvalue()


def _by_name(value):
    """Set a style that takes colours and letters from the page."""
    value = re.sub(r"font-family: [^;]*;? ?", "", value)
    for name, (light, _) in COLORS.items():
        value = value.replace(light.lower(), f"var(--{name},{light.lower()})")
    return re.sub(r"(\d+\.\d\d)\d+", r"\1", value)


def _add_words(element, words, attributes):
    """Put a title into each mark of an element."""
    marks = list(element.iter("use"))
    for place, (mark, title) in enumerate(zip(marks or [element], words, strict=True)):
        mark.set("data-words", "")
        for name, values in attributes.items():
            mark.set(f"data-{name}", str(values[place]))
        ElementTree.SubElement(mark, "title").text = plain(title)


def plain(text):
    r"""Replace what cannot be printed by �, so that every file and font takes the text.

    Example:
      >>> plain("a\0b")
      'a�b'
    """
    text, unknown = str(text), "\N{REPLACEMENT CHARACTER}"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else unknown for c in text)


def short(text, most=22):
    """Cut a text to a length, with a mark where it was cut."""
    text = plain(text)
    return text if len(text) <= most else f"{text[: most - 1]}…"
