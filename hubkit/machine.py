"""The machine that does the work: CPU, its INT8 instructions, cores, memory, package versions."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hubkit.keys import digest_of_value
from hubkit.lock import version_of
from hubkit.recipe_tune import TargetName
from hubkit.records import MachineInfo

# Those that decide which integer and half-precision kernels a runtime takes, as /proc/cpuinfo
# spells them.
FLAGS = (
    "sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512vl", "avx512_vnni",
    "avx512_bf16", "avx512_fp16", "avx_vnni", "avx_vnni_int8", "amx_tile", "amx_int8", "amx_bf16",
    "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "svei8mm", "sme",
)  # fmt: skip
PACKAGES = (
    "onnxruntime", "torch", "neural-compressor", "optimum", "optimum-intel", "transformers",
    "numpy", "openvino", "nncf", "onnxruntime-gpu", "tensorrt",
)  # fmt: skip
_ROOT = Path("/")
Technique = Literal["int8", "int8-activations", "blockwise", "float16", "bfloat16"]
# Apple's names for the same abilities.
_APPLE_FLAGS = {
    "hw.optional.AdvSIMD": "asimd",
    "hw.optional.arm.FEAT_FP16": "asimdhp",
    "hw.optional.arm.FEAT_DotProd": "asimddp",
    "hw.optional.arm.FEAT_I8MM": "i8mm",
    "hw.optional.arm.FEAT_BF16": "bf16",
    "hw.optional.arm.FEAT_SME": "sme",
    "hw.optional.avx2_0": "avx2",
    "hw.optional.avx512f": "avx512f",
    "hw.optional.avx512vnni": "avx512_vnni",
}


def machine_info(root: Path = _ROOT) -> MachineInfo:
    """This machine as this process may use it: affinity and cgroup limits are counted.

    `root` is the folder below which proc/ and sys/ are looked for. Equal machines with equal
    package versions have equal fingerprints; the host's name is no part of it. Takes milliseconds
    and imports nothing heavy.
    """
    cpu, flags, physical, memory = _hardware(root)
    logical = _usable_cpus(root)
    facts = {
        "cpu": cpu,
        "flags": tuple(flag for flag in FLAGS if flag in flags),
        "logical_cpus": logical,
        "physical_cores": None if physical is None else max(1, min(physical, logical)),
        "memory_gib": round(memory / 2**30, 1),
        "os": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": _packages(),
    }
    return MachineInfo.model_validate({**facts, "fingerprint": digest_of_value(facts)})


# What decides on integer kernels, by the processor that will serve, as /proc/cpuinfo has it.
_TARGET_FLAGS: dict[TargetName, tuple[str, ...]] = {
    "avx2": ("avx2", "fma"),
    "avx512": ("avx2", "fma", "avx512f", "avx512bw", "avx512vl"),
    "avx512_vnni": ("avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512_vnni"),
    "amx": (
        *("avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512_vnni"),
        *("avx512_bf16", "amx_tile", "amx_int8", "amx_bf16"),
    ),
    "arm64": ("asimd", "asimdhp", "asimddp"),
}
# Products of U8 and S8 saturate in the 16-bit sums of x86 before VNNI; ARM has no such sums.
_EXACT_PRODUCTS = {"avx512_vnni", "avx_vnni", "amx_int8", "asimd"}
_INTEGER_VECTORS = {"avx2", "avx512f", "asimd"}


@dataclass(frozen=True)
class Target:
    """The processor that a model is made for: what it is called, and the flags that decide.

    `name` None: this machine is none of the named ones; no flags: nothing is known of it.
    """

    name: TargetName | None
    flags: frozenset[str]

    @property
    def reduce_range(self) -> bool:
        """Whether weights must keep to 7 bits there."""
        return not has_exact_products(self.flags)

    @property
    def is_x86(self) -> bool:
        return not any(flag.startswith(("asimd", "sve")) for flag in self.flags)

    def slow(self, what: Technique) -> str | None:
        """Why something would be slower there than FP32, by its instructions; None where it need
        not be. Sources: onnxruntime's MLAS, whose kernels are chosen by these flags (qgemm and
        qnbitgemm for x64 and arm64), and measurements in benchmarks/README.md."""
        if not self.flags:
            return None
        if what == "int8" and not self.flags & _INTEGER_VECTORS:
            return "it has neither AVX2 nor Arm's vectors, and integers are no faster without"
        if what == "blockwise" and not self.flags & {"avx2", "avx512f", "asimddp"}:
            return "onnxruntime has blockwise kernels for AVX2 and Arm's dot products alone"
        if what == "int8-activations" and self.is_x86 and "avx_vnni_int8" not in self.flags:
            return (
                "x86 multiplies unsigned by signed bytes: with signed activations onnxruntime"
                " falls back to code at 0.2 to 0.8 of the speed of FP32"
            )
        if what == "float16" and "asimdhp" not in self.flags:
            return (
                "onnxruntime's CPU kernels compute with float16 on Arm (asimdhp) alone; elsewhere"
                " each operator converts to FP32 and back"
            )
        if what == "bfloat16":
            return "onnxruntime's CPU kernels take no bfloat16 tensors"
        return None


def target_named(name: TargetName) -> Target:
    """A processor by its kind: the least that has that name."""
    return Target(name, frozenset(_TARGET_FLAGS[name]))


def this_target(machine: MachineInfo | None = None) -> Target:
    """This machine as a target, with the strongest of the names that fit."""
    flags = frozenset((machine or machine_info()).flags)
    names: dict[TargetName, str] = {
        "amx": "amx_int8",
        "avx512_vnni": "avx512_vnni",
        "avx512": "avx512f",
        "avx2": "avx2",
        "arm64": "asimd",
    }
    return Target(next((name for name, flag in names.items() if flag in flags), None), flags)


def has_exact_products(flags: Iterable[str]) -> bool:
    """Whether 8-bit products keep all their bits on a processor with those flags.

    Source: onnxruntime's documentation of quantize_static, "Choosing parameters for CPU inference".
    """
    return bool(_EXACT_PRODUCTS & set(flags))


def default_threads(machine: MachineInfo | None = None) -> int:
    """Threads for one model call: one a physical core that may be used, the choice of onnxruntime.

    The second hardware thread of a core shares its vector units: it adds noise rather than speed.
    """
    machine = machine or machine_info()
    return machine.physical_cores or machine.logical_cpus


def _packages() -> dict[str, str]:
    found = ((name, version_of(name)) for name in PACKAGES)
    return {name: version for name, version in found if version is not None}


def _hardware(root: Path) -> tuple[str, set[str], int | None, int]:
    """CPU model, its flags, physical cores (None: unknown), memory in bytes (0: unknown)."""
    if (root / "proc/cpuinfo").is_file():
        cpu, flags = _linux_cpu(root)
        return cpu, flags, _linux_cores(root), _linux_memory(root)
    if sys.platform == "darwin":
        return _apple_hardware()
    return platform.processor() or platform.machine(), set(), None, _windows_memory()


def _linux_cpu(root: Path) -> tuple[str, set[str]]:
    fields: dict[str, str] = {}
    for line in _text(root / "proc/cpuinfo").splitlines():
        key, colon, value = line.partition(":")
        if colon:
            fields.setdefault(key.strip().lower(), value.strip())
    flags = set((fields.get("flags") or fields.get("features") or "").split())
    cpu = fields.get("model name")
    if not cpu:  # ARM kernels give numbers only
        numbers = (fields.get(key, "?") for key in ("cpu implementer", "cpu part"))
        cpu = f"{platform.machine()} (implementer {', part '.join(numbers)})"
    return re.sub(r"\s+", " ", cpu), flags


def _affinity() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _usable_cpus(root: Path) -> int:
    # Rounded down: with a quota of 1.5 CPUs a second thread is stopped for half of each period.
    limits = [len(_affinity()), *(int(quota) for quota in _cpu_quotas(root))]
    return max(1, min(limits))


def _linux_cores(root: Path) -> int | None:
    """Distinct cores among the CPUs of this process; None where the kernel does not say."""
    cores = set()
    for cpu in _affinity():
        topology = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
        siblings = _text(topology / "core_cpus_list") or _text(topology / "thread_siblings_list")
        if not siblings:
            return None
        cores.add(siblings)
    return len(cores)


def _linux_memory(root: Path) -> int:
    found = re.search(r"^MemTotal:\s+(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE)
    total = int(found[1]) * 1024 if found else 0
    return min([total, *_memory_limits(root)]) if total else 0


def _cgroup_folders(root: Path, controller: str) -> Iterator[Path]:
    """Every cgroup folder that holds this process for a controller, v1 or v2, innermost first.

    In a container the path in /proc/self/cgroup may be the host's and exist nowhere here; its
    ancestors up to the mount point, which is then the container's own group, are tried as well.
    """
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if number == "0" and not names:
            mounts = [root / "sys/fs/cgroup", root / "sys/fs/cgroup/unified"]
        elif controller in names.split(","):
            mounts = [root / "sys/fs/cgroup" / name for name in (controller, names)]
        else:
            continue
        steps = [step for step in path.split("/") if step not in ("", "..")]
        for mount in mounts:
            for depth in range(len(steps), -1, -1):
                yield mount.joinpath(*steps[:depth])


def _cpu_quotas(root: Path) -> Iterator[float]:
    for folder in _cgroup_folders(root, "cpu"):
        v2 = _text(folder / "cpu.max").split()
        v1 = [_text(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
        for pair in (v2, v1):
            if len(pair) == 2 and pair[0].isdigit() and pair[1].isdigit() and int(pair[1]):
                yield int(pair[0]) / int(pair[1])


def _memory_limits(root: Path) -> Iterator[int]:
    for folder in _cgroup_folders(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            limit = _text(folder / name)
            if limit.isdigit():  # "max": no limit; v1 writes a number near 2**63, which min() drops
                yield int(limit)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:  # absent or not ours to read: as if the kernel did not say
        return ""


def _apple_hardware() -> tuple[str, set[str], int | None, int]:
    names = ["machdep.cpu.brand_string", "hw.physicalcpu", "hw.memsize", *_APPLE_FLAGS]
    try:
        # Unknown names only make sysctl's exit status non-zero; the known ones are still printed.
        done = subprocess.run(
            ["/usr/sbin/sysctl", *names], capture_output=True, text=True, timeout=5, check=False
        )
        lines = done.stdout.splitlines()
    except (OSError, subprocess.TimeoutExpired):
        lines = []
    values = {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = {flag for name, flag in _APPLE_FLAGS.items() if values.get(name) == "1"}
    cpu = values.get("machdep.cpu.brand_string") or platform.processor()
    return (
        cpu,
        flags,
        int(values.get("hw.physicalcpu", 0)) or None,
        int(values.get("hw.memsize", 0)),
    )


def _windows_memory() -> int:
    """Physical memory in bytes by GlobalMemoryStatusEx; 0 where that is not Windows."""
    if sys.platform != "win32":
        return 0
    import ctypes

    # MEMORYSTATUSEX: two uint32 (its own size, load), then seven uint64, the first of them the
    # total.
    status = (ctypes.c_uint64 * 8)()
    status[0] = ctypes.sizeof(status)
    ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
    return int(status[1])
