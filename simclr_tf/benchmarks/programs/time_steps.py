"""Time exported training steps on a machine that has JAX, but no TensorFlow.

python3 time_steps.py FOLDER [--only=TEXT] [--rounds=N] [--output=FILE]

FOLDER has steps.json and NAME.hlo of `simclr-tf benchmark step --export_hlo=FOLDER`.
Each step is compiled and run with made-up weights. If PyTorch is installed too, its
step of the same network and batch is timed in turns with it: bfloat16, channels last,
compiled. That one has no views to make; the exported step makes its own from images.

Prints a table and writes FOLDER/times.json. Needs jax and numpy, nothing else.
"""

import argparse
import json
import os
import pathlib
import statistics
import time

# Or JAX takes most of the device's memory at its start, and PyTorch finds none.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax  # noqa: E402
import numpy as np  # noqa: E402
from jax._src.lib import xla_client  # noqa: E402

jax.config.update("jax_enable_x64", True)  # The step counts in 64 bits.
# Part of a device's name -> operations a second of dense products by precision, as its
# maker states them.
PEAKS = {
    "H200": {"float32": 67e12, "tf32": 495e12, "bfloat16": 989e12},
    "H100 80GB HBM3": {"float32": 67e12, "tf32": 495e12, "bfloat16": 989e12},
    "A100": {"float32": 19.5e12, "tf32": 156e12, "bfloat16": 312e12},
    "L4": {"float32": 30.3e12, "tf32": 60e12, "bfloat16": 121e12},
}


def loaded(path):
    """Compile the program in a file; return (executable, its arguments in memory)."""
    program = xla_client.XlaComputation(path.read_bytes())
    module = xla_client._xla.mlir.xla_computation_to_mlir_module(program)
    device = jax.devices()[0]
    devices = xla_client.DeviceList((device,))
    options = xla_client.CompileOptions()
    compiled = device.client.compile_and_load(module, devices, options)
    rng, arguments = np.random.default_rng(0), []
    for shape in program.program_shape().parameter_shapes():
        arguments.append(made_up(rng, shape.numpy_dtype(), shape.dimensions()))
    return compiled, arguments


def made_up(rng, dtype, shape):
    """Return small positive numbers, pixels, or zeros for other whole numbers."""
    if dtype.name == "uint8":
        return rng.integers(0, 256, shape).astype(dtype)
    if dtype.kind in "iub":
        return np.zeros(shape, dtype)
    return (0.01 + 0.05 * rng.random(shape)).astype(dtype)


def bytes_of(compiled):
    """Return the device memory of a program: weights, inputs and what it needs."""
    sizes = compiled.get_compiled_memory_stats()
    return (
        sizes.argument_size_in_bytes
        + sizes.output_size_in_bytes
        - sizes.alias_size_in_bytes
        + sizes.temp_size_in_bytes
    )


def exported_step(path):
    """Return (a function that runs the step and returns its seconds, its bytes)."""
    compiled, arguments = loaded(path)

    def run():
        # The program takes over the memory of the weights, so they are put anew.
        given = [jax.device_put(argument) for argument in arguments]
        jax.block_until_ready(given)
        began = time.perf_counter()
        results = compiled.execute_sharded(given)
        jax.block_until_ready(results.disassemble_into_single_device_arrays())
        return time.perf_counter() - began

    return run, bytes_of(compiled)


def peer_step(step):
    """Return the same for PyTorch's step; None where PyTorch is not installed."""
    try:
        import torch_step
    except ImportError:
        return None
    return torch_step.make(
        step["network"], step["batch_size"], step["image_size_pixels"]
    )


def peak_of(precision):
    """Return the device's operations a second at a precision; None if not known."""
    kind = jax.devices()[0].device_kind
    known = [peaks for name, peaks in PEAKS.items() if name in kind]
    return known[0][precision] if known else None


def main():
    """Time the chosen steps in turns with PyTorch's; print and write the times."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--output", type=pathlib.Path)
    given = parser.parse_args()
    index = json.loads((given.folder / "steps.json").read_text())
    device = jax.devices()[0]
    print(f"{device.device_kind}, jax {jax.__version__}")
    print("| step | ms | images/s | of peak | memory | PyTorch, images/s | ratio |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    results, peers = [], {}
    for step in index["steps"]:
        if given.only not in step["name"]:
            continue
        size = (step["network"], step["batch_size"])
        began = time.perf_counter()
        try:
            run, memory = exported_step(given.folder / step["file"])
            run()
        except Exception as error:  # E.g. out of memory: the others go on.
            print(f"| {step['name']} | failed: {str(error).splitlines()[0][:90]} |")
            results.append({**step, "error": str(error)[:2000]})
            continue
        compiling = time.perf_counter() - began
        if size not in peers:
            try:
                peers[size] = peer_step(step)
            except RuntimeError as error:
                print(f"PyTorch failed: {str(error).splitlines()[0][:90]}")
                peers[size] = None
        peer, seconds, theirs = peers[size], [], []
        for _ in range(given.rounds):  # In turns.
            seconds.append(run())
            if peer is not None:
                theirs.append(peer())
        median = statistics.median(seconds)
        result = {
            **step,
            "compiling_seconds": compiling,
            "seconds": seconds,
            "peer_seconds": theirs,
            "device_bytes": memory,
        }
        results.append(result)
        print(row_of(step, median, result, theirs, seconds), flush=True)
        output = given.output or given.folder / "times.json"
        output.write_text(
            json.dumps(
                {
                    "device": device.device_kind,
                    "jax": jax.__version__,
                    "exported_by": index,
                    "results": results,
                },
                indent=1,
            )
        )


def row_of(step, median, result, theirs, seconds):
    """Write a step's row of the table; ratios are of the same round."""
    peak = peak_of(step["precision"])
    share = step["encoder_operations_a_step"] / median / peak if peak else None
    cells = [
        step["name"],
        f"{1000 * median:.1f}",
        f"{step['batch_size'] / median:,.0f}",
        "" if share is None else f"{share:.0%}",
        f"{result['device_bytes'] / 2**30:.1f} GiB",
        "",
        "",
    ]
    if theirs:
        ratios = [their / own for own, their in zip(seconds, theirs, strict=True)]
        cells[-2] = f"{step['batch_size'] / statistics.median(theirs):,.0f}"
        cells[-1] = f"{statistics.median(ratios):.2f}"
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
