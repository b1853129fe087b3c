"""Export: a folder with a SavedModel, its contract and its card, or no folder."""

import contextlib
import json
import os
import pathlib
import shutil
import uuid

import tensorflow as tf

from simclr_tf.errors import WorkdirError
from simclr_tf.export.card import card_markdown, check_card
from simclr_tf.export.parity import TOLERANCE, check_in_fresh_process, parity_cases
from simclr_tf.export.plain_copy import plain_copy, plain_layer
from simclr_tf.export.reusable import SIGNATURES, ReusableModule
from simclr_tf.models import check_encoder
from simclr_tf.training.durable_files import sha256_of, write_flushed
from simclr_tf.training.workdir import versions

FORMAT = "simclr_tf.export/1"


def export_saved_model(
    encoder,
    output_dir,
    *,
    config=None,
    card=None,
    projection_head=None,
    overwrite=False,
):
    """Write an encoder as a Reusable SavedModel with its config and card.

    The folder holds saved_model/, config.json and card.md. It is written under
    another name beside its final one; a fresh process that knows only TensorFlow
    loads it and compares its features with the encoder's; only then it gets its name.
    The exported network has plain batch norm and float32 weights, whatever it was
    trained under; height and width are free where its layers allow it.

    Args:
      encoder: keras.Model, float32 images `[N, H, W, C]` in [0, 1] to features.
      output_dir: path of the folder to make.
      config: dict, kept in config.json under "config" (e.g. of the run).
      card: dict for `card_markdown`.
      projection_head: None, or a layer from features to projections, exported as
        the output "projections" of the signatures.
      overwrite: bool, replace an earlier export; nothing else is ever replaced.

    Returns:
      dict, the content of config.json: format, config, input, outputs, signatures,
      variables, parity, versions, and the SHA-256 of every file.

    Raises:
      WorkdirError: the folder exists and is not empty, or cannot be written.
      ConfigError: an encoder or a card that cannot be exported.
      ParityError: the exported features differ.
    """
    output_dir = pathlib.Path(output_dir).expanduser().resolve()
    card = {"title": output_dir.name, **(card or {})}
    check_card(card)
    _check_free(output_dir, overwrite)
    encoder = check_encoder(encoder)
    copy = plain_copy(encoder)
    module = ReusableModule(copy, _plain_head(projection_head, copy))
    cases = parity_cases(encoder, copy)
    with _folder_in_the_making(output_dir, overwrite) as folder:
        tf.saved_model.save(
            module.root, str(folder / "saved_model"), signatures=module.signatures
        )
        difference = check_in_fresh_process(folder / "saved_model", cases)
        write_flushed(folder / "card.md", card_markdown(
            card, image_shape=module.image_shape, outputs=module.outputs,
            files=("saved_model/", "config.json"),
        ))  # fmt: skip
        record = _record(module, config, difference, _checksums(folder))
        text = json.dumps(record, indent=1, default=str)
        write_flushed(folder / "config.json", text + "\n")
    return record


def _record(module, config, difference, checksums):
    """What config.json holds."""
    return {
        "format": FORMAT,
        "config": config or {},
        "input": {
            "name": "images",
            "dtype": "float32",
            "shape": [None, *module.image_shape],
            "minimum": 0.0,
            "maximum": 1.0,
        },
        "outputs": {
            name: {"dtype": "float32", "shape": list(shape)}
            for name, shape in module.outputs.items()
        },
        "signatures": list(SIGNATURES),
        "variables": module.variable_names,
        "parity": {"max_abs_difference": difference, "tolerance": TOLERANCE},
        "versions": versions(),
        "sha256": checksums,
    }


def _plain_head(projection_head, encoder):
    """The projection head made anew, with its weights; None stays None."""
    if projection_head is None:
        return None
    projection_head(tf.zeros([1, encoder.output_shape[-1]]))  # Builds it.
    copy = plain_layer(projection_head)
    copy(tf.zeros([1, encoder.output_shape[-1]]))
    copy.set_weights(projection_head.get_weights())
    copy.trainable = True
    return copy


def _check_free(output_dir, overwrite):
    if output_dir.exists() and not output_dir.is_dir():
        raise WorkdirError(f"An export is a folder, but {output_dir} is a file.")
    if not output_dir.is_dir() or not any(output_dir.iterdir()):
        return
    if not overwrite:
        raise WorkdirError(
            f"{output_dir} exists and is not empty. Choose another folder for the "
            "export, or replace an earlier export with --overwrite."
        )
    if not _is_export(output_dir):
        raise WorkdirError(
            f"{output_dir} holds something else than an export, which is never "
            "overwritten. Choose another folder for the export."
        )


def _is_export(folder):
    """Whether a folder carries the record of an earlier export."""
    try:
        record = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and record.get("format") == FORMAT


@contextlib.contextmanager
def _folder_in_the_making(output_dir, overwrite):
    """A sibling folder that gets its final name at the end, or vanishes."""
    temporary = output_dir.with_name(f".{output_dir.name}-{uuid.uuid4().hex}")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        _publish(temporary, output_dir, overwrite)
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise WorkdirError(
            f"Cannot write the export to {output_dir}: {reason}. Nothing was left "
            "there."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _publish(temporary, output_dir, overwrite):
    """Rename; an older export goes only after the new one is in its place."""
    _check_free(output_dir, overwrite)
    if not output_dir.exists():
        os.rename(temporary, output_dir)
        return
    older = output_dir.with_name(f".{output_dir.name}-{uuid.uuid4().hex}-old")
    os.rename(output_dir, older)
    try:
        os.rename(temporary, output_dir)
    except OSError:
        os.rename(older, output_dir)
        raise
    shutil.rmtree(older, ignore_errors=True)


def _checksums(folder):
    """SHA-256 of every file in a folder, by its relative path."""
    return {
        path.relative_to(folder).as_posix(): sha256_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
