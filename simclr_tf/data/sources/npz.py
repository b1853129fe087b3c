"""Arrays in `.npz` and `.npy` files: memory-mapped where they are not compressed."""

import math
import os
import struct
import zipfile

from simclr_tf.data.arrays import ArraySource
from simclr_tf.data.sources.kind import MissingSplitError, SourceKind, cut, parse_split
from simclr_tf.errors import DataError, received_text
from simclr_tf.lazy import np
from simclr_tf.limits import memory_bytes


class Npz(SourceKind):
    """`npz:PATH`: `x_{split}` and optional `y_{split}` and `classes`; or an `.npy`.

    Members stored uncompressed (`numpy.savez`) and `.npy` files are memory-mapped:
    their pixels stay on disk until they are needed. Compressed members are loaded.
    """

    forms = {"npz:PATH": "`x_train`, ... in a file of NumPy arrays; or an `.npy` file"}
    splits = "NAME, of an array `x_NAME`"
    labels = "`y_train`, ... if present"
    may_hold_out = True

    def recognises(self, text):
        """Tell whether a text is the name of an array file."""
        return text.endswith((".npz", ".npy"))

    def split_names(self, target, data_dir=None):
        """List the names NAME of the arrays `x_NAME`; only `train` of an `.npy`."""
        path = os.path.expanduser(target)
        try:
            with zipfile.ZipFile(path) as archive:
                members = archive.namelist()
        except (OSError, zipfile.BadZipFile):
            return ["train"]  # An `.npy`, or what `open` refuses.
        names = [m[2:-4] for m in members if m.startswith("x_") and m.endswith(".npy")]
        return sorted(names) or ["train"]

    def open(self, target, request):
        """Open the array file at the path `target`: ArraySource."""
        path, name = os.path.expanduser(target), request.name
        if not os.path.isfile(path):
            raise DataError(f"No such file. {received_text(data=name)}")
        part, bounds = parse_split(request.split)
        try:
            images, details = _read_arrays(
                path, part, name, with_labels=request.labelled is not False
            )
        except DataError:
            raise
        except Exception as error:  # Whatever NumPy and zipfile do with damage.
            raise DataError(
                f"`{name}` is not an array file that NumPy can read without pickle"
                f"{_reason(error)}. " + received_text(data=name)
            ) from error
        source = ArraySource(
            name, images, channels=request.channels, split=part, **details
        )
        return cut(source, bounds, request)


def _reason(error):
    """Tell what NumPy found, but for its advice to run the program in a file."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return "" if "allow_pickle" in text else f" ({text})"


def _read_arrays(path, part, name, *, with_labels):
    if not zipfile.is_zipfile(path):
        if part != "train":
            raise MissingSplitError(
                "An `.npy` file has one split, `train`. "
                + received_text(data=name, split=part)
            )
        with open(path, "rb") as stream:
            check_claim(stream, os.path.getsize(path), f"`{name}`")
        return np.load(path, mmap_mode="r", allow_pickle=False), {}
    with np.load(path, allow_pickle=False) as archive:
        members = archive.zip.namelist()
        present = sorted(m.removesuffix(".npy") for m in members if m.endswith(".npy"))
        key = f"x_{part}"
        if key not in present:
            raise MissingSplitError(
                f"`{name}` has no array `{key}` for split `{part}`; save it with "
                f"`numpy.savez(path, {key}=images)`. " + received_text(keys=present)
            )
        # The labels of all splits are numbered together.
        splits = [m[2:] for m in present if m.startswith("x_")]
        beside = [f"y_{split}" for split in splits if f"y_{split}" in present]
        beside = beside if with_labels else []
        for used in {key, "classes", *beside} & set(present):
            _check_member(archive.zip, f"{used}.npy", name)
        images = mapped_member(path, f"{key}.npy")
        images = archive[key] if images is None else images
        labels = {member: _labels(archive, member, name) for member in beside}
        details = {"beside": [labels[m] for m in beside if m != f"y_{part}"]}
        details["classes"] = archive["classes"] if "classes" in present else None
        details["labels"] = labels.get(f"y_{part}")
    return images, details


def _labels(archive, member, name):
    try:
        return archive[member]
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise DataError(
            f"`{member}` of `{name}` holds Python objects, which are not read. Save it "
            f"as names, `numpy.savez(path, {member}=labels.astype(str), ...)`, or as "
            "numbers. " + received_text(data=name)
        ) from error


def _check_member(archive, member, name):
    """Raise DataError for an array that claims more than it holds, or than fits."""
    what = f"The array `{member.removesuffix('.npy')}` of `{name}`"
    info = archive.getinfo(member)
    if info.compress_type != zipfile.ZIP_STORED and info.file_size > memory_bytes():
        raise DataError(
            f"{what} unpacks to {info.file_size} bytes, more than this machine has "
            "memory. Save it with `numpy.savez`, which does not compress: it then "
            "stays on the disk."
        )
    with archive.open(member) as stream:
        check_claim(stream, info.file_size, what)


def check_claim(stream, size, what):
    """Raise DataError unless an array has the bytes that its header claims.

    Args:
      stream: binary file at the beginning of an `.npy` file.
      size: int, bytes of that file.
      what: str, how a message calls it.

    Returns:
      (shape, whether it is in Fortran's order, dtype).

    Raises:
      DataError: more or fewer bytes.
      ValueError: no such file.

    Example:
      >>> import io
      >>> file = io.BytesIO()
      >>> np.save(file, np.zeros([2, 3]))
      >>> file.seek(0), check_claim(file, file.getbuffer().nbytes, "a")[0]
      (0, (2, 3))
    """
    version = np.lib.format.read_magic(stream)
    read_header = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, fortran_order, dtype = read_header(stream)
    claimed, held = math.prod(shape) * dtype.itemsize, size - stream.tell()
    if not dtype.hasobject and claimed != held:
        raise DataError(
            f"{what} is damaged: its header claims {claimed} bytes, and it holds "
            f"{held}."
        )
    return shape, fortran_order, dtype


def mapped_member(path, member):
    """Memory-map an array that is stored uncompressed inside a zip file.

    Args:
      path: str, the `.npz` file.
      member: str, e.g. `x_train.npy`.

    Returns:
      numpy.memmap, read-only; None if the member is compressed, empty or holds
      Python objects.
    """
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(member)
        if info.compress_type != zipfile.ZIP_STORED:
            return None
        with archive.open(member) as stream:
            shape, fortran_order, dtype = check_claim(
                stream, info.file_size, f"`{member}`"
            )
            header_bytes = stream.tell()
    if dtype.hasobject or 0 in shape:
        return None
    with open(path, "rb") as stream:
        # The local header before the data has a fixed part of 30 bytes, whose last two
        # words are the lengths of the name and the extra field that follow.
        stream.seek(info.header_offset + 26)
        name_bytes, extra_bytes = struct.unpack("<HH", stream.read(4))
    offset = info.header_offset + 30 + name_bytes + extra_bytes + header_bytes
    return np.memmap(
        path,
        dtype=dtype,
        mode="r",
        offset=offset,
        shape=shape,
        order="F" if fortran_order else "C",
    )
