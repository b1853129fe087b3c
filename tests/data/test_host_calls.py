"""A pipeline's Python functions live as long as the pipeline."""

import gc
import weakref

import numpy as np
import tensorflow as tf

from simclr_tf.data import on_host


class Doubler:
    def __call__(self, value):
        return 2 * value


def doubling(function, nested):
    def call(n):
        return on_host(function, [n], tf.int64)

    numbers = tf.data.Dataset.range(3)
    if nested:
        return numbers.flat_map(lambda n: tf.data.Dataset.from_tensors(n).map(call))
    return numbers.map(call).prefetch(2)


def test_a_function_is_called_though_nobody_else_keeps_it():
    for nested in (False, True):
        dataset = doubling(Doubler(), nested)
        gc.collect()
        iterator = iter(dataset)
        del dataset
        gc.collect()
        assert [int(value) for value in iterator] == [0, 2, 4]


def test_a_function_and_what_it_holds_end_with_its_data_set():
    for nested in (False, True):
        function = Doubler()
        function.images = np.zeros(10)
        held = weakref.ref(function)
        dataset = doubling(function, nested)
        del function
        gc.collect()
        assert held() is not None
        del dataset
        gc.collect()
        assert held() is None
