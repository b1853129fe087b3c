"""The colour operators, pixel by pixel, through the standard library's HSV."""

import colorsys

import numpy as np


def _each_pixel(image, change):
    result = np.zeros_like(image)
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            result[i, j] = change(image[i, j])
    return result


def brightness(image, scale, offset):
    return np.clip(image * scale + offset, 0, 1)


def contrast(image, factor):
    result = np.zeros_like(image)
    for channel in range(image.shape[2]):
        plane = image[:, :, channel]
        mean = sum(plane.ravel()) / plane.size
        result[:, :, channel] = (plane - mean) * factor + mean
    return np.clip(result, 0, 1)


def saturation(image, factor):
    def change(pixel):
        hue, chroma, value = colorsys.rgb_to_hsv(*pixel)
        return colorsys.hsv_to_rgb(hue, min(1.0, chroma * factor), value)

    return np.clip(_each_pixel(image, change), 0, 1)


def hue(image, turns):
    def change(pixel):
        angle, chroma, value = colorsys.rgb_to_hsv(*pixel)
        return colorsys.hsv_to_rgb((angle + turns) % 1.0, chroma, value)

    return np.clip(_each_pixel(image, change), 0, 1)


def grayscale(image):
    return _each_pixel(image, lambda p: 0.2989 * p[0] + 0.587 * p[1] + 0.114 * p[2])


def jitter(image, order, scale, offset, contrast_factor, saturation_factor, turns):
    """The four operators in the given order; 0..3 as listed here."""
    for operator in order:
        if operator == 0:
            image = brightness(image, scale, offset)
        elif operator == 1:
            image = contrast(image, contrast_factor)
        elif operator == 2:
            image = saturation(image, saturation_factor)
        elif operator == 3:
            image = hue(image, turns)
    return image
