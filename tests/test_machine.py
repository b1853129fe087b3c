"""What the machine has for this process, and what a container leaves of it."""

import os
import pathlib
import types

import pytest

from simclr_tf.machine import free_disk_bytes, free_memory_bytes, usable_cores


def test_only_cores_count_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {2, 5}, raising=False)
    assert usable_cores() == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    assert usable_cores() == 8


@pytest.mark.parametrize(
    "groups, expected",
    [
        ({}, 8192),
        ({"a/b/memory.max": "5000", "a/b/memory.current": "3000"}, 2000),
        ({"memory.max": "max", "memory.current": "3000"}, 8192),
        (
            {
                "a/memory.max": "5000",
                "a/memory.current": "4000",
                "a/memory.stat": "anon 9\ninactive_file 500",
            },
            1500,
        ),
        (
            {
                "memory/job/memory.limit_in_bytes": "7000",
                "memory/job/memory.usage_in_bytes": "6000",
                "memory/job/memory.stat": "total_inactive_file 200",
            },
            1200,
        ),
    ],
)
def test_the_limit_of_a_container_counts(tmp_path, monkeypatch, groups, expected):
    proc, cgroups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "self/cgroup").write_text("4:cpu,memory:/job\n0::/a/b\n")
    machine = types.SimpleNamespace(available=8192)
    monkeypatch.setattr("psutil.virtual_memory", lambda: machine)
    for path, text in groups.items():
        (cgroups / path).parent.mkdir(parents=True, exist_ok=True)
        (cgroups / path).write_text(text)
    assert free_memory_bytes(proc, cgroups) == expected
    assert free_disk_bytes(pathlib.Path(tmp_path, "not", "yet")) > 0
