"""The model card: what an encoder is, what it can do, and how to load it."""

from simclr_tf.errors import require, unknown_choice
from simclr_tf.export.loading import loading_lines, shape_text
from simclr_tf.export.reusable import BYTES_SIGNATURE, UINT8_SIGNATURE

FIELDS = (
    "title", "summary", "data", "data_licence", "command", "metrics", "notes",
)  # fmt: skip
_METRIC_FIELDS = ("metric", "value", "num_test")


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
    for metric in card.get("metrics", ()):
        require(
            set(metric) == set(_METRIC_FIELDS),
            f"A metric of the card has the entries {', '.join(_METRIC_FIELDS)}.",
            metric=metric,
        )


def card_markdown(card, *, image_shape, outputs, files=(), formats=("saved_model",),
                  signatures=(), saved_model="saved_model"):
    """The text of card.md.

    Args:
      card: dict with any of: "title", "summary", "data", "data_licence", "command"
        (str), "metrics" (list of dicts with "metric", "value" and "num_test"),
        "notes" (list of str).
      image_shape: (height, width, channels), None being free.
      outputs: dict of output name to shape, "default" being the features.
      files: names of the files beside the card, one line each.
      formats: names of the formats, each with its way of loading.
      signatures: names of the SavedModel's signatures.
      saved_model: str, where it lies beside the card.

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
    lines = [f"# {card.get('title', 'An encoder')}", ""]
    if "summary" in card:
        lines += [card["summary"], ""]
    if "data" in card or "data_licence" in card:
        lines += ["## Data", ""]
        lines += [f"Images: {card['data']}", ""] if "data" in card else []
        if "data_licence" in card:
            lines += [f"Licence of the images: {card['data_licence']}", ""]
    if "command" in card:
        lines += ["## Command", "", "```sh", card["command"], "```", ""]
    if card.get("metrics"):
        lines += [
            "## Metrics",
            "",
            "| metric | value | test images |",
            "|---|---|---:|",
        ]
        lines += [
            f"| {metric['metric']} | {metric['value']} | {metric['num_test']:,} |"
            for metric in card["metrics"]
        ]
        lines += [""]
    lines += _input_lines(image_shape, signatures)
    lines += _output_lines(outputs)
    lines += loading_lines(
        formats, image_shape=image_shape, features=outputs["default"][-1],
        signatures=signatures, saved_model=saved_model)
    if card.get("notes"):
        lines += ["## Notes", "", *(f"- {note}" for note in card["notes"]), ""]
    if files:
        lines += ["## Files", "", *(f"- `{name}`" for name in files), ""]
    return "\n".join(lines)


def _input_lines(image_shape, signatures):
    height, width, channels = image_shape
    size = f"height {height or 'free'}, width {width or 'free'}"
    kind = {1: "grey", 3: "RGB"}.get(channels, f"{channels} channels")
    lines = [
        "## Input", "",
        f"`images`: float32 `{shape_text((None, *image_shape))}` in [0, 1], {kind}; "
        f"{size}. uint8 pixels are divided by 255 first; there is no other "
        "normalization. Another type, rank or number of channels is refused. Values "
        "outside [0, 1] are not refused, and mean nothing.", "",
    ]  # fmt: skip
    if UINT8_SIGNATURE in signatures:
        lines += [f"The signature `{UINT8_SIGNATURE}` takes uint8 `images` of the same "
                  "shape and divides them itself.", ""]
    if BYTES_SIGNATURE in signatures:
        lines += [f"The signature `{BYTES_SIGNATURE}` takes `image_bytes`, string "
                  "`[N]`: JPEG, PNG, GIF or BMP files of any sizes, which it decodes, "
                  "crops at the centre (0.875 of the shorter side) and resizes.", ""]
    return lines


def _output_lines(outputs):
    lines = [
        "## Outputs", "",
        "The call returns `default`, the features. The signatures (`serving_default`, "
        "`image_feature_vector`, ...) return all of these by name:", "",
        "| output | shape |", "|---|---|",
    ]  # fmt: skip
    for name, shape in outputs.items():
        # h and w: feature maps have other sides than the images.
        lines.append(f"| `{name}` | {shape_text(shape, 'Nhw')} |")
    return [*lines, ""]
