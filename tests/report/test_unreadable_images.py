"""Pages of folders with files that cannot be decoded: no traceback, and counted."""

import os
import re
import sys

import numpy as np
import pytest
from PIL import Image

from simclr_tf.commands.image_sample import sampled_sources
from simclr_tf.commands.labelled_data import labelled_data
from simclr_tf.config.evaluate import EvaluateOptions
from simclr_tf.tools import evaluate, report, show_views
from tests.report.untrained_run import SIZE, write_run


def a_folder(folder, *, broken, readable=10):
    """Two classes of PNGs, with BMPs of 7 bits a pixel among them."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(("dark", "light")):
        (folder / name).mkdir(parents=True)
        for place in range(readable):
            image = rng.integers(0, 100, (SIZE, SIZE, 3)) + 150 * number
            Image.fromarray(image.astype("uint8")).save(folder / name / f"{place}.png")
    for place in range(broken):
        path = folder / ("dark", "light")[place % 2] / f"broken{place}.bmp"
        Image.new("RGB", (SIZE, SIZE)).save(path)
        text = bytearray(path.read_bytes())
        text[28] = 7  # Bits of a pixel: the header is whole, but no decoder takes it.
        path.write_bytes(text)
    return f"folder:{folder}"


def run_on(folder, *, broken, **options):
    data = a_folder(folder / "images", broken=broken, **options)
    return write_run(folder / "run", data)


@pytest.mark.parametrize(("broken", "seed"), [(1, 3), (6, 0)])
def test_the_page_is_made_without_unreadable_files_and_counts_them(
    broken, seed, tmp_path, capsys
):
    run = run_on(tmp_path, broken=broken)
    output = tmp_path / "page.md"
    arguments = [f"--workdir={run.path}", f"--output={output}", f"--seed={seed}"]
    assert report.main(arguments) == 0
    page, screen = output.read_text(), capsys.readouterr().out
    left_out = [
        sum(map(int, re.findall(r"Left out (\d+) of \d+ images", text)))
        for text in (page, screen)
    ]
    assert left_out == [broken, broken]
    tests = re.search(r"Maps of the features.*?of (\d+) test images", page, re.S)
    confusion = re.search(r"% of (\d+) test images", page)
    assert tests[1] == confusion[1]


def test_a_folder_in_which_nothing_can_be_read_is_named_in_one_line(tmp_path, capsys):
    run = run_on(tmp_path, broken=8, readable=0)
    output = tmp_path / "page.md"
    assert report.main([f"--workdir={run.path}", f"--output={output}"]) == 0
    assert "No views, neighbours or maps: " in output.read_text()
    arguments = [f"--workdir={run.path}", f"--output={output}"]
    data = f"--data=folder:{tmp_path / 'images'}"
    assert report.main([*arguments, data]) == 2
    assert capsys.readouterr().err.count("simclr-tf: ") == 1


def test_other_verbs_end_in_one_line_where_too_many_files_are_unreadable(
    tmp_path, capsys
):
    run = run_on(tmp_path, broken=6)
    assert evaluate.main([f"--workdir={run.path}", "--protocols=knn"]) == 2
    refusal = capsys.readouterr().err
    listed = run.path / "evaluate_left_out_files.txt"
    assert f"All are named in {listed}." in refusal
    assert listed.read_text().count("not decodable") == 6
    advice = re.search(r"--data.max_corrupt_fraction=([\d.]+\d)", refusal)[1]
    options = EvaluateOptions(str(run.path), max_corrupt_fraction=float(advice))
    train, test, _ = labelled_data(run.config().data, options.chosen(), channels=3)
    assert train.num_examples + test.num_examples == 20 and len(test.left_out) == 6
    print(refusal, file=sys.stderr)
    data = run.config().data.source
    views = [f"--data={data}", f"--output={tmp_path / 'views.md'}", "--num_pairs=20"]
    assert show_views.main([*views, f"--image_size_pixels={SIZE}"]) in (0, 2)
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    named = [line for line in lines if line.startswith("simclr-tf: ")]
    assert named and all("images of" in line for line in named)


def test_names_that_are_no_text_and_classes_of_one_split_end_no_verb(tmp_path):
    rng = np.random.default_rng(0)
    root = os.path.join(os.fsencode(tmp_path), b"caf\xe9")
    shared = (b"$x^$", b"new\nline", b"\xff", b"x" * 250)
    for split, classes in ((b"Train", (*shared, b"a")), (b"test", (*shared, b"b"))):
        for name in classes:
            os.makedirs(os.path.join(root, split, name))
            for number in range(3):
                path = os.path.join(root, split, name, b"%d_\xe9\n.png" % number)
                pixels = rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
                with open(path, "wb") as stream:
                    Image.fromarray(pixels).save(stream, "PNG")
    run = write_run(tmp_path / "run", f"folder:{os.fsdecode(root)}")
    verb = [f"--workdir={run.path}", "--protocols=knn", "--knn.k=3"]
    assert evaluate.main(verb) == 0
    table = (run.path / "evaluation.md").read_text("utf-8")
    assert "15 test images" in table and "caf\\udce9" in table
    assert (run.path / "neighbours.png").stat().st_size > 1000


def test_the_page_tests_on_the_images_that_evaluate_tests_on(tmp_path):
    options = run_on(tmp_path, broken=0, readable=13).config().data
    _, test, _ = labelled_data(options, {}, channels=3)
    _, shown, *_ = sampled_sources(options, {}, channels=3, number=1000)
    names = [
        {source.example_name(row) for row in range(source.num_examples)}
        for source in (test, shown)
    ]
    assert names[0] == names[1] and len(names[0]) == 5
