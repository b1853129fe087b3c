import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.augment import (
    crop_views,
    finish_views,
    one_view,
    plan_views,
    two_views,
)
from simclr_tf.data import evaluation_batches, open_source, training_dataset
from simclr_tf.data.batch_schedule import replacement_example
from simclr_tf.errors import ConfigError
from simclr_tf.seeding import example_seeds
from tests.oracles.data_batch_order import batch_ids, threefry_2x32

NUM_EXAMPLES = 10


@pytest.fixture
def in_memory(rng):
    images = rng.integers(0, 256, (NUM_EXAMPLES, 12, 12, 3), dtype=np.uint8)
    return open_source((images, np.arange(NUM_EXAMPLES) % 3))


@pytest.fixture
def on_disk(tmp_path, save_photos):
    save_photos(tmp_path, *(f"{'ab'[i % 2]}/{i}.png" for i in range(NUM_EXAMPLES)))
    return open_source(f"folder:{tmp_path}")


@pytest.fixture(params=["in_memory", "on_disk"])
def source(request):
    return request.getfixturevalue(request.param)


def batches(source, total_steps=5, **options):
    options = (
        dict(
            global_batch_size=4,
            seed=1,
            plan=plan_views("cifar", 16),
            total_steps=total_steps,
        )
        | options
    )
    return list(training_dataset(source, **options))


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for key in one:
        for a, b in zip(
            tf.nest.flatten(one[key]), tf.nest.flatten(other[key]), strict=True
        ):
            np.testing.assert_array_equal(a, b)


def test_threefry_oracle_gives_the_published_vectors():
    # Random123's known-answer tests for threefry2x32 with 20 rounds.
    ones = [0xFFFFFFFF] * 2
    assert threefry_2x32([0, 0], [0, 0]) == [0x6B200159, 0x99BA4EFE]
    assert threefry_2x32(ones, ones) == [0x1CB996FC, 0xBB002BE7]


def test_order_of_the_examples_equals_the_oracle(in_memory):
    for step, batch in enumerate(batches(in_memory)):
        assert batch["ids"].numpy().tolist() == batch_ids(1, step, NUM_EXAMPLES, 4)


def test_starting_at_batch_k_gives_the_batches_from_k_on(source):
    whole = batches(source)
    for one, other in zip(whole[3:], batches(source, start_step=3), strict=True):
        assert_equal(one, other)


def test_nothing_is_left_when_starting_at_the_end(in_memory):
    assert batches(in_memory, start_step=5) == []


def test_workers_parts_together_are_the_global_batch(source):
    whole = batches(source, total_steps=3)
    parts = [
        batches(source, total_steps=3, shard_index=w, num_shards=2) for w in range(2)
    ]
    for batch, first, second in zip(whole, *parts, strict=True):
        together = tf.nest.map_structure(
            lambda a, b: np.concatenate([a, b]), first, second
        )
        assert first["ids"].shape == [2]
        assert_equal(batch, together)


def test_each_epoch_visits_an_example_at_most_once_in_an_order_of_its_own(in_memory):
    ids = [batch["ids"].numpy().tolist() for batch in batches(in_memory, 8)]
    epochs = [ids[i] + ids[i + 1] for i in range(0, 8, 2)]
    assert all(len(set(epoch)) == 8 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_every_example_is_visited_sooner_or_later(in_memory):
    seen = {int(i) for batch in batches(in_memory, 12) for i in batch["ids"]}
    assert seen == set(range(NUM_EXAMPLES))


def test_run_seeds_differ_in_order_and_in_views(in_memory):
    one, other = (batches(in_memory, 2, seed=seed) for seed in (1, 2))
    assert any(
        (a["ids"].numpy() != b["ids"].numpy()).any()
        for a, b in zip(one, other, strict=True)
    )
    seeds = [
        tuple(row)
        for run in (one, other)
        for batch in run
        for row in batch["seeds"].numpy().tolist()
    ]
    assert len(set(seeds)) == len(seeds)


def test_seeds_are_those_of_epoch_and_example(source):
    for step, batch in enumerate(batches(source)):
        np.testing.assert_array_equal(
            batch["seeds"], example_seeds(1, step // 2, batch["ids"].numpy())
        )


def test_an_image_looks_the_same_in_any_batch_size(on_disk):
    small = batches(on_disk, 5, global_batch_size=2)
    large = batches(on_disk, 1, global_batch_size=10)[0]
    place = {int(i): row for row, i in enumerate(large["ids"])}
    for batch in small:
        rows = [place[int(i)] for i in batch["ids"]]
        for own, crops in zip(batch["crops"], large["crops"], strict=True):
            np.testing.assert_array_equal(own, crops.numpy()[rows])


def test_element_types_and_static_shapes_in_memory(in_memory):
    spec = training_dataset(
        in_memory, global_batch_size=4, seed=0, total_steps=2
    ).element_spec
    assert spec == {
        "ids": tf.TensorSpec([4], tf.int64),
        "seeds": tf.TensorSpec([4, 2], tf.int32),
        "skipped": tf.TensorSpec([4], tf.int64),
        "labels": tf.TensorSpec([4], tf.int32),
        "images": tf.TensorSpec([4, 12, 12, 3], tf.uint8),
    }


def test_element_types_and_static_shapes_of_files(on_disk):
    spec = training_dataset(
        on_disk,
        global_batch_size=4,
        seed=0,
        total_steps=2,
        plan=plan_views("cifar", 16),
    ).element_spec
    assert spec == {
        "ids": tf.TensorSpec([4], tf.int64),
        "seeds": tf.TensorSpec([4, 2], tf.int32),
        "skipped": tf.TensorSpec([4], tf.int64),
        "labels": tf.TensorSpec([4], tf.int32),
        "crops": (tf.TensorSpec([4, 16, 16, 3], tf.float32),) * 2,
    }


def test_number_of_batches_is_known_beforehand(source):
    dataset = training_dataset(
        source,
        global_batch_size=4,
        seed=0,
        total_steps=7,
        start_step=2,
        plan=plan_views("cifar", 16),
    )
    assert int(dataset.cardinality()) == 5


def test_labels_and_pixels_belong_to_the_ids(in_memory):
    for batch in batches(in_memory):
        ids = batch["ids"].numpy()
        np.testing.assert_array_equal(batch["labels"], in_memory.labels[ids])
        np.testing.assert_array_equal(batch["images"], in_memory.read_images(ids))
        assert (batch["skipped"].numpy() == -1).all()


def test_labels_of_files_belong_to_the_ids(on_disk):
    for batch in batches(on_disk):
        assert [on_disk.example_name(i)[0] for i in batch["ids"].numpy()] == [
            "ab"[label] for label in batch["labels"].numpy()
        ]


@pytest.mark.parametrize("suffixes", [("jpg",), ("jpg", "png")])
def test_jpeg_files_are_cropped_as_their_decoded_images(tmp_path, photo, suffixes):
    for number in range(4):
        photo(40 + number, 50).save(
            tmp_path / f"{number}.{suffixes[number % len(suffixes)]}", quality=95
        )
    source = open_source(f"folder:{tmp_path}")
    assert len(source.formats) == len(suffixes)
    batch = batches(source, 1)[0]
    for row, example in enumerate(batch["ids"].numpy()):
        location = [column[0] for column in source.locations(np.array([example]))]
        image = source.read_image(*location)
        crops = crop_views(image, batch["seeds"][row], plan_views("cifar", 16))
        for own, crop in zip(batch["crops"], crops, strict=True):
            np.testing.assert_allclose(own[row], crop, atol=1e-5)


def test_labels_can_be_left_out_and_are_never_made_up(in_memory, rng):
    assert "labels" not in batches(in_memory, 1, with_labels=False)[0]
    unlabelled = open_source(rng.random((6, 8, 8, 1)))
    assert "labels" not in batches(unlabelled, 1)[0]


def test_crops_of_files_are_those_that_two_views_makes_of_the_image(tmp_path, photo):
    for number in range(4):
        photo().save(tmp_path / f"{number}.png")
    lazy = open_source(f"folder:{tmp_path}", memory_limit_bytes=0)
    kept = open_source(f"folder:{tmp_path}")
    (files,), (arrays,) = batches(lazy, 1), batches(kept, 1)
    done = finish_views(files["crops"], files["seeds"], plan_views("cifar", 16))
    expected = two_views(
        arrays["images"], arrays["seeds"], "cifar", image_size_pixels=16
    )
    for view, other in zip(done, expected, strict=True):
        np.testing.assert_allclose(view, other, atol=2e-5)
    assert (np.abs(done[0] - done[1]).max(axis=(1, 2, 3)) > 0).all()


def test_memory_mapped_images_are_read_only_batch_by_batch(tmp_path, rng):
    images = rng.random((NUM_EXAMPLES, 8, 8, 2)).astype(np.float32)
    np.savez(tmp_path / "mine.npz", x_train=images)
    source = open_source(f"npz:{tmp_path}/mine.npz")
    batch = batches(source, 1)[0]
    assert isinstance(source.images, np.memmap)
    np.testing.assert_array_equal(batch["images"], images[batch["ids"].numpy()])


def test_stand_ins_spread_over_all_other_examples():
    seeds = np.array([12, -5], np.int32)
    others = [replacement_example(seeds, 3, attempt, 6) for attempt in range(1, 200)]
    assert set(others) == {0, 1, 2, 4, 5}


def test_evaluation_applies_the_recipe_to_every_image_in_order(in_memory):
    found = list(evaluation_batches(in_memory, 4, 8))
    assert [len(batch["ids"]) for batch in found] == [4, 4, 2]
    images = np.concatenate([batch["images"] for batch in found])
    expected = one_view(
        in_memory.read_images(np.arange(NUM_EXAMPLES)),
        tf.zeros([NUM_EXAMPLES, 2], tf.int32),
        "evaluate",
        image_size_pixels=8,
    )
    np.testing.assert_allclose(images, expected, atol=1e-6)
    labels = np.concatenate([batch["labels"] for batch in found])
    np.testing.assert_array_equal(labels, in_memory.labels)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"global_batch_size": 11}, "use at most 10"),
        ({"global_batch_size": 0}, ">= 1"),
        ({"num_shards": 3}, "divisible"),
        ({"num_shards": 2, "shard_index": 2}, "shard_index"),
        ({"start_step": 9}, "start_step"),
        ({"start_step": -1}, "start_step"),
    ],
)
def test_impossible_requests_are_refused(in_memory, options, words):
    with pytest.raises(ConfigError, match=words):
        batches(in_memory, **options)


def test_files_need_a_plan_with_sizes(on_disk):
    for plan in (None, plan_views("cifar")):
        with pytest.raises(ConfigError, match="`plan` with the sizes of the views"):
            batches(on_disk, plan=plan)
