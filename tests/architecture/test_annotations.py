"""Every public name that can be called has annotations on all arguments and results."""

import importlib
import inspect

import pytest

import simclr_tf

PACKAGES = (
    "simclr_tf",
    "simclr_tf.augment",
    "simclr_tf.config",
    "simclr_tf.data",
    "simclr_tf.distribution",
    "simclr_tf.evaluation",
    "simclr_tf.export",
    "simclr_tf.export.conversion",
    "simclr_tf.losses",
    "simclr_tf.metrics",
    "simclr_tf.models",
    "simclr_tf.optim",
    "simclr_tf.seeding",
    "simclr_tf.studies",
    "simclr_tf.benchmarks",
    "simclr_tf.training",
)


def public_values(package):
    module = importlib.import_module(package)
    for name in getattr(module, "__all__", None) or vars(module):
        value = getattr(module, name)
        if getattr(value, "__module__", "").startswith("simclr_tf") and (
            not name.startswith("_")
        ):
            yield f"{package}.{name}", value


def own_functions(name, value):
    """(name, function) of a public function, or of the public methods of a class."""
    if inspect.isfunction(value):
        yield name, value
    elif inspect.isclass(value):
        for method, member in vars(value).items():
            member = member.fget if isinstance(member, property) else member
            generated = getattr(member, "__qualname__", "").startswith("__create_fn__")
            if (
                inspect.isfunction(member)
                and not generated
                and member.__module__ == value.__module__
                and (method == "__init__" or not method.startswith("_"))
            ):
                yield f"{name}.{method}", member


def unannotated(function):
    signature = inspect.signature(inspect.unwrap(function))
    empty = inspect.Signature.empty
    missing = [
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.annotation is empty and parameter.name not in ("self", "cls")
    ]
    return missing + (["return"] if signature.return_annotation is empty else [])


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_annotated(package):
    functions = [
        pair
        for name, value in public_values(package)
        for pair in own_functions(name, value)
    ]
    assert functions
    missing = {name: unannotated(function) for name, function in functions}
    assert {name: left for name, left in missing.items() if left} == {}


def test_a_missing_annotation_is_found():
    class Open:
        def method(self, x: int):
            return x

    (pair,) = own_functions("Open", Open)
    assert unannotated(pair[1]) == ["return"]


def test_every_public_name_can_be_imported():
    for package in PACKAGES:
        module = importlib.import_module(package)
        missing = [n for n in getattr(module, "__all__", ()) if not hasattr(module, n)]
        assert missing == [], package
    assert "pretrain" in simclr_tf.__all__
