"""A Vision Transformer in NumPy loops, straight from the papers, at inference.

Weights come as a dict of layer name to a list of float64 arrays in Keras's order
(kernel, bias; gamma, beta).
"""

import math

import numpy as np

EPSILON = 1e-6


def position(row, column, width):
    """What is added to the token at a place, one number at a time."""
    quarter = width // 4
    numbers = []
    for place, wave in (
        (column, math.sin),
        (column, math.cos),
        (row, math.sin),
        (row, math.cos),
    ):
        numbers += [wave(place / 10000 ** (k / quarter)) for k in range(quarter)]
    return np.array(numbers)


def tokens_of(image, weights, patch, reference_grid):
    """One token a patch, row by row, with its place added."""
    kernel, bias = weights
    rows, columns = image.shape[0] // patch, image.shape[1] // patch
    tokens = []
    for row in range(rows):
        for column in range(columns):
            window = image[
                row * patch : (row + 1) * patch, column * patch : (column + 1) * patch
            ]
            token = bias.copy()
            for feature in range(kernel.shape[-1]):
                token[feature] += np.sum(window * kernel[..., feature])
            # The centre of the patch, in patches of an image of the reference size.
            centre_y = (row + 0.5) / rows * reference_grid[0]
            centre_x = (column + 0.5) / columns * reference_grid[1]
            tokens.append(token + position(centre_y - 0.5, centre_x - 0.5, len(token)))
    return np.array(tokens)


def norm(tokens, weights):
    gamma, beta = weights
    out = np.zeros_like(tokens)
    for index, token in enumerate(tokens):
        centred = token - token.mean()
        out[index] = gamma * centred / math.sqrt((centred**2).mean() + EPSILON) + beta
    return out


def dense(tokens, weights):
    """With a bias, or without."""
    return tokens @ weights[0] + (weights[1] if len(weights) == 2 else 0.0)


def gelu(x):
    return np.vectorize(lambda v: v * 0.5 * (1 + math.erf(v / math.sqrt(2))))(x)


def attention(queries, keys, values, num_heads):
    length, width = queries.shape
    size = width // num_heads
    out = np.zeros_like(queries)
    for head in range(num_heads):
        part = slice(head * size, (head + 1) * size)
        for i in range(length):
            scores = np.array(
                [queries[i, part] @ keys[j, part] for j in range(length)]
            ) / math.sqrt(size)
            shares = np.exp(scores - scores.max())
            shares /= shares.sum()
            for j in range(length):
                out[i, part] += shares[j] * values[j, part]
    return out


def vision_transformer(images, w, *, num_blocks, num_heads, patch, grid, pooling):
    """Images `[N, H, W, C]` to a dict of all endpoints."""
    found = {}
    for image in images:
        x = tokens_of(image, w["patches"], patch, grid)
        if pooling == "class_token":
            x = np.concatenate([w["class_token"][0], x])
        out = {"embedding": x}
        for number in range(1, num_blocks + 1):
            name = f"block{number}"
            y = norm(x, w[f"{name}_norm1"])
            y = attention(
                *(dense(y, w[f"{name}_{part}"]) for part in ("query", "key", "value")),
                num_heads,
            )
            x = x + dense(y, w[f"{name}_projection"])
            y = gelu(dense(norm(x, w[f"{name}_norm2"]), w[f"{name}_mlp1"]))
            x = out[name] = x + dense(y, w[f"{name}_mlp2"])
        y = norm(x, w["last_norm"])
        out["features"] = y[0] if pooling == "class_token" else y.mean(axis=0)
        for name, value in out.items():
            found.setdefault(name, []).append(value)
    return {name: np.array(values) for name, values in found.items()}
