"""The model card: a description of an encoder, its accuracy, and how to load it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from simclr_tf.config.export import FROM_LAYERS
from simclr_tf.config.image_size import ImageSize, as_size
from simclr_tf.errors import require, unknown_choice
from simclr_tf.export.converters import LABELS_FILE, LITERT_FILE
from simclr_tf.export.loading import loading_lines, shape_text
from simclr_tf.export.preprocessing import resizing_text
from simclr_tf.export.reusable import BYTES_SIGNATURE, UINT8_SIGNATURE
from simclr_tf.markdown import code_block, code_span, prose, table_cell

FIELDS = (
    "title",
    "summary",
    "method",
    "architecture",
    "image_size_pixels",
    "data",
    "data_licence",
    "command",
    "wall_seconds",
    "devices",
    "metrics",
    "sections",
    "results",
    "notes",
)
_METRIC_FIELDS = ("metric", "value", "num_test")
_SECTION_FIELDS = ("title", "markdown")
_NAMES_SHOWN = 20


def check_card(card):
    """Raise unless `card_markdown` can use a card.

    Args:
      card: dict as for `card_markdown`.

    Raises:
      ConfigError: unknown or missing entries.

    Example:
      >>> check_card({"title": "mine", "data": "my images"})
    """
    for name in card:
        if name not in FIELDS:
            raise unknown_choice("card field", name, FIELDS)
    for kind, parts, fields in (
        ("metric", "metrics", _METRIC_FIELDS),
        ("section", "sections", _SECTION_FIELDS),
    ):
        for part in card.get(parts, ()):
            require(
                set(part) == set(fields),
                f"A {kind} of the card has the entries {', '.join(fields)}.",
                **{kind: part},
            )


def card_markdown(
    card: Mapping[str, Any],
    *,
    image_shape: Sequence[int | None],
    outputs: Mapping[str, Any],
    class_names: Sequence[str] | None = None,
    num_parameters: int | None = None,
    files: Iterable[str] = (),
    formats: Sequence[str] = ("saved_model",),
    signatures: Sequence[str] = (),
    saved_model: str = "saved_model",
    side_multiple: int = 1,
    bytes_size_pixels: ImageSize | None = None,
    has_layers: bool = True,
) -> str:
    """Write the text of card.md.

    Args:
      card: dict with any of: "title", "summary", "method" (its objective),
        "architecture", "data", "data_licence", "command" (str), "image_size_pixels"
        (int or (height, width), of the images it was trained on), "wall_seconds"
        (float, of its training), "devices" (list of str, what it trained on),
        "metrics" (list of dicts with "metric", "value" and
        "num_test"), "sections" (list of dicts with "title" and "markdown": tables of
        evaluations), "results" (list of dicts, the numbers behind them for
        config.json; the text leaves them out), "notes" (list of str).
      image_shape: (height, width, channels), None being free.
      outputs: dict of output name to shape, "default" being the features.
      class_names: sequence of str, the name of each logit, or None.
      num_parameters: int or None, trainable.
      files: names of the files beside the card, one line each.
      formats: names of the formats, for the section on loading.
      signatures: names of the SavedModel's signatures.
      saved_model: str, its path beside the card.
      side_multiple: int, pixels: height and width must be multiples of it.
      bytes_size_pixels: int or (height, width), to which the signature of encoded
        images resizes; None without that signature.
      has_layers: bool, whether the files describe the layers of the network.

    Returns:
      str, Markdown.

    Raises:
      ConfigError: unknown or missing entries.

    Example:
      >>> text = card_markdown({"title": "mine"}, image_shape=(None, None, 3),
      ...                      outputs={"default": (None, 128)})
      >>> text.splitlines()[0]
      '# mine'
    """
    check_card(card)
    features = outputs["default"][-1]
    lines = [f"# {prose(card.get('title', 'An encoder'))}", ""]
    if "summary" in card:
        lines += [prose(card["summary"]), ""]
    if "architecture" in card:
        size = "" if num_parameters is None else f"{num_parameters:,} parameters, "
        network = prose(card["architecture"])
        lines += [f"Network: {network}; {size}{features} features.", ""]
    lines += [*_data_lines(card), *_command_lines(card), *_metric_lines(card)]
    for section in card.get("sections", ()):
        lines += [f"## {prose(section['title'])}", "", section["markdown"], ""]
    trained = card.get("image_size_pixels")
    lines += _input_lines(image_shape, trained, side_multiple, formats)
    lines += _signature_lines(signatures, bytes_size_pixels)
    lines += _output_lines(outputs, formats)
    lines += _class_lines(class_names, formats)
    lines += loading_lines(
        formats,
        image_shape=image_shape,
        image_size_pixels=trained,
        side_multiple=side_multiple,
        has_layers=has_layers,
        features=features,
        signatures=signatures,
        saved_model=saved_model,
    )
    if card.get("notes"):
        lines += ["## Notes", "", *(f"- {prose(note)}" for note in card["notes"]), ""]
    if files:
        lines += ["## Files", "", *(f"- {code_span(name)}" for name in files), ""]
    return "\n".join(lines)


def wall_time_text(seconds):
    """Format a wall time for people, in its two largest units.

    Args:
      seconds: float >= 0.

    Returns:
      str.

    Example:
      >>> wall_time_text(7.4), wall_time_text(754), wall_time_text(11_115)
      ('7 s', '12 min 34 s', '3 h 5 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _data_lines(card):
    if "data" not in card and "data_licence" not in card:
        return []
    lines = ["## Data", ""]
    lines += [f"Images: {prose(card['data'])}", ""] if "data" in card else []
    licence = card.get("data_licence", "not stated; ask before you publish weights")
    return [*lines, f"Licence of the images: {prose(licence)}", ""]


def _command_lines(card):
    if "command" not in card:
        return []
    lines = ["## Command", "", *code_block(card["command"], "sh"), ""]
    if "wall_seconds" in card:
        time = wall_time_text(card["wall_seconds"])
        on = [f" on {prose(str(devices))}" for devices in card.get("devices", ())]
        lines += [f"It trained for {time}{', then'.join(on)}.", ""]
    return lines


def _metric_lines(card):
    if not card.get("metrics"):
        return []
    rows = [
        f"| {table_cell(metric['metric'])} | {table_cell(metric['value'])} "
        f"| {table_cell(format(metric['num_test'], ','))} |"
        for metric in card["metrics"]
    ]
    return [
        "## Metrics",
        "",
        "| metric | value | test images |",
        "|---|---|---:|",
        *rows,
        "",
    ]


def _input_lines(image_shape, image_size_pixels, side_multiple, formats):
    height, width, channels = image_shape
    size = f"height {height or 'free'}, width {width or 'free'}"
    if side_multiple > 1 and not (height and width):
        size += f", in multiples of {side_multiple} pixels"
    if image_size_pixels is not None:
        trained = " x ".join(map(str, as_size(image_size_pixels)))
        size += f" (trained at {trained})"
    kind = {1: "grey", 3: "RGB"}.get(channels, f"{channels} channels")
    but = ""
    if "keras3" in formats:
        but = ", but Keras 3 casts another type to float32 without dividing it"
    return [
        "## Input",
        "",
        f"`images`: float32 `{shape_text((None, *image_shape))}` in [0, 1], {kind}; "
        f"{size}. uint8 pixels are divided by 255 first; there is no other "
        f"normalization. Another type, rank or number of channels is refused{but}. "
        "Values outside [0, 1] are not refused, but their features have no meaning.",
        "",
    ]


def _signature_lines(signatures, bytes_size_pixels):
    lines = []
    if UINT8_SIGNATURE in signatures:
        lines += [
            f"The signature `{UINT8_SIGNATURE}` takes uint8 `images` of the same "
            "shape and divides them itself.",
            "",
        ]
    if BYTES_SIGNATURE in signatures:
        lines += [
            f"The signature `{BYTES_SIGNATURE}` takes `image_bytes`, string "
            "`[N]`: JPEG, PNG, opaque GIF or 24-bit BMP files of any sizes. It decodes "
            f"them and {resizing_text(bytes_size_pixels)}.",
            "",
        ]
    return lines


def _output_lines(outputs, formats):
    if "saved_model" in formats:
        what = (
            "The call returns `default`, the features. The signatures "
            "(`serving_default`, `image_feature_vector`, ...) return all of these by "
            "name:"
        )
    elif set(formats) <= set(FROM_LAYERS):
        what = "The network returns the features:"
    else:
        what = "`default` are the features. LiteRT and ONNX return all by name:"
    lines = ["## Outputs", "", what, "", "| output | shape |", "|---|---|"]
    for name, shape in outputs.items():
        # h and w: feature maps have other sizes than the images.
        lines.append(f"| {table_cell(code_span(name))} | {shape_text(shape, 'Nhw')} |")
    return [*lines, ""]


def _class_lines(class_names, formats):
    if class_names is None:
        return []
    shown = ", ".join(map(prose, class_names[:_NAMES_SHOWN]))
    more = len(class_names) - _NAMES_SHOWN
    shown += f" and {more:,} more" if more > 0 else ""
    places = ["`class_names` in config.json"]
    if "saved_model" in formats:
        places.append("what the SavedModel's function `class_names()` returns")
    if "litert" in formats:
        places.append(f"the file {LABELS_FILE} inside {LITERT_FILE}")
    return [
        "The softmax of `logits` are the probabilities of these classes, in this "
        f"order: {shown}. The names are also {', and '.join(places)}.",
        "",
    ]
