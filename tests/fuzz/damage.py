"""Damage to any file, and to JSON: functions of (rng, path) that tell what they did.

Each changes one file in place, with a `random.Random` and nothing else, so that a seed
repeats it. Hostile contents try to create
`CANARY` in the working directory.
"""

import json
import os
import pickle

from tests.fuzz.harness import CANARY

EXTREME = (0, -1, 1, 2, 2**31 - 1, 2**31, 2**62, 2**63, 2**64 - 1, -(2**63), 10**30)
SHELL = f"touch {CANARY}"
_DEEP = 100_000


class Runs:
    """Creates the canary when it is unpickled."""

    def __reduce__(self):
        return os.system, (SHELL,)


def hostile_pickle():
    """Bytes that run a shell command when they are unpickled."""
    return pickle.dumps(Runs())


def any_bytes(rng, path):
    """Flip, cut, insert, repeat or overwrite bytes."""
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        place = rng.randrange(len(data) + 1)
        what = rng.choice(("flip", "flip", "cut", "drop", "insert", "number", "fill"))
        if what == "flip" and data:
            data[min(place, len(data) - 1)] ^= 1 << rng.randrange(8)
        elif what == "cut":
            del data[place:]
        elif what == "drop":
            del data[place : place + rng.choice((1, 7, 512))]
        elif what == "insert":
            data[place:place] = rng.randbytes(rng.choice((1, 7, 512)))
        elif what == "number":
            size = rng.choice((4, 8))
            value = rng.choice(EXTREME) % (1 << 8 * size)
            data[place : place + size] = value.to_bytes(
                size, rng.choice(("little", "big"))
            )
        else:
            data[place : place + 64] = rng.choice((b"\0", b"\xff")) * 64
    path.write_bytes(data)
    return f"bytes: {what} at {place}"


def not_a_file(rng, path, *more):
    """Put something else in the file's place."""
    what = rng.choice(
        (
            "nothing",
            "empty",
            "folder",
            "loop",
            "zeros",
            "text",
            "html",
            "pickle",
            *more,
        )
    )
    path.unlink()
    if what == "empty":
        path.write_bytes(b"")
    elif what == "folder":
        path.mkdir()
    elif what == "loop":
        path.symlink_to(path.name)
    elif what == "zeros":
        path.symlink_to("/dev/zero")
    elif what == "fifo":
        os.mkfifo(path)
    elif what == "text":
        path.write_text("hello\n" * rng.choice((1, 1_000)))
    elif what == "html":
        path.write_text("<!doctype html><title>404</title>")
    elif what == "pickle":
        path.write_bytes(hostile_pickle())
    return f"instead: {what}"


def json_value(rng):
    """A value that belongs nowhere."""
    return rng.choice(
        (
            None,
            True,
            "",
            "15",
            "none",
            "../../..",
            "/dev/zero",
            "a\nb\x1b[31m\u202e",
            "<script>alert(1)</script>",
            "[x](javascript:alert(1))",
            "x" * 1_000_000,
            [],
            [1],
            {},
            {"a": {}},
            [[[]]],
            float("nan"),
            float("inf"),
            1e308,
            -0.5,
            0.5,
            10**400,
            *EXTREME,
        )
    )


def json_text(rng, text):
    """(JSON text with one thing changed, what was changed)."""
    way = rng.choice(("value",) * 8 + ("drop", "add", "twice", "deep", "text", "top"))
    if way == "deep":
        bracket = rng.choice(("[", '{"a":'))
        return bracket * _DEEP, "deep"
    if way == "text":
        places = ("\ufeff" + text, text[: len(text) // 2], text + "}", f"[{text}]")
        return rng.choice((*places, text.replace(":", ": 1e400,", 1), "")), "text"
    tree = json.loads(text)
    if way == "top":
        tree = json_value(rng)
        return json.dumps(tree), f"top = {tree!r:.30}"
    place, key = _place(rng, tree)
    if place is None:
        return "null", "top"
    told = f"{way} {key!r:.40}"
    if way == "drop":
        del place[key]
    elif way == "add" and isinstance(place, dict):
        place[rng.choice(("unknown", "", "class_name", "__class__"))] = json_value(rng)
    elif way == "twice" and isinstance(place, dict):
        place[key] = [place[key], place[key]]
    else:
        place[key] = json_value(rng)
        told += f" = {place[key]!r:.30}"
    return json.dumps(tree), told


def _place(rng, tree):
    """A random (dict or list, key) in a tree: every depth as likely as the others."""
    found, pending = {}, [(tree, 0)]
    while pending:
        node, depth = pending.pop()
        keys = node if isinstance(node, dict) else range(len(node))
        for key in keys:
            found.setdefault(depth, []).append((node, key))
            if isinstance(node[key], (dict, list)):
                pending.append((node[key], depth + 1))
    return rng.choice(found[rng.choice(list(found))]) if found else (None, None)


def json_file(rng, path):
    """Change one value, key or the text of a JSON file."""
    text, told = json_text(rng, path.read_text())
    path.write_text(text)
    return f"json: {told}"


def json_lines(rng, path):
    """Change one line of a file of JSON lines, or the order of its lines."""
    lines = path.read_text().splitlines() or ["{}"]
    number = rng.randrange(len(lines))
    what = rng.choice(("json", "json", "json", "bytes", "twice", "empty", "backwards"))
    told = what
    if what == "json":
        lines[number], told = json_text(rng, lines[number])
    elif what == "bytes":
        lines[number] = lines[number][: rng.randrange(len(lines[number]))] + "\x00\x1b"
    elif what == "twice":
        lines.insert(number, lines[number])
    elif what == "empty":
        lines.insert(number, "")
    else:
        lines.reverse()
    path.write_text("\n".join(lines) + rng.choice(("\n", "")))
    return f"line {number}: {told}"
