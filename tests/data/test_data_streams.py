import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.augment import plan_views
from simclr_tf.data import (
    ArraySource,
    StreamSource,
    evaluation_batches,
    open_source,
    plain_errors,
    training_dataset,
)
from simclr_tf.errors import ConfigError, DataError

OPTIONS = dict(global_batch_size=4, seed=1, plan=plan_views("cifar", 8))


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (6, 8, 9, 3), dtype=np.uint8)


def uneven():
    """Six images of different widths whose pixels and labels are their number."""

    def generate():
        for number in range(6):
            yield np.full((8, 8 + number, 3), number * 10, np.uint8), number

    return tf.data.Dataset.from_generator(
        generate,
        output_signature=(
            tf.TensorSpec([8, None, 3], tf.uint8),
            tf.TensorSpec([], tf.int64),
        ),
    )


def endless(images):
    return tf.data.Dataset.from_tensor_slices(images).repeat()


def test_finite_images_are_kept_in_memory_in_order(images):
    source = open_source(tf.data.Dataset.from_tensor_slices(images))
    assert isinstance(source, ArraySource) and source.labels is None
    np.testing.assert_array_equal(source.images, images)


@pytest.mark.parametrize("form", ["pair", "dict"])
def test_labels_come_along(images, form):
    labels = np.arange(6)
    elements = (
        (images, labels)
        if form == "pair"
        else {"image": images, "label": labels, "id": labels}
    )
    source = open_source(tf.data.Dataset.from_tensor_slices(elements))
    np.testing.assert_array_equal(source.labels, labels)
    assert (
        open_source(tf.data.Dataset.from_tensor_slices(elements), labelled=False).labels
        is None
    )


def test_a_dict_without_labels_is_unlabelled(images):
    source = open_source(tf.data.Dataset.from_tensor_slices({"image": images}))
    assert source.num_examples == 6 and source.labels is None


def test_data_of_unknown_length_is_kept_too(images):
    dataset = tf.data.Dataset.from_tensor_slices(images).filter(lambda _: True)
    assert open_source(dataset).num_examples == 6


def test_above_the_memory_limit_it_stays_a_stream(images):
    dataset = tf.data.Dataset.from_tensor_slices(images)
    source = open_source(dataset, memory_limit_bytes=images.nbytes - 1)
    assert isinstance(source, StreamSource) and source.num_examples == 6
    assert source.image_shape == (8, 9, 3)


def test_endless_data_come_in_their_own_order(images):
    source = open_source(endless(images))
    assert isinstance(source, StreamSource) and source.num_examples is None
    batches = list(training_dataset(source, total_steps=3, **OPTIONS))
    seen = np.concatenate([batch["images"] for batch in batches])
    np.testing.assert_array_equal(seen, images[np.arange(12) % 6])
    ids = np.concatenate([batch["ids"] for batch in batches])
    np.testing.assert_array_equal(ids, np.arange(12))
    assert (
        len(
            {tuple(row) for batch in batches for row in batch["seeds"].numpy().tolist()}
        )
        == 12
    )


def test_a_stream_resumes_and_divides_like_any_source(images):
    source = open_source(endless(images))
    whole = list(training_dataset(source, total_steps=4, **OPTIONS))
    resumed = training_dataset(source, total_steps=4, start_step=2, **OPTIONS)
    for one, other in zip(whole[2:], resumed, strict=True):
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])
    parts = [
        training_dataset(source, total_steps=4, shard_index=w, num_shards=2, **OPTIONS)
        for w in range(2)
    ]
    for batch, first, second in zip(whole, *parts, strict=True):
        for key in batch:
            np.testing.assert_array_equal(
                batch[key], np.concatenate([first[key], second[key]])
            )


def test_images_of_several_sizes_are_cropped_one_by_one():
    source = open_source(uneven())
    assert isinstance(source, StreamSource) and source.image_shape is None
    for batch in training_dataset(source, total_steps=3, **OPTIONS):
        assert batch["crops"][0].shape == (4, 8, 8, 3)
        np.testing.assert_allclose(
            batch["crops"][0][:, 4, 4, 0], batch["labels"].numpy() * 10 / 255, atol=1e-5
        )


def test_finite_streams_can_be_evaluated_and_endless_ones_not(images):
    found = list(evaluation_batches(open_source(uneven()), 4, 8))
    assert [len(batch["ids"]) for batch in found] == [4, 2]
    assert np.concatenate([b["labels"] for b in found]).tolist() == [*range(6)]
    with pytest.raises(ConfigError, match="infinite"):
        evaluation_batches(open_source(endless(images)), 4, 8)


def test_floats_outside_the_unit_interval_stop_a_stream():
    dataset = tf.data.Dataset.from_tensors(tf.fill([8, 8, 3], 2.0)).repeat()
    batches = training_dataset(open_source(dataset), total_steps=1, **OPTIONS)
    with pytest.raises(DataError, match="largest=2.0"), plain_errors():
        list(batches)


@pytest.mark.parametrize(
    "dataset, words",
    [
        (lambda x: tf.data.Dataset.from_tensor_slices(x).batch(2), "unbatch"),
        (lambda x: tf.data.Dataset.from_tensor_slices({"pixels": x}), "`image`"),
        (lambda x: tf.data.Dataset.from_tensor_slices((x, x, x)), r"\(image, label\)"),
        (lambda x: tf.data.Dataset.from_tensor_slices(x.astype(np.int32)), "uint8"),
        (lambda x: tf.data.Dataset.from_tensor_slices(x).take(0), "at least 1"),
        (lambda x: tf.data.Dataset.from_tensor_slices(x / 100), r"\[0, 1\]"),
    ],
)
def test_data_sets_of_another_form_are_refused(images, dataset, words):
    with pytest.raises(DataError, match=words):
        open_source(dataset(images))


def test_a_data_set_that_fails_is_named_with_the_place(images):
    dataset = tf.data.Dataset.range(6).map(
        lambda i: tf.ensure_shape(
            tf.io.decode_png(tf.where(i < 3, tf.io.encode_png(images[0]), b"broken")),
            [8, 9, 3],
        )
    )
    with pytest.raises(DataError, match="fails at image 3"):
        open_source(dataset)


def test_only_streams_refuse_to_be_cut(images):
    dataset = tf.data.Dataset.from_tensor_slices(images)
    assert open_source(dataset, split="train[:50%]").num_examples == 3
    with pytest.raises(ConfigError, match="take"):
        open_source(dataset.repeat(), split="train[:50%]")
