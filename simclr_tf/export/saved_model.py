"""Export of an encoder: SavedModel, other formats, config.json and card."""

from __future__ import annotations

import json
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from simclr_tf.array_types import Layer, Model, StrPath
from simclr_tf.config.export import FROM_LAYERS, check_layout
from simclr_tf.config.image_size import ImageSize
from simclr_tf.encoder_zoo import EXPORT_FORMAT
from simclr_tf.errors import require
from simclr_tf.export.card import card_markdown, check_card
from simclr_tf.export.formats import (
    FORMATS,
    SAVED_MODEL,
    Parts,
    check_formats,
    check_network,
    heads_note,
)
from simclr_tf.export.parity import TOLERANCE, check_in_fresh_process, parity_cases
from simclr_tf.export.plain_copy import plain_copy, plain_head
from simclr_tf.export.publication import (
    check_free,
    checksums,
    publishing,
    write_archive,
)
from simclr_tf.export.reusable import HEAD_OUTPUTS, ReusableModule
from simclr_tf.export.weights import FLOAT16_TOLERANCE
from simclr_tf.files import write_atomically
from simclr_tf.models import (
    check_encoder,
    count_parameters,
    describe_network,
    size_multiple,
    variables_by_name,
)
from simclr_tf.training.exports import DESCRIPTION, background_of
from simclr_tf.training.workdir import versions

ARCHIVE = "saved_model.tar.gz"


def export_saved_model(
    encoder: Model,
    output_dir: StrPath,
    *,
    config: Mapping[str, Any] | None = None,
    card: Mapping[str, Any] | None = None,
    projection_head: Layer | None = None,
    classifier: Layer | None = None,
    class_names: Sequence[str] | None = None,
    image_size_pixels: ImageSize | None = None,
    background: str | None = None,
    formats: Sequence[str] = (SAVED_MODEL,),
    version: int | None = None,
    float16_weights: bool = False,
    archive: bool = False,
    overwrite: bool = False,
    published: bool = False,
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write an encoder as a Reusable SavedModel and in other formats.

    The folder holds saved_model/, config.json and card.md, and one file for each
    further format. It is written under a temporary name. Each file is read back, and
    its features, projections and logits are compared with those of the encoder and the
    heads; then the folder is renamed. A fresh process with nothing but the runtime does
    this, but for safetensors and for a network of Keras 3 in keras3, which are read in
    this process. keras3 and safetensors hold the encoder without its heads; the card
    names their files. The exported network has plain batch norm and float32 weights,
    independent of its training; height and width are free if its layers allow it.

    Args:
      encoder: keras.Model, float32 images `[N, H, W, C]` in [0, 1] to features.
      output_dir: path of the folder to make.
      config: dict, kept in config.json under "config" (e.g. of the run).
      card: dict for `card_markdown`; config.json keeps all but its sections, which
        are text.
      projection_head: None, or a layer from features to projections, exported as
        the outputs "projection_layer1", ... and "projections" of the signatures.
      classifier: None, or a layer or model from features `[N, F]` to the output
        "logits" `[N, C]`: a linear probe, or a fine-tuned head with its hidden layers.
      class_names: None, or the name of each logit, in order: for config.json, the card,
        the SavedModel (a function `class_names()` without arguments, that returns a
        string tensor `[C]`) and the LiteRT file (labels.txt inside, a name a line).
      image_size_pixels: None, or a size: adds a signature from encoded images, which it
        decodes and resizes to this size as `evaluate` does: the whole image up to 32
        pixels, its centre above. Only a SavedModel has it.
      background: str, the colour behind transparent images, for this signature and for
        config.json; that of the run in `config` if None, or white.
      formats: sequence of "saved_model", "keras3", "litert", "safetensors", "onnx".
      version: None, or int >= 0: saved_model/VERSION/, the layout of TF Serving.
      float16_weights: bool, weights.safetensors in float16: half as large, and the card
        states how much its features differ.
      archive: bool, also write saved_model.tar.gz, which TF-Hub loads from a URL.
      overwrite: bool, replace an earlier export, and only an export.
      published: bool, mark the export in config.json for publication: exports with this
        mark in exported_models/ ship with the package.
      options: dict, JSON, kept in config.json: the options of the verb.

    Returns:
      dict, the content of config.json: format, config, options, card, published,
      num_parameters (trainable), class_names (of the logits, or None), background,
      input, outputs, signatures (of the SavedModel), variables, network, parity,
      versions, and the SHA-256 of every file.

    Raises:
      WorkdirError: the folder exists and is not empty, holds other versions, or cannot
        be written.
      ConfigError: an encoder, a head or a card that cannot be exported, an unknown
        format, one without room for the heads, missing packages, or a publication
        without a licence.
      ParityError: the exported features, projections or logits differ.
    """
    output_dir = pathlib.Path(output_dir).expanduser().resolve()
    card = {"title": output_dir.name, **(card or {})}
    _check_card(card, published)
    check_formats(formats)
    heads = {"projection_head": projection_head, "classifier": classifier}
    check_layout(
        formats,
        heads=any(head is not None for head in heads.values()),
        version=version,
        float16_weights=float16_weights,
        archive=archive,
        image_size_pixels=image_size_pixels,
    )
    check_free(output_dir, overwrite, version)
    encoder = check_encoder(encoder)
    copy = plain_copy(encoder)
    network = describe_network(copy)
    check_network(formats, network, copy)
    plain_heads = {
        name: None if head is None else plain_head(head, copy.output_shape[-1], name)
        for name, head in heads.items()
    }
    background = background or background_of({"config": config})
    module = ReusableModule(
        copy,
        **plain_heads,
        class_names=class_names,
        image_size_pixels=image_size_pixels,
        background=background,
    )
    note = heads_note(
        formats, [HEAD_OUTPUTS[name] for name in heads if heads[name] is not None]
    )
    card = card if note is None else _with_note(card, note)
    record = {
        "format": EXPORT_FORMAT,
        "published": published,
        "card": {name: card[name] for name in card if name != "sections"},
        "config": config or {},
        "options": options or {},
        "class_names": None if class_names is None else list(class_names),
        "background": background,
        **_contract(module, copy, network, formats),
    }
    cases = parity_cases(
        encoder,
        copy,
        [
            (HEAD_OUTPUTS[name], heads[name], plain)
            for name, plain in plain_heads.items()
            if plain is not None
        ],
        image_size_pixels=image_size_pixels or card.get("image_size_pixels"),
    )
    with publishing(output_dir, overwrite, version) as folder:
        saved_model = folder / SAVED_MODEL / ("" if version is None else str(version))
        _save(module, saved_model, record)
        parts = Parts(copy, network, saved_model, cases, class_names, float16_weights)
        differences = _write_formats(folder, formats, parts)
        if archive:
            write_archive(saved_model, folder / ARCHIVE)
        if SAVED_MODEL not in formats:
            shutil.rmtree(folder / SAVED_MODEL)
        record["parity"] = {
            "max_abs_difference": max(differences.values()),
            "tolerance": TOLERANCE,
            **({"float16_tolerance": FLOAT16_TOLERANCE} if float16_weights else {}),
            "formats": differences,
        }
        if float16_weights:
            card = _with_note(card, _float16_note(differences["safetensors"]))
        text = card_markdown(
            card,
            image_shape=module.image_shape,
            side_multiple=record["input"]["side_multiple"],
            outputs=_outputs(module, formats),
            class_names=class_names,
            num_parameters=record["num_parameters"],
            files=_files(folder),
            formats=formats,
            signatures=record["signatures"],
            bytes_size_pixels=image_size_pixels,
            has_layers=network is not None,
            saved_model=saved_model.relative_to(folder).as_posix(),
        )
        write_atomically(folder / "card.md", text)
        record["sha256"] = checksums(folder)
        text = json.dumps(record, indent=1, default=str)
        (folder / "config.json").write_text(text + "\n", encoding="utf-8")
    return record


def _with_note(card, note):
    return {**card, "notes": [*card.get("notes", ()), note]}


def _float16_note(difference):
    return (
        "weights.safetensors, which load_encoder takes, holds float16: on random "
        "images its features differ from the trained ones by at most "
        f"{difference:.1e}. Other formats hold float32."
    )


def _save(module, folder, record):
    """Save the SavedModel, and its description in a folder that TensorFlow ignores."""
    tf.saved_model.save(module.root, str(folder), signatures=module.signatures)
    description = folder / DESCRIPTION
    description.parent.mkdir()
    text = json.dumps(record, default=str) + "\n"
    description.write_text(text, encoding="utf-8")


def _write_formats(folder, formats, parts):
    """Write the formats; return the largest difference of the features of each."""
    differences = {}
    if SAVED_MODEL in formats:
        differences[SAVED_MODEL] = check_in_fresh_process(
            parts.saved_model, parts.cases
        )
    for name in FORMATS:
        if name in formats:
            path = folder / FORMATS[name].file
            differences[name] = FORMATS[name].write(path, parts)
    return differences


def _outputs(module, formats):
    """Return the shapes of the outputs by name: of what is written, and no others."""
    if set(formats) <= set(FROM_LAYERS):
        return {"default": module.outputs["default"]}
    return module.outputs


def _contract(module, encoder, network, formats):
    """Return the part of config.json about the network; nothing is written yet."""
    record = {
        "num_parameters": count_parameters(encoder)[0],
        "input": {
            "name": "images",
            "dtype": "float32",
            "shape": [None, *module.image_shape],
            "side_multiple": size_multiple(encoder),
            "minimum": 0.0,
            "maximum": 1.0,
        },
        "outputs": {
            name: {"dtype": "float32", "shape": list(shape)}
            for name, shape in _outputs(module, formats).items()
        },
        "signatures": list(module.signatures) if SAVED_MODEL in formats else [],
        "variables": module.variable_names,
        "versions": versions(),
        "network": network,
    }
    if network is not None:
        # The names of weights.safetensors, in the order of the SavedModel's variables.
        names = {
            id(variable): name for name, variable in variables_by_name(encoder).items()
        }
        record["weights"] = [names[id(variable)] for variable in encoder.variables]
    return record


def _check_card(card, published):
    check_card(card)
    require(
        not published or "data_licence" in card,
        "A published export must state "
        "the licence of its images: add `data_licence` to the card "
        "(--data_licence).",
        published=published,
    )


def _files(folder):
    names = [
        f"{path.name}/" if path.is_dir() else path.name
        for path in sorted(folder.iterdir())
    ]
    return (*names, "config.json")
