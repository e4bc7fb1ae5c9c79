"""lock.json's account of the tools: which packages worked on a result, and in which version."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib import metadata


def tool_versions(names: Iterable[str]) -> dict[str, str]:
    """Package -> installed version, sorted; a package that is not installed is left out."""
    found = {}
    for name in sorted(set(names)):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def python_version() -> str:
    """Of this interpreter, as 3.11.7."""
    return platform.python_version()
