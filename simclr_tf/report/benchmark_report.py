"""The tables of benchmarks' results."""

from simclr_tf.benchmarks import MessageRecord, spread
from simclr_tf.errors import DataError
from simclr_tf.markdown import prose
from simclr_tf.report.tables import markdown_table

_HEADER = ("benchmark", "case", "variant", "rate", "cost", "times as fast")


def benchmark_markdown(records):
    """Write a table of benchmarks, and on which machine they ran.

    Args:
      records: list of Record and MessageRecord.

    Returns:
      str, Markdown: one table, then a line about each machine; then two tables of each
      MessageRecord: what was counted, and what is expected of many replicas.

    Raises:
      DataError: there is nothing to show.
    """
    of_messages = [record for record in records if isinstance(record, MessageRecord)]
    measured = [record for record in records if not isinstance(record, MessageRecord)]
    rows = [(record, row) for record in measured for row in record.rows]
    if not rows and not any(record.counted for record in of_messages):
        raise DataError("A table of benchmarks needs at least one measurement.")
    try:
        tables = [_table(rows)] if rows else []
        return "\n\n".join([*tables, *map(_message_tables, of_messages)])
    except (
        TypeError,
        ValueError,
        KeyError,
        IndexError,
        AttributeError,
        ArithmeticError,
    ) as error:
        raise DataError(
            "A file of the benchmarks is damaged: its figures are not those that "
            f"`simclr-tf benchmark` writes ({type(error).__name__}: {error})."
        ) from error


def _message_tables(record):
    """Write both tables of a MessageRecord."""
    rows = [
        [
            one.replicas,
            len(one.counted),
            f"{sum(one.counted):,}",
            len(one.expected),
            f"{sum(one.expected):,}",
            "yes" if one.agrees else "no",
        ]
        for one in record.counted
    ]
    header = ["replicas", "counted", "bytes", "formula", "bytes", "all sizes equal"]
    steps = record.expected_steps
    terms = list(dict.fromkeys(term for step in steps for term in step.term_bytes))
    expected = [
        [
            f"{step.global_batch_size:,}",
            step.replicas,
            step.messages,
            *(f"{step.term_bytes[term] / 2**20:.2f}" for term in terms),
            f"{step.compute_seconds * 1e3:,.0f}",
            *(f"{step.term_seconds[term] * 1e3:.1f}" for term in terms),
            f"{step.efficiency:.0%}",
            step.longest_term,
        ]
        for step in steps
    ]
    columns = [
        "batch",
        "replicas",
        "messages",
        *(f"{term}, MiB" for term in terms),
        "computing, ms",
        *(f"{term}, ms" for term in terms),
        "efficiency",
        "longest",
    ]
    align = "r" * (len(columns) - 1) + "l"
    return "\n\n".join(
        [
            markdown_table(header, rows, "rrrrrl"),
            markdown_table(columns, expected, align),
        ]
    )


def _table(rows):
    """Write the table of (Record, Row)s, with the lines about the machines."""
    with_memory = any(row.peak_bytes is not None for _, row in rows)
    estimated = any(row.estimated_bytes is not None for _, row in rows)
    header = [
        *_HEADER,
        *(["peak memory", "of it added"] if with_memory else []),
        *(["estimated", "estimated / peak"] if estimated else []),
    ]
    cells = [
        [
            record.benchmark,
            row.case,
            row.variant,
            _rate(row),
            _cost(row),
            _ratio(row),
            *([_bytes(row.peak_bytes), _bytes(row.added_bytes)] if with_memory else []),
            *(_estimate(row) if estimated else []),
        ]
        for record, row in rows
    ]
    table = markdown_table(header, cells, "lll" + "r" * (len(header) - 3))
    machines = dict.fromkeys(_machine(record) for record, _ in rows)
    return "\n\n".join([table, *_budgets(rows), *map(prose, machines)])


def _budgets(rows):
    """Write a table of the kinds of work of each case that was profiled."""
    cases = {}
    for record, row in rows:
        if row.budget:
            cases.setdefault((record.benchmark, row.case), []).append(row)
    for (_, case), profiled in cases.items():
        kinds = dict.fromkeys(kind for row in profiled for kind in row.budget)
        kinds = sorted(kinds, key=lambda kind: -profiled[0].budget.get(kind, 0.0))
        cells = [
            [
                kind,
                *(
                    f"{1e3 * row.budget[kind]:,.1f}" if kind in row.budget else ""
                    for row in profiled
                ),
            ]
            for kind in kinds
        ]
        header = [f"{case}: ms", *(row.variant for row in profiled)]
        yield markdown_table(header, cells, "l" + "r" * len(profiled))


def _rate(row):
    return f"{_three_digits(row.rate)} {row.unit}/s"


def _cost(row):
    """Time of one unit: median and quartiles."""
    times = spread(row.seconds)
    factor, unit = next(
        (factor, unit)
        for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs"), (1e9, "ns"))
        if times.median / row.units * factor >= 1 or unit == "ns"
    )
    median, low, high = (
        _three_digits(value / row.units * factor)
        for value in (times.median, times.low, times.high)
    )
    return f"{median} {unit} ({low} to {high})"


def _ratio(row):
    if row.variant == row.baseline:
        return "1 (baseline)"
    found = row.ratio
    return f"{found.median:.2f} ({found.low:.2f} to {found.high:.2f})"


def _estimate(row):
    if row.estimated_bytes is None:
        return ["", ""]
    return [_bytes(row.estimated_bytes), f"{row.estimated_bytes / row.peak_bytes:.2f}"]


def _bytes(number):
    return "" if number is None else f"{number / 2**20:,.0f} MiB"


def _three_digits(value):
    """Format a number with three significant digits, without an exponent.

    Example:
      >>> _three_digits(12345.6), _three_digits(0.01234)
      ('12,300', '0.0123')
    """
    if value < 1:
        return f"{value:.3g}"
    digits = max(0, 3 - len(str(int(value))))
    return f"{float(f'{value:.3g}'):,.{digits}f}"


def _machine(record):
    machine, versions = record.machine, record.machine["versions"]
    rounds = max(len(row.seconds) for row in record.rows)
    load = machine.get("load_average")
    threads = [
        f"{name.replace('_', '-').removesuffix('-threads')} threads "
        f"{machine[name] or 'by default'}"
        for name in ("intra_op_threads", "inter_op_threads")
    ]
    return (
        f"Medians of {rounds} round{'s' * (rounds > 1)}, in brackets the quartiles; "
        "variants take turns, and ratios are of the same round. "
        f"{machine['processor']}, {machine['usable_cores']} cores, "
        f"{', '.join(machine['devices'])}; "
        f"TensorFlow {versions['tensorflow']}; {', '.join(threads)}"
        + (f"; load before: {load[0]:.1f}" if load else "")
        + "."
    )
