"""A converted network, written as the workdir of a run for every verb.

`load_encoder`, `simclr-tf evaluate`, `export`, fine-tuning and warm starts read
workdirs. The checkpoint also has the projection head and the probe.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from simclr_tf.array_types import StrPath
from simclr_tf.config.image_size import ImageSize
from simclr_tf.config.schema import to_dict
from simclr_tf.export.conversion.account import account_markdown, account_record
from simclr_tf.export.conversion.networks import config_of_architecture
from simclr_tf.export.publication import new_folder
from simclr_tf.training import CheckpointStore
from simclr_tf.training.workdir import CHECKPOINTS, CONFIG_FILE, versions

if TYPE_CHECKING:
    from simclr_tf.export.conversion.account import SourceModel


JSON_FILE, MARKDOWN_FILE = "conversion.json", "conversion.md"


def write_workdir(
    source: SourceModel,
    output: StrPath,
    *,
    data: str = "unknown",
    image_size_pixels: ImageSize | None = None,
    command: str = "simclr_tf.export.conversion.write_workdir(...)",
    options: Mapping[str, Any] | None = None,
) -> pathlib.Path:
    """Write a network as a workdir with one checkpoint, and the record beside it.

    Args:
      source: SourceModel.
      output: path of the folder to make.
      data: str, the training data, for the record and the card.
      image_size_pixels: int, (height, width), or None for that of the stem (224, or
        32).
      command: str, for the record.
      options: dict, JSON, for the record: the options of the verb.

    Returns:
      pathlib.Path of the folder's checkpoint inside `output`.

    Raises:
      WorkdirError: the folder exists, or cannot be written; nothing is left behind.
    """
    config = config_of_architecture(
        source.architecture, data=data, image_size_pixels=image_size_pixels
    )
    account = account_record(source)
    record = {
        "config": to_dict(config),
        "data": {
            "name": data,
            "num_examples": None,
            "channels": source.architecture.channels,
            "classes": None,
            "num_classes": source.architecture.num_classes,
            "fingerprint": None,
        },
        "versions": versions(),
        "command": command,
        "options": options or {},
        "conversion": {name: account[name] for name in ("source", "architecture")},
    }
    with new_folder(output) as folder:
        (folder / CHECKPOINTS).mkdir()
        saved = CheckpointStore(folder / CHECKPOINTS).save(
            source.step,
            details={"converted": True},
            model=tf.train.Checkpoint(**source.objects),
        )
        for name, text in (
            (CONFIG_FILE, json.dumps(record, indent=1)),
            (JSON_FILE, json.dumps(account, indent=1) + "\n"),
            (
                MARKDOWN_FILE,
                account_markdown(source, title=f"Converted from {source.kind}"),
            ),
        ):
            (folder / name).write_text(text, encoding="utf-8")
    return saved.path.relative_to(folder)
