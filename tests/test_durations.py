"""Steps are exact integers."""

import pytest

from simclr_tf.durations import segments, steps_per_epoch, total_steps, warmup_steps
from simclr_tf.errors import ConfigError


def test_an_epoch_leaves_out_the_incomplete_batch():
    assert steps_per_epoch(6007, 256) == 23
    assert steps_per_epoch(256, 256) == 1


def test_a_batch_larger_than_the_set_is_refused_with_the_largest_size():
    with pytest.raises(ConfigError, match="use at most 100"):
        steps_per_epoch(100, 101)


def test_steps_override_epochs():
    assert total_steps(epochs=10, steps=7, epoch_steps=23) == 7
    assert total_steps(epochs=10, steps=None, epoch_steps=23) == 230
    assert warmup_steps(10.0, 0, 23) == 0
    assert warmup_steps(2.5, None, 23) == 58


def test_segments_cover_every_step_once_and_end_at_epochs():
    for start in range(12):
        for total in range(start, 14):
            steps = []
            for first, last, width in segments(start, total, 4):
                assert (last - first) % width == 0
                steps += range(first, last)
            assert steps == list(range(start, total))
