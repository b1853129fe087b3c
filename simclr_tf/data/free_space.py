"""How much memory and disk are free: asked before something large is put there."""

import pathlib
import shutil

_PROC, _CGROUPS = pathlib.Path("/proc"), pathlib.Path("/sys/fs/cgroup")


def free_memory_bytes(proc=_PROC, cgroups=_CGROUPS):
    """Memory that this process can still take, without swapping.

    Args:
      proc, cgroups: pathlib.Path, where Linux tells; a container's limit counts.

    Returns:
      int, or None where it cannot be known.

    Example:
      >>> free_memory_bytes(pathlib.Path("/nowhere"), pathlib.Path("/nowhere")) is None
      True
    """
    free = [_available(proc / "meminfo"), *_left_of_limits(proc, cgroups)]
    return min((number for number in free if number is not None), default=None)


def free_disk_bytes(folder):
    """Bytes that can be written below a folder, which need not exist yet.

    Args:
      folder: path.

    Returns:
      int.
    """
    folder = pathlib.Path(folder).absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _available(meminfo):
    for line in _text(meminfo).splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return None


def _left_of_limits(proc, cgroups):
    """What each control group above this process leaves, of version 2 and of 1."""
    for line in _text(proc / "self" / "cgroup").splitlines():
        _, controllers, inside = line.split(":", 2)
        if controllers == "":
            yield from _left_in(
                cgroups, inside, "memory.max", "memory.current", "inactive_file"
            )
        elif "memory" in controllers.split(","):
            yield from _left_in(
                cgroups / "memory",
                inside,
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                "total_inactive_file",
            )


def _left_in(root, inside, limit, used, reclaimable):
    group = root / inside.strip("/")
    # In a container the path may be the host's: then the root is its own group.
    for folder in (group, *group.parents):
        limits, taken = _text(folder / limit).strip(), _text(folder / used).strip()
        if limits.isdecimal() and taken.isdecimal():
            statistics = dict(
                line.split() for line in _text(folder / "memory.stat").splitlines()
            )
            cached = int(statistics.get(reclaimable, 0))
            yield max(int(limits) - int(taken) + cached, 0)
        if folder == root:
            return


def _text(path):
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def in_mebibytes(number):
    """A number of bytes for a message: `1,234 MiB`.

    Example:
      >>> in_mebibytes(1_234_567_890), in_mebibytes(50_000), in_mebibytes(None)
      ('1,177 MiB', '0.048 MiB', 'an unknown amount')
    """
    if number is None:
        return "an unknown amount"
    amount = number / 2**20
    return f"{amount:,.0f} MiB" if amount >= 10 else f"{amount:.2g} MiB"
