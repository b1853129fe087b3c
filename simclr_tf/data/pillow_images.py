"""Images of every format that Pillow opens, as a person sees them."""

from __future__ import annotations

import contextlib
import functools
import io
import warnings

from simclr_tf.array_types import Array
from simclr_tf.lazy import module, np

PIL = module("PIL")
Image = module("PIL.Image")
ImageOps = module("PIL.ImageOps")

# Formats that Pillow opens and that are no pictures, or run other programs.
_REFUSED = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "PDF", "WMF"}
_GREY = ("1", "L", "LA", "La")
_DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_ORIENTATION = 0x0112
_PNG_NOTES = (b"eXIf", b"XML:com.adobe.xmp", b"Raw profile type")
# Files that may hold a format which needs the package pillow-heif.
HEIF_SUFFIXES = (".heic", ".heif", ".hif")


@functools.cache
def formats():
    """List the names of the formats that are taken, as Pillow names them.

    Returns:
      list of str.
    """
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    Image.init()
    return sorted(set(Image.OPEN) - _REFUSED)


@functools.cache
def suffixes():
    """List the endings of the names of image files, in lower case.

    Returns:
      set of str, e.g. ".jpg". HEIC only where the package pillow-heif is installed.
    """
    taken = {*formats(), "MPO"}  # Several JPEG in one file, opened as JPEG.
    known = Image.registered_extensions()
    return {suffix for suffix, name in known.items() if name in taken}


def format_of(stream):
    """Recognise the format of a file by its content.

    Args:
      stream: binary file.

    Returns:
      str, e.g. `tiff`; None for what Pillow does not open.

    Raises:
      ValueError: the image claims more pixels than `simclr_tf.limits.MOST_PIXELS`.
    """
    with _quiet():
        try:
            return Image.open(stream, formats=formats()).format.lower()
        except Image.DecompressionBombError as error:
            raise ValueError(str(error)) from error
        except Exception:  # noqa: BLE001  Damaged headers raise anything.
            return None


def is_upright(stream):
    """Tell whether the pixels of a JPEG file are stored as they are seen.

    Args:
      stream: binary file.

    Returns:
      bool.
    """
    with _quiet():
        try:
            noted = Image.open(stream, formats=["JPEG"]).getexif().get(_ORIENTATION)
        except Exception:  # noqa: BLE001  Damaged notes raise anything.
            return False
    return noted not in range(2, 9)


def shown_size(path):
    """Read the size of an image as a person sees it, from the header of its file.

    Args:
      path: str.

    Returns:
      ((height, width), whether it is grey); None for a file that cannot be read.
    """
    with _quiet():
        try:
            with Image.open(path, formats=formats()) as image:
                width, height = image.size
                turned = image.getexif().get(_ORIENTATION) in range(5, 9)
                is_grey = image.mode in (*_GREY, *_DEEP)
        except Exception:  # noqa: BLE001  Damaged headers raise anything.
            return None
    return (width, height) if turned else (height, width), is_grey


@contextlib.contextmanager
def _quiet():
    """Keep back Pillow's warnings: they name no file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def decode_with_pillow(content: bytes, background: tuple[int, int, int]) -> Array:
    """Decode one file to the pixels that a person sees.

    The first frame, turned upright, before the background where it is transparent.
    Images of more than 8 bits a channel are reduced by the range that they use, see
    `simclr_tf.data.pixels.to_eight_bits`; floats must be in [0, 1] or in [0, 255].

    Args:
      content: the file's bytes.
      background: (R, G, B), 0 to 255.

    Returns:
      uint8 `[H, W, 1]` for a grey image, `[H, W, 3]` for another.

    Raises:
      ValueError: the bytes cannot be decoded; says why.
    """
    with _quiet():
        try:
            with Image.open(io.BytesIO(content), formats=formats()) as image:
                return _shown(ImageOps.exif_transpose(image), background)
        except ValueError:
            raise
        except PIL.UnidentifiedImageError as error:
            raise ValueError("it is not an image") from error
        except Exception as error:  # noqa: BLE001  Damaged files raise anything.
            raise ValueError(str(error) or type(error).__name__) from error


def png_orientation_by_pillow(content: bytes) -> Array:
    """Read the orientation of a PNG file, wherever it is noted.

    Args:
      content: the file's bytes.

    Returns:
      int32 scalar, 1 to 8; 1 where nothing is noted.
    """
    if not any(note in content for note in _PNG_NOTES):
        return np.int32(1)
    with _quiet():
        try:
            with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
                noted = image.getexif().get(_ORIENTATION)
        except Exception:  # noqa: BLE001  Damaged notes raise anything.
            return np.int32(1)
    return np.int32(noted if noted in range(1, 9) else 1)


def _shown(image, background):
    """Convert a Pillow image to pixels."""
    if image.mode in _DEEP:
        return _eight_bits(np.asarray(image))[..., np.newaxis]
    is_grey = image.mode in _GREY and len(set(background)) == 1
    if image.has_transparency_data:
        image = image.convert("RGBA")
        behind = Image.new("RGBA", image.size, (*background, 255))
        image = Image.alpha_composite(behind, image)
    image = image.convert("RGB")
    pixels = np.asarray(image)
    return pixels[..., :1] if is_grey else pixels


def _eight_bits(values):
    """Reduce one channel of many bits, or of floats, to uint8."""
    if values.dtype.kind == "f":
        low, high = np.min(values), np.max(values)
        if not (np.isfinite([low, high]).all() and low >= 0 and high <= 255):
            raise ValueError(
                f"its pixels are floats from {low:g} to {high:g}; known are [0, 1] and "
                "[0, 255]"
            )
        return np.uint8(np.round(values * (255 if high <= 1 else 1)))
    values = values.astype(np.int64)
    if values.min() < 0:
        raise ValueError(f"its pixels are integers below 0 ({values.min()})")
    bits = max(8, int(values.max()).bit_length())
    limit = 2**bits - 1
    return np.uint8((values * 255 + limit // 2) // limit)
