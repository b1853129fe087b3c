"""The contact sheet shows what the operators do, on images of every kind."""

import pathlib

import html5lib
import numpy as np
import pytest
from PIL import Image

from simclr_tf.augment import (
    RECIPES,
    Recipe,
    ViewGroup,
    make_views,
    plan_views,
    two_views,
)
from simclr_tf.augment.recipes import DEFAULT_ORDER
from simclr_tf.commands.operator_rows import changed_fields, operator_rows
from simclr_tf.commands.view_pairs import view_pairs
from simclr_tf.data import batch_ids, open_source, training_dataset
from simclr_tf.tools import show_views


def colour_images(number=2, size=8):
    return (
        np.random.default_rng(0)
        .uniform(size=(number, size, size, 3))
        .astype(np.float32)
    )


def rows_of(recipe, images):
    return {
        title.split(",")[0].split(" ")[0]: (title, tiles)
        for title, tiles in operator_rows(images, images, recipe)
    }


def test_every_operator_has_its_row_and_grey_images_have_no_colour_rows():
    colour = rows_of(Recipe(), colour_images())
    grey = rows_of(Recipe(), colour_images()[..., :1])
    jitter = {"brightness", "contrast", "saturation", "hue"}
    assert set(colour) == {"original", "crop"} | jitter | (
        set(DEFAULT_ORDER) - {"color_jitter"}
    )
    assert set(colour) - set(grey) == {"saturation", "hue", "grayscale"}


def test_brightness_tiles_are_the_images_times_their_caption():
    images = colour_images()
    _, tiles = rows_of(Recipe(color_strength=0.5), images)["brightness"]
    assert [tile.caption for tile in tiles[:4]] == ["×0.6", "×0.8", "×1.2", "×1.4"]
    for place, tile in enumerate(tiles):  # All strengths of an image, then the next.
        factor = float(tile.caption[1:])
        np.testing.assert_allclose(
            tile.image, np.clip(images[place // 4] * factor, 0, 1), atol=1e-6
        )


def test_flips_turns_and_grey_are_those_of_numpy():
    images = colour_images()
    rows = rows_of(Recipe(), images)
    np.testing.assert_allclose(rows["flip"][1][1].image, images[1, :, ::-1])
    np.testing.assert_allclose(rows["rotate"][1][1].image, images[0, ::-1, ::-1])
    luma = images[0] @ np.array([0.2989, 0.587, 0.114], np.float32)
    np.testing.assert_allclose(
        rows["grayscale"][1][0].image, np.repeat(luma[..., None], 3, 2), atol=1e-6
    )
    np.testing.assert_array_equal(rows["original"][1][1].image, images[1])


def test_titles_say_the_range_and_what_is_off():
    rows = rows_of(RECIPES["small_grey"], colour_images())
    assert rows["crop"][0] == "crop and resize, 30% to 100% of the area (always)"
    assert rows["brightness"][0] == "brightness ×0.6 to ×1.4 (80% of the views)"
    for name in ("saturation", "hue", "grayscale", "cutout", "blur"):
        assert "(off)" in rows[name][0], rows[name][0]
    assert "its kernel is one pixel" in rows["blur"][0]
    captions = [tile.caption for tile in rows["crop"][1][:5]]
    assert captions[0] == "100% of it" and captions[-1] == "30% of it"


def test_changes_of_a_recipe_are_listed():
    changed = changed_fields(Recipe(hue=0.1, blur_probability=0.0), Recipe())
    assert changed == (("hue", "0.2", "0.1"), ("blur_probability", "0.5", "0.0"))


def test_pairs_are_the_first_views_of_the_run_with_that_seed():
    source = open_source((colour_images(9) * 255).astype(np.uint8))
    pairs = view_pairs(source, "cifar", image_size_pixels=8, number=4, seed=3)
    np.testing.assert_array_equal(
        pairs.ids, batch_ids(source, global_batch_size=8, seed=3, step=0)[:4]
    )
    batch = next(
        iter(training_dataset(source, global_batch_size=8, seed=3, total_steps=5))
    )
    for shown, trained in zip(
        pairs[2:4], two_views(batch["images"], batch["seeds"], "cifar"), strict=True
    ):
        np.testing.assert_allclose(shown, trained[:4], atol=1e-5)
    np.testing.assert_allclose(
        pairs.images, source.read_images(pairs.ids) / 255.0, atol=1e-5
    )


def test_small_views_are_those_of_the_run():
    source = open_source((colour_images(4) * 255).astype(np.uint8))
    groups = (ViewGroup(2), ViewGroup(3, 0.5, (0.05, 0.14)))
    pairs = view_pairs(source, "cifar", image_size_pixels=8, number=4, groups=groups)
    plan = plan_views("cifar", 8, groups)
    batch = next(
        iter(
            training_dataset(
                source, global_batch_size=4, seed=0, total_steps=1, plan=plan
            )
        )
    )
    trained = make_views(batch["images"], batch["seeds"], plan)
    assert [views.shape for views in pairs.small] == [(4, 4, 4, 3)] * 3
    shown = (pairs.view_a, pairs.view_b, *pairs.small)
    for found, expected in zip(shown, trained, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def folder_of_two_sizes(folder):
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(6):
        size = (24, 20) if number % 2 else (18, 30)
        Image.fromarray(rng.integers(0, 256, (*size, 3), "uint8")).save(
            folder / f"{number}.jpg"
        )
    return f"folder:{folder}"


def grey_arrays(folder):
    folder.mkdir()
    np.savez(
        folder / "grey.npz",
        x_train=np.random.default_rng(0).integers(0, 256, (8, 12, 12), "uint8"),
    )
    return f"npz:{folder}/grey.npz"


WEAK = [
    "--recipe=cifar",
    "--augment.crop_area_min_fraction=0.95",
    "--num_pairs=6",
    "--augment.jitter_probability=0",
    "--augment.flip_probability=0",
    "--num_shown=3",
    "--image_size_pixels=16",
    "--num_images=1",
]


def test_files_of_several_sizes_become_page_and_pictures_with_warnings(
    tmp_path, capsys
):
    assert (
        show_views.main(
            [
                *WEAK,
                f"--data={folder_of_two_sizes(tmp_path / 'data')}",
                f"--output={tmp_path}/out",
            ]
        )
        == 0
    )
    said = capsys.readouterr().out
    assert "Warning: Near-identical pairs" in said
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"show_views.html", "show_views.md", "show_views.png"} <= written
    page = (tmp_path / "out" / "show_views.html").read_text()
    html5lib.HTMLParser(strict=True).parse(page)
    # Three images, each with four views; per row of operators: 1, 5, 1, four of 4,
    # 1, 4, 3, 3, 4, 1.
    assert page.count('class="tile"') == 15 + 39 and "crop_area_min_fraction" in page
    assert "Near-identical pairs" in page
    assert (tmp_path / "out" / "show_views.png").read_bytes()[1:4] == b"PNG"


def test_grey_arrays_become_one_picture(tmp_path, capsys):
    assert (
        show_views.main(
            [
                *WEAK,
                f"--data={grey_arrays(tmp_path / 'data')}",
                f"--output={tmp_path}/deep/views.png",
            ]
        )
        == 0
    )
    assert "Near-identical pairs" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["views.png"]
    assert (tmp_path / "deep" / "views.png").read_bytes()[1:4] == b"PNG"


def page_of_grey_arrays(folder, name, *flags):
    data = f"--data={grey_arrays(folder / 'data')}"
    assert show_views.main([*WEAK, *flags, f"--output={folder / name}", data]) == 0
    return (folder / name).read_text()


def test_the_small_views_of_the_objective_are_beside_the_pair(tmp_path):
    flags = ("--objective=swav", "--objective.small_views=2")
    page = page_of_grey_arrays(tmp_path, "out.html", *flags)
    assert "An image, its two views and its small ones (2)" in page
    assert page.count(">small 1<") == page.count(">small 2<") == 3


def test_views_of_one_branch_are_shown_and_named(tmp_path):
    page = page_of_grey_arrays(tmp_path, "out.md", "--augment.one_branch=rotate")
    assert "Both views have the same crop; only view a is changed, by: rotate." in page
    assert "crop_area_min_fraction" in page


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--recipe=cifr"], "cifar"),
        (["--num_pairs=1"], "num_pairs"),
        (["--data=folder:nowhere"], "nowhere"),
        (["--augment.hue=-1"], "hue"),
        (["--augment.recipe=evaluate"], "is now spelled --recipe=evaluate"),
        (["--output=/proc/nothing/x.png"], "Cannot write"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(
    arguments, words, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert show_views.main(arguments) == 2
    error = capsys.readouterr().err.strip()
    assert words in error.splitlines()[-1] and "Traceback" not in error
    assert list(pathlib.Path(tmp_path).iterdir()) == []
