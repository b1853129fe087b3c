"""A cache changes no batch, is whole or not there, and fits or is refused."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from simclr_tf.augment import plan_views
from simclr_tf.config import Config
from simclr_tf.config.schema import override
from simclr_tf.data import (
    CorruptionLog,
    ImageCache,
    cache,
    evaluation_batches,
    open_source,
    training_dataset,
)
from simclr_tf.data.cache import CachedSource
from simclr_tf.data.sources.folder import FolderSource
from simclr_tf.data.sources.tfds import RecordSource
from simclr_tf.data.storage import (
    MANIFEST,
    kept_entry,
)
from simclr_tf.errors import ConfigError, DataError

PHOTOS = [
    f"{kind}/{i}.{end}"
    for kind in ("cat", "dog")
    for i, end in enumerate(("jpg", "png", "jpg", "jpg", "png"))
]


def break_middle(path):
    """Spoil a PNG so that only decoding it shows it."""
    png = path.read_bytes()
    middle = len(png) // 2
    path.write_bytes(
        png[:middle]
        + bytes(255 - b for b in png[middle : middle + 40])
        + png[middle + 40 :]
    )


@pytest.fixture
def photos(tmp_path, save_photos):
    """A folder of ten photos of several sizes, one of them broken in its middle."""
    folder = save_photos(tmp_path / "photos", *PHOTOS)
    break_middle(folder / "dog/4.png")
    return folder


def cache_at(place, folder, said=None):
    return ImageCache(
        place, folder, (lambda line: None) if said is None else said.append
    )


def batches_of(source, steps=6):
    dataset = training_dataset(
        source,
        global_batch_size=4,
        seed=3,
        total_steps=steps,
        plan=plan_views("simclr_v1", 8),
    )
    return list(dataset.as_numpy_iterator())


def require_equal(ours, theirs):
    assert len(ours) == len(theirs) > 0
    for a, b in zip(ours, theirs, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_batches_of_files_are_bit_identical_with_any_cache(photos, tmp_path):
    plain = open_source(
        f"folder:{photos}",
        split="train[20%:]",
        slices="in_order",
        max_corrupt_fraction=0.3,
    )
    (photos / "dog/1.png").unlink()  # Nor can a missing file be read by a cache.
    expected = batches_of(plain)
    replaced = np.unique([batch["skipped"] for batch in expected])
    assert {plain.example_name(i) for i in replaced[1:]} == {"dog/1.png", "dog/4.png"}
    cached = {
        name: cache_at(place, tmp_path / "cache").keep(plain)
        for name, place in (
            ("memory", "memory"),
            ("disk, filled", "disk"),
            ("disk, found", "disk"),
        )
    }
    for path in photos.rglob("*.*"):
        path.unlink()  # From here on nothing can come from the files.
    for name, source in cached.items():
        assert isinstance(source, CachedSource), name
        if name == "memory":
            require_equal(batches_of(source), expected)
        ids = np.arange(source.num_examples)  # The others give the same bytes.
        assert (
            source.locations(ids)[0].tolist()
            == cached["memory"].locations(ids)[0].tolist()
        )
        assert source.fingerprint() == plain.fingerprint()
        assert source.files() == plain.files() and repr(plain)[12:] in repr(source)
        assert [source.example_name(i) for i in range(source.num_examples)] == [
            plain.example_name(i) for i in range(plain.num_examples)
        ]
        ids = np.array([5, 2, 3])
        part, same = source.subset(ids), plain.subset(ids)
        assert part.fingerprint() == same.fingerprint()
        assert part.example_name(0) == plain.example_name(5)
        np.testing.assert_array_equal(
            part.encoded_bytes(np.arange(3)), same.encoded_bytes(np.arange(3))
        )
        assert part.locations(np.array([1]))[0][0] == source.locations([2])[0][0] != b""
    seen = [batch["ids"] for batch in evaluation_batches(part, 2, 8)]
    assert np.concatenate(seen).tolist() == [0, 1, 2]
    log = CorruptionLog(source)
    log.record(replaced)
    assert sorted(source.corrupt) == ["dog/1.png", "dog/4.png"]


def test_images_in_records_are_cached_too(tmp_path):
    contents = [b"..\0", b"", b"a\0b\0\0", b"0123456789"]  # Any bytes.
    sizes = np.array([len(content) for content in contents])
    index = np.stack([0 * sizes, np.cumsum(sizes) - sizes, sizes, sizes % 2], axis=1)
    shard = tmp_path / "shard"
    shard.write_bytes(b"".join(contents))
    source = RecordSource(
        "mine", [str(shard)], index, identity="1", labelled=True, channels=3
    )
    for place in ("memory", "disk"):
        kept = cache_at(place, tmp_path / "cache").keep(source)
        assert kept.locations(np.array([3, 0, 2, 1]))[0].tolist() == [
            contents[i] for i in (3, 0, 2, 1)
        ]
        assert kept.fingerprint() == source.fingerprint()
        np.testing.assert_array_equal(kept.labels, source.labels)


def test_pixels_of_small_files_are_decoded_once_for_all_runs(
    tmp_path, photo, monkeypatch
):
    for number in range(6):
        photo().save(tmp_path / f"{number}.png")
    break_middle(tmp_path / "2.png")
    said, of_each = [], cache._of_each
    plain = open_source(f"folder:{tmp_path}", max_corrupt_fraction=0.2)

    def only_the_broken(source, *rest):
        assert [name for name, *_ in source.files()] == ["2.png"]
        return of_each(source, *rest)

    for _ in range(2):
        source = open_source(
            f"folder:{tmp_path}",
            max_corrupt_fraction=0.2,
            cache=cache_at("disk", tmp_path / ".cache", said),
        )
        assert isinstance(source.images, np.memmap) and source.corrupt == ["2.png"]
        np.testing.assert_array_equal(source.images, plain.images)
        assert source.fingerprint() == plain.fingerprint()
        require_equal(batches_of(source, 2), batches_of(plain, 2))
        # The second time nothing is decoded, but what could not be.
        monkeypatch.setattr(cache, "_of_each", only_the_broken)
    assert len(said) == 2 and "6 decoded images" in said[0] and "read before" in said[1]


def test_the_cache_of_other_images_is_not_used(photos, tmp_path):
    said = []

    def opened():
        return open_source(
            f"folder:{photos}",
            max_corrupt_fraction=0.2,
            cache=cache_at("disk", tmp_path / "cache", said),
        )

    opened()
    Image.new("RGB", (30, 20), (9, 9, 9)).save(photos / "cat/1.png")
    source = opened()
    assert "read before" not in said[1]
    opened()
    assert "read before" in said[2]
    first = source.locations(np.array([1]))[0][0]
    assert first == (photos / "cat/1.png").read_bytes()


def test_a_photo_that_is_turned_in_place_is_read_again(tmp_path, photo):
    notes = Image.Exif()
    notes[0x010F], notes[0x0112] = "a maker", 1
    paths, photos = (
        [tmp_path / name for name in ("a.jpg", "b.jpg")],
        [photo(), photo(9)],
    )
    for path, picture in zip(paths, photos, strict=True):
        picture.save(path, exif=notes)

    def opened():
        return open_source(
            f"folder:{tmp_path}", cache=cache_at("disk", tmp_path / ".cache")
        )

    before = opened()
    notes[0x0112] = 6
    photos[0].save(paths[0], exif=notes)
    after = opened()
    assert after.fingerprint() == before.fingerprint()
    for path, found in zip(paths, after.locations(np.arange(2))[0], strict=True):
        assert found == path.read_bytes()


@pytest.mark.parametrize("kind", ["encoded", "decoded"])
def test_files_that_could_not_be_read_for_a_while_are_read_again(
    tmp_path, photo, monkeypatch, kind
):
    for number in range(6):
        side = 20 + number * (kind == "encoded")
        photo(side, side).save(tmp_path / f"{number}.png")
    said, read_encoded = [], FolderSource.read_encoded

    def opened():
        return open_source(
            f"folder:{tmp_path}",
            max_corrupt_fraction=0.2,
            cache=cache_at("disk", tmp_path / ".cache", said),
        )

    def without_third(source, path):
        gone = tf.strings.regex_full_match(path, r".*/3\.png")
        return read_encoded(source, tf.where(gone, "/nowhere", path))

    monkeypatch.setattr(FolderSource, "read_encoded", without_third)
    partly = opened()
    if kind == "encoded":
        assert partly.locations(np.array([3]))[0][0] == b""
    else:
        assert partly.corrupt == ["3.png"]
    monkeypatch.undo()
    source = opened()
    assert source.num_examples == 6 and source.corrupt == []
    if kind == "encoded":
        content = source.locations(np.array([3]))[0][0]
        assert content == (tmp_path / "3.png").read_bytes()
    opened()
    assert ["read before" in line for line in said] == [False, False, True]


def test_a_damaged_cache_is_not_blamed_on_the_images(photos, tmp_path):
    def opened():
        return open_source(
            f"folder:{photos}",
            max_corrupt_fraction=0.2,
            cache=cache_at("disk", tmp_path / "cache"),
        )

    opened()
    (entry,) = (path for path in (tmp_path / "cache").iterdir() if path.is_dir())
    content = bytearray((entry / "content").read_bytes())
    content[5] ^= 1
    (entry / "content").write_bytes(content)
    with pytest.raises(DataError, match=f"delete {entry}, and the next start") as error:
        opened().locations(np.array([0]))
    assert "not the images" in str(error.value)
    # Lengths or checksums that are not those of before: the entry is filled again.
    lengths = (entry / "sizes.npy").read_bytes()
    (entry / "sizes.npy").write_bytes(lengths[:-1] + bytes([lengths[-1] ^ 1]))
    first = opened().locations(np.array([0]))[0][0]
    assert first == (photos / opened().example_name(0)).read_bytes()


def test_the_size_is_said_before_anything_is_kept(photos, tmp_path):
    said = []
    source = open_source(f"folder:{photos}", max_corrupt_fraction=0.2)
    total = sum((photos / name).stat().st_size for name in PHOTOS)
    for place in ("memory", "disk"):
        cache_at(place, tmp_path / "cache", said).keep(source)
    assert len(said) == 2
    for line in said:
        assert "10 encoded images" in line and "MiB free)" in line and "\n" not in line
        size = float(re.search(r"images, ([\d.]+) MiB", line).group(1))
        assert size == pytest.approx(total / 2**20, rel=0.05)
    entry = pathlib.Path(re.search(r"Cache +(.*?): ", said[1]).group(1))
    assert entry.is_dir() and entry.parent == tmp_path / "cache"


@pytest.mark.parametrize(
    "place, function, way_out",
    [
        ("memory", "free_memory_bytes", "--data.cache=disk"),
        ("disk", "free_disk_bytes", "another --data.cache_dir"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    photos, tmp_path, monkeypatch, place, function, way_out
):
    source = open_source(f"folder:{photos}", max_corrupt_fraction=0.2)
    total = sum(source.encoded_bytes(np.arange(source.num_examples)).tolist())
    monkeypatch.setattr(cache, function, lambda *_: total)
    with pytest.raises(ConfigError) as error:
        cache_at(place, tmp_path / "cache").keep(source)
    message = str(error.value)
    for words in (f"--data.cache={place} needs", way_out, "--data.cache=none", "%"):
        assert words in message
    assert "\n" not in message
    left = tmp_path / "cache"
    assert not left.exists() or [p.suffix for p in left.iterdir()] == [".lock"]
    monkeypatch.setattr(cache, function, lambda *_: 2 * total)
    assert cache_at(place, tmp_path / "cache").keep(source).num_examples == 10


def test_an_image_that_changes_while_it_is_read_stops_the_filling(photos, tmp_path):
    source = open_source(f"folder:{photos}", max_corrupt_fraction=0.2)
    (photos / "cat/0.jpg").write_bytes(b"other")
    for place in ("memory", "disk"):
        with pytest.raises(DataError, match="cat/0.jpg has changed"):
            cache_at(place, tmp_path / "cache").keep(source)
    assert [p.suffix for p in (tmp_path / "cache").iterdir()] == [".lock"]


def test_a_folder_that_cannot_be_used_is_named(photos):
    source = open_source(f"folder:{photos}", max_corrupt_fraction=0.2)
    with pytest.raises(DataError, match="--data.cache_dir=.*Not a directory") as error:
        cache_at("disk", photos / "cat/0.jpg" / "cache").keep(source)
    assert "\n" not in str(error.value)
    with pytest.raises(ConfigError, match="needs `data.cache_dir`"):
        override(Config(), {"data.cache": "disk"})


def test_arrays_and_streams_say_why_there_is_nothing_to_keep(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), "uint8")
    np.savez(tmp_path / "set.npz", x_train=images)
    said = []
    for place, spec, words in (
        ("memory", images, "in memory"),
        ("disk", f"npz:{tmp_path}/set.npz", "one file already"),
        ("memory", tf.data.Dataset.from_tensors(images[0]).repeat(), "is a stream"),
        ("memory", f"npz:{tmp_path}/set.npz", "6 decoded images"),
    ):
        source = open_source(spec, cache=cache_at(place, tmp_path / "cache", said))
        assert words in said[-1]
    assert not isinstance(source.images, np.memmap)
    np.testing.assert_array_equal(source.read_images(np.arange(6)), images)
    assert len(said) == 4


FILLING = textwrap.dedent("""
    import pathlib, sys, time
    from simclr_tf.data.storage import kept_entry

    def fill(folder):
        with (folder / "content").open("wb") as file:
            file.write(b"half")
            file.flush()
            print("half", flush=True)
            time.sleep(60)

    kept_entry(pathlib.Path(sys.argv[1]), "name", {"a": 1}, fill)
""")


def test_a_killed_filling_leaves_nothing_that_looks_whole(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", FILLING, str(tmp_path)],
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"half\n"
    waited, found = [], []

    def fill(folder):
        assert list(folder.iterdir()) == []
        (folder / "content").write_bytes(b"whole")

    def enter():
        found.append(
            kept_entry(
                tmp_path, "name", {"a": 1}, fill, waiting=lambda: waited.append(True)
            )
        )

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join(0.3)
    assert waited and not found  # The other process is at work.
    process.send_signal(signal.SIGKILL)
    process.wait()
    thread.join(10)
    ((entry, is_new),) = found
    assert is_new and (entry / "content").read_bytes() == b"whole"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["name", "name.lock"]


@pytest.mark.parametrize("damage", ["cut", "missing", "no manifest", "others"])
def test_an_entry_that_is_not_whole_is_filled_again(tmp_path, damage):
    def fill(folder):
        (folder / "content").write_bytes(b"whole")

    entry, _ = kept_entry(tmp_path, "name", {"a": 1}, fill)
    assert kept_entry(tmp_path, "name", {"a": 1}, pytest.fail) == (entry, False)
    if damage == "cut":
        os.truncate(entry / "content", 3)
    elif damage == "missing":
        (entry / "content").unlink()
    elif damage == "no manifest":
        (entry / MANIFEST).unlink()
    identity = {"a": 2} if damage == "others" else {"a": 1}
    assert kept_entry(tmp_path, "name", identity, fill) == (entry, True)
    assert (entry / "content").read_bytes() == b"whole"
