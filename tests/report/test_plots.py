"""Contact sheets: the pixels of the pictures are the pixels of the images."""

import sys

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from simclr_tf.errors import ConfigError, DataError, WorkdirError
from simclr_tf.report import neighbours_figure, plots, view_pairs_figure

RED, GREEN, BLUE = np.eye(3)


def plain(*colors):
    """Images of one colour each."""
    return np.stack([np.broadcast_to(c, (6, 6, 3)) for c in colors]).astype(np.float32)


def share(picture, color):
    """Part of the picture's pixels that have a colour."""
    return float(np.mean(np.abs(picture[..., :3] - color).max(axis=-1) < 0.02))


def test_image_and_both_views_are_on_the_sheet_equally_large(tmp_path):
    path = tmp_path / "new" / "views.png"
    view_pairs_figure(plain(RED), plain(GREEN), plain(BLUE), path)
    picture = imread(path)
    red, green, blue = (share(picture, color) for color in (RED, GREEN, BLUE))
    assert red > 0.1 and green == pytest.approx(red) and blue == pytest.approx(red)
    columns = [
        np.argwhere(np.abs(picture[..., :3] - c).max(-1) < 0.02)[:, 1].mean()
        for c in (RED, GREEN, BLUE)
    ]
    assert columns == sorted(columns)


@pytest.mark.parametrize("count, rows", [(1, 1), (4, 1), (5, 2), (12, 3)])
def test_sheet_has_four_triples_a_row(tmp_path, count, rows):
    images = plain(*[RED] * count)
    view_pairs_figure(images, images, images, tmp_path / "v.png")
    ink = np.abs(imread(tmp_path / "v.png")[..., :3] - RED).max(axis=-1) < 0.02
    assert np.sum(np.diff(ink.any(axis=1).astype(int)) == 1) == rows
    assert np.sum(np.diff(ink.any(axis=0).astype(int)) == 1) == 3 * min(count, 4)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_any_number_of_channels_can_be_drawn(tmp_path, channels, dtype):
    images = np.full([2, 4, 6, channels], 100 if dtype == np.uint8 else 0.4, dtype)
    view_pairs_figure(images, images, images, tmp_path / "v.png")
    level = 100 / 255 if dtype == np.uint8 else 0.4
    assert share(imread(tmp_path / "v.png"), np.full(3, level)) > 0.1


def draw_neighbours(path, found_labels, **others):
    """One query of class 0 with two grey neighbours of the given classes."""
    gallery = np.full([2, 6, 6, 1], 0.5, np.float32)
    neighbours_figure(
        gallery[:1],
        gallery,
        {"this encoder": [[0, 1]]},
        path,
        query_labels=[0],
        gallery_labels=found_labels,
        **others,
    )
    return imread(path)


def test_frames_tell_right_neighbours_from_wrong_ones(tmp_path):
    right, wrong = np.array(to_rgb(plots.CORRECT)), np.array(to_rgb(plots.INCORRECT))
    both = draw_neighbours(tmp_path / "a.png", [0, 1])
    all_right = draw_neighbours(tmp_path / "b.png", [0, 0])
    all_wrong = draw_neighbours(tmp_path / "c.png", [1, 1])
    # The legend shows a little of both colours everywhere.
    assert share(all_right, right) > 3 * share(all_right, wrong)
    assert share(all_wrong, wrong) > 3 * share(all_wrong, right)
    assert share(all_right, right) > share(both, right) > share(all_wrong, right)


def test_class_names_change_the_titles(tmp_path):
    numbers = draw_neighbours(tmp_path / "a.png", [0, 1])
    names = draw_neighbours(
        tmp_path / "b.png", [0, 1], class_names=["Soulsphere", "A very long class name"]
    )
    assert numbers.shape == names.shape and (numbers != names).any()


def test_representations_stand_side_by_side_without_labels(tmp_path):
    gallery = plain(RED, GREEN, BLUE)
    neighbours_figure(
        gallery[:1] * 0,
        gallery,
        {"this encoder": [[0]], "raw pixels": [[2]]},
        tmp_path / "n.png",
    )
    picture = imread(tmp_path / "n.png")
    assert share(picture, RED) > 0.05 and share(picture, BLUE) > 0.05
    assert share(picture, GREEN) == 0 and share(picture, to_rgb(plots.CORRECT)) == 0


@pytest.mark.parametrize(
    "neighbours, reason",
    [
        ({}, "needs queries and neighbours"),
        ({"x": [[0], [1]]}, r"shape \[1, k\]"),
        ({"x": [[3]]}, "image 3 of a gallery of 3"),
        ({"x": [[-1]]}, "gallery"),
    ],
)
def test_neighbours_that_do_not_fit_are_refused(tmp_path, neighbours, reason):
    gallery = plain(RED, GREEN, BLUE)
    with pytest.raises(DataError, match=reason):
        neighbours_figure(gallery[:1], gallery, neighbours, tmp_path / "n.png")
    assert list(tmp_path.iterdir()) == []


def test_views_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(DataError, match="1, 2, 1"):
        view_pairs_figure(plain(RED), plain(RED, RED), plain(RED), tmp_path / "v.png")
    with pytest.raises(DataError, match="at least one"):
        view_pairs_figure(*[plain(RED)[:0]] * 3, tmp_path / "v.png")
    with pytest.raises(DataError, match="shape"):
        view_pairs_figure(*[plain(RED)[0]] * 3, tmp_path / "v.png")


def test_full_disk_keeps_the_old_picture(tmp_path, monkeypatch):
    path = tmp_path / "v.png"
    path.write_bytes(b"old")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(WorkdirError, match="No space left"):
        view_pairs_figure(*[plain(RED)] * 3, path)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_missing_matplotlib_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ConfigError, match=r'pip install "simclr-tf\[plots\]"'):
        view_pairs_figure(*[plain(RED)] * 3, tmp_path / "v.png")


def test_pyplot_does_not_know_these_figures(tmp_path):
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    view_pairs_figure(*[plain(RED)] * 3, tmp_path / "v.png")
    assert pyplot.get_fignums() == before
