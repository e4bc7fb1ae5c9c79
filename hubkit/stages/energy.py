"""Energy of the processor packages, by the counters that Linux shows of RAPL.

The interface is Documentation/power/powercap in the Linux kernel: below /sys/class/powercap a
folder for each zone, with `name`, `energy_uj` (microjoules since some moment, read by root alone on
most systems) and `max_energy_range_uj`, after which it begins again at 0. AMD's processors have the
same files.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

POWERCAP = Path("/sys/class/powercap")

# Zone -> (microjoules, microjoules after which the counter begins again; None: not told).
Reading: TypeAlias = "dict[str, tuple[int, int | None]]"


def read_energy(folder: Path = POWERCAP) -> Reading:
    """The counters of all packages now; empty where there are none or one may not be read."""
    found: Reading = {}
    # One colon: the zones within a package (core, uncore, dram) have a second one.
    for zone in sorted(folder.glob("intel-rapl:*")):
        if zone.name.count(":") != 1 or not _is_package(zone):
            continue
        energy = _number(zone / "energy_uj")
        if energy is None:
            return {}  # a part would look like the whole
        found[zone.name] = (energy, _number(zone / "max_energy_range_uj"))
    return found


def microjoules(before: Reading, after: Reading) -> int | None:
    """What all packages took between two readings, whoever ran on them; None: not known.

    A counter that has begun again has done so once: at 250 W it takes minutes for a round.
    """
    if not before or before.keys() != after.keys():
        return None
    total = 0
    for zone, (start, _) in before.items():
        end, limit = after[zone]
        if end < start:
            if limit is None or limit < start:
                return None
            end += limit
        total += end - start
    return total


def _is_package(zone: Path) -> bool:
    # psys, beside the packages, counts the whole board: the packages once more.
    return _text(zone / "name").startswith("package")


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdecimal() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:  # not there, or not ours to read
        return ""
