"""Accuracy against the number of labels, one line a method."""

from simclr_tf.errors import DataError
from simclr_tf.report.figure_files import matplotlib_parts, save_figure

# Okabe and Ito: told apart with any kind of colour vision, by marker in print.
_STYLES = (
    ("#0072B2", "o", "-"),
    ("#D55E00", "s", "--"),
    ("#009E73", "^", "-."),
    ("#CC79A7", "D", ":"),
    ("#E69F00", "v", "-"),
)
_INK, _FAINT = "#222222", "#DDDDDD"


def accuracy_against_labels(lines, path, *, title):
    """Draw accuracy in percent over the number of labels, on a logarithmic axis.

    Args:
      lines: dict of name to list of (labels, accuracy_percent, error_percent or None),
        with increasing numbers of labels; errors become bars.
      path: path of the PNG.
      title: str.

    Raises:
      ConfigError: matplotlib is missing.
      DataError: there is nothing to draw.
      WorkdirError: the file cannot be written.

    Example:
      >>> import pathlib, tempfile
      >>> path = pathlib.Path(tempfile.mkdtemp()) / "accuracy.png"
      >>> accuracy_against_labels({"ours": [(60, 70.0, 1.0), (600, 80.0, 0.5)]}, path,
      ...                         title="mine")
      >>> path.exists()
      True
    """
    if not any(lines.values()):
        raise DataError("A plot of accuracies needs at least one measurement.")
    figure_module, canvas_module = matplotlib_parts()
    figure = figure_module.Figure(figsize=(6.4, 4.2), dpi=160, facecolor="white")
    canvas_module.FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    ticks = {}
    for number, (name, points) in enumerate(lines.items()):
        color, marker, dashes = _STYLES[number % len(_STYLES)]
        labels, accuracies, errors = zip(*points, strict=True)
        axes.errorbar(
            labels,
            accuracies,
            yerr=[error or 0.0 for error in errors],
            label=name,
            color=color,
            marker=marker,
            linestyle=dashes,
            capsize=3,
            linewidth=1.6,
            markersize=5,
        )
        ticks.update({count: f"{count:,}" for count in labels})
    axes.set_xscale("log")
    axes.set_xticks(sorted(ticks), [ticks[count] for count in sorted(ticks)])
    axes.minorticks_off()
    axes.set_xlabel("labelled training images")
    axes.set_ylabel("accuracy on the test images (%)")
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold", color=_INK)
    axes.grid(color=_FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(frameon=False, loc="best")
    figure.tight_layout()
    save_figure(figure, path)
