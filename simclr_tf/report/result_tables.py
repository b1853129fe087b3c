"""Tables of trained networks: fine-tuning, transfer, distillation, as Markdown."""

from simclr_tf.evaluation.distillation import AGREE, CLASSIFY, STUDENT, TEACHER
from simclr_tf.evaluation.finetune import FINE_TUNED, FROM_SCRATCH
from simclr_tf.report.tables import markdown_table, value_text


def finetune_markdown(results):
    """The table of a fine-tuning: label budgets against methods, in percent.

    Where the encoder was fine-tuned and trained from scratch, a last column says how
    far the former is above the latter.

    Args:
      results: Results with measurements of the protocol "fine_tune".

    Returns:
      str, Markdown: the table, then a line that explains it.

    Example:
      >>> from simclr_tf.evaluation import Measurement, Results
      >>> one = Measurement(
      ...     "fine-tuned", "fine_tune", "accuracy_percent", 80.0, 100, 60, std=1.0,
      ...     settings={"budget": "1 %", "seeds": [0, 1]})
      >>> print(finetune_markdown(Results("mine", "r", (one,))).splitlines()[2])
      | 1 %    |     60 | 80.0 ± 1.0 |
    """
    cells = {(m.settings["budget"], m.representation): m for m in results.measurements}
    budgets = {m.settings["budget"]: m.num_train_labels for m in results.measurements}
    methods = list(dict.fromkeys(m.representation for m in results.measurements))
    rows = [
        [
            budget,
            f"{count:,}",
            *(value_text(cells.get((budget, method))) for method in methods),
        ]
        for budget, count in budgets.items()
    ]
    header = ["labels", "images", *methods]
    if {FINE_TUNED, FROM_SCRATCH} <= set(methods):
        header.append("gain over scratch")
        for row in rows:
            row.append(
                _gain(
                    *(
                        cells.get((row[0], method))
                        for method in (FINE_TUNED, FROM_SCRATCH)
                    )
                )
            )
    seeds = max((m.settings["seeds"] for m in results.measurements), key=len)
    tested = max(m.num_test for m in results.measurements)
    spread = (
        f"mean ± standard deviation over {len(seeds)} seeds"
        if len(seeds) > 1
        else "one seed, in brackets 95 % intervals"
    )
    return (
        f"{markdown_table(header, rows)}\n\n"
        f"Accuracy in percent on {tested:,} test images of {results.data}; "
        f"{spread}; all methods see the same labels."
    )


def _gain(fine_tuned, from_scratch):
    if fine_tuned is None or from_scratch is None:
        return ""
    return f"{fine_tuned.value - from_scratch.value:+.1f}"


def transfer_markdown(results):
    """The table of a transfer: data sets against methods, in percent.

    Args:
      results: Results whose measurements say in `settings["data"]` on what.

    Returns:
      str, Markdown: the table, then a line that explains it.

    Example:
      >>> from simclr_tf.evaluation import Measurement, Results
      >>> one = Measurement(
      ...     "fine-tuned", "fine_tune", "accuracy_percent", 80.0, 100, 60, std=1.0,
      ...     settings={"data": "npz:a", "seeds": [0, 1]})
      >>> print(transfer_markdown(Results("npz:a", "r", (one,))).splitlines()[2])
      | npz:a |     60 |  100 | 80.0 ± 1.0 |
    """
    cells = {(m.settings["data"], m.representation): m for m in results.measurements}
    sets = {m.settings["data"]: m for m in results.measurements}
    methods = list(dict.fromkeys(m.representation for m in results.measurements))
    rows = [
        [
            name,
            f"{m.num_train_labels:,}",
            f"{m.num_test:,}",
            *(value_text(cells.get((name, method))) for method in methods),
        ]
        for name, m in sets.items()
    ]
    seeds = max((m.settings["seeds"] for m in results.measurements), key=len)
    spread = (
        f"mean ± standard deviation over {len(seeds)} seeds"
        if len(seeds) > 1
        else "one seed, in brackets 95 % intervals"
    )
    header = ["data", "labels", "test", *methods]
    return (
        f"{markdown_table(header, rows)}\n\n"
        f"Accuracy in percent on the test images; {spread}. The untrained encoder "
        "and training from scratch start at random weights of the same network."
    )


def distill_markdown(results):
    """The table of a distillation: teacher and student side by side.

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
      >>> print(distill_markdown(Results("mine", "t", tuple(rows))).splitlines()[3])
      | student |         80.0 |               90.0 |      1,000 |             2.0 |
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
    return (
        f"{markdown_table(header, rows)}\n\n"
        f"{agreement.num_test:,} test images of {results.data}, in brackets 95 % "
        f"intervals; the student learned from {training['num_images']:,} images of "
        f"{training['data']} with {training['num_train_labels']:,} labels."
    )
