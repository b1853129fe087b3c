"""The pixels of a file are those that a person sees: Pillow, upright, is the judge."""

import functools
import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from simclr_tf.augment import crop_views, plan_views
from simclr_tf.augment.upright import orientation_of_jpeg, stored_box, turn_upright
from simclr_tf.data import open_source
from simclr_tf.data.image_files import inspect_files
from simclr_tf.data.left_out import left_out_line, write_left_out
from simclr_tf.data.pillow_images import decode_with_pillow
from simclr_tf.data.pixels import decode_image, decode_in_graph, to_eight_bits
from simclr_tf.errors import DataError

ORIENTATION = 0x0112
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="{}"/>'
    "</x:xmpmeta>"
)


@pytest.fixture
def picture(rng):
    """A colour picture of 12 rows and 20 columns without any symmetry."""
    small = rng.integers(0, 256, (3, 5, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((20, 12), Image.Resampling.BICUBIC)


def written(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def seen(content, background=(255, 255, 255)):
    """What Pillow shows: the first frame, upright, before the background."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    if image.has_transparency_data:
        behind = Image.new("RGBA", image.size, (*background, 255))
        image = Image.alpha_composite(behind, image.convert("RGBA"))
    return np.asarray(image.convert("RGB"), int)


@functools.cache
def in_graph(decode, background):
    """`decode` inside a graph, as pipelines and exports call it."""
    return tf.function(
        lambda encoded: decode(encoded, 3, background=background),
        input_signature=[tf.TensorSpec([], tf.string)],
        autograph=False,
    )


def assert_shown(content, decode=decode_image, tolerance=1, background=(255,) * 3):
    image = in_graph(decode, background)(tf.constant(content)).numpy().astype(int)
    np.testing.assert_allclose(image, seen(content, background), atol=tolerance)


def exif(orientation, order="<"):
    notes = Image.Exif()
    notes.endian = order
    notes[0x010F] = "a maker"
    notes[ORIENTATION] = orientation
    return notes


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_lies_as_its_camera_was_held(picture, kind, orientation):
    content = written(picture, kind, exif=exif(orientation))
    assert_shown(content, tolerance=0)
    if kind in ("JPEG", "PNG"):
        assert_shown(content, decode_in_graph, tolerance=0)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("orientation", [0, 3, 6, 9, 60000])
def test_both_byte_orders_and_numbers_without_a_meaning(picture, order, orientation):
    content = written(picture, "JPEG", exif=exif(orientation, order))
    assert_shown(content, tolerance=0)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_xmp_counts_where_exif_says_nothing(picture, kind):
    note = XMP.format(6)
    if kind == "PNG":
        from PIL.PngImagePlugin import PngInfo

        notes = PngInfo()
        notes.add_itxt("XML:com.adobe.xmp", note)
        content = written(picture, kind, pnginfo=notes)
    else:
        content = written(picture, kind, xmp=note.encode())
    assert seen(content).shape == (20, 12, 3)
    assert_shown(content, tolerance=0)
    if kind != "WEBP":
        assert_shown(content, decode_in_graph, tolerance=0)
    both = {"exif": exif(8), "xmp": note.encode()}
    if kind == "JPEG":
        assert_shown(written(picture, kind, **both), tolerance=0)


def test_notes_in_a_jpeg_may_stand_behind_other_notes_and_be_damaged(picture):
    content = written(picture, "JPEG", exif=exif(6))
    start = content.index(b"\xff\xe1")
    comment = b"\xff\xfe\x00\x09comment" + b"\xff\xe2\x00\x08foreign"[:10]
    assert_shown(content[:start] + comment + content[start:], tolerance=0)
    length = int.from_bytes(content[start + 2 : start + 4], "big")
    for cut in range(0, length - 8, 7):  # Nonsense instead of the directory.
        place = start + 10 + cut
        damaged = content[:place] + b"\xff" * 4 + content[place + 4 :]
        assert orientation_of_jpeg(damaged).numpy() in range(1, 9)


def test_a_jpeg_in_cmyk_shows_its_colours(picture):
    assert_shown(written(picture.convert("CMYK"), "JPEG"))


@pytest.mark.parametrize("background", [(255, 255, 255), (0, 0, 0), (10, 200, 60)])
@pytest.mark.parametrize("decode", [decode_image, decode_in_graph])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "RGB", "1"])
def test_transparent_png_shows_the_background(picture, rng, mode, decode, background):
    if mode in ("RGBA", "LA"):
        alpha = Image.fromarray(rng.integers(0, 256, (12, 20), dtype=np.uint8))
        image = picture.convert(mode)
        image.putalpha(alpha)
        content = written(image, "PNG")
    else:  # One colour is transparent; of a palette, several, by degrees.
        image = picture.convert(mode)
        first = image.getpixel((0, 0))
        transparency = bytes(range(0, 250, 10)) if mode == "P" else first
        content = written(image, "PNG", transparency=transparency)
    assert_shown(content, decode, background=background)


def test_a_transparent_grey_png_stays_grey_before_a_grey_background(picture):
    image = picture.convert("LA")
    assert decode_image(written(image, "PNG")).shape == (12, 20, 1)
    colour = decode_image(written(image, "PNG"), background=(255, 0, 0))
    assert colour.shape == (12, 20, 3)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF"])
def test_other_transparent_files_show_the_background(picture, kind):
    image = picture.convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize((20, 12)).point(lambda v: v))
    if kind == "GIF":
        image = picture.convert("P")
        content = written(image, kind, transparency=image.getpixel((3, 3)))
    else:
        content = (
            written(image, kind, lossless=True)
            if kind == "WEBP"
            else written(image, kind)
        )
    assert Image.open(io.BytesIO(content)).has_transparency_data
    assert_shown(content)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_animations_give_the_first_frame(picture, kind):
    second = ImageOps.invert(picture)
    content = written(picture, kind, save_all=True, append_images=[second, second])
    assert Image.open(io.BytesIO(content)).n_frames > 1
    assert_shown(content)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_bmp_of_all_kinds(picture, mode):
    assert_shown(written(picture.convert(mode), "BMP"))


def test_an_export_refuses_what_tensorflow_would_misread(picture):
    content = written(picture, "BMP")
    np.testing.assert_array_equal(decode_in_graph(content, 3), seen(content))
    palette = picture.convert("P")
    first = palette.getpixel((0, 0))
    transparent = written(palette, "GIF", transparency=first)
    for other in (
        written(palette, "BMP"),
        written(picture.convert("RGBA"), "BMP"),
        written(picture, "TIFF"),
        transparent,
        b"no image at all",
        b"",
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match="Only JPEG and PNG"):
            decode_in_graph(other, 3)


@pytest.mark.parametrize("kind", ["PPM", "TGA", "JPEG2000", "PCX", "SGI", "ICO", "PSD"])
def test_whatever_pillow_opens_is_an_image(picture, kind):
    if kind == "PSD":  # Which Pillow does not write: no layers, planes as they are.
        head = struct.pack(">4sH6xHIIHH12xH", b"8BPS", 1, 3, 12, 20, 8, 3, 0)
        content = head + np.moveaxis(np.asarray(picture), -1, 0).tobytes()
    else:
        options = {"sizes": [(20, 12)]} if kind == "ICO" else {}
        content = written(picture, kind, **options)
    assert_shown(content)


def sixteen_bits(values):
    """A grey PNG of 16 bits."""
    return written(Image.fromarray(values.astype(np.uint16)), "PNG")


@pytest.mark.parametrize("bits", [8, 9, 12, 14, 16])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_deep_images_keep_their_range(bits, kind):
    values = np.linspace(0, 2**bits - 1, 60).astype(np.uint16).reshape(6, 10)
    content = written(Image.fromarray(values), kind)
    image = decode_image(content).numpy()[..., 0]
    expected = np.round(values * (255 / (2**bits - 1)))
    np.testing.assert_allclose(image, expected, atol=1)
    assert image.max() == 255


def test_deep_colour_and_its_transparency_keep_their_range():
    rgba = np.zeros([2, 3, 4], np.uint16)
    rgba[..., 0], rgba[..., 3] = 4095, [0, 32768, 65535]
    content = tf.io.encode_png(rgba).numpy()
    np.testing.assert_array_equal(
        decode_image(content, 3)[0], [[255, 255, 255], [255, 127, 127], [255, 0, 0]]
    )
    rgb = tf.io.encode_png(rgba[..., :3]).numpy()
    np.testing.assert_array_equal(decode_image(rgb, 3)[0, 0], [255, 0, 0])


def test_reduction_to_eight_bits_is_exact_at_both_ends():
    for bits in range(8, 17):
        values = np.array([0, 2**bits - 1], np.uint16).reshape(1, 2, 1)
        np.testing.assert_array_equal(to_eight_bits(values).numpy().ravel(), [0, 255])
    small = np.arange(4, dtype=np.uint16).reshape(2, 2, 1)
    np.testing.assert_array_equal(to_eight_bits(small), small)


@pytest.mark.parametrize("scale", [1.0, 200.0])
def test_floats_are_taken_in_two_ranges_and_refused_elsewhere(scale):
    values = np.linspace(0, scale, 12, dtype=np.float32).reshape(3, 4)
    image = decode_with_pillow(written(Image.fromarray(values), "TIFF"), (0, 0, 0))
    factor = 255 if scale == 1 else 1
    np.testing.assert_allclose(image[..., 0], values * factor, atol=0.5)
    for wrong in (values * 400 / scale, values - 0.5, values * np.nan):
        content = written(Image.fromarray(wrong), "TIFF")
        with pytest.raises(ValueError, match=r"floats from .*\[0, 1\] and \[0, 255\]"):
            decode_with_pillow(content, (0, 0, 0))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_of_the_upright_image_are_found_in_the_stored_one(rng, orientation):
    stored = rng.integers(0, 256, (5, 7, 2))
    upright = turn_upright(tf.constant(stored), orientation)
    height, width = upright.shape[:2]
    box = np.array([1, 2, 3, 2], np.int32)
    y, x, h, w = stored_box(box, height, width, tf.constant(orientation)).numpy()
    part = turn_upright(tf.constant(stored[y : y + h, x : x + w]), orientation)
    np.testing.assert_array_equal(part, upright[1:4, 2:4])


@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_crops_from_the_file_are_those_of_the_upright_image(picture, orientation):
    large = picture.resize((60, 44))
    content = written(large, "JPEG", quality=95, exif=exif(orientation))
    plan, seed = plan_views("cifar", 16), tf.constant([3, 4])
    whole = tf.constant(seen(content).astype(np.uint8))
    for crop, expected in zip(
        crop_views(tf.constant(content), seed, plan),
        crop_views(whole, seed, plan),
        strict=True,
    ):
        np.testing.assert_allclose(crop, expected, atol=1e-5)


def test_a_folder_is_read_as_it_is_seen_whatever_its_files_are_called(
    tmp_path, picture
):
    files = {
        "turned.JPG": written(picture, "JPEG", exif=exif(6)),
        "upright.jfif": written(picture, "JPEG", exif=exif(1)),
        "webp.png": written(picture, "WEBP", lossless=True),
        "scan.TIF": written(picture, "TIFF"),
        "screen.png": written(picture.convert("RGBA"), "PNG"),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    source = open_source(f"folder:{tmp_path}", memory_limit_bytes=0)
    assert source.num_examples == len(files)
    for number in range(source.num_examples):
        place = [column[0] for column in source.locations(np.array([number]))]
        expected = seen(files[source.example_name(number)])
        np.testing.assert_allclose(source.read_image(*place), expected, atol=1)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("a.jpg", {}, "jpeg"),
        ("a.jpg", {"exif": exif(1)}, "jpeg"),
        ("a.jpg", {"exif": exif(5)}, "other"),
        ("a.png", {}, "png"),
        ("a.png", {"exif": exif(5)}, "other"),
        ("a.gif", {}, "other"),
    ],
)
def test_only_files_that_tensorflow_shows_right_take_the_short_way(
    tmp_path, picture, name, options, expected
):
    picture.save(tmp_path / name, **options)
    reasons, formats, _ = inspect_files([str(tmp_path / name)])
    assert (reasons, formats) == ({}, {expected})
    content = (tmp_path / name).read_bytes()
    if expected != "other":
        assert_shown(content, tolerance=0)
        np.testing.assert_array_equal(
            decode_image(content, 3, plain=True), seen(content)
        )


def test_transparent_png_does_not_take_the_short_way(tmp_path, picture):
    for number, mode in enumerate(("RGBA", "LA", "P", "I;16")):
        image = picture.convert("L") if mode == "I;16" else picture
        image.convert(mode).save(tmp_path / f"{number}.png")
    picture.save(tmp_path / "key.png", transparency=picture.getpixel((0, 0)))
    paths = sorted(str(path) for path in tmp_path.iterdir())
    assert inspect_files(paths)[:2] == ({}, {"other"})


def test_pictures_of_two_lenses_in_one_file_count_and_show_the_first(tmp_path, picture):
    for name in ("a.mpo", "b.MPO"):
        turned = picture.transpose(Image.Transpose.ROTATE_180)
        picture.save(tmp_path / name, "MPO", save_all=True, append_images=[turned])
    source = open_source(f"folder:{tmp_path}", memory_limit_bytes=0)
    assert source.num_examples == 2 and source.left_out == {}
    (place,) = source.locations(np.array([0]))
    expected = seen((tmp_path / "a.mpo").read_bytes())
    np.testing.assert_allclose(source.read_image(place[0]), expected, atol=1)


def test_files_that_are_left_out_are_counted_by_their_endings(
    tmp_path, picture, caplog
):
    for name in ("a.png", "b.png"):
        picture.save(tmp_path / name)
    (tmp_path / "3.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    for name in ("1.HEIC", "2.heic", "Thumbs.db", "notes.txt", "README"):
        (tmp_path / name).write_bytes(b"something")
    with caplog.at_level("WARNING", "simclr_tf"):
        source = open_source(f"folder:{tmp_path}", max_corrupt_fraction=0.5)
    assert source.num_examples == 2
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"Left out 6 of 8 files of `folder:{tmp_path}`")
    assert "2 .heic" in line and "1 .db" in line and "1 README" in line
    assert "1 HEIC, for which pip install pillow-heif (3.jpg)" in line
    assert line.endswith("To read .heic: pip install pillow-heif.")


def test_a_folder_of_photos_that_need_another_package_is_told_its_name(tmp_path):
    for name in ("IMG_0001.HEIC", "IMG_0002.HEIC"):
        (tmp_path / name).write_bytes(b"something")
    with pytest.raises(DataError, match="2 other .* .heic: pip install pillow-heif. R"):
        open_source(f"folder:{tmp_path}")


def test_folders_that_are_left_out_are_not_counted_as_files(
    tmp_path, save_photos, caplog
):
    photos = ("train/a/1.png", "train/b/1.png", "test/a/1.png", "more/1.png")
    save_photos(tmp_path, *photos)
    (tmp_path / "iphone").mkdir()
    (tmp_path / "iphone" / "1.HEIC").write_bytes(b"something")
    source = open_source(f"folder:{tmp_path}")
    assert "Left out 2 folders of `folder:" in caplog.text
    assert "2 beside the folders of the splits (iphone/, more/)" in caplog.text
    counted = {**source.left_out, "1.db": "not named as an image"}
    assert left_out_line(counted, 2, "x").startswith("Left out 1 of 3 files and 2 fold")
    write_left_out(tmp_path / "list.txt", source)
    assert "2 folders are left out\n" in (tmp_path / "list.txt").read_text()
