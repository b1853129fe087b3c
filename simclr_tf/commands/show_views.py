"""The verb `show_views`: each operator of a recipe, pairs of views, warnings."""

import dataclasses
import pathlib

from simclr_tf.augment import get_recipe
from simclr_tf.commands.operator_rows import changed_fields, operator_rows
from simclr_tf.commands.view_checks import measure_views, measures_table, view_warnings
from simclr_tf.commands.view_pairs import resized_images, view_pairs
from simclr_tf.config.image_size import as_size, size_text
from simclr_tf.data import ArraySource, open_source, plain_errors
from simclr_tf.errors import require
from simclr_tf.objectives import objective_of
from simclr_tf.report.blocks import Gallery, Page, PageSection, Table, Text
from simclr_tf.report.galleries import gallery_drawing, pairs_gallery
from simclr_tf.report.pages import prepare_output, write_page
from simclr_tf.training.assembly import build_recipe

# Crops are cut from images of the stored size, to be as sharp as in training; larger
# images are shrunk to this size.
_LARGEST_PIXELS = 512


def show_views(
    config,
    output,
    *,
    num_images=2,
    num_shown=12,
    num_pairs=256,
    command=None,
    say=print,
):
    """Show and check a recipe before a run; nothing is trained.

    Args:
      config: Config, of which `data`, `augment`, `objective` and `seed` are used.
      output: path: FILE.png, FILE.html, FILE.md, or a folder that gets
        show_views.html, show_views.md and show_views.png.
      num_images: int >= 1, images on which the operators are shown.
      num_shown: int >= 1, pairs that are shown.
      num_pairs: int >= 2, pairs that are measured.
      command: str, what made the page, shown at its end.
      say: function that prints a line (str).

    Returns:
      list of pathlib.Path, what was written.

    Raises:
      SimCLRError: invalid options or data.
    """
    require(
        num_images >= 1 and num_shown >= 1 and num_pairs >= 2,
        "`num_images` and `num_shown` must be >= 1, `num_pairs` >= 2.",
        num_images=num_images,
        num_shown=num_shown,
        num_pairs=num_pairs,
    )
    data, views = config.data, build_recipe(config.augment)
    # The recipe itself, even if only one branch is changed.
    recipe = build_recipe(dataclasses.replace(config.augment, one_branch=None))
    output = pathlib.Path(output).expanduser()
    source = open_source(
        data.source,
        split=data.split,
        slices=data.slices,
        data_dir=data.data_dir,
        channels=data.channels,
        max_corrupt_fraction=data.max_corrupt_fraction,
        background=data.background,
        memory_limit_bytes=0,
    )  # Only the images that are shown are decoded.
    prepare_output(
        output,
        ("matplotlib",) if output.suffix == ".png" else ("matplotlib", "jinja2"),
    )
    size = data.image_size_pixels
    pairs = view_pairs(
        source,
        views,
        image_size_pixels=size,
        seed=config.seed,
        number=max(num_pairs, num_shown, num_images, 2),
        groups=objective_of(config.objective).view_groups,
    )
    measures = measure_views(*(part[:num_pairs] for part in pairs[1:4]))
    warnings = view_warnings(measures)
    operators = Gallery(
        "Each operator, from mild to strong",
        operator_rows(
            pairs.images[:num_images], _large(source, pairs, num_images, size), recipe
        ),
    )
    final = pairs_gallery(pairs, num_shown)
    written = []
    if output.suffix != ".png":
        page = _page(config, recipe, measures, warnings, operators, final)
        written += write_page(page, output, name="show_views", command=command)
    if output.suffix not in (".html", ".md"):
        written.append(output if output.suffix == ".png" else output / "show_views.png")
        gallery_drawing([operators, final]).save(written[-1])
    for name, value, most in measures_table(measures):
        say(f"{name:42}{value:>7}   (too many: above {most})")
    for warning in warnings:
        say(f"Warning: {warning}")
    return written


def _large(source, pairs, number, size):
    """Return the first images as large as they are stored, up to a limit."""
    if isinstance(source, ArraySource):
        stored = max(source.image_shape[:2])
    else:
        place = source.locations(pairs.ids[:1])
        with plain_errors():
            stored = max(source.read_image(*(part[0] for part in place)).shape[:2])
    ids = pairs.ids[: max(number, 2)]
    sides = as_size(size)
    scale = max(min(stored, _LARGEST_PIXELS) / max(sides), 1)
    large = tuple(round(side * scale) for side in sides)
    return resized_images(source, ids, large)[:number]


def _page(config, recipe, measures, warnings, operators, final):
    named = get_recipe(config.augment.recipe)
    changes = changed_fields(recipe, named)
    verdict = [Text(warning, "warning") for warning in warnings] or [
        Text(f"No warnings for {measures.num_pairs} pairs.", "note")
    ]
    recipe_blocks = [
        Text(
            f"Recipe `{config.augment.recipe}`"
            + (", with changes:" if changes else ", unchanged.")
        )
    ]
    if config.augment.one_branch:
        recipe_blocks.append(
            Text(
                "Both views have the same crop; only view a is changed, by: "
                f"{', '.join(config.augment.one_branch_operators())}."
            )
        )
    if changes:
        recipe_blocks.append(
            Table(("field", config.augment.recipe, "here"), changes, "lll")
        )
    return Page(
        f"Views of {config.data.source}",
        f"Recipe `{config.augment.recipe}`, views of "
        f"{size_text(config.data.image_size_pixels, ' x ')} pixels, seed {config.seed}",
        (
            PageSection(
                "Is the task neither too easy nor impossible?",
                (
                    *verdict,
                    Table(
                        ("measure", f"of {measures.num_pairs} pairs", "too many above"),
                        measures_table(measures),
                    ),
                ),
            ),
            PageSection("Pairs of views", (final,)),
            PageSection("Operators", (operators,)),
            PageSection("Recipe", tuple(recipe_blocks)),
        ),
    )
