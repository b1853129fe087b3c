"""Each file imports only from floors below its own; library code stays quiet."""

import ast
import collections
import pathlib
import re
import textwrap

import pytest

ROOT = pathlib.Path(__file__).parents[2]

FLOORS = {
    "simclr_tf.__main__": 11,
    "simclr_tf.tools": 10,
    "simclr_tf.studies": 9,
    "simclr_tf.commands": 8,
    "simclr_tf.report": 7,
    "simclr_tf.benchmarks": 6,
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
    "simclr_tf.locks": 0,
    "simclr_tf.limits": 0,
    "simclr_tf.machine": 0,
    "simclr_tf.markdown": 0,
    "simclr_tf._keras": 0,
    "simclr_tf.encoder_zoo": 0,
    "simclr_tf": 0,
}
FILES = sorted([*(ROOT / "simclr_tf").rglob("*.py"), *(ROOT / "tools").rglob("*.py")])
ROOMS = {
    str(room.relative_to(ROOT)): [path for path in FILES if path.parent == room]
    for room in sorted({path.parent for path in FILES})
}
EVERY_ROOM = pytest.mark.parametrize("paths", ROOMS.values(), ids=ROOMS)
# They run in processes of their own, without this package.
PROGRAMS = sorted((ROOT / "simclr_tf").glob("*/programs/*.py"))
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
        "locks.py",
        "limits.py",
        "machine.py",
        "markdown.py",
        "encoder_zoo.py",
        "__init__.py",
    ]
)

# A verb has one name on its floors: argv in tools/, options in config/, the use case in
# commands/. config/ also names the room whose options it holds, and an objective the
# loss that it trains on. No other two modules share a name.
VERB_ROOMS = {"tools", "simclr_tf.commands", "simclr_tf.config"}
LOSS_ROOMS = {"simclr_tf.losses", "simclr_tf.objectives"}
# Functions that every file of a kind has.
OF_EACH_FILE = {"cells", "cases", "run", "main", "options_of"}

# How a docstring of a function must not begin: it orders what the function does.
NO_VERBS = set(
    "A All An Both Cosine Each Entry Every Finite How Its Many Memory Nearest Nothing "
    "One Our Peak Short Some The Their This Those Three Two What Where Whether Which "
    "Who Why".split()
)


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


def programs_in_strings(text):
    """Lines of strings that are programs, or that tell Python to run one.

    Docstrings may hold examples, and cards show how an export is loaded, line by line.
    """
    tree = ast.parse(text)
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, holders) and ast.get_docstring(node) is not None
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):  # What is filled in counts as a name.
            parts = [getattr(part, "value", None) for part in node.values]
            value = "".join(part if isinstance(part, str) else "x" for part in parts)
        elif isinstance(node, ast.Constant) and id(node) not in docstrings:
            value = node.value
        else:
            continue
        if isinstance(value, str) and (value == "-c" or is_program(value)):
            yield node.lineno


def is_program(value):
    """Whether a string is Python that imports something and goes on."""
    try:
        tree = ast.parse(textwrap.dedent(value))
    except (SyntaxError, ValueError):
        return False
    imports = (ast.Import, ast.ImportFrom)
    return len(tree.body) > 1 and any(isinstance(n, imports) for n in ast.walk(tree))


@EVERY_ROOM
def test_programs_for_other_processes_are_files_and_not_strings(paths):
    for path in paths:
        text = path.read_text(encoding="utf-8")
        assert [f"{path}:{line}" for line in programs_in_strings(text)] == []


@pytest.mark.parametrize(
    "line",
    [
        "x = '''\nimport sys\nprint(sys.argv)\n'''",
        "x = ('import sys\\n' 'print(sys.argv)\\n')",
        "x = f'from {module} import main; main()'",
        "run([sys.executable, '-c', x])",
    ],
)
def test_a_program_in_a_string_is_noticed(line):
    assert set(programs_in_strings(line)) == {1}


def test_programs_for_other_processes_know_nothing_of_this_package():
    assert len(PROGRAMS) > 5
    names = {path.stem for path in PROGRAMS}
    for path in FILES:
        roots = {module.split(".")[0] for module, _ in imports_of(path)}
        assert not roots & ({"simclr_tf"} if path in PROGRAMS else names), path


DRAWN_RECORDS = {  # What `report/` knows of the rooms below it: names of plain records.
    "simclr_tf.benchmarks": "MessageRecord spread",
    "simclr_tf.evaluation": "EVALUATION_FILE FINETUNE_FILE TRANSFER_FILE RAW_PIXELS "
    "THIS_ENCODER results_of_record",
    "simclr_tf.evaluation.distillation": "AGREE CLASSIFY STUDENT TEACHER",
    "simclr_tf.evaluation.few_labels": "FINE_TUNED FROM_SCRATCH PROTOCOL",
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


@EVERY_ROOM
def test_keras_and_flags_come_from_one_place(paths):
    for path in paths:
        module = module_name(path)
        for imported, line in imports_of(path):
            root = imported.split(".")[0]
            if root in ("keras", "tf_keras") and path not in PROGRAMS:
                assert module == "simclr_tf._keras", f"{path}:{line}"
            if imported.startswith("absl") and "flags" in path.read_text():
                assert module.startswith("simclr_tf.tools"), f"{path}:{line}"
        if module != "simclr_tf._keras":
            assert "tf.keras" not in path.read_text(encoding="utf-8"), path


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


@EVERY_ROOM
def test_no_asserts_bare_excepts_or_shapeless_names(paths):
    for path in paths:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            assert not isinstance(node, ast.Assert), f"{path}:{node.lineno} assert"
            if isinstance(node, ast.ExceptHandler):
                assert node.type is not None, f"{path}:{node.lineno} bare except"
        assert path.stem not in {"utils", "common", "helpers", "base", "misc"}


def homes_of_names(names_of):
    """Each name -> the files that `names_of` finds it in."""
    homes = collections.defaultdict(list)
    for path in FILES:
        for name in names_of(path):
            homes[name].append(path)
    return homes


def module_names(path):
    """The name of a module, or of a folder by its `__init__.py`."""
    return [module_name(path).rpartition(".")[2]]


def public_definitions(path):
    if path.parent.name == "programs":  # Run as they are, not imported.
        return []
    return [
        node.name
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, (ast.ClassDef, ast.FunctionDef))
        and not node.name.startswith("_")
    ]


def room_of(path):
    folder = path.parent.parent if path.name == "__init__.py" else path.parent
    return ".".join(folder.relative_to(ROOT).parts) or "."


def may_share_a_name(paths):
    rooms = {room_of(path) for path in paths}
    if len(rooms) < len(paths):
        return False
    has_options = "simclr_tf.config" in rooms
    return (
        len(paths) == 1
        or rooms == LOSS_ROOMS
        or rooms <= (VERB_ROOMS | {"simclr_tf"} if has_options else VERB_ROOMS)
    )


def test_no_two_modules_have_one_name_for_different_things():
    homes = homes_of_names(module_names)
    # tools/simclr_tf.py stands for the package where a script of tools/ is started.
    homes.pop("simclr_tf")
    assert [n for n, paths in homes.items() if not may_share_a_name(paths)] == []


def test_no_two_public_classes_or_functions_have_one_name():
    homes = homes_of_names(public_definitions)
    assert {
        name
        for name, paths in homes.items()
        if len(paths) > 1 and name not in OF_EACH_FILE
    } == set()


def test_a_shared_name_outside_the_rule_is_found():
    rooms = ROOT / "simclr_tf"
    assert not may_share_a_name([rooms / "models/cost.py", rooms / "studies/cost.py"])
    assert may_share_a_name([rooms / "config/data.py", rooms / "data/__init__.py"])


@EVERY_ROOM
def test_docstrings_of_functions_begin_with_a_verb(paths):
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef):
                continue
            decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
            first = (ast.get_docstring(node) or "Do").split()[0]
            if not any(name.endswith("property") for name in decorators):
                assert is_an_order(first.rstrip(":;,.")), (
                    f"{path}:{node.lineno} {first}"
                )


def is_an_order(word):
    """Whether a docstring may begin with it: "Return", not "Returns" or "Rows"."""
    looks_like_one = re.fullmatch(r"[A-Z][a-z]*([^s]|ss)(-[a-z]+)?", word)
    return looks_like_one is not None and word not in NO_VERBS


def test_nouns_and_third_persons_are_no_orders():
    assert all(map(is_an_order, ("Return", "Pass", "Fine-tune")))
    assert not any(map(is_an_order, ("Returns", "Rows", "float32", "The", "JPEG")))


# Riddles that once stood in docstrings, comments and messages.
RIDDLES = re.compile(
    r"must lie|can put right|\bforetells?\b|\bspeaks?\b|\bas of [`A-Z]|made anew"
)


@EVERY_ROOM
def test_the_words_are_plain(paths):
    for path in paths:
        text = " ".join(path.read_text(encoding="utf-8").split())
        assert RIDDLES.findall(text) == [], path


@EVERY_ROOM
def test_every_module_function_and_class_that_is_public_says_what_it_is(paths):
    for path in paths:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), f"{path} has no docstring"
        for node in tree.body:
            is_definition = isinstance(node, (ast.FunctionDef, ast.ClassDef))
            if is_definition and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{path}:{node.lineno} {node.name}"
