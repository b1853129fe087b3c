"""Whole pretraining steps as programs of XLA, for machines without TensorFlow."""

import contextlib
import json
import pathlib
import re
import shutil
from typing import NamedTuple

import tensorflow as tf

from simclr_tf.benchmarks.benchmark_record import describe_machine
from simclr_tf.benchmarks.step_cases import compiled_model, run_config
from simclr_tf.config.schema import override
from simclr_tf.errors import DataError, require
from simclr_tf.files import write_atomically
from simclr_tf.training.peak_memory import costs_of_views
from simclr_tf.training.workdir import versions

INDEX_FILE = "steps.json"
# Precision -> the precision of the network, and whether its float32 may be TF32.
PRECISIONS = {
    "float32": ("float32", False),
    "tf32": ("float32", True),
    "bfloat16": ("bfloat16", True),
}
_PASSES = 3  # A step forward and backward costs three times the forward pass.
# What no graphics processor does alone, or what would make it wait for its host.
_REFUSED = {
    "a value from or for the host": r" (infeed|outfeed|send|recv)\(",
    "a call of the host": r"custom_call_target=\"\w*[Cc]allback",
    "a dynamic shape": r"\[[^\]]*<=",
    "a scatter, whose order would count": r" scatter\(",
}


class ExportedStep(NamedTuple):
    """A step to write.

    Attributes:
      network: str.
      batch_size: int, images a step.
      precision: str, a key of `PRECISIONS`.
      changes: dict of dotted option to value.
    """

    network: str
    batch_size: int
    precision: str
    changes: dict

    @property
    def name(self):
        """str, unique, and the beginning of the file's name."""
        return f"{self.network}_batch{self.batch_size}_{self.precision}"


_NETWORKS = {
    "resnet18_32px": (
        {
            "encoder": {"name": "resnet18", "stem": "cifar"},
            "data.image_size_pixels": 32,
            "augment": {"recipe": "cifar"},
        },
        (256, 1024, 4096),
    ),
    "resnet50_224px": (
        {
            "encoder": {"name": "resnet50"},
            "data.image_size_pixels": 224,
            "augment": {"recipe": "simclr_v1"},
        },
        (64, 128, 256),
    ),
}


def steps_to_export(only=None, batches=None):
    """List the steps: every network, batch size and precision.

    Args:
      only: str that must be in the name of a step, or None.
      batches: ints, the batch sizes instead of each network's own, or None.

    Returns:
      list of ExportedStep.

    Raises:
      ConfigError: no step has `only` in its name.

    Example:
      >>> [step.name for step in steps_to_export("resnet18_32px_batch256_")]
      ['resnet18_32px_batch256_float32', 'resnet18_32px_batch256_tf32', \
'resnet18_32px_batch256_bfloat16']
    """
    steps = [
        ExportedStep(network, batch_size, precision, changes)
        for network, (changes, own) in _NETWORKS.items()
        for batch_size in batches or own
        for precision in PRECISIONS
    ]
    wanted = [step for step in steps if (only or "") in step.name]
    require(
        wanted,
        f"`only` must be in the name of a step: {', '.join(s.name for s in steps)}.",
        only=only,
    )
    return wanted


def export_steps(steps, config, folder, *, command=None, say=print):
    """Write each step as NAME.hlo, and steps.json about all of them.

    Args:
      steps: list of ExportedStep.
      config: BenchmarkConfig, for the options that the steps do not set.
      folder: pathlib.Path, that exists.
      command: str, kept in steps.json.
      say: function that prints a line (str).

    Returns:
      list of dicts, as in steps.json.

    Raises:
      DataError: XLA's program of a step has an operation that a graphics processor
        cannot run alone.
    """
    records = []
    for step in steps:
        program, record = _lowered(step, config)
        (folder / record["file"]).write_bytes(program)
        records.append(record)
        say(
            f"{record['file']}  {len(program) / 2**20:.1f} MiB, "
            f"{record['operations']:,} operations, {record['arguments']} arguments"
        )
        content = {
            "schema": "simclr_tf.compiled_steps",
            "schema_version": 1,
            "command": command,
            "machine": describe_machine(),
            "versions": versions(),
            "steps": records,
        }
        write_atomically(folder / INDEX_FILE, json.dumps(content, indent=1) + "\n")
    return records


def _lowered(step, config):
    """Return (the serialized program, its record) of a step; nothing is compiled."""
    precision, has_tf32 = PRECISIONS[step.precision]
    changes = {**step.changes, "global_batch_size": step.batch_size}
    options = override(run_config(config, precision), changes)
    model = compiled_model(options, jit_compile=True)
    size = options.data.image_size_pixels
    function = tf.function(
        lambda images, seeds: model.train_step({"images": images, "seeds": seeds}),
        jit_compile=True,
        autograph=False,
    )
    with _tf32(has_tf32):
        ir = function.experimental_get_compiler_ir(
            tf.TensorSpec([step.batch_size, size, size, 3], tf.uint8),
            tf.TensorSpec([step.batch_size, 2], tf.int32),
        )
        text = ir(stage="hlo")
        program = ir(stage="hlo_serialized")
    found = refused_operations(text)
    if found:
        raise DataError(
            f"The step {step.name} is not a program that a graphics processor runs "
            f"alone: it has {'; '.join(found)}."
        )
    forward = sum(cost.flops for cost, _ in costs_of_views(model, (size, size, 3)))
    return program, {
        "name": step.name,
        "file": f"{step.name}.hlo",
        "network": step.network,
        "image_size_pixels": size,
        "batch_size": step.batch_size,
        "precision": step.precision,
        "encoder_operations_a_step": _PASSES * step.batch_size * forward,
        "arguments": len(re.findall(r" parameter\(\d+\)", _entry(text))),
        "products_without_tf32": text.count("operand_precision={highest"),
        "operations": len(re.findall(r"^ +\S.* = ", text, re.MULTILINE)),
    }


def refused_operations(text):
    """List what a graphics processor cannot run alone in the text of a program.

    Example:
      >>> refused_operations('  %x = f32[2] infeed(token[] %t)')
      ['a value from or for the host: x']
      >>> refused_operations('  %y = f32[2,4] add(%a, %b)')
      []
    """
    found = []
    for line in text.splitlines():
        for what, pattern in _REFUSED.items():
            if re.search(pattern, line):
                name = line.split("=")[0].replace("ROOT", "").strip(" %")
                found.append(f"{what}: {name}")
    return found


def _entry(text):
    """Return the part of a program's text that is its entry computation."""
    return text[text.index("\nENTRY ") :]


@contextlib.contextmanager
def _tf32(is_allowed):
    """Let products of float32 be of TF32, or not, in what is lowered."""
    config = tf.config.experimental
    before = config.tensor_float_32_execution_enabled()
    config.enable_tensor_float_32_execution(is_allowed)
    try:
        yield
    finally:
        config.enable_tensor_float_32_execution(before)


def write_programs(folder):
    """Copy time_steps.py, which times the steps, and what it imports into a folder."""
    for path in (pathlib.Path(__file__).parent / "programs").glob("*.py"):
        shutil.copy(path, folder)
