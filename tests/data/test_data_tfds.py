import json
import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from simclr_tf.augment import plan_views
from simclr_tf.data import evaluation_batches, open_source, training_dataset
from simclr_tf.data.tfrecords import index_records
from simclr_tf.errors import DataError

COUNT = 20


def picture(number, sides):
    """A picture that tells its number."""
    height, width = sides(number)
    image = np.full((height, width, 3), number * 10, np.uint8)
    image[0, :, 1] = 255 - number
    return image


class TinyPictures(tfds.core.GeneratorBasedBuilder):
    # tfds looks for files beside the code of a builder, and stumbles where that is
    # neither a script nor part of an installed package.
    __module__ = "tiny_pictures"
    pkg_dir_path = tfds.core.Path(__file__).parent
    VERSION = tfds.core.Version("1.0.0")
    FEATURES = {
        "image": tfds.features.Image(encoding_format="png"),
        "label": tfds.features.ClassLabel(names=["even", "odd"]),
        "weight": tf.float32,
        "number": tf.int64,
    }
    SIDES = staticmethod(lambda number: (8, 8 + number % 3))

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(self.FEATURES)
        )

    def _split_generators(self, _):
        return {
            "train": self._generate_examples(0),
            "test": self._generate_examples(COUNT),
        }

    def _generate_examples(self, first):
        for number in range(first, first + (COUNT if first == 0 else 3)):
            values = {
                "image": picture(number, self.SIDES),
                "label": number % 2,
                "parity": number % 2,
                "size": number // 10 % 2,
                "weight": number / 2,
                "number": number,
            }
            yield number, {key: values[key] for key in self.FEATURES}


class TinyUnlabelled(TinyPictures):
    __module__ = "tiny_unlabelled"
    FEATURES = {"image": tfds.features.Image(shape=(8, 8, 3), encoding_format="png")}
    SIDES = staticmethod(lambda number: (8, 8))


class TinyNumbers(TinyPictures):
    __module__ = "tiny_numbers"
    FEATURES = {"weight": tf.float32}


class TinyTwoLabels(TinyPictures):
    __module__ = "tiny_two_labels"
    FEATURES = {
        "image": tfds.features.Image(encoding_format="png"),
        "parity": tfds.features.ClassLabel(names=["even", "odd"]),
        "size": tfds.features.ClassLabel(names=["small", "large"]),
        "weight": tf.float32,
        "number": tf.int64,
    }


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    config = tfds.download.DownloadConfig(num_shards=3)
    for builder in (TinyPictures, TinyUnlabelled, TinyNumbers):
        builder(data_dir=folder).download_and_prepare(download_config=config)
    return str(folder)


def numbers_of(source):
    """The numbers that the pictures of a source tell, by decoding each."""
    result = []
    for location in zip(*source.locations(np.arange(source.num_examples)), strict=True):
        result.append(int(source.read_image(*location)[-1, 0, 0]) // 10)
    return result


def numbers_by_tfds(data_dir, split):
    builder = tfds.builder("tiny_pictures", data_dir=data_dir)
    # One file after the other, as the records lie.
    config = tfds.ReadConfig(interleave_cycle_length=1)
    return [
        int(example["number"])
        for example in builder.as_dataset(split=split, read_config=config)
    ]


@pytest.mark.parametrize(
    "split", ["train", "test", "train[:50%]", "train[3:-4]", "train[55%:]+test"]
)
def test_the_examples_are_those_that_tfds_reads(data_dir, split):
    source = open_source("tfds:tiny_pictures", split=split, data_dir=data_dir)
    expected = numbers_by_tfds(data_dir, split)
    assert numbers_of(source) == [number % 26 for number in expected]
    assert source.labels.tolist() == [number % 2 for number in expected]
    assert source.classes == ("even", "odd") and source.channels == 3


def test_split_train_has_several_files(data_dir):
    assert (
        len(list(tf.io.gfile.glob(f"{data_dir}/tiny_pictures/1.0.0/*train*tfrecord*")))
        == 3
    )


def test_training_reads_any_example_in_any_order(data_dir):
    source = open_source("tfds:tiny_pictures", data_dir=data_dir)
    expected = numbers_of(source)
    for batch in training_dataset(
        source,
        global_batch_size=5,
        seed=0,
        total_steps=4,
        plan=plan_views("evaluate", 8),
    ):
        centre = np.rint(batch["crops"][0].numpy()[:, 6, 4, 0] * 255 / 10)
        assert centre.tolist() == [expected[i] for i in batch["ids"].numpy()]
        np.testing.assert_array_equal(
            batch["labels"], source.labels[batch["ids"].numpy()]
        )


def test_a_set_without_labels_needs_no_dummies(data_dir):
    source = open_source("tfds:tiny_unlabelled", data_dir=data_dir)
    assert source.labels is None and source.classes is None
    batch = next(
        iter(training_dataset(source, global_batch_size=5, seed=0, total_steps=1))
    )
    assert "labels" not in batch


def test_small_images_of_one_size_are_kept_in_memory(data_dir):
    source = open_source("tfds:tiny_unlabelled", data_dir=data_dir)
    lazy = open_source("tfds:tiny_unlabelled", data_dir=data_dir, memory_limit_bytes=0)
    assert source.image_shape == (8, 8, 3) and lazy.image_shape is None
    told = source.read_images(np.arange(COUNT))[:, -1, 0, 0] // 10
    assert told.tolist() == numbers_of(lazy)
    assert (
        source.fingerprint()
        == open_source("tfds:tiny_unlabelled", data_dir=data_dir).fingerprint()
    )


def test_evaluation_reads_prepared_sets_in_order(data_dir):
    source = open_source("tfds:tiny_pictures", split="test", data_dir=data_dir)
    found = list(evaluation_batches(source, 2, 8))
    assert np.concatenate([batch["ids"] for batch in found]).tolist() == [0, 1, 2]


def test_sets_whose_code_is_unknown_are_read_from_their_files(data_dir, tmp_path):
    shutil.copytree(f"{data_dir}/tiny_pictures", tmp_path / "renamed_pictures")
    for path in (tmp_path / "renamed_pictures/1.0.0").iterdir():
        if "tfrecord" in path.name:
            path.rename(
                path.with_name(path.name.replace("tiny_pictures", "renamed_pictures"))
            )
    information = tmp_path / "renamed_pictures/1.0.0/dataset_info.json"
    information.write_text(
        information.read_text().replace("tiny_pictures", "renamed_pictures")
    )
    source = open_source("tfds:renamed_pictures", data_dir=str(tmp_path))
    assert source.num_examples == COUNT


def test_labelled_can_be_refused_or_demanded(data_dir):
    assert (
        open_source("tfds:tiny_pictures", data_dir=data_dir, labelled=False).labels
        is None
    )
    with pytest.raises(DataError, match="class label"):
        open_source("tfds:tiny_unlabelled", data_dir=data_dir, labelled=True)


def test_broken_image_bytes_inside_a_record_are_replaced(data_dir, tmp_path):
    shutil.copytree(f"{data_dir}/tiny_pictures", tmp_path / "tiny_pictures")
    source = open_source("tfds:tiny_pictures", data_dir=str(tmp_path))
    path, offset, length = (column[0] for column in source.locations(np.array([4])))
    with open(path, "r+b") as stream:
        stream.seek(offset + length // 2)
        stream.write(b"\xde\xad\xbe\xef")
    skipped = np.concatenate(
        [
            batch["skipped"]
            for batch in training_dataset(
                source,
                global_batch_size=10,
                seed=0,
                total_steps=2,
                plan=plan_views("cifar", 8),
            )
        ]
    )
    assert skipped.max() == 4 and (skipped >= 0).sum() == 1
    assert source.example_name(4).startswith("tiny_pictures-train.tfrecord-00000")


@pytest.mark.parametrize(
    "spec, split, words",
    [
        ("tfds:tiny_pictures", "val", "no split `val`; its splits: test, train"),
        ("tfds:tiny_pictures", "train[:", "no split"),
        ("tfds:tiny_numbers", "train", r"one 8-bit image.*\['weight'\]"),
        ("tfds:tiny_picturs", "train", "Did you mean tiny_pictures"),
        ("tfds:tiny_pictures:9.9.9", "train", "cannot open|not prepared"),
    ],
)
def test_impossible_tfds_requests_are_refused_in_one_line(data_dir, spec, split, words):
    with pytest.raises(DataError, match=words) as caught:
        open_source(spec, split=split, data_dir=data_dir)
    assert "\n" not in str(caught.value)


def test_an_unprepared_set_is_refused_with_the_command_that_prepares_it(tmp_path):
    with pytest.raises(DataError, match="download_and_prepare") as caught:
        open_source("tfds:tiny_pictures", data_dir=str(tmp_path / "none"))
    assert f"data_dir='{tmp_path}/none'" in str(caught.value)
    assert not os.path.exists(tmp_path / "none")


@pytest.fixture(scope="module")
def array_dir(tmp_path_factory):
    """The same pictures with two more labels, in ArrayRecord files."""
    folder = tmp_path_factory.mktemp("arrays")
    config = tfds.download.DownloadConfig(num_shards=3)
    TinyTwoLabels(data_dir=folder, file_format="array_record").download_and_prepare(
        download_config=config
    )
    return str(folder)


def open_arrays(array_dir, label="@parity", **options):
    return open_source(
        f"tfds:tiny_two_labels{label}",
        data_dir=array_dir,
        memory_limit_bytes=0,
        **options,
    )


@pytest.mark.parametrize("split", ["train", "train[3:-4]", "train[55%:]+test"])
def test_array_records_are_read_as_tensorflow_datasets_reads_them(array_dir, split):
    builder = tfds.builder("tiny_two_labels", data_dir=array_dir)
    expected = list(builder.as_data_source(split))
    source = open_arrays(array_dir, split=split)
    assert numbers_of(source) == [int(one["number"]) for one in expected]
    assert source.labels.tolist() == [one["parity"] for one in expected]
    assert bool(source.slice_rule) == ("[" in split)
    sizes = source.encoded_bytes(np.arange(source.num_examples))
    assert (sizes > 60).all()
    if split == "train":
        (batch,) = evaluation_batches(source.subset(np.array([7, 2])), 4, 8)
        assert batch["labels"].numpy().tolist() == source.labels[[7, 2]].tolist()
        assert source.fingerprint() == open_arrays(array_dir).fingerprint()


def test_of_several_labels_one_is_asked_for(array_dir):
    with pytest.raises(
        DataError, match="2 labels: choose one with .*@parity or .*@size"
    ):
        open_arrays(array_dir, "")
    assert open_arrays(array_dir, "", labelled=False).labels is None
    assert open_arrays(array_dir, "@size").classes == ("small", "large")
    numbers = open_arrays(array_dir, "@number")
    assert sorted(numbers.labels) == list(range(COUNT)) and numbers.classes is None
    for wrong in ("@weight", "@nope"):
        with pytest.raises(DataError, match="no label of .*: parity, size, number"):
            open_arrays(array_dir, wrong)


def test_a_damaged_array_record_file_is_refused(array_dir, tmp_path):
    shutil.copytree(f"{array_dir}/tiny_two_labels", tmp_path / "tiny_two_labels")
    path = next((tmp_path / "tiny_two_labels").glob("*/*train*00000-of*"))
    whole = path.read_bytes()
    path.write_bytes(whole[:300] + bytes(20) + whole[320:])
    with pytest.raises(DataError, match="ArrayRecord file is damaged at record 0"):
        open_arrays(str(tmp_path))
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="holds 0 of its 7 examples; prepare"):
        open_arrays(str(tmp_path))


def test_other_storage_formats_are_refused_with_a_way_out(tmp_path, data_dir):
    shutil.copytree(f"{data_dir}/tiny_unlabelled", tmp_path / "tiny_unlabelled")
    path = tmp_path / "tiny_unlabelled" / "1.0.0" / "dataset_info.json"
    info = json.loads(path.read_text())
    path.write_text(json.dumps({**info, "fileFormat": "riegeli"}))
    with pytest.raises(DataError, match="stored as riegeli.*data_dir=OTHER"):
        open_source("tfds:tiny_unlabelled", data_dir=str(tmp_path))


def write_examples(path, examples):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for features in examples:
            writer.write(
                tf.train.Example(
                    features=tf.train.Features(feature=features)
                ).SerializeToString()
            )


def feature(value):
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    if isinstance(value, float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


def test_index_finds_bytes_and_labels_of_any_size_and_sign(tmp_path):
    contents = [b"x" * size for size in (1, 127, 128, 5000, 70000)]
    labels = [0, 127, 128, 2**40, -1]
    path = tmp_path / "a.tfrecord"
    write_examples(
        path,
        [
            {
                "image": feature(content),
                "label": feature(label),
                "f": feature(1.5),
                "other": feature(b"y" * 9000),
                "zero": tf.train.Feature(),
            }
            for content, label in zip(contents, labels, strict=True)
        ],
    )
    index = index_records(str(path), "image", "label")
    stored = path.read_bytes()
    assert [stored[o : o + n] for o, n, _ in index] == contents
    assert index[:, 2].tolist() == labels


def test_index_marks_missing_images_and_labels(tmp_path):
    path = tmp_path / "a.tfrecord"
    write_examples(path, [{"image": feature(b"abc")}, {"label": feature(3)}, {}])
    index = index_records(str(path), "image", "label")
    assert index[:, 1].tolist() == [3, 0, 0] and index[:, 2].tolist() == [-1, 3, -1]


def test_index_reads_through_tensorflow_file_systems(tmp_path):
    path = tmp_path / "a.tfrecord"
    write_examples(
        path, [{"image": feature(b"z" * 6000), "label": feature(i)} for i in range(3)]
    )
    np.testing.assert_array_equal(
        index_records(f"file://{path}", "image", "label"),
        index_records(str(path), "image", "label"),
    )


@pytest.mark.parametrize("damage", ["cut", "noise"])
def test_damaged_record_files_are_refused_with_their_name(tmp_path, damage):
    path = tmp_path / "a.tfrecord"
    write_examples(path, [{"image": feature(b"z" * 600)}] * 3)
    content = path.read_bytes()
    path.write_bytes(
        content[:-5] if damage == "cut" else content[:12] + b"\xff" * 40 + content[52:]
    )
    with pytest.raises(DataError, match=r"damaged at record \d.*a.tfrecord"):
        index_records(str(path), "image")


def copy_with(data_dir, tmp_path, change):
    """Their_pictures, of which no code is here, with another features.json."""
    (version,) = pathlib.Path(data_dir, "tiny_pictures").iterdir()
    copy = tmp_path / "copy" / "their_pictures" / version.name
    copy.mkdir(parents=True)
    for path in version.iterdir():
        name = path.name.replace("tiny", "their")
        (copy / name).write_bytes(path.read_bytes())
    for name in ("dataset_info.json", "features.json"):
        content = json.loads((copy / name).read_text().replace("tiny_", "their_"))
        if name == "features.json":
            change(content)
        (copy / name).write_text(json.dumps(content))
    return str(tmp_path / "copy")


def test_a_prepared_set_is_opened_without_its_code(data_dir, tmp_path):
    place = copy_with(data_dir, tmp_path, lambda features: None)
    assert open_source("tfds:their_pictures", data_dir=place).num_examples == COUNT


def test_module_that_a_prepared_set_names_is_not_imported(
    data_dir, tmp_path, monkeypatch
):
    (tmp_path / "stranger.py").write_text(
        "import pathlib\npathlib.Path(__file__).with_name('proof').touch()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))

    def name_a_stranger(features):
        image = features["featuresDict"]["features"]["image"]
        image["pythonClassName"] = "stranger.Image"

    place = copy_with(data_dir, tmp_path, name_a_stranger)
    with pytest.raises(DataError, match="names the class 'stranger.Image'"):
        open_source("tfds:their_pictures", data_dir=place)
    assert not (tmp_path / "proof").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda features: features["featuresDict"].update(features=[1]),
        lambda features: features.update(pythonClassName=None),
        lambda features: features["featuresDict"]["features"]["image"].clear(),
        lambda features: features["featuresDict"]["features"]["image"]["image"].update(
            shape={"dimensions": [[1]]}
        ),
    ],
)
def test_damaged_description_of_a_prepared_set_gets_one_line(
    change, data_dir, tmp_path
):
    place = copy_with(data_dir, tmp_path, change)
    with pytest.raises(DataError, match="their_pictures") as caught:
        open_source("tfds:their_pictures", data_dir=place)
    assert "\n" not in str(caught.value)
