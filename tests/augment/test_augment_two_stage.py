"""Crop where an image is decoded, finish on the batch: the same views."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.augment import (
    OneBranch,
    Recipe,
    crop_draws,
    crop_view,
    crop_views,
    finish_view,
    finish_views,
    one_view,
    plan_views,
    two_views,
)
from simclr_tf.augment.jpeg import decode_boxes
from simclr_tf.errors import ConfigError


def decoded(contents, channels):
    """The whole image, by the accurate transform that the package uses."""
    return tf.io.decode_jpeg(contents, channels=channels, dct_method="INTEGER_ACCURATE")


def seeds(count, key=1):
    return np.stack([np.arange(count), np.full(count, key)], axis=1).astype(np.int32)


def byte_images(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def photographs(count, height, width):
    """Smooth colour images, which JPEG keeps well, as encoded bytes."""
    coarse = np.random.default_rng(3).random((count, 5, 6, 3))
    images = tf.clip_by_value(tf.image.resize(coarse, (height, width), "bicubic"), 0, 1)
    return [
        tf.io.encode_jpeg(tf.cast(image * 255.0, tf.uint8), quality=90).numpy()
        for image in images
    ]


@pytest.mark.parametrize("recipe", ["simclr_v2", "evaluate", ("evaluate", "simclr_v1")])
@pytest.mark.parametrize("size", [16, 40])
def test_both_stages_in_a_pipeline_equal_two_views_of_the_batch(recipe, size):
    images, keys = byte_images(6, 26, 36, 3), seeds(6)
    dataset = tf.data.Dataset.from_generator(
        lambda: zip(images, keys, strict=True),
        output_signature=(
            tf.TensorSpec([None, None, 3], tf.uint8),
            tf.TensorSpec([2], tf.int32),
        ),
    )
    plan = plan_views(recipe, size)
    dataset = dataset.map(lambda image, key: crop_views(image, key, plan))
    crops_a, crops_b = next(iter(dataset.batch(6)))
    assert crops_a.dtype == tf.float32 and crops_a.shape == (6, size, size, 3)
    views = finish_views((crops_a, crops_b), keys, plan)
    expected = two_views(images, keys, recipe, image_size_pixels=size)
    for view, other in zip(views, expected, strict=True):
        np.testing.assert_allclose(view, other, atol=1e-5)


@pytest.mark.parametrize("view", [0, 1, 5])
def test_one_view_in_two_stages_equals_one_view(view):
    images, keys = byte_images(3, 20, 24, 1).astype(np.float32) / 255.0, seeds(3)
    crops = tf.stack(
        [
            crop_view(image, key, "small_grey", 12, view=view)
            for image, key in zip(images, keys, strict=True)
        ]
    )
    views = finish_view(crops, keys, "small_grey", view=view)
    expected = one_view(images, keys, "small_grey", view=view, image_size_pixels=12)
    np.testing.assert_allclose(views, expected, atol=1e-5)


def test_crops_overshoot_neither_way():
    image = (np.indices((9, 9)).sum(axis=0) % 2 * 255).astype(np.uint8)[..., None]
    crops = np.stack(
        [crop_views(image, key, plan_views("cifar", 20)) for key in seeds(20)]
    )
    assert crops.min() == 0.0 and crops.max() == 1.0


@pytest.mark.parametrize(
    "recipe",
    ["simclr_v2", "evaluate", Recipe(crop_area_max_fraction=0.15)],
    ids=["v2", "evaluate", "small"],
)
@pytest.mark.parametrize("shape", [(61, 83), (40, 40), (17, 90)])
def test_jpeg_bytes_give_the_crops_of_the_fully_decoded_image(recipe, shape):
    for contents, key in zip(photographs(6, *shape), seeds(6), strict=True):
        image = decoded(contents, channels=3)
        crops = crop_views(tf.constant(contents), key, plan_views(recipe, 33))
        expected = crop_views(image, key, plan_views(recipe, 33))
        for crop, other in zip(crops, expected, strict=True):
            np.testing.assert_array_equal(crop, other)


def test_only_the_part_that_the_boxes_cover_is_decoded():
    contents = photographs(1, 60, 80)[0]
    boxes = [tf.constant([10, 20, 8, 9]), tf.constant([14, 12, 20, 10])]
    part, shifted = decode_boxes(contents, boxes, 60, 80)
    assert part.shape == (34 - 10 + 2 * 2, 29 - 12 + 2 * 2, 3)
    whole = decoded(contents, channels=3).numpy()
    for (y, x, h, w), (v, u, _, _) in zip(boxes, shifted, strict=True):
        np.testing.assert_array_equal(
            part[v : v + h, u : u + w], whole[y : y + h, x : x + w]
        )


@pytest.mark.parametrize(
    "recipe",
    ["simclr_v2", ("evaluate", "simclr_v1"), OneBranch("cifar", ("crop",))],
    ids=["one", "pair", "one-branch"],
)
def test_draws_made_for_a_batch_are_those_of_each_image(recipe):
    image, keys, plan = byte_images(31, 45, 3), seeds(6), plan_views(recipe, 12)
    for key, draws in zip(keys, crop_draws(keys, plan), strict=True):
        found = crop_views(image, key, plan, draws=draws)
        for crop, expected in zip(found, crop_views(image, key, plan), strict=True):
            np.testing.assert_array_equal(crop, expected)
    other = crop_views(image, keys[0], plan, draws=crop_draws(keys[1:2], plan)[0])
    assert np.abs(other[-1] - crop_views(image, keys[0], plan)[-1]).max() > 0.05


def test_jpeg_bytes_map_in_a_pipeline_and_decode_to_grey():
    contents, plan = photographs(3, 30, 44), plan_views("small_grey", 28)
    dataset = tf.data.Dataset.from_tensor_slices((contents, seeds(3))).map(
        lambda jpeg, key: crop_views(jpeg, key, plan, channels=1)
    )
    crops_a, _ = next(iter(dataset.batch(3)))
    assert crops_a.shape == (3, 28, 28, 1)
    expected = crop_view(
        decoded(contents[2], channels=1), seeds(3)[2], "small_grey", 28
    )
    np.testing.assert_allclose(crops_a[2], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("image", "key", "message"),
    [
        (np.zeros((4, 4), np.uint8), [0, 1], r"`image` must be \[height, width"),
        (np.zeros((4, 4, 3), np.int32), [0, 1], "uint8 in 0..255 or floating"),
        (np.zeros((4, 4, 3), np.uint8), [0, 1, 2], "`seeds` must be int32"),
        (np.array([b"a", b"b"]), [0, 1], "one string scalar"),
    ],
)
def test_other_images_and_seeds_are_refused(image, key, message):
    with pytest.raises(ConfigError, match=message):
        crop_views(image, tf.constant(key, tf.int32), plan_views("cifar", 8))


def test_finish_views_refuses_seeds_of_another_batch():
    crops = np.zeros((2, 8, 8, 3), np.float32)
    with pytest.raises(ConfigError, match="same batch size"):
        finish_views((crops, crops), seeds(3), plan_views("cifar", 8))
