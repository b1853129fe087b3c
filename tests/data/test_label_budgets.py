"""Which labels a budget gives: fractions, numbers a class, lists of files."""

import os

import numpy as np
import pytest
from PIL import Image

from simclr_tf.data import ArraySource, LabelBudget, label_subset, open_source
from simclr_tf.errors import ConfigError, DataError

LABELS = np.repeat([0, 1, 2], [50, 30, 20])


@pytest.fixture(scope="module")
def array():
    return ArraySource("mine", np.zeros([100, 4, 4, 1], np.uint8), LABELS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    for kind in ("cat", "dog"):
        (root / kind).mkdir()
        for number in range(3):
            Image.new("RGB", (8, 8), (number * 40, 9, 9)).save(
                root / kind / f"{kind}_{number}.png"
            )
    return open_source(f"folder:{root}")


def a_list(tmp_path, *names):
    path = tmp_path / "list.txt"
    path.write_text("\n".join(names) + "\n", encoding="utf-8")
    return LabelBudget(listed=str(path))


def test_fractions_and_numbers_are_the_stratified_nested_subsets(array):
    for seed in (0, 1):
        few = LabelBudget(fraction=0.1).subset(array, seed)
        np.testing.assert_array_equal(
            few, label_subset(LABELS, fraction=0.1, seed=seed)
        )
        assert set(few) < set(LabelBudget(fraction=0.5).subset(array, seed))
        each = LabelBudget(per_class=4).subset(array, seed)
        assert np.bincount(LABELS[each]).tolist() == [4, 4, 4]


def test_listed_images_are_found_by_file_name_whatever_the_folder(folder, tmp_path):
    budget = a_list(tmp_path, "dog_1.png", "", "elsewhere/cat_2.png")
    names = [folder.files()[i][0].rsplit("/")[-1] for i in budget.subset(folder, 7)]
    assert sorted(names) == ["cat_2.png", "dog_1.png"]


@pytest.mark.parametrize(
    "names, words",
    [
        (["cat_0.png", "cow_1.png"], "1 of 2 names in .* not among .*: cow_1.png"),
        (["cat_0.png", "cat_0.png"], "lists images twice: cat/cat_0.png"),
        (["cat_0.png", "cat/cat_0.png"], "lists images twice: cat/cat_0.png"),
        (["cat_0.png\0"], "not a text in UTF-8"),
        ([""], "lists no images"),
    ],
)
def test_lists_that_do_not_fit_are_refused_by_name(folder, tmp_path, names, words):
    with pytest.raises(DataError, match=words):
        a_list(tmp_path, *names).subset(folder, 0)


def test_a_name_in_two_folders_is_refused(tmp_path):
    for kind in ("cat", "dog"):
        (tmp_path / "p" / kind).mkdir(parents=True)
        Image.new("L", (8, 8), 9).save(tmp_path / "p" / kind / "1.png")
    source = open_source(f"folder:{tmp_path / 'p'}")
    way_out = "more than once among .*: 1.png; write their folders too, as in cat/1.png"
    with pytest.raises(DataError, match=way_out):
        a_list(tmp_path, "1.png").subset(source, 0)
    both = a_list(tmp_path, "dog/1.png", "cat/1.png")
    assert both.subset(source, 0).tolist() == [0, 1]
    assert a_list(tmp_path, "dog/1.png").subset(source, 0).tolist() == [1]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfcat_1.png\r\ndog/dog_2.png\r\n",
        b"cat\\cat_1.png\n..\\elsewhere\\dog_2.png",
    ],
)
def test_lists_from_windows_are_read(folder, tmp_path, content):
    (tmp_path / "list.txt").write_bytes(content)
    chosen = LabelBudget(listed=str(tmp_path / "list.txt")).subset(folder, 0)
    assert [folder.files()[i][0] for i in chosen] == ["cat/cat_1.png", "dog/dog_2.png"]


def test_a_list_may_have_names_that_are_no_text(tmp_path):
    root = os.fsencode(tmp_path / "p")
    for name in (b"a/caf\xe9.png", b"b/2.png"):
        os.makedirs(os.path.dirname(os.path.join(root, name)))
        with open(os.path.join(root, name), "wb") as stream:
            Image.new("L", (8, 8), 9).save(stream, "PNG")
    source = open_source(f"folder:{tmp_path / 'p'}")
    (tmp_path / "list.txt").write_bytes(b"caf\xe9.png\n")
    budget = LabelBudget(listed=str(tmp_path / "list.txt"))
    assert budget.subset(source, 0).tolist() == [0]


def test_images_without_files_cannot_be_listed(array, tmp_path):
    with pytest.raises(DataError, match="imagenet2012_subset/1pct"):
        a_list(tmp_path, "1.png").subset(array, 0)
    with pytest.raises(DataError, match="Cannot read the list"):
        LabelBudget(listed=str(tmp_path / "none")).subset(array, 0)


@pytest.mark.parametrize(
    "length, name, is_taken",
    [
        (12_811, "n00000000_{}.JPEG", True),
        (128_116, "n00000000_{}.JPEG", True),
        (12_810, "n00000000_{}.JPEG", False),
        (9, "{}.jpg", True),
    ],
)
def test_of_imagenet_only_whole_lists_are_taken(tmp_path, length, name, is_taken):
    class ImageNet(ArraySource):
        def files(self):
            return [("n/" + name.format(i), 1, 1) for i in range(self.num_examples)]

    number = 130_000
    source = ImageNet(
        "imagenet", np.zeros([number, 1, 1, 1], np.uint8), np.arange(number) % 1000
    )
    budget = a_list(tmp_path, *(name.format(i) for i in range(length)))
    if is_taken:
        assert len(budget.subset(source, 0)) == length
    else:
        with pytest.raises(DataError, match=r"12,811 \(1 %\) or 128,116 .* has 12,810"):
            budget.subset(source, 0)


@pytest.mark.parametrize("arguments", [{}, {"fraction": 0.1, "per_class": 2}])
def test_a_budget_is_exactly_one_thing(arguments):
    with pytest.raises(ConfigError, match="a fraction, a number a class, or a list"):
        LabelBudget(**arguments)
