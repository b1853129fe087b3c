"""The licences of the image sets whose terms are known here."""

_FASHION_MNIST = "MIT, Copyright (c) 2017 Zalando SE, https://tech.zalando.com"
LICENCES = {
    "embedded:freedoom_12": "BSD-3-Clause, Copyright (c) 2001-2018 Contributors to the "
    "Freedoom project",
    "embedded:fashion_mnist_10k": _FASHION_MNIST,
    "tfds:fashion_mnist": _FASHION_MNIST,
}


def licence_of(source):
    """The licence of the images that `--data` names.

    Args:
      source: str, e.g. "embedded:freedoom_12" or "tfds:fashion_mnist:3.0.1".

    Returns:
      str, or None where it is not known here.

    Example:
      >>> licence_of("tfds:fashion_mnist:3.*.*")
      'MIT, Copyright (c) 2017 Zalando SE, https://tech.zalando.com'
      >>> licence_of("folder:photos") is None
      True
    """
    # A version of a data set has the licence of the data set.
    return LICENCES.get(":".join(source.split(":")[:2]))
