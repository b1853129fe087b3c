"""Tables of results: evaluation, fine-tuning, transfer, distillation."""

from simclr_tf.evaluation import RAW_PIXELS, THIS_ENCODER
from simclr_tf.evaluation.distillation import AGREE, CLASSIFY, STUDENT, TEACHER
from simclr_tf.evaluation.few_labels import FINE_TUNED, FROM_SCRATCH
from simclr_tf.markdown import prose
from simclr_tf.report.blocks import Table, Text
from simclr_tf.report.tables import (
    markdown_of,
    markdown_table,
    protocol_title,
    value_text,
)


def results_table(results):
    """Tabulate an evaluation: representations against protocols, in percent.

    Single runs carry their 95 % interval, means over draws their standard deviation.
    The last row is the difference of this encoder and the raw pixels.

    Args:
      results: Results of `simclr_tf.evaluation`.

    Returns:
      (Table, Text): the numbers, and an explanation of the columns.

    Example:
      >>> from simclr_tf.evaluation import Measurement, Results
      >>> found = Measurement("this encoder", "weighted_knn", "accuracy_percent",
      ...                     73.2, 2534, 6007, low_95=71.4, high_95=74.9)
      >>> results_table(Results("mine", "resnet18", (found,)))[0].rows
      (('this encoder', '73.2 (71.4 to 74.9)'),)
    """
    protocols = {m.protocol: m for m in results.measurements}
    representations = dict.fromkeys(m.representation for m in results.measurements)
    rows = [
        (name, *(value_text(results.find(name, p)) for p in protocols))
        for name in representations
    ]
    if {RAW_PIXELS, THIS_ENCODER} <= set(representations):
        rows.append(("gain over raw pixels", *(_gain(results, p) for p in protocols)))
    header = ("accuracy (%)", *map(protocol_title, protocols.values()))
    return Table(header, tuple(rows)), Text(_legend(results, protocols))


def results_markdown(results):
    """Write the table of an evaluation as Markdown; see `results_table`."""
    return markdown_of(results_table(results))


def finetune_table(results):
    """Tabulate a fine-tuning: label budgets against methods, in percent.

    If the encoder was both fine-tuned and trained from scratch, the last column is the
    difference of the two.

    Args:
      results: Results with measurements of the protocol "fine_tune".

    Returns:
      (Table, Text): the numbers, and what they are.

    Example:
      >>> from simclr_tf.evaluation import Measurement, Results
      >>> one = Measurement(
      ...     "fine-tuned", "fine_tune", "accuracy_percent", 80.0, 100, 60, std=1.0,
      ...     settings={"budget": "1 %", "seeds": [0, 1]})
      >>> finetune_table(Results("mine", "r", (one,)))[0].rows
      (('1 %', '60', '80.0 ± 1.0'),)
    """
    cells = {(m.settings["budget"], m.representation): m for m in results.measurements}
    budgets = {m.settings["budget"]: m.num_train_labels for m in results.measurements}
    methods = list(dict.fromkeys(m.representation for m in results.measurements))
    rows = [
        (
            budget,
            f"{count:,}",
            *(value_text(cells.get((budget, method))) for method in methods),
        )
        for budget, count in budgets.items()
    ]
    header = ("labels", "images", *methods)
    if {FINE_TUNED, FROM_SCRATCH} <= set(methods):
        header += ("gain over scratch",)
        pairs = [
            [cells.get((row[0], name)) for name in (FINE_TUNED, FROM_SCRATCH)]
            for row in rows
        ]
        rows = [
            (*row, _difference(*pair)) for row, pair in zip(rows, pairs, strict=True)
        ]
    tested = max(m.num_test for m in results.measurements)
    return (
        Table(header, tuple(rows)),
        Text(
            f"Accuracy in percent on {tested:,} test images of {results.data}; "
            f"{_spread(results)}; all methods see the same labels"
            f"{_precision(_trainings(results))}." + _not_measured(results)
        ),
    )


def finetune_markdown(results):
    """Write the table of a fine-tuning as Markdown; see `finetune_table`."""
    return markdown_of(finetune_table(results))


def transfer_table(results):
    """Tabulate a transfer: data sets against methods, in percent.

    Args:
      results: Results whose measurements name in `settings["data"]` their data set.

    Returns:
      (Table, Text): the numbers, and what they are.

    Example:
      >>> from simclr_tf.evaluation import Measurement, Results
      >>> one = Measurement(
      ...     "fine-tuned", "fine_tune", "accuracy_percent", 80.0, 100, 60, std=1.0,
      ...     settings={"data": "npz:a", "input": "28 grey", "seeds": [0, 1]})
      >>> transfer_table(Results("npz:a", "r", (one,)))[0].rows
      (('npz:a', '28 grey', '60', '100', '80.0 ± 1.0'),)
    """
    cells = {(m.settings["data"], m.representation): m for m in results.measurements}
    sets = {m.settings["data"]: m for m in results.measurements}
    methods = list(dict.fromkeys(m.representation for m in results.measurements))
    rows = tuple(
        (
            name,
            m.settings.get("input", ""),
            f"{m.num_train_labels:,}",
            f"{m.num_test:,}",
            *(value_text(cells.get((name, method))) for method in methods),
        )
        for name, m in sets.items()
    )
    align = "ll" + "r" * (2 + len(methods))
    return (
        Table(("data", "seen as", "labels", "test", *methods), rows, align),
        Text(
            f"Accuracy in percent on the test images; {_spread(results)}"
            f"{_precision(_trainings(results))}. The "
            "untrained encoder and training from scratch start at random weights of "
            "the same network."
        ),
    )


def transfer_markdown(results):
    """Write the table of a transfer as Markdown; see `transfer_table`."""
    return markdown_of(transfer_table(results))


def distill_markdown(results):
    """Write the table of a distillation: teacher and student side by side.

    Args:
      results: Results of `simclr_tf.evaluation.distill`.

    Returns:
      str, Markdown: the table, then a line that explains it.

    Example:
      >>> from simclr_tf.evaluation import Measurement, Results
      >>> cost = {"parameters": 1000, "flops_per_image": 2e6}
      >>> rows = [Measurement(name, "classify", "accuracy_percent", 80.0, 100, 0,
      ...                     settings=cost) for name in ("teacher", "student")]
      >>> rows.append(Measurement(
      ...     "student", "agreement_with_teacher", "agreement_percent", 90.0, 100, 0,
      ...     settings={"data": "mine", "num_images": 500, "num_train_labels": 0}))
      >>> table = distill_markdown(Results("mine", "t", tuple(rows)))
      >>> " ".join(table.splitlines()[3].split())
      '| student | 80.0 | 90.0 | 1,000 | 2.0 |'
    """
    agreement = results.find(STUDENT, AGREE)
    rows = []
    for name in (TEACHER, STUDENT):
        found = results.find(name, CLASSIFY)
        rows.append(
            [
                name,
                value_text(found),
                value_text(agreement) if name == STUDENT else "",
                f"{found.settings['parameters']:,}",
                f"{found.settings['flops_per_image'] / 1e6:,.1f}",
            ]
        )
    header = [
        "network",
        "accuracy (%)",
        "as the teacher (%)",
        "parameters",
        "MFLOPs an image",
    ]
    training = agreement.settings
    return f"{markdown_table(header, rows)}\n\n" + prose(
        f"{agreement.num_test:,} test images of {results.data}, in brackets 95 % "
        f"intervals; the student learned from {training['num_images']:,} images of "
        f"{training['data']} with {training['num_train_labels']:,} labels"
        f"{_precision([training])}."
    )


def _trainings(results):
    """Return the settings of all runs of a table, as a list of dicts."""
    return [run for m in results.measurements for run in m.settings.get("runs", ())]


def _precision(trainings):
    """Name the arithmetic of trainings: `; trained in bfloat16`."""
    found = sorted({run["precision"] for run in trainings if "precision" in run})
    return f"; trained in {' and '.join(found)}" if found else ""


def _gain(results, protocol):
    return _difference(
        *(results.find(name, protocol) for name in (THIS_ENCODER, RAW_PIXELS))
    )


def _difference(one, other):
    return "" if None in (one, other) else f"{one.value - other.value:+.1f}"


def _spread(results):
    numbers = [len(m.settings["seeds"]) for m in results.measurements]
    fewest, most = min(numbers), max(numbers)
    if most > fewest:
        seeds = f"{fewest} to {most} seeds"
        single = ", of one seed in brackets 95 % intervals" if fewest == 1 else ""
        return f"mean ± standard deviation over {seeds}{single}"
    if most > 1:
        return f"mean ± standard deviation over {most} seeds"
    return "one seed, in brackets 95 % intervals"


def _legend(results, protocols):
    """Explain the columns, with the settings that matter."""
    parts = []
    if (knn := protocols.get("weighted_knn")) is not None and knn.settings:
        k, temperature = knn.settings["k"], knn.settings["temperature"]
        parts.append(f"kNN: {k} neighbours, temperature {temperature}")
    if "linear_probe" in protocols:
        parts.append(
            "linear: logistic regression, L2 chosen on held-out training images"
        )
    if (few := protocols.get("few_label_ridge")) is not None and few.settings:
        fewer = few.settings.get("classes_with_fewer")
        parts.append(
            f"{protocol_title(few)}: ridge, {few.settings['draws']} draws"
            + (f", all labels of {fewer} smaller classes" if fewer else "")
        )
    if "ridge" in protocols:
        parts.append("ridge: on all labels, penalty by leave-one-out")
    parts.extend(_trained_layers(protocols))
    sizes = sorted({m.num_test for m in results.measurements})
    tested = ", ".join(f"{size:,}" for size in sizes)
    parts.append(f"{tested} test images of {results.data}; in brackets 95 % intervals")
    return "; ".join(parts) + "." + _not_measured(results)


def _not_measured(results):
    """Name what the labels were too few for."""
    return "".join(
        f" Not measured: {n}. {why}" for n, why in results.not_measured.items()
    )


def _trained_layers(protocols):
    """Describe what the linear layers that are trained by steps have in common."""
    trained = [m for m in protocols.values() if "base_learning_rate" in m.settings]
    if trained:
        titles = [protocol_title(m).removeprefix("linear, ") for m in trained]
        yield (
            f"{', '.join(titles)}: {trained[0].settings['epochs']} epochs, learning "
            "rate chosen on held-out training images, then trained on all"
        )
    if any(m.protocol.endswith("_views") for m in trained):
        yield "views: random crops and flips of the training images"
