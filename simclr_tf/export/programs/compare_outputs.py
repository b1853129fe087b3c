"""Compare the outputs of an export with those of the trained model.

A module for the other programs of this folder, which is on their search path.
"""

import sys

import numpy as np


def compare(outputs, cases, foreign):
    """Print the largest absolute difference of each output, a line each.

    Ends the process with a message if a package of `foreign` was imported: then the
    export has not shown that it works alone.

    Args:
      outputs: function of images that returns pairs of (name, array).
      cases: path of an npz file of arrays "images0", "features0", "images1", ...: what
        `simclr_tf.export.parity.parity_cases` returns.
      foreign: sequence of str, packages that the process must not have imported.
    """
    cases, worst = np.load(cases), {}
    inputs = [name for name in cases.files if name.startswith("images")]
    for case in [name.removeprefix("images") for name in inputs]:
        for name, found in outputs(cases["images" + case]):
            if name + case in cases.files:
                difference = np.max(np.abs(found - cases[name + case]))
                # np.maximum keeps a NaN; Python's max would lose it.
                worst[name] = np.maximum(worst.get(name, 0.0), difference)
    known = [name for name in sys.modules if name.split(".")[0] in foreign]
    if known:
        sys.exit(f"this process knows {known}")
    for name, difference in worst.items():
        print("difference", name, float(difference))
