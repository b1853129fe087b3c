"""Write down what must not change: python -m tests.golden.record [FILE.json ...]

Allowed only in a change that means to change these numbers, and says in its message
which and why: an operator that is drawn otherwise, an optimizer that was wrong. A
reformed or renamed piece of code gives the numbers that are there. If a golden test
fails and nobody meant it to, the code is to be put right, not the file.

Both lanes are held to the same files; they are written by the one that runs this.
`presets.json` holds the options under the names that they had in version 0.1.0, with
which `simclr_tf.config.moved` is tested: it is not written again. `old_run/` is a run
of version 0.1.0, stopped half-way; it cannot be made again either.
"""

import json
import pathlib
import sys
import tempfile

FOLDER = pathlib.Path(__file__).parent


def read(name):
    """The content of a golden file.

    Args:
      name: str, "runs" for runs.json.
    """
    return json.loads((FOLDER / f"{name}.json").read_text())


def measured():
    """dict of file to a function that measures its content anew."""
    from tests.golden import runs, tables, views

    def all_runs():
        found = {}
        for name in runs.RUNS:
            with tempfile.TemporaryDirectory() as folder:
                found[name] = runs.measure(name, pathlib.Path(folder))
        return found

    return {
        "runs": all_runs,
        "rounding": lambda: {"bfloat16": runs.bfloat16_rounding()},
        "views": lambda: {name: views.measure(name) for name in views.VIEWS},
        "seed_tree": views.measure_seed_tree,
        "studies": lambda: {
            name: tables.measure_study(name) for name in tables.STUDY_NAMES
        },
        "export": tables.measure_export,
    }


def rounded(value):
    """Numbers with nine digits, from which a float32 comes back as it was."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    return value


def as_text(content):
    """JSON with a line for every entry of the two outer levels."""
    lines = []
    for name, entry in content.items():
        if isinstance(entry, dict):
            inner = ",\n".join(
                f"  {json.dumps(key)}: {json.dumps(item)}"
                for key, item in entry.items()
            )
            lines.append(f" {json.dumps(name)}: {{\n{inner}\n }}")
        elif entry and isinstance(entry, list) and isinstance(entry[0], list):
            inner = ",\n".join(f"  {json.dumps(item)}" for item in entry)
            lines.append(f" {json.dumps(name)}: [\n{inner}\n ]")
        else:
            lines.append(f" {json.dumps(name)}: {json.dumps(entry)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main(names=()):
    """Measure and write the files of these names; all if none is given."""
    import tests.conftest  # noqa: F401  The devices that tests have.

    for name, measure in measured().items():
        if not names or f"{name}.json" in names:
            content = rounded(measure())
            (FOLDER / f"{name}.json").write_text(as_text(content))
            print(f"Wrote {name}.json.")


if __name__ == "__main__":
    main(sys.argv[1:])
