"""What is installed here, against what made a publication."""

from __future__ import annotations

from hubkit.lock import python_version, version_of
from hubkit.records import Lock, Record


class VersionDifference(Record):
    """A tool of lock.json that is here in another version; `here` None: it is not installed."""

    tool: str
    recorded: str
    here: str | None


def version_differences(lock: Lock) -> tuple[VersionDifference, ...]:
    """The tools, and Python, that are not here as lock.json has them; sorted by name."""
    found = {tool: version_of(tool) for tool in lock.tools} | {"python": python_version()}
    recorded = {**lock.tools, "python": lock.python}
    return tuple(
        VersionDifference(tool=tool, recorded=version, here=found[tool])
        for tool, version in sorted(recorded.items())
        if found[tool] != version
    )
