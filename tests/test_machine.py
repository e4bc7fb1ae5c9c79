"""The machine: what is read from the kernel, what limits count, what the fingerprint holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hubkit import machine as module
from hubkit.keys import digest_of_value
from hubkit.machine import default_threads, machine_info

X86 = """processor\t: 0
model name\t: Imaginary(R)   CPU @ 2.00GHz
flags\t\t: fpu sse4_2 avx2 avx512f avx512_vnni amx_int8 hypervisor

processor\t: 1
model name\t: Imaginary(R)   CPU @ 2.00GHz
"""
ARM = """processor\t: 0
Features\t: fp asimd asimddp i8mm
CPU implementer\t: 0x41
CPU part\t: 0xd0c
"""


def put(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 8 CPUs on 4 cores with 16 GiB and no cgroup limit."""
    monkeypatch.setattr(module, "_affinity", lambda: set(range(8)))
    put(tmp_path, "proc/cpuinfo", X86)
    put(tmp_path, "proc/meminfo", f"MemTotal:       {16 * 2**20} kB\nMemFree: 1 kB\n")
    for cpu in range(8):
        topology = f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
        put(tmp_path, topology, f"{cpu % 4},{cpu % 4 + 4}\n")
    return tmp_path


def test_reads_cpu_flags_cores_and_memory(root: Path) -> None:
    info = machine_info(root)
    assert info.cpu == "Imaginary(R) CPU @ 2.00GHz"
    assert set(info.flags) == {"sse4_2", "avx2", "avx512f", "avx512_vnni", "amx_int8"}
    assert (info.logical_cpus, info.physical_cores, info.memory_gib) == (8, 4, 16.0)
    assert default_threads(info) == 4


def test_arm_without_a_model_name(root: Path) -> None:
    put(root, "proc/cpuinfo", ARM)
    info = machine_info(root)
    assert "implementer 0x41, part 0xd0c" in info.cpu
    assert set(info.flags) == {"asimd", "asimddp", "i8mm"}


def test_affinity_to_both_threads_of_one_core(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_affinity", lambda: {1, 5})
    info = machine_info(root)
    assert (info.logical_cpus, info.physical_cores) == (2, 1)


def test_cgroup_v2_limits_of_an_outer_group_count(root: Path) -> None:
    put(root, "proc/self/cgroup", "0::/outer/inner\n")
    put(root, "sys/fs/cgroup/outer/inner/cpu.max", "max 100000\n")
    put(root, "sys/fs/cgroup/outer/cpu.max", "250000 100000\n")
    put(root, "sys/fs/cgroup/outer/inner/memory.max", f"{4 * 2**30}\n")
    info = machine_info(root)
    assert (info.logical_cpus, info.physical_cores, info.memory_gib) == (2, 2, 4.0)


def test_cgroup_v1_in_a_container_whose_path_is_the_hosts(root: Path) -> None:
    put(root, "proc/self/cgroup", "4:cpu,cpuacct:/docker/abc\n5:memory:/docker/abc\n")
    put(root, "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "50000\n")
    put(root, "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n")
    put(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", f"{2**30}\n")
    info = machine_info(root)
    assert (info.logical_cpus, info.memory_gib) == (1, 1.0)


def test_cgroup_v1_without_limits(root: Path) -> None:
    put(root, "proc/self/cgroup", "4:cpu:/a\n5:memory:/a\n")
    put(root, "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "-1\n")
    put(root, "sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n")
    put(root, "sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n")
    info = machine_info(root)
    assert (info.logical_cpus, info.memory_gib) == (8, 16.0)


def test_unknown_topology_takes_the_cpus_that_may_be_used(root: Path) -> None:
    put(root, "sys/devices/system/cpu/cpu3/topology/thread_siblings_list", "")
    info = machine_info(root)
    assert info.physical_cores is None
    assert default_threads(info) == 8


def test_fingerprint_is_of_all_the_rest_and_changes_with_it(root: Path) -> None:
    info = machine_info(root)
    assert info.fingerprint == digest_of_value(info.model_dump(exclude={"fingerprint"}))
    assert machine_info(root) == info
    put(root, "proc/cpuinfo", X86.replace("amx_int8", ""))
    assert machine_info(root).fingerprint != info.fingerprint


def test_this_machine_in_little_time_and_without_heavy_imports() -> None:
    code = (
        "import json, sys, time; from hubkit.machine import machine_info; machine_info();"
        "t = time.process_time(); info = machine_info(); t = time.process_time() - t;"
        "heavy = {'torch', 'numpy', 'onnxruntime', 'transformers'} & set(sys.modules);"
        "print(json.dumps([t, sorted(heavy), info.logical_cpus, info.memory_gib]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, heavy, cpus, memory = json.loads(done.stdout)
    assert seconds < 0.05
    assert heavy == []
    assert 1 <= cpus <= (os.cpu_count() or 1)
    assert memory > 0.2
