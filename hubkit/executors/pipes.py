"""The ends of the pipes to a child process."""

from __future__ import annotations

import subprocess


def close_pipes(process: subprocess.Popen[str]) -> None:
    """Close what goes to a process that has ended, and what came from it, unread: what it forked
    may still hold the other ends, so that reading to the end could wait for ever."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except BrokenPipeError:  # an unsent call was still in the buffer
                continue
