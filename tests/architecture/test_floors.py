"""Each file imports only from floors below its own; library code stays quiet."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[2]

FLOORS = {
    "simclr_tf.__main__": 10,
    "simclr_tf.tools": 9,
    "simclr_tf.studies": 8,
    "simclr_tf.commands": 7,
    "simclr_tf.report": 6,
    "simclr_tf.benchmarks": 5,
    "simclr_tf.evaluation": 5,
    "simclr_tf.export": 5,
    "simclr_tf.training": 4,
    "simclr_tf.objectives": 3,
    "simclr_tf.models": 3,
    "simclr_tf.data": 3,
    "simclr_tf.augment": 2,
    "simclr_tf.losses": 2,
    "simclr_tf.metrics": 2,
    "simclr_tf.optim": 2,
    "simclr_tf.distribution": 1,
    "simclr_tf.seeding": 1,
    "simclr_tf.array_types": 0,
    "simclr_tf.config": 0,
    "simclr_tf.durations": 0,
    "simclr_tf.lazy": 0,
    "simclr_tf.errors": 0,
    "simclr_tf.extras": 0,
    "simclr_tf.files": 0,
    "simclr_tf.limits": 0,
    "simclr_tf.markdown": 0,
    "simclr_tf._keras": 0,
    "simclr_tf.encoder_zoo": 0,
    "simclr_tf": 0,
}
FILES = sorted([*(ROOT / "simclr_tf").rglob("*.py"), *(ROOT / "tools").rglob("*.py")])
INSTANT = sorted(
    [
        *(
            f"config/{path.name}"
            for path in (ROOT / "simclr_tf" / "config").glob("*.py")
        ),
        "array_types.py",
        "durations.py",
        "lazy.py",
        "errors.py",
        "files.py",
        "limits.py",
        "markdown.py",
        "encoder_zoo.py",
        "__init__.py",
    ]
)

# How a docstring of a function must not begin: it says what the function does.
NO_VERBS = set(
    "A All An Both Each Every How Its Nothing One Our The Their This Those Two What "
    "Where Whether Which Who Why".split()
)
IMPERATIVE = [
    path
    for path in FILES
    if not {"report", "objectives", "commands", "tools"}
    & set(path.relative_to(ROOT).parts)
]


def module_name(path):
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    if parts[0] == "tools":
        parts.insert(0, "simclr_tf")
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def place(module):
    """The (part of the house, floor) that a module of ours belongs to."""
    prefix = ".".join(module.split(".")[:2])
    assert prefix in FLOORS, f"{module} stands on no floor: name its idea in FLOORS"
    return prefix, FLOORS[prefix]


def imports_of(path):
    """(module, names, line) of every import statement, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} relative import"
            yield node.module, node.lineno
            if node.module == "simclr_tf":  # from simclr_tf import x: x is a module.
                for alias in node.names:
                    if f"simclr_tf.{alias.name}" in FLOORS:
                        yield f"simclr_tf.{alias.name}", node.lineno


def lines_for_type_checkers(path):
    """Lines of `if TYPE_CHECKING:` blocks, which do not run."""
    return {
        line
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for line in range(node.body[0].lineno, node.body[-1].end_lineno + 1)
    }


def upward_imports(path):
    module = module_name(path)
    part, floor = place(module)
    for_type_checkers = lines_for_type_checkers(path)
    for imported, line in imports_of(path):
        if imported.split(".")[0] != "simclr_tf" or module == "simclr_tf":
            continue
        if line in for_type_checkers:
            continue
        other, other_floor = place(imported)
        # The ground floor is one room; above it, rooms of one floor do not know each
        # other.
        if other != part and (other_floor > floor or other_floor == floor > 0):
            yield f"{path.relative_to(ROOT)}:{line} imports {imported}"


def test_no_file_imports_from_a_floor_above():
    assert [line for path in FILES for line in upward_imports(path)] == []


DRAWN_RECORDS = {  # What `report/` knows of the rooms below it: names of plain records.
    "simclr_tf.benchmarks": "spread",
    "simclr_tf.evaluation": "EVALUATION_FILE FINETUNE_FILE TRANSFER_FILE RAW_PIXELS "
    "THIS_ENCODER results_of_record",
    "simclr_tf.evaluation.distillation": "AGREE CLASSIFY STUDENT TEACHER",
    "simclr_tf.evaluation.finetune": "FINE_TUNED FROM_SCRATCH PROTOCOL",
    "simclr_tf.export.card": "wall_time_text",
    "simclr_tf.objectives": "figures_of",
    "simclr_tf.training.warm_start": "read_warm_start",
}


def test_report_draws_what_it_is_given_and_opens_trains_and_measures_nothing():
    taken = set()
    for path in (ROOT / "simclr_tf" / "report").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and place_of_floor(node.module) > 0:
                taken |= {(node.module, alias.name) for alias in node.names}
    known = {(m, n) for m, names in DRAWN_RECORDS.items() for n in names.split()}
    assert taken - known == set()


def place_of_floor(module):
    """The floor of one of our rooms below `report/`; 0 for other modules."""
    if not module.startswith("simclr_tf.") or module.startswith("simclr_tf.report"):
        return 0
    return place(module)[1]


def test_the_floor_check_sees_an_upward_import(tmp_path, monkeypatch):
    (tmp_path / "simclr_tf" / "losses").mkdir(parents=True)
    bad = tmp_path / "simclr_tf" / "losses" / "bad.py"
    bad.write_text("def f():\n    from simclr_tf.training import run\n")
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert len(list(upward_imports(bad))) == 1


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_keras_and_flags_come_from_one_place(path):
    module = module_name(path)
    for imported, line in imports_of(path):
        root = imported.split(".")[0]
        if root in ("keras", "tf_keras"):
            assert module == "simclr_tf._keras", f"{path}:{line}"
        if imported.startswith("absl") and "flags" in path.read_text():
            assert module.startswith("simclr_tf.tools"), f"{path}:{line}"
    if module != "simclr_tf._keras":
        assert "tf.keras" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", INSTANT)
def test_the_ground_floor_does_not_import_tensorflow_or_numpy(name):
    path = ROOT / "simclr_tf" / name
    for_type_checkers = lines_for_type_checkers(path)
    imported = [
        module.split(".")[0]
        for module, line in imports_of(path)
        if line not in for_type_checkers
    ]
    assert not {"tensorflow", "numpy", "tf_keras"} & set(imported)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_asserts_bare_excepts_or_shapeless_names(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Assert), f"{path}:{node.lineno} assert"
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"{path}:{node.lineno} bare except"
    assert path.stem not in {"utils", "common", "helpers", "base", "misc"}


@pytest.mark.parametrize("path", IMPERATIVE, ids=lambda p: str(p.relative_to(ROOT)))
def test_docstrings_of_functions_begin_with_a_verb(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.FunctionDef):
            continue
        decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
        first = (ast.get_docstring(node) or "Do").split()[0]
        if not any(name.endswith("property") for name in decorators):
            assert first.rstrip(":;,") not in NO_VERBS, f"{path}:{node.lineno} {first}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_module_function_and_class_that_is_public_says_what_it_is(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), f"{path} has no docstring"
    for node in tree.body:
        is_definition = isinstance(node, (ast.FunctionDef, ast.ClassDef))
        if is_definition and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{path}:{node.lineno} {node.name}"
