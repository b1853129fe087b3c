"""The check of an export in a fresh process: what it notices, and how it says so."""

import contextlib

import pytest

from simclr_tf.export import (
    ParityError,
    check_in_fresh_process,
    export_saved_model,
    parity,
)
from tests.export.tiny_encoder import tiny_encoder


@pytest.fixture(scope="module")
def encoder():
    return tiny_encoder()


@pytest.mark.parametrize("factor, passes", [(1.0, True), (1 + 3e-5, False)])
def test_a_program_that_says_otherwise_is_noticed(encoder, factor, passes, tmp_path):
    cases = parity.parity_cases(encoder, encoder)
    cases["means0"], cases["means1"] = (
        1e3 * cases[f"images{case}"].mean((1, 2)) for case in (0, 1)
    )
    program = tmp_path / "program.py"
    program.write_text(f"""
import sys
from compare_outputs import compare
def outputs(images):
    factor = 1 if len(images) == 2 else {factor}  # Only of the second case.
    yield "means", 1e3 * images.mean((1, 2)) * factor
compare(outputs, sys.argv[2], foreign=["simclr_tf"])
""")
    with (
        contextlib.nullcontext()
        if passes
        else pytest.raises(ParityError, match="means differ from the trained one's by")
    ):
        parity.difference_in_fresh_process(program, "none", cases, names=["means"])


@pytest.mark.slow  # In every suite, of a program without TensorFlow: above.
def test_fresh_process_notices_other_features(encoder, tmp_path):
    folder = tmp_path / "tiny"
    export_saved_model(encoder, folder)
    cases = parity.parity_cases(encoder, encoder)
    assert cases["images1"].shape[1:3] != cases["images0"].shape[1:3]
    cases["features1"] = cases["features1"] + 3e-5 * cases["features1"].max()
    with pytest.raises(ParityError, match="differ from the trained one's by"):
        check_in_fresh_process(folder / "saved_model", cases)


def test_failed_process_is_told_in_one_line(monkeypatch, tmp_path):
    program = tmp_path / "program.py"
    program.write_text("raise SystemExit('no')")
    monkeypatch.setattr(parity, "_CHECK", program)
    with pytest.raises(ParityError, match="fails in a fresh process: no$"):
        check_in_fresh_process(tmp_path, {})


def test_process_that_knows_this_package_does_not_count(monkeypatch, tmp_path):
    knowing = """
import sys, types
stub = types.SimpleNamespace
module = stub(signatures={"image_feature_vector": None})
sys.modules["tensorflow"] = stub(saved_model=stub(load=lambda path: module))
sys.modules["simclr_tf.models"] = stub()
"""
    program = tmp_path / "program.py"
    program.write_text(knowing + parity._CHECK.read_text(encoding="utf-8"))
    monkeypatch.setattr(parity, "_CHECK", program)
    with pytest.raises(ParityError, match="knows.*simclr_tf.models"):
        check_in_fresh_process(tmp_path, {})
