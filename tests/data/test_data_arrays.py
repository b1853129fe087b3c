import io
import zipfile

import numpy as np
import pytest

from simclr_tf.data import open_source
from simclr_tf.data.sources.kind import bounds_to_range, parse_split
from simclr_tf.errors import ConfigError, DataError

IDS = np.array([2, 0])


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (6, 8, 9, 3), dtype=np.uint8)


def test_array_source_returns_the_pixels_of_the_ids_asked_for(images):
    source = open_source((images, np.arange(6)))
    np.testing.assert_array_equal(source.read_images(IDS), images[IDS])
    assert source.labels.dtype == np.int64 and source.labels.tolist() == [*range(6)]
    assert source.image_shape == (8, 9, 3) and source.channels == 3


def test_images_without_channel_axis_get_one(images):
    source = open_source(images[..., 0])
    assert source.image_shape == (8, 9, 1)
    np.testing.assert_array_equal(source.read_images(IDS), images[IDS][..., :1])


def test_double_precision_images_are_read_as_float32(images):
    source = open_source(images / 255)
    assert source.read_images(IDS).dtype == np.float32


def test_any_number_of_channels_is_accepted(rng):
    source = open_source(rng.random((4, 8, 8, 7)))
    assert source.channels == 7


def test_uncompressed_npz_is_memory_mapped_and_correct(tmp_path, images):
    np.savez(
        tmp_path / "mine.npz",
        x_train=images,
        y_train=np.arange(6)[:, np.newaxis],
        classes=list("abcdef"),
    )
    source = open_source(f"npz:{tmp_path}/mine.npz")
    assert isinstance(source.images, np.memmap)
    np.testing.assert_array_equal(source.read_images(IDS), images[IDS])
    assert source.labels.tolist() == [*range(6)] and source.classes == tuple("abcdef")


def test_memory_mapping_reads_fortran_order_as_numpy_does(tmp_path, images):
    np.savez(
        tmp_path / "mine.npz",
        y_train=np.zeros(6, int),
        x_train=np.asfortranarray(images),
    )
    source = open_source(f"npz:{tmp_path}/mine.npz")
    assert isinstance(source.images, np.memmap)
    np.testing.assert_array_equal(source.images, images)


def test_compressed_npz_gives_the_same_images(tmp_path, images):
    np.savez_compressed(tmp_path / "mine.npz", x_test=images)
    source = open_source(f"npz:{tmp_path}/mine.npz", split="test")
    np.testing.assert_array_equal(source.images, images)
    assert source.labels is None


def test_npy_file_is_memory_mapped(tmp_path, images):
    np.save(tmp_path / "mine.npy", images)
    source = open_source(f"npz:{tmp_path}/mine.npy")
    assert isinstance(source.images, np.memmap)
    np.testing.assert_array_equal(source.read_images(IDS), images[IDS])


def test_subset_renumbers_images_labels_and_names(images):
    source = open_source((images, np.arange(6))).subset([5, 1, 3]).subset([2, 0])
    assert source.labels.tolist() == [3, 5]
    np.testing.assert_array_equal(source.read_images(np.array([1])), images[5:6])
    assert source.example_name(1).endswith("#5")


def test_labelled_false_drops_the_labels(images):
    assert open_source((images, np.arange(6)), labelled=False).labels is None


def test_keeping_some_labels_changes_this_source_and_no_part_or_array_of_others(images):
    labels = np.arange(6)
    source = open_source((images, labels))
    other = open_source((images, labels))
    source.keep_labels([4, 0])
    assert source.labels.tolist() == [0, -1, -1, -1, 4, -1]
    assert other.labels.tolist() == labels.tolist() == [0, 1, 2, 3, 4, 5]


def test_fingerprint_depends_on_pixels_labels_and_order_only(images):
    labels = np.arange(6)
    same = open_source((images.copy(), labels)).fingerprint()
    assert open_source((images, labels)).fingerprint() == same
    brighter = images.copy()
    brighter[3, 0, 0, 0] ^= 1
    others = [
        open_source((brighter, labels)),
        open_source((images, labels[::-1])),
        open_source(images),
        open_source((images[::-1], labels)),
        open_source((images, labels)).subset([0, 1, 2]),
        open_source((images, labels)).subset([0, 2, 1]),
    ]
    assert len({same, *(source.fingerprint() for source in others)}) == 7


@pytest.mark.parametrize(
    "bad, words",
    [
        (np.full((4, 8, 8, 3), 1.5), r"\[0, 1\].*largest=1.5"),
        (np.full((4, 8, 8, 3), -0.1), r"\[0, 1\].*smallest=-0.1"),
        (np.full((4, 8, 8, 3), np.inf), r"\[0, 1\].*largest=inf"),
        (np.zeros((4, 8, 8, 3), np.int64), "uint8.*dtype='int64'"),
        (np.zeros((4, 3, 8, 8), np.uint8), r"channels first.*moveaxis\(images, 1, -1"),
        (np.zeros((4, 8), np.uint8), r"shape.*\(4, 8\)"),
        (np.zeros((4, 0, 8, 3), np.uint8), "empty"),
        (np.zeros((0, 8, 8, 3), np.uint8), "at least 1.*num_examples=0"),
    ],
)
def test_unusable_arrays_are_refused_in_one_line(bad, words):
    with pytest.raises(DataError, match=words) as caught:
        open_source(bad)
    assert "\n" not in str(caught.value)


def test_nan_pixels_are_refused_with_the_first_image():
    images = np.zeros((9, 8, 8, 1), np.float32)
    images[6, 3, 3] = np.nan
    with pytest.raises(DataError, match="NaN.*first_image_with_nan=6"):
        open_source(images)


@pytest.mark.parametrize(
    "labels, words",
    [
        (np.zeros(5, int), "images=6, labels=5"),
        (np.full(6, -2), "smallest=-2"),
    ],
)
def test_unusable_labels_are_refused(images, labels, words):
    with pytest.raises(DataError, match=words):
        open_source((images, labels))


def test_npz_with_a_member_of_another_kind_is_read_without_it(tmp_path, images):
    """Found by a coverage-guided fuzzer: NumPy lists `y_train` and `y_train.npy`."""
    np.savez(tmp_path / "set.npz", x_train=images)
    with zipfile.ZipFile(tmp_path / "set.npz", "a") as archive:
        archive.writestr("y_train", b"no array")
    assert open_source(f"npz:{tmp_path}/set.npz").labels is None


def test_header_that_python_cannot_split_into_words_is_refused(tmp_path):
    """Found by a coverage-guided fuzzer: NumPy does not catch its TokenError."""
    header = b"{'descr': ((" + b" " * 51 + b"\n"
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    (tmp_path / "set.npy").write_bytes(content + bytes(64))
    with pytest.raises(DataError, match="not an array file"):
        open_source(f"npz:{tmp_path}/set.npy")


def test_npz_without_the_keys_names_those_present(tmp_path, images):
    np.savez(tmp_path / "mine.npz", pictures=images, y_train=np.arange(6))
    with pytest.raises(DataError, match=r"x_train.*keys=\['pictures', 'y_train'\]"):
        open_source(f"npz:{tmp_path}/mine.npz")


def test_missing_and_broken_array_files_are_refused(tmp_path, images):
    with pytest.raises(DataError, match="No such file"):
        open_source(f"npz:{tmp_path}/none.npz")
    stream = io.BytesIO()
    np.savez(stream, x_train=images)
    (tmp_path / "cut.npz").write_bytes(stream.getvalue()[:300])
    (tmp_path / "text.npz").write_text("no array")
    pickled = tmp_path / "pickled.npz"
    np.savez(pickled, x_train=np.array([{}, {}], object))
    for name in ("cut", "text", "pickled"):
        with pytest.raises(DataError, match="not an array file"):
            open_source(f"npz:{tmp_path}/{name}.npz")


@pytest.mark.parametrize(
    "spec, words",
    [
        ("fodler:/tmp", "Did you mean `folder:PATH`"),
        ("embeded:freedoom_12", "Did you mean `embedded:freedoom_12`"),
        (
            "cifar10",
            "Choices: embedded:freedoom_12, embedded:fashion_mnist_10k, folder:",
        ),
        ("/data/mine.npz", "Did you mean `npz:/data/mine.npz`"),
        ("folder:", "followed by"),
    ],
)
def test_unknown_schemes_are_answered_with_the_grammar(spec, words):
    with pytest.raises(ConfigError, match=words):
        open_source(spec)


def test_bare_folder_path_is_answered_with_the_folder_form(tmp_path):
    with pytest.raises(ConfigError, match=f"`folder:{tmp_path}`"):
        open_source(str(tmp_path))


@pytest.mark.parametrize("spec", [5, None, [5], {"x": 1}])
def test_other_objects_are_refused(spec):
    with pytest.raises(ConfigError, match="must be a str, a NumPy array"):
        open_source(spec)


def test_split_strings_follow_python_slices():
    assert parse_split("train") == ("train", None)
    numbers = list(range(37))
    for text in ("[5:]", "[:5]", "[5:9]", "[-5:]", "[:-5]", "[:]", "[30:99]", "[9:3]"):
        start, stop = bounds_to_range(parse_split("train" + text)[1], 37)
        assert numbers[start:stop] == eval(f"numbers{text}")


def test_percent_splits_are_disjoint_and_complete():
    parts = [bounds_to_range((f"{p}%", f"{p + 10}%"), 37) for p in range(0, 100, 10)]
    assert parts[0][0] == 0 and parts[-1][1] == 37
    assert all(a[1] == b[0] for a, b in zip(parts, parts[1:], strict=False))


@pytest.mark.parametrize("split", ["train[", "train[a:b]", "train+test", "", "[:5]"])
def test_other_split_strings_are_refused(images, split):
    with pytest.raises(ConfigError, match="split"):
        open_source(images, split=split)


def test_an_array_has_no_test_split(images):
    with pytest.raises(ConfigError, match="one split, `train`"):
        open_source(images, split="test")


def test_number_of_classes_covers_names_and_labels(images):
    assert open_source(images).num_classes is None
    assert open_source((images, [0, 4, 1, -1, -1, 2])).num_classes == 5
    assert open_source("embedded:freedoom_12", split="test[:2]").num_classes == 12
