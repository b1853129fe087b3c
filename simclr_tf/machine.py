"""What this machine has for this process: processor, cores, memory, room on a disk."""

import os
import pathlib
import platform

import psutil

# Controller of a control group (version 2 has one for all) -> its folder, and the names
# of its files: the limit, the memory in use, and the reclaimable part of that memory.
_LIMITS = {
    "": ("", "memory.max", "memory.current", "inactive_file"),
    "memory": (
        "memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
}


def usable_cores():
    """Count the cores that this process may use.

    Returns:
      int.

    Example:
      >>> usable_cores() >= 1
      True
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor_name():
    """Name the processor: as Linux does, else as Python does.

    Returns:
      str.
    """
    described = processor_fields().get("model name")
    return described or platform.processor() or platform.machine()


def processor_fields(proc="/proc"):
    """Read how Linux describes the first processor.

    Args:
      proc: folder in which Linux describes it.

    Returns:
      dict of str, with "model name" and "flags" on most processors; {} elsewhere.
    """
    first = _text(pathlib.Path(proc) / "cpuinfo").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def free_disk_bytes(folder):
    """Count the bytes that can be written below a folder, which need not exist yet.

    Args:
      folder: path.

    Returns:
      int.
    """
    folder = pathlib.Path(folder).absolute()
    while not folder.exists():
        folder = folder.parent
    return psutil.disk_usage(str(folder)).free


def free_memory_bytes(proc="/proc", cgroups="/sys/fs/cgroup"):
    """Count the memory that this process can still take, without swapping.

    Args:
      proc, cgroups: folders in which Linux keeps the limits of containers.

    Returns:
      int, in bytes.
    """
    left = _left_of_limits(pathlib.Path(proc), pathlib.Path(cgroups))
    return min([psutil.virtual_memory().available, *left])


def _left_of_limits(proc, cgroups):
    """Yield the memory that each control group of this process leaves free."""
    for line in _text(proc / "self" / "cgroup").splitlines():
        _, controllers, inside = line.split(":", 2)
        for controller in _LIMITS.keys() & set(controllers.split(",")):
            root, limit, used, reclaimable = _LIMITS[controller]
            # In a container the path may be the host's; the group is then at the root.
            group = cgroups / root / inside.strip("/")
            for folder in (group, *group.parents):
                numbers = [_text(folder / name).strip() for name in (limit, used)]
                if all(number.isdecimal() for number in numbers):
                    stat = _text(folder / "memory.stat").splitlines()
                    cached = int(dict(row.split() for row in stat).get(reclaimable, 0))
                    yield max(int(numbers[0]) - int(numbers[1]) + cached, 0)
                if folder == cgroups / root:
                    break


def _text(path):
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
