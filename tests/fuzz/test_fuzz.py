"""Every verb on damaged and hostile inputs keeps the rule of `harness.py`.

`make test-slow` runs FUZZ_CASES cases (1,000) of the seed FUZZ_SEED (1), on
FUZZ_PROCESSES processes (2). FUZZ_ONLY=17,90 repeats those two, and FUZZ_KEEP=FOLDER
keeps all files there.
"""

import concurrent.futures
import os
import pathlib
import queue
import shutil
import time

import pytest

from tests.fuzz import cases, commands, harness
from tests.fuzz.worker import Worker

SEED = int(os.environ.get("FUZZ_SEED", "1"))
NUMBER = int(os.environ.get("FUZZ_CASES", "1000"))
PROCESSES = int(os.environ.get("FUZZ_PROCESSES", "2"))
ONLY = [int(number) for number in os.environ.get("FUZZ_ONLY", "").split(",") if number]
KEEP = os.environ.get("FUZZ_KEEP")
REFUSED = "import sys; print('simclr-tf: `x` must be > 0.', file=sys.stderr); "


def held_to_the_rule(worker, folder, arguments, case=None):
    """(what is broken, Outcome) of a command in a folder."""
    sent, after = (case.sent, case.after_seconds) if case else (None, 0.0)
    may_change = cases.may_stay(case) if case else lambda path: False
    for name in harness.OWN_FOLDERS:
        (folder / name).mkdir(parents=True)
    before = harness.contents(folder)
    outcome = worker.run(arguments, folder, sent=sent, after_seconds=after)
    after = harness.contents(folder)
    problems = harness.broken(outcome, before, after, sent=sent, may_change=may_change)
    return problems, outcome


def outcome_of_case(worker, inputs, root, number):
    """(what is broken, text for a person) of a case; a Command instead of a number."""
    if isinstance(number, int):
        folder = root / f"case{number}"
        case = cases.make_case(SEED, number, inputs, folder)
    else:
        folder = root / f"command{commands.COMMANDS.index(number)}"
        case = cases.unchanged(number, inputs, folder)
    problems, outcome = held_to_the_rule(worker, folder, case.arguments, case)
    if not case.changes and outcome.code:
        problems.append("fails as it stands")
    text = (
        f"FUZZ_SEED={SEED} FUZZ_ONLY={number}: {'; '.join(problems) or 'kept'} "
        f"(exit code {outcome.code}, {outcome.seconds:.1f} s, "
        f"{outcome.megabytes:.0f} MiB)\n{case}\n  {outcome.err.strip()[-700:]}\n"
    )
    if not KEEP:
        shutil.rmtree(folder)
        shutil.rmtree(f"{folder}.outputs")
    return problems, text


def run_cases(numbers, root):
    """Texts of the cases that broke the rule; printed as they come."""
    root.mkdir(exist_ok=True)
    inputs, broken, free = root / "inputs", [], queue.SimpleQueue()
    workers = [Worker() for _ in range(PROCESSES)]
    if not inputs.exists():
        commands.make_inputs(workers[0], inputs)
    for worker in workers:
        free.put(worker)

    def one(number):
        worker = free.get()
        try:
            return outcome_of_case(worker, inputs, root, number)
        finally:
            free.put(worker)

    try:
        with concurrent.futures.ThreadPoolExecutor(PROCESSES) as pool:
            for problems, text in pool.map(one, numbers):
                broken += [text] if problems else []
                if problems or ONLY:
                    print(text, flush=True)
    finally:
        for worker in workers:
            worker.close()
    return broken


@pytest.mark.slow
def test_every_case_keeps_the_rule(tmp_path):
    numbers, start = ONLY or [*commands.COMMANDS, *range(NUMBER)], time.monotonic()
    broken = run_cases(numbers, pathlib.Path(KEEP) if KEEP else tmp_path)
    minutes = (time.monotonic() - start) / 60
    cases_run = f"{len(ONLY) or NUMBER} cases of seed {SEED}"
    print(f"{cases_run} in {minutes:.0f} minutes")
    assert not broken, f"{len(broken)} of {cases_run}"


@pytest.fixture(scope="module")
def worker():
    process = Worker()
    yield process
    process.close()


@pytest.fixture(scope="module")
def small_inputs(worker, tmp_path_factory):
    """The inputs that no network is trained for."""
    folder = tmp_path_factory.mktemp("fuzz") / "inputs"
    commands.make_inputs(worker, folder, trained=False)
    return folder


@pytest.mark.parametrize("number", range(30))
def test_a_sample_of_the_cases_keeps_the_rule(number, worker, small_inputs, tmp_path):
    folder = tmp_path / "case"
    case = cases.make_case(0, number, small_inputs, folder, trained=False)
    problems, outcome = held_to_the_rule(worker, folder, case.arguments, case)
    assert not problems, (case, outcome.err)


@pytest.mark.parametrize(
    "code, words",
    [
        ("raise ValueError", "a traceback"),
        ("import sys; sys.exit(1)", "exit code 1"),
        ("import os; os.kill(os.getpid(), 9)", "exit code -9"),
        ("import sys; sys.exit(2)", "refused in 0 lines"),
        (2 * REFUSED + "sys.exit(2)", "refused in 2 lines"),
        ("import sys; sys.exit('simclr-tf: no')", "exit code 1"),
        (REFUSED + "open('half', 'w'); sys.exit(2)", "refused, but changed half"),
        (REFUSED + "open('tmp/half', 'w')", "temporary: tmp/half"),
        ("print(end='', file=open('canary.txt', 'w'))", "ran: canary.txt"),
        ("import os; os.system('touch canary.txt')", "ran: canary.txt"),
        ("import os; os.system('true')", "os.system"),
        ("import pickle; pickle.loads(b'cbuiltins\\nprint\\n.')", "pickle.find_class"),
        ("open('../elsewhere', 'w')", "elsewhere"),
        ("import subprocess; subprocess.Popen(['sleep', '9'])", "left running"),
        (
            "print('simclr-tf: \\x1b[31m', file=__import__('sys').stderr)\nexit(2)",
            "con",
        ),
    ],
)
def test_the_harness_notices(code, words, worker, tmp_path):
    problems, outcome = held_to_the_rule(worker, tmp_path / "case", ["-c", code])
    assert words in "; ".join(problems), (problems, outcome)


def test_the_harness_notices_how_much_memory_a_command_took(worker, tmp_path):
    _, outcome = held_to_the_rule(worker, tmp_path / "case", ["-c", "b'x' * 2**29"])
    assert 512 < outcome.megabytes < harness.MAX_MEGABYTES
    outcome.megabytes += harness.MAX_MEGABYTES
    assert "of memory" in harness.broken(outcome, {}, {})[0]


def test_the_harness_lets_a_proper_refusal_pass(worker, tmp_path):
    code = "import sys; print('Warned.', file=sys.stderr); " + REFUSED + "sys.exit(2)"
    problems, outcome = held_to_the_rule(worker, tmp_path / "case", ["-c", code])
    assert not problems and outcome.code == 2


def test_the_harness_ends_what_takes_too_long(worker, tmp_path):
    code = "import time; time.sleep(60)"
    (tmp_path / "case").mkdir()
    outcome = worker.run(["-c", code], tmp_path / "case", max_seconds=1)
    assert outcome.timed_out and outcome.seconds < 30


def test_a_case_follows_from_its_seed_and_number(small_inputs, tmp_path):
    made = [
        cases.make_case(5, 3, small_inputs, tmp_path / name, trained=False)
        for name in ("one", "two")
    ]
    assert made[0] == made[1]
    one, two = (harness.contents(tmp_path / name) for name in ("one", "two"))
    assert one == two
