"""Names of things that are imported when they are asked for."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from importlib import metadata

from hubkit.errors import UsageError


class Registry:
    """name -> "module:attribute", with entry points of `group` beside the shipped ones."""

    def __init__(self, kind: str, shipped: Mapping[str, str], *, group: str | None = None) -> None:
        self._kind = kind
        self._shipped = dict(shipped)
        self._group = group

    def names(self) -> tuple[str, ...]:
        """Every known name, sorted."""
        return tuple(sorted({*self._shipped, *self._plugins()}))

    def get(self, name: str) -> object:
        """The object of that name, imported now. Raises UsageError for another name."""
        target = self._shipped.get(name) or self._plugins().get(name)
        if target is None:
            near = difflib.get_close_matches(name, self.names(), n=1)
            raise UsageError(
                f"{name}: unknown {self._kind}" + (f", did you mean {near[0]}?" if near else ""),
                hint=f"Known: {', '.join(self.names())}.",
            )
        module, _, attribute = target.partition(":")
        found: object = getattr(importlib.import_module(module), attribute)
        return found

    def _plugins(self) -> dict[str, str]:
        if self._group is None:
            return {}
        return {point.name: point.value for point in metadata.entry_points(group=self._group)}
