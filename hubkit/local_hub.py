"""The demo's Hub: a server of this user's on loopback that outlives the command."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from hubkit.errors import HubError
from hubkit.paths import cache_dir

# A fixed port where it is free, so that an address that was printed stays right.
_PORT = 8765


@dataclass(frozen=True)
class LocalHub:
    """A running embedded Hub and the token of its one user."""

    endpoint: str
    root: Path
    token: str = field(repr=False)


def demo_hub_pid(endpoint: str) -> int | None:
    """The process of the demo's Hub where it is the one at `endpoint`."""
    try:
        state = json.loads((_root() / "server.json").read_text(encoding="utf-8"))
        return int(state["pid"]) if state["endpoint"] == endpoint else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _root() -> Path:
    return cache_dir() / "hub"


def demo_hub() -> LocalHub:
    """The demo's Hub below the cache folder, started if it does not run."""
    from hubkit.hub.server.embedded import find_running, spawn_hub
    from hubkit.hub.server.users import token_of

    root = _root()
    endpoint = find_running(root)
    if endpoint is None:
        try:
            endpoint = spawn_hub(root, _PORT).endpoint
        except HubError:
            # The port may be another program's, or another run of hubkit was faster.
            endpoint = find_running(root) or spawn_hub(root).endpoint
    return LocalHub(endpoint, root, token_of(root))
