"""Images in folders: labelled by sub-folder, or unlabelled, nested or flat."""

import os
import stat

from simclr_tf.data.corruption import refuse_unreadable
from simclr_tf.data.image_files import inspect_files
from simclr_tf.data.left_out import NO_IMAGE_NAME, report_left_out
from simclr_tf.data.pillow_images import suffixes
from simclr_tf.data.random_access import EncodedSource, grey_or_colour
from simclr_tf.data.sources.kind import SourceKind, cut, parse_split
from simclr_tf.errors import DataError, received_text
from simclr_tf.files import printable
from simclr_tf.lazy import np, tf

SPLIT_FOLDERS = frozenset(
    {
        "train",
        "training",
        "test",
        "testing",
        "val",
        "valid",
        "validation",
        "extra",
        "unlabeled",
        "unlabelled",
    }
)


class FolderSource(EncodedSource):
    """Image files below one folder, in the order of their names.

    Args:
      name: str, the data set as the user wrote it.
      folder: str, path of the folder of the files.
      files: list of str, paths relative to `folder`.
      sizes: int array, their sizes in bytes.
      checksums: int array, see `inspect_files`.
      formats: set of str, the formats that occur, if that is known.
      channels: 1, 3, or None for 1 if a sample of the files is grey throughout, else 3.
      **details: see `Source`.
    """

    location_types = ("string",)

    def __init__(
        self,
        name,
        folder,
        files,
        sizes,
        checksums,
        *,
        formats=None,
        channels=None,
        **details,
    ):
        super().__init__(name, len(files), channels=channels or 3, **details)
        self.folder = folder
        self.formats = formats
        # Bytes, for names that are not valid UTF-8; an array takes less memory than
        # objects.
        self._files = np.array([os.fsencode(file) for file in files])
        self._sizes = np.asarray(sizes, np.int64)
        self._checksums = np.asarray(checksums, np.uint32)
        self.channels = channels or grey_or_colour(self)

    def example_name(self, example):
        return printable(os.fsdecode(bytes(self._files[self.rows(np.int64(example))])))

    def files(self):
        rows = self.rows(np.arange(self.num_examples))
        columns = (self._files, self._sizes, self._checksums)
        names, sizes, checksums = (column[rows].tolist() for column in columns)
        return [
            (os.fsdecode(name), size, checksum)
            for name, size, checksum in zip(names, sizes, checksums, strict=True)
        ]

    def locations(self, ids):
        prefix = os.path.join(os.fsencode(self.folder), b"")
        return (np.array([prefix + file for file in self._files[self.rows(ids)]]),)

    def encoded_bytes(self, ids):
        return self._sizes[self.rows(ids)]

    def read_encoded(self, path):
        return tf.io.read_file(path)

    def _hash_content(self, digest):
        digest.update(
            b"\0".join(
                file.replace(os.sep.encode(), b"/") for file in self._files.tolist()
            )
        )
        digest.update(self._sizes.tobytes())
        digest.update(self._checksums.tobytes())


class Folder(SourceKind):
    """`folder:PATH`: image files, their labels, and which of them are unreadable.

    If PATH has only sub-folders for splits (`train`, `test`, `val`, ...), `split`
    chooses among them; otherwise all of PATH is the split `train`. Hidden files and
    folders are left out; links are followed, but not in circles.

    With `labelled="auto"` sub-folders are classes if every image is in one of at least
    two sub-folders, one level down; with True the first sub-folder is the class.
    """

    forms = {"folder:PATH": "jpg, png, webp, tif, gif, bmp, ... files"}
    splits = "sub-folders train, test, val, ... if there are only such; else train"
    labels = "one sub-folder a class, or none at all"
    may_hold_out = True

    def recognises(self, text):
        """Tell whether a text is the path of a folder."""
        return os.path.isdir(text)

    def split_names(self, target, data_dir=None):
        """List the sub-folders with images, if all are named after splits."""
        path = os.path.expanduser(target)
        if not os.path.isdir(path):
            return ["train"]  # `open` refuses it.
        present = [entry for entry in _entries(path) if _is_folder(entry)]
        if not SPLIT_FOLDERS.issuperset(entry.name for entry in present):
            return ["train"]
        filled = sorted(entry.name for entry in present if _holds_image(entry.path))
        return filled or ["train"]

    def open(self, target, request):
        """Find the images below the path `target`: FolderSource."""
        request.require_channels_of_files()
        path, name = os.path.expanduser(target), request.name
        part, bounds = parse_split(request.split)
        folder = _split_folder(path, part, name)
        files, sizes, others = scan_images(folder)
        if not files:
            found = (
                f"{len(others)} other files, e.g. {printable(others[0])}"
                if others
                else "it is empty"
            )
            raise DataError(
                f"`{name}` holds no images for split `{part}` ({found}); formats: "
                f"{', '.join(sorted(suffix[1:] for suffix in suffixes()))}. "
                + received_text(folder=folder)
            )
        labels, classes = _folder_labels(files, folder, path, request.labelled, name)
        reasons, formats, checksums = inspect_files(
            [os.fsencode(os.path.join(folder, file)) for file in files]
        )
        bad = {printable(files[place]): reasons[place] for place in sorted(reasons)}
        left_out = {**bad, **dict.fromkeys(map(printable, others), NO_IMAGE_NAME)}
        report_left_out(left_out, len(files) - len(bad), name)
        corrupt, allowed = list(bad), request.max_corrupt_fraction
        refuse_unreadable(corrupt, len(files), allowed, name, left_out)
        good = np.array(
            [place for place in range(len(files)) if place not in reasons], np.int64
        )
        source = FolderSource(
            name,
            folder,
            [files[place] for place in good],
            [sizes[place] for place in good],
            [checksums[place] for place in good],
            formats=formats,
            channels=request.channels,
            labels=None if labels is None else labels[good],
            classes=classes,
            split=part,
            corrupt=corrupt,
            left_out=left_out,
            max_corrupt_fraction=allowed,
        )
        return cut(source, bounds, request)


def scan_images(folder):
    """Find all image files below a folder, hidden ones left out.

    Args:
      folder: str.

    Returns:
      (files, sizes, others): paths of the images relative to `folder`, in order; their
      sizes in bytes; and some files that are not images.

    Raises:
      DataError: if a folder cannot be listed.
    """
    found, others = [], []
    pending = [("", (_identity(os.stat(folder)),))]
    while pending:
        inside, ancestors = pending.pop()
        for entry in _entries(os.path.join(folder, inside)):
            relative = os.path.join(inside, entry.name)
            if _is_folder(entry):
                identity = _identity(os.stat(entry.path))
                # A link to a folder that contains the link would never end.
                if identity not in ancestors:
                    pending.append((relative, (*ancestors, identity)))
            elif _is_image_name(entry.name):
                found.append((relative, _size(entry)))
            else:
                others.append(relative)
    found.sort(key=lambda pair: os.fsencode(pair[0]))
    return [file for file, _ in found], [size for _, size in found], sorted(others)


def _is_image_name(name):
    return os.path.splitext(name)[1].lower() in suffixes()


def _entries(folder):
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(
            f"A folder cannot be listed ({error.strerror}). "
            + received_text(folder=folder)
        ) from error


def _is_folder(entry):
    """Tell whether a name is a folder; one that cannot be examined is none."""
    try:
        return entry.is_dir() and stat.S_ISDIR(entry.stat().st_mode)
    except OSError:
        return False  # A link to itself, or not permitted: named as a file is.


def _identity(status):
    return status.st_dev, status.st_ino


def _size(entry):
    try:
        return entry.stat().st_size
    except OSError:
        return 0  # A broken link: the check of the files reports it.


def _split_folder(path, part, name):
    """Return the folder that holds split `part`."""
    if not os.path.isdir(path):
        exists = "it is a file" if os.path.exists(path) else "it does not exist"
        raise DataError(
            f"`{name}` must name a folder; {exists}. " + received_text(folder=path)
        )
    present = sorted(entry.name for entry in _entries(path) if _is_folder(entry))
    # With other sub-folders beside it, `train` is a class (cars, trains, ...).
    if part in present and SPLIT_FOLDERS.issuperset(set(present) - {part}):
        return os.path.join(path, part)
    if part == "train":
        return path
    splits = [folder for folder in present if folder in SPLIT_FOLDERS]
    raise DataError(
        f"`{name}` has no sub-folder for split `{part}`; "
        f"its splits: {', '.join(splits) or 'train'}. " + received_text(split=part)
    )


def _folder_labels(files, folder, path, labelled, name):
    """Return (int64 labels, class names), or (None, None)."""
    parts = [file.split(os.sep) for file in files]
    one_level = all(len(part) == 2 for part in parts)
    if labelled == "auto":
        labelled = one_level and len({part[0] for part in parts}) >= 2
    if not labelled:
        return None, None
    outside = next((part[0] for part in parts if len(part) == 1), None)
    if outside is not None:
        raise DataError(
            f"Every image of `{name}` must be in a sub-folder named after its class, "
            "or open it unlabelled. " + received_text(labelled=True, image=outside)
        )
    # A test split has the class numbers of the training split beside it.
    training = os.path.join(path, "train")
    classes = (
        []
        if folder in (path, training) or not os.path.isdir(training)
        else [
            entry.name
            for entry in sorted(_entries(training), key=lambda e: e.name)
            if _is_folder(entry) and _holds_image(entry.path)
        ]
    )
    classes += sorted({part[0] for part in parts} - set(classes))
    numbers = {class_name: number for number, class_name in enumerate(classes)}
    return np.array([numbers[part[0]] for part in parts], np.int64), tuple(classes)


def _holds_image(folder):
    """Tell whether there is an image below `folder`; stop at the first."""
    for _, _, names in os.walk(folder, followlinks=False):
        if any(_is_image_name(name) and not name.startswith(".") for name in names):
            return True
    return False
