"""How much the server takes from anybody: sizes, counts and times."""

from __future__ import annotations

import resource
from contextlib import suppress
from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """Every limit; the defaults leave room for any client that means well."""

    json_bytes: int = 16 * MIB
    """One body that is held in memory."""
    buffered_bytes: int = 256 * MIB
    """All bodies that are held in memory at one time; who comes later hears 503."""
    commit_bytes: int = 2048 * MIB
    """One commit's NDJSON, kept on disk."""
    file_bytes: int = 500 * 1000**3
    """One LFS object; the Hub's own limit."""
    commits_at_once: int = 8
    """Handlers of commits that run at one time; others wait. Each may hold some 60 MB."""
    connections: int = 1000
    """Open connections; who comes later hears 503."""
    requests_a_connection: int = 1000
    header_bytes: int = 32 * 1024
    header_s: float = 20.0
    """From the first byte of a request, or from connecting, to the end of its headers."""
    window_s: float = 60.0
    """In each such time a body must go forward by `window_bytes`, in either direction."""
    window_bytes: int = 16 * 1024


def fitting(limits: Limits) -> Limits:
    """The limits with as many connections as this process may open files for, which is raised as
    far as it may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * limits.connections
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
        if soft < wanted:
            from dataclasses import replace

            return replace(limits, connections=max(16, soft // 4))
    return limits
