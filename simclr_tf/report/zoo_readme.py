"""README.md of a folder of exports, from the records of the published ones."""

from urllib.parse import quote

from simclr_tf.config.image_size import as_size
from simclr_tf.encoder_zoo import HEADLINES, PREFIX, RECORD
from simclr_tf.errors import require
from simclr_tf.evaluation import results_of_record
from simclr_tf.markdown import Markdown, code_block, code_span, prose
from simclr_tf.report.result_sections import result_sections
from simclr_tf.report.tables import markdown_table

MAX_BYTES = 8_000_000
_COMMAND = "simclr-tf zoo --folder=exported_models --readme"
_HEAD = f"""\
# Exported encoders

<!-- Written by `{_COMMAND}`: do not edit. -->

One folder an export: `saved_model/`, `config.json` (input contract, outputs, metrics,
checksums, the run it came from) and `card.md` (data, licence, command, metrics, how to
load it). `simclr-tf export --workdir=RUN --output=exported_models/NAME` writes another;
with `--publish` it is listed here and ships with the package. `make demo` writes
`exported_models/demo/`, which is not kept in the repository.
"""


def zoo_readme(entries):
    """Write the text of exported_models/README.md.

    Only published exports are listed; all else in the folder is ignored.

    Args:
      entries: iterable of simclr_tf.encoder_zoo.ZooEntry.

    Returns:
      str, Markdown.

    Raises:
      ConfigError: an export that must not be published, see `check_published`.

    Example:
      >>> zoo_readme([]).splitlines()[0]
      '# Exported encoders'
    """
    published = [entry for entry in entries if entry.published]
    for entry in published:
        check_published(entry)
    if not published:
        return _HEAD
    table = markdown_table(
        [
            "encoder",
            "method",
            "network",
            "input",
            "images",
            *HEADLINES,
            "licence of the images",
            "size",
        ],
        [_row(entry) for entry in published],
        align="lllll" + "r" * len(HEADLINES) + "lr",
    )
    # The example: by this package's own method, where there is one.
    example = min(published, key=lambda entry: entry.method != "SimCLR")
    parts = [_HEAD, "## What ships", "", table, "", *_loading_lines(example)]
    for entry in published:
        parts += _entry_lines(entry)
    return "\n".join(parts)


def check_published(entry):
    """Raise unless an export may ship with the package.

    Args:
      entry: simclr_tf.encoder_zoo.ZooEntry.

    Raises:
      ConfigError: it is larger than 8 MB, or its record has no licence of the images
        or no metrics.
    """
    require(
        entry.num_bytes <= MAX_BYTES,
        f"An encoder that ships has at most {MAX_BYTES:,} bytes: export it in "
        "fewer formats.",
        encoder=entry.name,
        bytes=entry.num_bytes,
    )
    require(
        entry.data_licence,
        "The record of an encoder that ships must name the licence of its "
        "images: export it with --data_licence.",
        encoder=entry.name,
    )
    require(
        entry.metrics,
        "The record of an encoder that ships must have its accuracy: evaluate "
        "its run, then export it again.",
        encoder=entry.name,
    )


def _row(entry):
    network = [
        entry.architecture or "its own network",
        f"{entry.num_parameters:,} parameters",
        f"{entry.num_features} features",
    ]
    return [
        Markdown(f"[{code_span(entry.name)}]({quote(entry.name)}/card.md)"),
        entry.method or "",
        ", ".join(network),
        entry.input_text(),
        entry.data,
        *entry.headlines(),
        entry.data_licence,
        f"{entry.num_bytes / 1e6:.1f} MB",
    ]


def _loading_lines(entry):
    channels = entry.input_shape[-1]
    return [
        "From any folder:",
        "",
        "```python",
        "import numpy as np",
        "import simclr_tf",
        "",
        "print(simclr_tf.zoo())",
        f'encoder = simclr_tf.load_encoder("{PREFIX}{entry.name}")',
        f"images = np.zeros([1, {_side(entry, 1)}, {_side(entry, 2)}, {channels}], "
        "np.float32)  # yours, in [0, 1]",
        f"features = encoder(images)  # [1, {entry.num_features}]",
        "```",
        "",
        "The cards say how to load them without this package.",
        "",
    ]


def _side(entry, axis):
    return entry.input_shape[axis] or as_size(entry.image_size_pixels or 32)[axis - 1]


def _entry_lines(entry):
    lines = [f"## {prose(entry.name)}", ""]
    if entry.summary:
        lines += [prose(entry.summary), ""]
    if entry.command:
        lines += [*code_block(entry.command, "sh"), ""]
    for record in entry.results:
        results = results_of_record(record, entry.path / RECORD)
        for section in result_sections(results):
            lines += [f"### {section['title']}", "", section["markdown"], ""]
    return lines
