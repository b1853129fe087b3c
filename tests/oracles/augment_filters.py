"""Blur, Sobel filtering, cutout and rotation, pixel by pixel."""

import math

import numpy as np


def blur(image, sigma, radius):
    """Gaussian of 2 radius + 1 taps an axis, rescaled to the pixels that exist."""
    height, width, _ = image.shape
    result = np.zeros_like(image)
    for i in range(height):
        for j in range(width):
            total = 0.0
            for p in range(i - radius, i + radius + 1):
                for q in range(j - radius, j + radius + 1):
                    if 0 <= p < height and 0 <= q < width:
                        squares = (p - i) ** 2 + (q - j) ** 2
                        weight = math.exp(-squares / (2 * sigma**2))
                        result[i, j] += weight * image[p, q]
                        total += weight
            result[i, j] /= total
    return result


def sobel(image):
    """sqrt(Gx^2 + Gy^2) / 4, at most 1, with reflected borders."""
    height, width, channels = image.shape
    along_x = [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]
    result = np.zeros_like(image)

    def inside(index, size):
        if index < 0:
            return -index
        return 2 * (size - 1) - index if index >= size else index

    for i in range(height):
        for j in range(width):
            for c in range(channels):
                g_x = g_y = 0.0
                for p in range(3):
                    for q in range(3):
                        y, x = inside(i + p - 1, height), inside(j + q - 1, width)
                        g_x += along_x[p][q] * image[y, x, c]
                        g_y += along_x[q][p] * image[y, x, c]
                result[i, j, c] = min(math.sqrt(g_x**2 + g_y**2) / 4, 1.0)
    return result


def cutout(image, box, fill):
    y, x, h, w = box
    result = image.copy()
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            if y <= i < y + h and x <= j < x + w:
                result[i, j] = fill
    return result


def rotate(image, quarter_turns):
    """Counter-clockwise: the right column becomes the top row."""
    size = image.shape[0]
    for _ in range(quarter_turns):
        turned = np.zeros_like(image)
        for i in range(size):
            for j in range(size):
                turned[i, j] = image[j, size - 1 - i]
        image = turned
    return image


def flip(image):
    """The left column becomes the right one."""
    result = np.zeros_like(image)
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            result[i, j] = image[i, image.shape[1] - 1 - j]
    return result


def noise(image, added):
    """Sums, cut off at 0 and 1."""
    result = np.zeros_like(image)
    for place in np.ndindex(image.shape):
        result[place] = min(max(image[place] + added[place], 0.0), 1.0)
    return result
