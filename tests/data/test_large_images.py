"""Large images are decoded and cropped one by one, not a batch at a time."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from simclr_tf.augment import finish_views, make_views, plan_views
from simclr_tf.data import open_source, pipelines, random_access, training_dataset
from simclr_tf.data.ordered_batches import evaluation_batches
from simclr_tf.machine import usable_cores


@pytest.fixture
def large(monkeypatch):
    """Images of more than 100 pixels count as large."""
    monkeypatch.setattr(random_access, "_MOST_PIXELS_IN_BATCHES", 100)


def pictures(number=6):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (number, 16, 20, 3), np.uint8)


def test_one_by_one_gives_the_views_that_a_batch_gives(large):
    images, plan = pictures(), plan_views("cifar", 8)
    source = open_source((images, np.arange(6) % 2))
    batch = next(
        iter(
            training_dataset(
                source, global_batch_size=4, seed=3, total_steps=1, plan=plan
            )
        )
    )
    assert "images" not in batch and batch["crops"][0].shape == (4, 8, 8, 3)
    found = finish_views(batch["crops"], batch["seeds"], plan)
    wanted = make_views(images[batch["ids"].numpy()], batch["seeds"], plan)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)
    np.testing.assert_array_equal(batch["labels"], batch["ids"] % 2)


def test_evaluation_shows_the_same_pixels_one_by_one(monkeypatch):
    source = open_source(pictures())
    together = [batch["images"] for batch in evaluation_batches(source, 4, 8)]
    monkeypatch.setattr(random_access, "_MOST_PIXELS_IN_BATCHES", 100)
    alone = [batch["images"] for batch in evaluation_batches(source, 4, 8)]
    np.testing.assert_allclose(tf.concat(alone, 0), tf.concat(together, 0), atol=2e-5)


def test_large_files_of_one_size_are_not_decoded_into_memory(large, tmp_path):
    for number, pixels in enumerate(pictures()):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    source = open_source(f"folder:{tmp_path}")
    assert pipelines.batch_form(source) == "crops" and source.image_shape is None
    assert source.largest_pixels == 16 * 20


def test_fewer_images_are_decoded_at_a_time_where_they_are_large():
    source = open_source(pictures())
    cores = usable_cores()
    assert pipelines.parallel_images(source, 2**40) == cores
    source.largest_pixels = 48_000_000  # 144 MB, about three of them for each.
    a_core = 4 * 3 * 144_000_000
    assert pipelines.parallel_images(source, a_core * cores) == cores
    assert pipelines.parallel_images(source, a_core * cores - 4) in (cores - 1, 1)
    assert pipelines.parallel_images(source, 0) == 1
