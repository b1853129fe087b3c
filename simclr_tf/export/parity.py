"""Comparison of an export with its model, in a fresh process."""

from __future__ import annotations

import math
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from simclr_tf.array_types import StrPath
from simclr_tf.config.image_size import as_size
from simclr_tf.errors import ConfigError, SimCLRError
from simclr_tf.models import fitting_encoder, size_multiple

TOLERANCE = 1e-5

# Each program runs in a fresh interpreter, which imports nothing of this package.
PROGRAMS = pathlib.Path(__file__).resolve().parent / "programs"
_CHECK = PROGRAMS / "run_saved_model.py"


class ParityError(SimCLRError):
    """The outputs of an export differ from those of the trained model."""


def parity_cases(encoder, copy, heads=(), *, image_size_pixels=None):
    """Make random images and their features, for comparing an export.

    Args:
      encoder: keras.Model, the original.
      copy: keras.Model, its `plain_copy`.
      heads: sequence of (output's name, original head, its plain copy).
      image_size_pixels: int, (height, width) or None, for networks of free size that
        need more than 32 pixels.

    Returns:
      dict of "images0", "features0", ... and one array for each head, e.g. "logits0",
      to float32 arrays. The first features are the original's if it computes in
      float32, otherwise the copy's; likewise for the heads. If height and width are
      free, a second case has another size, if the network takes it.
    """
    height, width, channels = copy.input_shape[1:]
    step = size_multiple(copy)
    sides, other_sides = (_multiple(32, step),) * 2, True
    trained = as_size(image_size_pixels or 1)
    if max(trained) > sides[0] and not _takes(copy, *sides):
        sides, other_sides = trained, False
    fixed = encoder.input_shape[1:3]
    native = [own or side for own, side in zip(fixed, sides, strict=True)]
    others = [native[0] + _multiple(7, step), native[1] + _multiple(12, step)]
    reference = encoder if _is_float32(encoder) else copy
    sizes = [(reference, 2, *native)]
    if height is None and width is None and (other_sides or _takes(copy, *others)):
        sizes.append((copy, 3, *others))
    rng = np.random.default_rng(0)
    cases = {}
    for number, (model, *size) in enumerate(sizes):
        images = rng.uniform(size=(*size, channels)).astype(np.float32)
        cases[f"images{number}"] = images
        cases[f"features{number}"] = features = _outputs(model, images)
        for name, head, plain in heads:
            cases[f"{name}{number}"] = _outputs(
                head if _is_float32(head) else plain, features
            )
    return cases


def _multiple(size, step):
    """Return the smallest multiple of `step` that is not below `size`."""
    return step * math.ceil(size / step)


def _takes(encoder, height, width):
    try:
        fitting_encoder(encoder, (height, width, encoder.input_shape[-1]))
    except ConfigError:
        return False
    return True


def output_names(cases):
    """Return the names of the outputs in the cases.

    Example:
      >>> output_names({"images0": 0, "features0": 0, "images1": 0, "features1": 0})
      ('features',)
    """
    names = dict.fromkeys(name.rstrip("0123456789") for name in cases)
    return tuple(name for name in names if name != "images")


def _outputs(model, inputs):
    # On the CPU, like the other process: accelerators round float32 differently.
    with tf.device("/CPU:0"):
        outputs = tf.function(model)(tf.constant(inputs), training=False)
    return outputs.numpy().astype(np.float32)


def check_in_fresh_process(
    folder: StrPath,
    cases: Mapping[str, Any],
    *,
    tolerance: float = TOLERANCE,
    timeout_seconds: float = 900,
) -> float:
    """Load a SavedModel in a new Python process and compare its outputs.

    The process imports TensorFlow and nothing of this package. Both the call and
    the signature are compared.

    Args:
      folder: path with saved_model.pb.
      cases: dict of `parity_cases`.
      tolerance: float > 0, largest absolute difference, for outputs up to 1 in size;
        it grows with larger ones, as float32 does.
      timeout_seconds: float > 0.

    Returns:
      float, the largest absolute difference.

    Raises:
      ParityError: larger than the tolerance, or the process failed.
    """
    return difference_in_fresh_process(
        _CHECK,
        folder,
        cases,
        names=output_names(cases),
        tolerance=tolerance,
        timeout_seconds=timeout_seconds,
    )


def difference_in_fresh_process(
    program,
    path,
    cases,
    *,
    names=("features",),
    what="The exported model",
    tolerance=TOLERANCE,
    timeout_seconds=900,
):
    """Run a program that compares a file's outputs with the cases.

    Args:
      program: path of a file like `run_saved_model.py` of PROGRAMS; its arguments are
        the path and that of an npz of the cases.
      path: path of the export to check (or to make).
      cases: dict of `parity_cases`, or with more arrays for the program.
      names: outputs that must have been compared, of `output_names`.
      what: str, the model, for messages.
      tolerance, timeout_seconds: as in `check_in_fresh_process`.

    Returns:
      float, the largest absolute difference.

    Raises:
      ParityError: larger than the tolerance, or the process failed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        file = pathlib.Path(scratch) / "cases.npz"
        np.savez(file, **cases)
        output = run_in_fresh_process(
            program, path, file, what=what, timeout_seconds=timeout_seconds
        )
    answers = [
        line.split()[1:]
        for line in output.splitlines()
        if line.startswith("difference ")
    ]
    differences = {name: float(difference) for name, difference in answers}
    missing = [name for name in names if name not in differences]
    if missing or not names:
        raise ParityError(
            f"{what} fails in a fresh process: no result for "
            f"{', '.join(missing) or 'anything'}"
        )
    return max(
        check_difference(differences[name], cases, what, tolerance, name=name)
        for name in names
    )


def run_in_fresh_process(program, *arguments, what, timeout_seconds=900):
    """Run a Python program in a fresh process.

    Args:
      program: path of a Python file, which can import the files of PROGRAMS.
      *arguments: its arguments, converted by `str`.
      what: str, the model, for messages.
      timeout_seconds: float > 0.

    Returns:
      str, its output.

    Raises:
      ParityError: the program failed, or took too long.
    """
    search_path = filter(None, (str(PROGRAMS), os.environ.get("PYTHONPATH")))
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(search_path),
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "KERAS_BACKEND": "tensorflow",
    }
    with tempfile.TemporaryDirectory() as scratch:
        try:
            process = subprocess.run(
                [sys.executable, *map(str, (program, *arguments))],
                capture_output=True,
                text=True,
                env=environment,
                cwd=scratch,
                timeout=timeout_seconds,
            )
        except subprocess.TimeoutExpired as error:
            raise ParityError(
                f"{what} did not answer within {timeout_seconds} seconds."
            ) from error
    if process.returncode:
        last = (process.stderr.strip().splitlines() or ["no message"])[-1]
        raise ParityError(f"{what} fails in a fresh process: {last}")
    return process.stdout


def check_difference(difference, cases, what, tolerance=TOLERANCE, *, name="features"):
    """Return the difference, if it is small enough for float32.

    Args:
      difference: float, the largest absolute one.
      cases: dict of `parity_cases`.
      what: str, the model, for messages.
      tolerance: float > 0.
      name: str, which of the outputs.

    Raises:
      ParityError: larger than tolerance * max(1, largest value), or NaN.
    """
    largest = max(
        float(np.max(np.abs(values)))
        for case, values in cases.items()
        if case.rstrip("0123456789") == name
    )
    allowed = tolerance * max(1.0, largest)
    if not difference <= allowed:  # NaN is refused too.
        raise ParityError(
            f"{what}'s {name} differ from the trained one's by "
            f"{difference:.2e} (allowed: {allowed:.0e}). Nothing was written."
        )
    return difference


def _is_float32(layer):
    """Tell whether a layer computes in float32, with all layers inside."""
    inside = [part for part in layer.submodules if hasattr(part, "compute_dtype")]
    return all(part.compute_dtype == "float32" for part in inside or [layer])
