import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def photo(rng):
    """A function that makes a smooth random picture."""

    def make(height=24, width=30, mode="RGB"):
        coarse = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((width, height), Image.BICUBIC)
        return picture.convert(mode)

    return make


@pytest.fixture
def save_photos(photo):
    """A function that saves pictures of different sizes under the given paths."""

    def save(root, *paths):
        for number, path in enumerate(paths):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            photo(20 + number % 5, 30 - number % 3).save(root / path)
        return root

    return save
