"""Every verb on damaged and hostile inputs keeps the rule of `harness.py`.

`make test-slow` runs FUZZ_CASES cases (1,000) of the seed FUZZ_SEED; FUZZ_ONLY=17,90
runs those two, and FUZZ_KEEP=FOLDER keeps everything there.
"""

import concurrent.futures
import os
import pathlib
import queue
import shutil
import time

import pytest

from tests.fuzz import cases, harness

SEED = int(os.environ.get("FUZZ_SEED", "1"))
NUMBER = int(os.environ.get("FUZZ_CASES", "1000"))
PROCESSES = int(os.environ.get("FUZZ_PROCESSES", "2"))
ONLY = [int(n) for n in os.environ.get("FUZZ_ONLY", "").split(",") if n]
KEEP = os.environ.get("FUZZ_KEEP")


def outcome_of(worker, inputs, root, number):
    """(problems, text of the case) of a case."""
    folder = cases.work_folder(root, number)
    case = cases.make_case(SEED, number, inputs, folder)
    for name in ("home", "tmp"):
        (folder / name).mkdir()
    before = harness.contents(folder)
    outcome = worker.run(
        case.arguments, folder, sent=case.sent, after_seconds=case.after_seconds
    )
    problems = harness.broken(
        outcome,
        before,
        harness.contents(folder),
        sent=case.sent,
        may_change=cases.may_stay(case),
    )
    text = (
        f"FUZZ_SEED={SEED} FUZZ_ONLY={number}: {'; '.join(problems) or 'kept'} "
        f"(exit code {outcome.code}, {outcome.seconds:.1f} s, "
        f"{outcome.megabytes:.0f} MiB)\n  {cases.shown(case)}\n"
        f"  ... {outcome.err[-600:].strip()}"
    )
    if not KEEP:
        shutil.rmtree(folder)
        shutil.rmtree(f"{folder}.outputs")
    return problems, text


@pytest.mark.slow
def test_every_case_keeps_the_rule(tmp_path):
    root = pathlib.Path(KEEP) if KEEP else tmp_path
    numbers = ONLY or range(NUMBER)
    start, broken = time.monotonic(), []
    workers = queue.SimpleQueue()
    with harness.Worker() as first, harness.Worker() as second:
        inputs = root / "inputs"
        if not inputs.exists():
            cases.make_inputs(first, inputs)
        for worker in (first, second)[:PROCESSES]:
            workers.put(worker)

        def one(number):
            worker = workers.get()
            try:
                return outcome_of(worker, inputs, root, number)
            finally:
                workers.put(worker)

        with concurrent.futures.ThreadPoolExecutor(PROCESSES) as pool:
            for problems, text in pool.map(one, numbers):
                if problems or ONLY:
                    print(text, flush=True)
                broken += [text] if problems else []
    minutes = (time.monotonic() - start) / 60
    print(f"{len(numbers)} cases of seed {SEED} in {minutes:.0f} minutes")
    assert not broken, f"{len(broken)} of {len(numbers)} cases, seed {SEED}"
