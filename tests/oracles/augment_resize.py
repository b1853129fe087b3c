"""Bicubic resizing of a crop, pixel by pixel, from Keys (1981)."""

import math

import numpy as np


def keys_kernel(distance):
    """Keys' equation 4 with a = -1/2."""
    s = abs(distance)
    if s <= 1:
        return 3 / 2 * s**3 - 5 / 2 * s**2 + 1
    if s < 2:
        return -1 / 2 * s**3 + 5 / 2 * s**2 - 4 * s + 2
    return 0.0


def crop_and_resize(image, box, height, width):
    """One image `[H, W, C]`; taps outside the box have no weight."""
    y0, x0, h, w = box
    result = np.zeros((height, width, image.shape[2]))
    for i in range(height):
        for j in range(width):
            y, x = (i + 0.5) * h / height - 0.5, (j + 0.5) * w / width - 0.5
            total = 0.0
            for p in range(math.floor(y) - 1, math.floor(y) + 3):
                for q in range(math.floor(x) - 1, math.floor(x) + 3):
                    if 0 <= p < h and 0 <= q < w:
                        weight = keys_kernel(y - p) * keys_kernel(x - q)
                        result[i, j] += weight * image[y0 + p, x0 + q]
                        total += weight
            result[i, j] /= total
    return np.clip(result, 0.0, 1.0)
