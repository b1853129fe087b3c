"""Probe: an MLP recognises from h, and from g(h), which transform a view had."""

import dataclasses

import numpy as np
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.augment import ViewGroup, plan_views
from simclr_tf.data import training_dataset
from simclr_tf.errors import unknown_choice
from simclr_tf.studies.head_information import questions
from simclr_tf.training.views_of_batch import ViewsOfBatch

EPOCHS, BATCH, HIDDEN, LEARNING_RATE = 20, 128, 512, 1e-3


def transform_accuracies_percent(
    encoder,
    head,
    train,
    test,
    *,
    recipe,
    transform,
    seed,
    image_size_pixels,
    epochs=EPOCHS,
):
    """Measure how often an MLP recognises a transform, from h and from the projections.

    The views are made by the recipe without that transform; a separate draw decides
    whether the transform is then applied. The MLP has one hidden layer and is trained
    on one view of each training image, and tested on one view of each test image.

    Args:
      encoder: keras.Model, images to features; head: projection head on them.
      train, test: Source.
      recipe: Recipe of the pretraining.
      transform: str, a key of `head_information.questions()`.
      seed: int, of the views, the draws and the MLP.
      image_size_pixels: int or (height, width).
      epochs: int, of the MLP.

    Returns:
      dict of "h", "z" and "chance" (always the most frequent answer), in percent.

    Raises:
      ConfigError: an unknown transform.

    Source: arXiv 2002.05709, Table 3.
    """
    if transform not in questions():
        raise unknown_choice("transform", transform, questions())
    operator = questions()[transform]
    shares = operator.question.shares
    without = dataclasses.replace(recipe, **{operator.switch: 0.0})

    @tf.function
    def embed(images):
        features = encoder(images, training=False)
        return features, head(features, training=False)

    plan = plan_views(without, image_size_pixels, (ViewGroup(1),))
    views_of, sets = ViewsOfBatch(plan), []
    for number, source in enumerate((train, test)):
        rng = np.random.default_rng([seed, number])
        sets.append(
            _embedded(
                source,
                views_of,
                embed,
                seed,
                operator,
                lambda size, rng=rng: rng.choice(len(shares), size, p=shares),
            )
        )
    (*train_parts, answers), (*test_parts, truth) = sets
    values = {
        name: mlp_accuracy_percent(
            x, answers, t, truth, len(shares), seed=seed, epochs=epochs
        )
        for name, x, t in zip(("h", "z"), train_parts, test_parts, strict=True)
    }
    commonest = np.bincount(answers).argmax()
    return {**values, "chance": 100 * float(np.mean(truth == commonest))}


def transformed(images, answers, seeds, operator, recipe):
    """Apply to each image the transform of its answer.

    Args:
      images: float32 `[B, H, W, C]` in [0, 1].
      answers: int array `[B]`, positions in the shares of the operator's question; 0 is
        no change.
      seeds: int32 `[B, 2]`, for other draws.
      operator: Operator with a question.
      recipe: Recipe.

    Returns:
      float32 tensor like `images`.

    Example:
      >>> from simclr_tf.augment import Recipe
      >>> images = tf.reshape([0.1, 0.2, 0.3, 0.4], [1, 2, 2, 1])
      >>> rotation = questions()["rotation"]
      >>> turned = transformed(images, np.array([2]), [[0, 1]], rotation, Recipe())
      >>> [round(float(v), 1) for v in tf.reshape(turned, [-1])]
      [0.4, 0.3, 0.2, 0.1]
    """
    draw = operator.draw_of_answers(
        tf.constant(answers, tf.int32),
        tf.constant(seeds, tf.int32),
        tuple(images.shape[1:]),
    )
    return operator.apply(images, draw, recipe)


def mlp_accuracy_percent(
    x, labels, test_x, test_labels, num_classes, *, seed, epochs=EPOCHS
):
    """Measure the test accuracy of a fresh MLP on standardised features.

    Args:
      x, test_x: float32 `[n, F]`, `[m, F]`.
      labels, test_labels: int arrays.
      num_classes: int.
      seed: int.
      epochs: int.

    Returns:
      float in [0, 100].
    """
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-6
    initializer = [keras.initializers.GlorotUniform(seed + i) for i in range(2)]
    mlp = keras.Sequential(
        [
            keras.layers.Dense(HIDDEN, "relu", kernel_initializer=initializer[0]),
            keras.layers.Dense(num_classes, kernel_initializer=initializer[1]),
        ]
    )
    mlp.compile(
        keras.optimizers.Adam(LEARNING_RATE),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    x, test_x = (x - mean) / spread, (test_x - mean) / spread
    # tf.data shuffles with a seed, differently in every epoch.
    rows = tf.data.Dataset.from_tensor_slices((x, labels)).shuffle(len(x), seed=seed)
    mlp.fit(rows.batch(BATCH), epochs=epochs, verbose=0)
    predictions = mlp.predict(test_x, batch_size=1024, verbose=0).argmax(axis=1)
    return 100 * float(np.mean(predictions == test_labels))


def _embedded(source, views_of, embed, seed, operator, draw):
    """Embed one transformed view of each image of the full batches: h, z, answers."""
    batch = min(BATCH, source.num_examples)
    dataset = training_dataset(
        source,
        global_batch_size=batch,
        seed=seed,
        plan=views_of.plan,
        total_steps=source.num_examples // batch,
    )
    parts = []
    for rows in dataset:
        answers = draw(batch)
        (images,) = views_of(rows)
        images = transformed(
            images, answers, rows["seeds"], operator, views_of.plan.views[0].recipe
        )
        parts.append([*(part.numpy() for part in embed(images)), answers])
    return [np.concatenate(part) for part in zip(*parts, strict=True)]
