"""How a file is changed: one function for each kind."""

import random

from tests.fuzz import damage, formats, networks

KINDS = {
    "bytes": damage.any_bytes,
    "json": damage.json_file,
    "lines": damage.json_lines,
    "npz": formats.npz_file,
    "image": formats.image_file,
    "tar": formats.tar_file,
    "record": formats.record_file,
    "safetensors": formats.safetensors_file,
    "keras": networks.keras_file,
    "program": networks.saved_model,
}


def change(rng: random.Random, path, kind):
    """Change a file of a kind, one of `KINDS`; a few words on what was done."""
    if not path.is_file():
        return "nothing"
    odds = rng.random()
    if odds < 0.08:
        return damage.not_a_file(rng, path, *(["fifo"] if kind == "image" else []))
    if odds < 0.16:
        return damage.any_bytes(rng, path)
    return KINDS[kind](rng, path)
