"""lock.json's account of the tools: which packages worked on a result, and in which version."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable
from functools import cache
from importlib import metadata

_VERSION = re.compile(r"^Version: *(\S+)", re.MULTILINE)


@cache
def version_of(package: str) -> str | None:
    """The installed version of a package; None where it is not installed.

    As importlib.metadata.version, which parses all of a package's description to find that line.
    """
    try:
        found = metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return None
    header = (found.read_text("METADATA") or "").split("\n\n", 1)[0]
    version = _VERSION.search(header)
    return version[1] if version else found.version


def tool_versions(names: Iterable[str]) -> dict[str, str]:
    """Package -> installed version, sorted; a package that is not installed is left out."""
    found = ((name, version_of(name)) for name in sorted(set(names)))
    return {name: version for name, version in found if version is not None}


def python_version() -> str:
    """Of this interpreter, as 3.11.7."""
    return platform.python_version()
