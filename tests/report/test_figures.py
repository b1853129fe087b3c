"""Sheets of images: the pixels of the pictures are the pixels of the images."""

import io
import sys

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from simclr_tf.commands.view_pairs import ViewPairs
from simclr_tf.errors import ConfigError, DataError, WorkdirError
from simclr_tf.report.blocks import Gallery, Tile
from simclr_tf.report.drawing import CORRECT, INCORRECT
from simclr_tf.report.galleries import (
    ImageRows,
    gallery_drawing,
    neighbours_gallery,
    pairs_gallery,
)

RED, GREEN, BLUE = np.eye(3)


def plain(*colors):
    """Images of one colour each."""
    return np.stack([np.broadcast_to(c, (6, 6, 3)) for c in colors]).astype(np.float32)


def drawn(gallery):
    return imread(io.BytesIO(gallery_drawing([gallery]).png()))


def sheet_of(images, view_a, view_b):
    pairs = ViewPairs(np.arange(len(images)), images, view_a, view_b)
    return pairs_gallery(pairs, len(images))


def share(picture, color):
    """Part of the picture's pixels that have a colour."""
    return float(np.mean(np.abs(picture[..., :3] - color).max(axis=-1) < 0.02))


def test_image_and_both_views_are_on_the_sheet_equally_large():
    picture = drawn(sheet_of(plain(RED), plain(GREEN), plain(BLUE)))
    red, green, blue = (share(picture, color) for color in (RED, GREEN, BLUE))
    assert red > 0.05 and green == pytest.approx(red, rel=0.03)
    assert blue == pytest.approx(red, rel=0.03)
    columns = [
        np.argwhere(np.abs(picture[..., :3] - c).max(-1) < 0.02)[:, 1].mean()
        for c in (RED, GREEN, BLUE)
    ]
    assert columns == sorted(columns)


@pytest.mark.parametrize("count, rows", [(1, 1), (4, 1), (5, 2), (12, 3)])
def test_sheet_has_four_triples_a_row(count, rows):
    images = plain(*[RED] * count)
    picture = drawn(sheet_of(images, images, images))
    ink = np.abs(picture[..., :3] - RED).max(axis=-1) < 0.02
    assert np.sum(np.diff(ink.any(axis=1).astype(int)) == 1) == rows
    assert np.sum(np.diff(ink.any(axis=0).astype(int)) == 1) == 3 * min(count, 4)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_any_number_of_channels_can_be_drawn(channels, dtype):
    images = np.full([2, 4, 6, channels], 100 if dtype == np.uint8 else 0.4, dtype)
    level = 100 / 255 if dtype == np.uint8 else 0.4
    assert share(drawn(sheet_of(images, images, images)), np.full(3, level)) > 0.1


def neighbours(labels, **others):
    """One query of class 0 with two grey neighbours of the given classes."""
    grey = np.full([2, 6, 6, 1], 0.5, np.float32)
    return neighbours_gallery(
        ImageRows(
            grey, np.array(labels), ["a/1.png", "a/2.png"], others.get("classes")
        ),
        ImageRows(grey[:1], np.array([0]), ["b/<i>.png"], others.get("classes")),
        [0],
        {"this encoder": (np.array([[0, 1]]), np.array([[0.93, 0.5]]))},
    )


def test_frames_tell_right_neighbours_from_wrong_ones():
    right, wrong = np.array(to_rgb(CORRECT)), np.array(to_rgb(INCORRECT))
    both, all_right, all_wrong = (
        drawn(neighbours(labels)) for labels in ([0, 1], [0, 0], [1, 1])
    )
    # The legend shows a little of both colours everywhere.
    assert share(all_right, right) > 3 * share(all_right, wrong)
    assert share(all_wrong, wrong) > 3 * share(all_wrong, right)
    assert share(all_right, right) > share(both, right) > share(all_wrong, right)


def test_neighbours_carry_class_score_file_and_group():
    gallery = neighbours([0, 1], classes=("Soulsphere", "imp"))
    ((title, (query, first, second)),) = gallery.rows
    assert title == "this encoder: 1 of 2 of its class"
    assert (query.caption, query.detail) == ("Soulsphere", "b/<i>.png")
    assert (first.caption, first.detail) == ("Soulsphere 0.93", "a/1.png")
    assert (second.caption, second.mark, second.group) == (
        "imp 0.50",
        "other",
        "Soulsphere",
    )


def test_in_a_comparison_the_one_with_most_of_the_class_is_marked():
    grey = np.full([2, 6, 6, 1], 0.5, np.float32)
    images = ImageRows(grey, np.array([0, 1]))
    found = {
        name: (np.array([[row, row]]), np.ones((1, 2)))
        for name, row in (("good", 0), ("bad", 1))
    }
    rows = neighbours_gallery(images, images, [0], found, is_comparison=True).rows
    assert [title[-1] == "★" for title, _ in rows] == [True, False]
    found["bad"] = found["good"]
    rows = neighbours_gallery(images, images, [0], found, is_comparison=True).rows
    assert not any("★" in title for title, _ in rows)


def test_a_sheet_without_images_and_flat_images_are_refused():
    with pytest.raises(DataError, match="at least one image"):
        gallery_drawing([Gallery("nothing", (("row", ()),))])
    with pytest.raises(DataError, match="shape"):
        drawn(Gallery("flat", (("", (Tile(np.zeros([4, 4])),)),)))


def test_full_disk_keeps_the_old_picture(tmp_path, monkeypatch):
    path = tmp_path / "v.png"
    path.write_bytes(b"old")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(WorkdirError, match="No space left"):
        gallery_drawing([sheet_of(*[plain(RED)] * 3)]).save(path)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_missing_matplotlib_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ConfigError, match=r'pip install "simclr-tf\[plots\]"'):
        gallery_drawing([sheet_of(*[plain(RED)] * 3)])


def test_pyplot_and_its_settings_do_not_know_these_figures():
    from matplotlib import pyplot, rcParams

    before = pyplot.get_fignums(), dict(rcParams)
    gallery_drawing([sheet_of(*[plain(RED)] * 3)]).png()
    assert (pyplot.get_fignums(), dict(rcParams)) == before
