"""Images in folders: labelled by sub-folder, or unlabelled, nested or flat."""

import hashlib
import os

from simclr_tf.data.corruption import refuse_unreadable
from simclr_tf.data.folder_layout import (
    NO_IMAGES,
    entries,
    folder_of_split,
    is_folder,
    is_image_name,
    labels_of_folders,
    refuse_inner_splits,
    split_names,
)
from simclr_tf.data.image_files import inspect_files
from simclr_tf.data.left_out import NO_IMAGE_NAME, report_left_out, way_to_read
from simclr_tf.data.pillow_images import shown_size, suffixes
from simclr_tf.data.random_access import EncodedSource, grey_or_colour
from simclr_tf.data.sources.kind import SourceKind, cut, parse_split
from simclr_tf.errors import DataError, received_text
from simclr_tf.files import printable
from simclr_tf.lazy import np, tf

_SIZES = 256  # Files of which the headers are read to describe the images.


class FolderSource(EncodedSource):
    """Image files below one folder, in the order of their names.

    Args:
      name: str, the data set as the user wrote it.
      folder: str, path of the folder of the files.
      files: list of str, paths relative to `folder`.
      sizes: int array, their sizes in bytes.
      checksums: int array, see `inspect_files`.
      times: int array, when they were last changed, in nanoseconds.
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
        times,
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
        self._times = np.asarray(times, np.int64)
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

    def state_of_files(self):
        times = self._times[self.rows(np.arange(self.num_examples))]
        return hashlib.sha256(self.fingerprint().encode() + times.tobytes()).hexdigest()

    def read_encoded(self, path):
        return tf.io.read_file(path)

    def sampled_sizes(self):
        ids = np.linspace(0, self.num_examples - 1, _SIZES).astype(np.int64)
        (paths,) = self.locations(np.unique(ids))
        found = map(shown_size, paths.tolist())
        return [size for size, _ in filter(None, found)]

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

    `split` chooses among sub-folders called `train`, `test`, `val`, ...; without any,
    all of PATH is the split `train`: see `simclr_tf.data.folder_layout`. Hidden files
    and folders, and those that systems make, are never data; links are followed, but
    not in circles.
    """

    forms = {"folder:PATH": "jpg, png, webp, tif, gif, bmp, ... files"}
    splits = "sub-folders train, test, val, ... in any capitals; else train"
    labels = "one sub-folder a class, or none at all"
    may_hold_out = True

    def recognises(self, text):
        """Tell whether a text is the path of a folder."""
        return os.path.isdir(text)

    def split_names(self, target, data_dir=None):
        """List the folders of splits that hold images; `train` where there are none."""
        return split_names(os.path.expanduser(target))

    def open(self, target, request):
        """Find the images below the path `target`: FolderSource."""
        request.require_channels_of_files()
        path, name = os.path.expanduser(target), request.name
        part, bounds = parse_split(request.split)
        folder, left_out = folder_of_split(path, part, name)
        files, sizes, times, others = scan_images(folder, name)
        if not files:
            found = (
                f"{len(others):,} other files, e.g. {printable(others[0])}"
                if others
                else "it is empty"
            )
            raise DataError(
                f"`{name}` holds no images for split `{part}` ({found}); formats: "
                f"{', '.join(sorted(suffix[1:] for suffix in suffixes()))}."
                f"{way_to_read(others)} " + received_text(folder=folder)
            )
        labels, classes, why_unlabelled = labels_of_folders(
            files, _training_folder(path, folder), request.labelled, name
        )
        reasons, formats, checksums = inspect_files(
            [os.fsencode(os.path.join(folder, file)) for file in files]
        )
        bad = {printable(files[place]): reasons[place] for place in sorted(reasons)}
        left_out |= bad
        left_out |= dict.fromkeys(map(printable, others), NO_IMAGE_NAME)
        if labels is not None:
            left_out |= _empty_classes(folder, classes)
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
            [times[place] for place in good],
            formats=formats,
            channels=request.channels,
            background=request.background,
            labels=None if labels is None else labels[good],
            classes=classes,
            split=part,
            corrupt=corrupt,
            left_out=left_out,
            max_corrupt_fraction=allowed,
        )
        source.why_unlabelled = why_unlabelled
        return cut(source, bounds, request)


def _training_folder(path, folder):
    """Return the folder of the training split; None if `folder` is all there is."""
    if folder == path:
        return None
    try:
        training, _ = folder_of_split(path, "train", "")
    except DataError:
        return None  # There is only a test split.
    return None if training in (path, folder) else training


def _empty_classes(folder, classes):
    """List the folders beside those of the classes that hold no images."""
    empty = sorted(
        entry.name
        for entry in entries(folder)
        if is_folder(entry) and entry.name not in classes
    )
    return {f"{printable(name)}/": NO_IMAGES for name in empty}


def scan_images(folder, name):
    """Find all image files below a folder, without hidden ones and those of systems.

    Args:
      folder: str.
      name: str, the data set, for messages.

    Returns:
      (files, sizes, times, others): paths of the images relative to `folder`, in order;
      their sizes in bytes; when they were last changed, in nanoseconds; and the files
      that are not called images.

    Raises:
      DataError: a folder cannot be listed, or there are splits further down.
    """
    found, others, folders = [], [], []
    pending = [("", (_identity(os.stat(folder)),))]
    while pending:
        inside, ancestors = pending.pop()
        for entry in entries(os.path.join(folder, inside)):
            relative = os.path.join(inside, entry.name)
            if is_folder(entry):
                identity = _identity(os.stat(entry.path))
                # A link to a folder that contains the link would never end.
                if identity not in ancestors:
                    folders.append(relative)
                    pending.append((relative, (*ancestors, identity)))
            elif is_image_name(entry.name):
                found.append((relative, *_size_and_time(entry)))
            else:
                others.append(relative)
    refuse_inner_splits(folders, name)
    found.sort(key=lambda row: os.fsencode(row[0]))
    return *([row[column] for row in found] for column in range(3)), sorted(others)


def _identity(status):
    return status.st_dev, status.st_ino


def _size_and_time(entry):
    try:
        status = entry.stat()
        return status.st_size, status.st_mtime_ns
    except OSError:
        return 0, 0  # A broken link: the check of the files reports it.
