"""The model card: what an encoder is, what it can do, and how to load it."""

from simclr_tf.errors import require, unknown_choice

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


def card_markdown(card, *, image_shape, outputs, files=()):
    """The text of card.md.

    Args:
      card: dict with any of: "title", "summary", "data", "data_licence", "command"
        (str), "metrics" (list of dicts with "metric", "value" and "num_test"),
        "notes" (list of str).
      image_shape: (height, width, channels), None being free.
      outputs: dict of output name to shape, "default" being the features.
      files: names of the files beside the card, one line each.

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
    lines += _input_lines(image_shape)
    lines += _output_lines(outputs)
    lines += _loading_lines(image_shape, outputs)
    if card.get("notes"):
        lines += ["## Notes", "", *(f"- {note}" for note in card["notes"]), ""]
    if files:
        lines += ["## Files", "", *(f"- `{name}`" for name in files), ""]
    return "\n".join(lines)


def _input_lines(image_shape):
    height, width, channels = image_shape
    size = f"height {height or 'free'}, width {width or 'free'}"
    kind = {1: "grey", 3: "RGB"}.get(channels, f"{channels} channels")
    return [
        "## Input", "",
        f"`images`: float32 `{_shape_text((None, *image_shape))}` in [0, 1], {kind}; "
        f"{size}. uint8 pixels are divided by 255 first; there is no other "
        "normalization. Values outside [0, 1] are not refused, and mean nothing.", "",
    ]  # fmt: skip


def _output_lines(outputs):
    lines = [
        "## Outputs", "",
        "The call returns `default`, the features. The signatures `serving_default` "
        "and `image_feature_vector` return all of these by name:", "",
        "| output | shape |", "|---|---|",
    ]  # fmt: skip
    for name, shape in outputs.items():
        # h and w: feature maps have other sides than the images.
        lines.append(f"| `{name}` | {_shape_text(shape, 'Nhw')} |")
    return [*lines, ""]


def _loading_lines(image_shape, outputs):
    height, width, channels = image_shape
    shape = [1, height or 32, width or 32, channels]
    return [
        "## Loading", "",
        "From this folder, with nothing but TensorFlow:", "",
        "```python",
        "import numpy as np",
        "import tensorflow as tf",
        'encoder = tf.saved_model.load("saved_model")',
        f"images = np.zeros({shape}, np.float32)  # your images, in [0, 1]",
        f"features = encoder(images)  # {_shape_text((1, *outputs['default'][1:]))}",
        "```", "",
        "To fine-tune it, call `encoder(images, training=True)` under a gradient tape "
        "and update `encoder.trainable_variables`; batch norm then uses and updates "
        "batch statistics. A SavedModel is a program: load it only if you trust "
        "where it comes from.", "",
    ]  # fmt: skip


def _shape_text(shape, names="NHW"):
    """`[N, H, W, 3]`: free sizes by their letters."""
    parts = [
        names[axis] if size is None and axis < len(names) else str(size)
        for axis, size in enumerate(shape)
    ]
    return f"[{', '.join(parts)}]"
