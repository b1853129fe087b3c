"""What the sub-folders of a folder of images are: splits, classes, or neither."""

from __future__ import annotations

import logging
import os
import re
import stat
import unicodedata

from simclr_tf.array_types import Array
from simclr_tf.data.pillow_images import HEIF_SUFFIXES, suffixes
from simclr_tf.errors import DataError, received_text
from simclr_tf.files import printable
from simclr_tf.lazy import module, np

source_kinds = module("simclr_tf.data.sources.kind")

# Names of a folder of a split, in lower case -> the split.
SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "extra": "extra",
    "unlabeled": "unlabeled",
    "unlabelled": "unlabeled",
}
# Folders that systems and their programs make, in lower case. Hidden ones begin with a
# dot.
_OF_SYSTEMS = frozenset(
    {
        "__macosx",
        "@eadir",
        "#recycle",
        "$recycle.bin",
        "system volume information",
        "lost+found",
    }
)
# Names of folders of test images that are no split by their name, without signs between
# their words: beside `train` they are no class either.
_LIKE_TEST = frozenset(
    {
        "dev",
        "development",
        "devset",
        "eval",
        "evaluation",
        "evalset",
        "heldout",
        "holdout",
        "testimages",
        "testset",
        "validationset",
        "valset",
    }
)
BESIDE_SPLITS, NO_IMAGES = "beside the folders of the splits", "without images"
_STRAY_FRACTION = 0.1  # More images beside class folders: the folders are no classes.
_NAMED = 3
_log = logging.getLogger("simclr_tf")


def entries(folder: str) -> list[os.DirEntry[str]]:
    """List a folder without what is hidden or of the system.

    Raises:
      DataError: it cannot be listed.
    """
    try:
        with os.scandir(folder) as found:
            return [
                entry
                for entry in found
                if not entry.name.startswith(".")
                and entry.name.lower() not in _OF_SYSTEMS
            ]
    except OSError as error:
        raise DataError(
            f"A folder cannot be listed ({error.strerror}). "
            + received_text(folder=folder)
        ) from error


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Tell whether a name is a folder; one that cannot be examined is none."""
    try:
        return entry.is_dir() and stat.S_ISDIR(entry.stat().st_mode)
    except OSError:
        return False  # A link to itself, or not permitted: named as a file is.


def is_image_name(name: str) -> bool:
    """Tell whether a file is called as an image of a known format is."""
    return os.path.splitext(name)[1].lower() in suffixes()


def folder_of_split(path: str, part: str, name: str) -> tuple[str, dict[str, str]]:
    """Find the folder that holds one split.

    Folders called `train`, `test`, `val`, `validation`, ..., in any capitals, are
    splits; other folders and images beside them are left out. A folder `train` of
    images beside other folders of images is a class (trains, cars, ...), unless one of
    them is called like test images (`holdout`, `eval`, ...). Without any folder of a
    split, all of PATH is the split `train`, and the only one.

    Args:
      path: str.
      part: str, name of the split.
      name: str, the data set, for messages.

    Returns:
      (path of the folder, dict of what is left out beside it to the reason).

    Raises:
      DataError: no such folder, or it is unclear what the folders are.
      MissingSplitError: no such split.
    """
    if not os.path.isdir(path):
        exists = "it is a file" if os.path.exists(path) else "it does not exist"
        raise DataError(
            f"`{name}` must name a folder; {exists}. " + received_text(folder=path)
        )
    present = entries(path)
    folders = sorted(entry.name for entry in present if is_folder(entry))
    splits = [folder for folder in folders if folder.lower() in SPLIT_FOLDERS]
    kinds = {SPLIT_FOLDERS[folder.lower()] for folder in splits}
    beside = [
        f"{folder}/"
        for folder in folders
        if splits
        and folder not in splits
        and holds_image(os.path.join(path, folder), HEIF_SUFFIXES)
    ]
    loose = sorted(
        e.name for e in present if is_image_name(e.name) and not is_folder(e)
    )
    chosen = spelled(splits, part)
    train_is_class = kinds == {"train"} and _are_classes(path, splits, beside)
    if SPLIT_FOLDERS.get(part.lower()) == "train":
        if not splits or train_is_class:
            return path, {}
        if kinds == {"train"} and beside:
            _refuse(
                name,
                splits,
                beside,
                f"give --data={name.rstrip('/')}/{splits[0]}, or rename a folder of "
                "test images to `test`",
            )
        if not chosen and (beside or loose):
            _refuse(
                name,
                splits,
                [*beside, *loose],
                "put the training images into a folder `train` beside "
                f"`{splits[0]}` (test images must never enter training)",
            )
    elif train_is_class:
        chosen, splits = [], []  # All folders are part of the training split.
    elif not chosen and splits and part in folders:
        chosen = [part]
    if len(chosen) != 1:
        several = f"several sub-folders ({', '.join(chosen)})"
        raise (DataError if chosen else source_kinds.MissingSplitError)(
            f"`{name}` has {several if chosen else 'no sub-folder'} for split "
            f"`{part}`; its splits: {_listed(splits, len(splits)) or 'train'}. "
            + received_text(split=part)
        )
    kind = SPLIT_FOLDERS.get(part.lower())
    same = [
        f"{folder}/"
        for folder in splits
        if SPLIT_FOLDERS[folder.lower()] == kind and folder != chosen[0]
    ]
    return os.path.join(path, chosen[0]), {
        printable(other): BESIDE_SPLITS
        for other in [*same, *beside, *loose]
        if other != f"{chosen[0]}/"
    }


def split_names(path: str) -> list[str]:
    """List the folders of splits that hold images.

    Args:
      path: str.

    Returns:
      list of str; `train` alone where the folders are no splits, or it is unclear what
      they are (`folder_of_split` refuses it).
    """
    if not os.path.isdir(path):
        return ["train"]
    folders = [entry for entry in entries(path) if is_folder(entry)]
    filled = sorted(entry.name for entry in folders if holds_image(entry.path))
    splits = [folder for folder in filled if folder.lower() in SPLIT_FOLDERS]
    try:
        is_one = not splits or folder_of_split(path, "train", "")[0] == path
    except DataError:  # No training images, or unclear.
        is_one = splits != filled
    return ["train"] if is_one else splits


def spelled(splits: list[str], part: str) -> list[str]:
    """Find the folders of a split: spelled so in any capitals, else in other words.

    Args:
      splits: names of folders.
      part: str, name of the split.

    Returns:
      list of str, some of `splits`.

    Example:
      >>> spelled(["Test", "Validation"], "val")
      ['Validation']
    """
    kind = SPLIT_FOLDERS.get(part.lower(), part)
    for matches in (
        lambda folder: folder.lower() == part.lower(),
        lambda folder: SPLIT_FOLDERS.get(folder.lower()) == kind,
    ):
        found = [folder for folder in splits if matches(folder)]
        if found:
            return found
    return []


def _refuse(name, splits, beside, way_out):
    raise DataError(
        f"It is unclear what the folders of `{name}` are: beside "
        f"{_listed(splits, len(splits))} there are images in {_listed(beside)}. "
        f"Move those away, or {way_out}."
    )


def refuse_inner_splits(folders: list[str], name: str) -> None:
    """Refuse folders of splits that are not at the top: test images among others.

    Args:
      folders: paths of all sub-folders, relative to the data set.
      name: str, the data set, for messages.

    Raises:
      DataError: a sub-folder has both `train` and `test`, or the like.
    """
    kinds: dict[str, set[str]] = {}
    for folder in folders:
        above, own = os.path.split(folder)
        if own.lower() in SPLIT_FOLDERS and above:
            kinds.setdefault(above, set()).add(SPLIT_FOLDERS[own.lower()])
    for above, found in sorted(kinds.items()):
        if "train" in found and found & {"test", "val"}:
            raise DataError(
                f"`{name}` has folders of splits inside of `{printable(above)}`, and "
                "test images must never enter training. Give the folder that holds "
                f"them, --data={name.rstrip('/')}/{printable(above)}, or make folders "
                "train/CLASS and test/CLASS at the top."
            )


def labels_of_folders(
    files: list[str], training: str | None, labelled: bool | str, name: str
) -> tuple[Array | None, tuple[str, ...] | None, str]:
    """Read the label of each image from its path.

    Args:
      files: paths relative to the folder of the split.
      training: path of the folder of the training split, if that is another one: its
        classes come first, with the same numbers.
      labelled: "auto": sub-folders are classes if there are at least two (or those of
        the training split), all images are one level down, and at most a tenth lies
        beside them (unlabelled, -1); True: the first sub-folder is the class; False:
        no labels.
      name: str, the data set, for messages.

    Returns:
      (int64 labels `[n]`, names of the classes, ""); or (None, None, why): which of
      these rules several folders of images break, or "" where there are not several.

    Raises:
      DataError: `labelled` is True and an image is in no sub-folder.
    """
    parts = [file.split(os.sep) for file in files]
    loose = [part[0] for part in parts if len(part) == 1]
    found = {part[0] for part in parts if len(part) > 1}
    if labelled is True and loose:
        raise DataError(
            f"Every image of `{name}` must be in a sub-folder named after its class, "
            "or open it unlabelled. " + received_text(labelled=True, image=loose[0])
        )
    if not labelled:
        return None, None, ""
    classes = [] if training is None else _folders_of_images(training)
    if labelled == "auto":
        why = _broken_rule(parts, loose)
        are_known = len(classes) > 1 and bool(found) and found <= set(classes)
        if why or not (len(found) > 1 or are_known):
            if len({tuple(part[:-1]) for part in parts if len(part) > 1}) < 2:
                why = ""
            if why:
                _log.warning("The folders of `%s` give no labels: %s.", name, why)
            return None, None, why
        if loose:
            _log.warning(
                "%d of the images of `%s` are beside the folders of the classes, and "
                "have no label: %s.",
                len(loose),
                name,
                _listed(loose),
            )
    classes += sorted(found - set(classes))
    _warn_of_like_names(classes, name)
    numbers = {class_name: number for number, class_name in enumerate(classes)}
    labels = [numbers[part[0]] if len(part) > 1 else -1 for part in parts]
    return np.array(labels, np.int64), tuple(classes), ""


def _folders_of_images(folder):
    return sorted(
        entry.name
        for entry in entries(folder)
        if is_folder(entry) and holds_image(entry.path)
    )


def _broken_rule(parts, loose):
    """Tell why folders are no classes, and the way out; "" where they may be."""
    deep = ["/".join(part) for part in parts if len(part) > 2]
    if deep:
        return (
            f"{len(deep):,} of {len(parts):,} images are more than one folder down "
            f"({_listed(deep)}): class folders are at the top and hold their images "
            "directly, so move these if you need labels"
        )
    if len(loose) > _STRAY_FRACTION * len(parts):
        return (
            f"{len(loose):,} of {len(parts):,} images, more than a tenth, are beside "
            f"the folders ({_listed(loose)}): move these into the folders of their "
            "classes, or out of the data set, if you need labels"
        )
    return ""


def _warn_of_like_names(classes, name):
    folded = {}
    for class_name in classes:
        composed = unicodedata.normalize("NFC", class_name).casefold()
        folded.setdefault(composed, []).append(class_name)
    alike = [" and ".join(names) for names in folded.values() if len(names) > 1]
    if alike:
        _log.warning(
            "Classes of `%s` differ only in capitals, or in how their accents are "
            "stored, and are different classes: %s.",
            name,
            _listed(alike),
        )


def holds_image(folder: str, others: tuple[str, ...] = ()) -> bool:
    """Tell whether there is an image below a folder; stop at the first.

    Args:
      folder: str.
      others: endings in lower case that count like those of images.
    """

    def counts(name):
        return is_image_name(name) or name.lower().endswith(others)

    pending = [folder]
    while pending:
        for entry in entries(pending.pop()):
            if not entry.is_symlink() and is_folder(entry):
                pending.append(entry.path)
            elif counts(entry.name):
                return True
            elif is_folder(entry) and any(
                counts(inner.name) for inner in entries(entry.path)
            ):
                return True  # A link to a folder: not followed further.
    return False


def _are_classes(path, splits, beside):
    """Tell whether the folders `train` and those beside them are classes."""
    words = {re.sub(r"[\W_]", "", folder.lower()) for folder in beside}
    return (
        bool(beside)
        and words.isdisjoint(_LIKE_TEST)
        and all(
            _holds_only_images(os.path.join(path, folder))
            for folder in (*splits, *beside)
        )
    )


def _holds_only_images(folder):
    return not any(
        is_folder(entry) and holds_image(entry.path, HEIF_SUFFIXES)
        for entry in entries(folder)
    )


def _listed(names, number=_NAMED):
    shown = [printable(name) for name in names[:number]]
    return ", ".join([*shown, *["..."] * (len(names) > number)])
