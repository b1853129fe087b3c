"""The size of images and views: one number for squares, else height and width."""

import numbers
import re

from simclr_tf.errors import require

# Of an option. In JSON a pair is a list; on the command line it is written 64x96.
ImageSize = int | tuple[int, int]


def as_size(image_size_pixels):
    """Return an image size as (height, width).

    Args:
      image_size_pixels: int >= 1, or a pair of them (height, width).

    Returns:
      tuple (height, width) of ints.

    Raises:
      ConfigError: anything else.

    Example:
      >>> as_size(224), as_size((64, 96))
      ((224, 224), (64, 96))
    """
    size = image_size_pixels
    pair = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    require(
        len(pair) == 2
        and all(
            isinstance(side, numbers.Integral)
            and not isinstance(side, bool)
            and side >= 1
            for side in pair
        ),
        "`image_size_pixels` must be an integer >= 1 or a pair (height, width).",
        image_size_pixels=size,
    )
    return int(pair[0]), int(pair[1])


def short_size(name, value):
    """Return the value of an option that is a size: int for a square, else a pair.

    Args:
      name: str, the option's.
      value: int, pair (height, width) as a tuple or list, or text such as "64x96".

    Raises:
      ConfigError: anything else, or a side below 1.

    Example:
      >>> short_size("size", [64, 96]), short_size("size", (32, 32))
      ((64, 96), 32)
      >>> short_size("size", "64x96")
      (64, 96)
    """
    given = value
    if isinstance(value, str):
        value = parsed_size(value)
    sides = value if isinstance(value, (tuple, list)) else (value, value)
    is_whole = [isinstance(s, int) and not isinstance(s, bool) for s in sides]
    require(
        len(sides) == 2 and all(is_whole),
        f"`{name}` must be a whole number of pixels, or height x width such as 64x96.",
        **{name: given},
    )
    require(min(sides) > 0, f"`{name}` must be > 0.", **{name: given})
    return sides[0] if sides[0] == sides[1] else (sides[0], sides[1])


def parsed_size(text):
    """Return the size that a flag's text names; any other text unchanged.

    Example:
      >>> parsed_size("32"), parsed_size("64x96"), parsed_size("large")
      (32, (64, 96), 'large')
    """
    pair = re.fullmatch(r"\s*(\d+)\s*[xX×]\s*(\d+)\s*", text)
    if pair:
        return int(pair[1]), int(pair[2])
    try:
        return int(text)
    except ValueError:
        return text


def size_text(image_size_pixels, between="x"):
    """Write a size as users do: one number for a square, else height x width.

    Example:
      >>> size_text(32), size_text((64, 96)), size_text((64, 96), " x ")
      ('32', '64x96', '64 x 96')
    """
    height, width = as_size(image_size_pixels)
    return str(height) if height == width else f"{height}{between}{width}"
