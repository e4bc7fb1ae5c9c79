"""The NVIDIA GPU of this machine, asked of its driver: no framework is imported for it."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from functools import cache

_COMPUTE_CAPABILITY = (75, 76)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR


@dataclass(frozen=True)
class Gpu:
    """`capability`: of computing, (8, 0) for an A100."""

    name: str
    capability: tuple[int, int]
    memory_bytes: int


@cache
def find_gpu() -> Gpu | None:
    """The first device of the CUDA driver; None without a driver or a device.

    Source: CUDA Driver API, "Initialization" and "Device Management".
    """
    name = {"win32": "nvcuda.dll", "linux": "libcuda.so.1"}.get(sys.platform)
    if name is None:
        return None
    try:
        driver = ctypes.CDLL(name)
    except OSError:
        return None
    count, device = ctypes.c_int(), ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return None
    if driver.cuDeviceGet(ctypes.byref(device), 0):
        return None
    text, memory = ctypes.create_string_buffer(256), ctypes.c_size_t()
    driver.cuDeviceGetName(text, len(text), device)
    driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    found = []
    for attribute in _COMPUTE_CAPABILITY:
        value = ctypes.c_int()
        driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        found.append(value.value)
    return Gpu(text.value.decode(errors="replace"), (found[0], found[1]), memory.value)
