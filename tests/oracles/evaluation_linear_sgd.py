"""One linear softmax layer trained step by step: plain loops over float64."""

import math

import numpy as np


def gradients(x, y, kernel, bias):
    """Of the mean cross-entropy, image by image and class by class."""
    kernel_slope, bias_slope = np.zeros_like(kernel), np.zeros_like(bias)
    for features, label in zip(x, y, strict=True):
        scores = [
            sum(f * w for f, w in zip(features, column, strict=True)) + b
            for column, b in zip(kernel.T, bias, strict=True)
        ]
        total = sum(math.exp(score) for score in scores)
        for c, score in enumerate(scores):
            error = (math.exp(score) / total - (c == label)) / len(x)
            bias_slope[c] += error
            kernel_slope[:, c] += error * features
    return kernel_slope, bias_slope


def norm(array):
    return math.sqrt(sum(float(value) ** 2 for value in np.ravel(array)))


def train(batches, kernel, peak, *, optimizer, momentum=0.9, weight_decay=0.0):
    """(kernel, bias) after one step a batch, the rate falling by half a cosine."""
    kernel = np.array(kernel, np.float64)
    bias = np.zeros(kernel.shape[1])
    kernel_velocity, bias_velocity = np.zeros_like(kernel), np.zeros_like(bias)
    for step, (x, y) in enumerate(batches):
        rate = peak * (1 + math.cos(math.pi * step / len(batches))) / 2
        kernel_slope, bias_slope = gradients(np.asarray(x, float), y, kernel, bias)
        kernel_slope = kernel_slope + weight_decay * kernel
        kernel_move, bias_move = rate * kernel_slope, rate * bias_slope
        if optimizer == "lars" and norm(kernel) > 0 and norm(kernel_slope) > 0:
            kernel_move = kernel_move * 0.001 * norm(kernel) / norm(kernel_slope)
        kernel_velocity = momentum * kernel_velocity + kernel_move
        bias_velocity = momentum * bias_velocity + bias_move
        if optimizer == "sgd":  # Nesterov looks ahead.
            kernel = kernel - momentum * kernel_velocity - kernel_move
            bias = bias - momentum * bias_velocity - bias_move
        else:
            kernel, bias = kernel - kernel_velocity, bias - bias_velocity
    return kernel, bias
