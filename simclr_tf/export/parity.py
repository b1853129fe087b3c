"""Does a SavedModel say what the model says, in a process that knows nothing of it?"""

import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import tensorflow as tf

from simclr_tf.errors import SimCLRError

TOLERANCE = 1e-5

# Run by a fresh interpreter: `saved_model.pb` must be enough.
_PROGRAM = """
import sys
import numpy as np
import tensorflow as tf
folder, cases = sys.argv[1:]
module = tf.saved_model.load(folder)
signature = module.signatures["image_feature_vector"]
cases = np.load(cases)
worst = 0.0
for name in [name for name in cases.files if name.startswith("images")]:
    expected = cases[name.replace("images", "features")]
    images = tf.constant(cases[name])
    for found in (module(images), signature(images=images)["default"]):
        worst = max(worst, float(np.max(np.abs(found.numpy() - expected))))
known = [name for name in sys.modules if name.split(".")[0] == "simclr_tf"]
if known:
    sys.exit(f"this process knows {known}")
print("difference", repr(worst))
"""


class ParityError(SimCLRError):
    """An exported model that does not say what the trained one says."""


def parity_cases(encoder, copy):
    """Random images and their features, to hold an export against.

    Args:
      encoder: keras.Model, the original.
      copy: keras.Model, its `plain_copy`.

    Returns:
      dict of "images0", "features0", ... to float32 arrays. The first features are
      the original's if it computes in float32, otherwise the copy's; where height and
      width are free, a second case has other sides.
    """
    height, width, channels = copy.input_shape[1:]
    native = [side or 32 for side in encoder.input_shape[1:3]]
    reference = encoder if _is_float32(encoder) else copy
    sizes = [(reference, 2, *native)]
    if height is None and width is None:
        sizes.append((copy, 3, native[0] + 7, native[1] + 12))
    rng = np.random.default_rng(0)
    cases = {}
    for number, (model, *size) in enumerate(sizes):
        images = rng.uniform(size=(*size, channels)).astype(np.float32)
        # The other process has no accelerator, whose float32 would be another.
        with tf.device("/CPU:0"):
            features = tf.function(model)(tf.constant(images), training=False)
        cases[f"images{number}"] = images
        cases[f"features{number}"] = features.numpy().astype(np.float32)
    return cases


def check_in_fresh_process(folder, cases, *, tolerance=TOLERANCE, timeout_seconds=900):
    """Load a SavedModel in a new Python process and compare its features.

    The process imports TensorFlow and nothing of this package. Both the call and
    the signature are compared.

    Args:
      folder: path with saved_model.pb.
      cases: dict as of `parity_cases`.
      tolerance: float > 0, largest absolute difference, for features up to 1 in size;
        it grows with larger ones, as float32 does.
      timeout_seconds: float > 0.

    Returns:
      float, the largest absolute difference.

    Raises:
      ParityError: larger than the tolerance, or the process failed.
    """
    return difference_in_fresh_process(
        _PROGRAM, folder, cases, tolerance=tolerance, timeout_seconds=timeout_seconds)


def difference_in_fresh_process(program, path, cases, *, what="The exported model",
                                tolerance=TOLERANCE, timeout_seconds=900):
    """Run a program on a file and the cases; it prints `difference X` at the end.

    Args:
      program: str, Python; its arguments are the path and that of an npz of the cases.
      path: path of what is checked (or made).
      cases: dict as of `parity_cases`, or with more arrays for the program.
      what: str, the model, for messages.
      tolerance, timeout_seconds: as of `check_in_fresh_process`.

    Returns:
      float, the largest absolute difference.

    Raises:
      ParityError: larger than the tolerance, or the process failed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        file = pathlib.Path(scratch) / "cases.npz"
        np.savez(file, **cases)
        output = run_in_fresh_process(
            program, path, file, what=what, timeout_seconds=timeout_seconds)
    answers = [line for line in output.splitlines() if line.startswith("difference ")]
    if not answers:
        raise ParityError(f"{what} fails in a fresh process: no message")
    return check_difference(float(answers[-1].split()[1]), cases, what, tolerance)


def run_in_fresh_process(program, *arguments, what, timeout_seconds=900):
    """Run a Python program that knows nothing of this process.

    Args:
      program: str, Python.
      *arguments: its arguments, as `str` writes them.
      what: str, the model, for messages.
      timeout_seconds: float > 0.

    Returns:
      str, what it printed.

    Raises:
      ParityError: it failed, or took too long.
    """
    environment = {
        **os.environ,
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "KERAS_BACKEND": "tensorflow",
    }
    with tempfile.TemporaryDirectory() as scratch:
        try:
            process = subprocess.run(
                [sys.executable, "-c", program, *map(str, arguments)],
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


def check_difference(difference, cases, what, tolerance=TOLERANCE):
    """The difference, if it is as small as float32 makes it.

    Raises:
      ParityError: larger than tolerance * max(1, largest feature), or NaN.
    """
    largest = max(
        float(np.max(np.abs(values)))
        for name, values in cases.items()
        if name.startswith("features")
    )
    allowed = tolerance * max(1.0, largest)
    if not difference <= allowed:  # NaN is a difference too.
        raise ParityError(
            f"{what}'s features differ from the trained one's by "
            f"{difference:.2e} (allowed: {allowed:.0e}). Nothing was written."
        )
    return difference


def _is_float32(model):
    return all(layer.compute_dtype == "float32" for layer in model.layers)
