"""The process that runs heavy stages: JSON calls in, JSON events out, one a line.

Events: {"progress": [what, done, total]}, then {"done": true} or {"error": {...}}. It ends at once
when its stdin closes, so that no orphan goes on computing for a parent that was killed.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import TextIO

from hubkit import errors
from hubkit.deps import report_to_nobody
from hubkit.errors import HubkitError
from hubkit.executors.base import Call
from hubkit.stage import Context, Progress, find_stage, no_progress
from hubkit.store import Store


def execute(call: Call, progress: Progress = no_progress) -> None:
    """Run one call in this process and store its record. Where another process is at the same call,
    that one's record is waited for."""
    stage = find_stage(call.stage)
    store = Store(Path(call.store))
    given = stage.takes.model_validate(call.given)
    with store.turn(call.key, lambda: progress("waiting for another process", 0, 0)) as waited:
        if waited and store.get_record(call.key, stage.gives) is not None:
            return
        with store.scratch() as scratch:
            ctx = Context(store, scratch, progress, endpoint=call.endpoint)
            store.put_record(call.key, stage(given, ctx))


def error_event(error: BaseException) -> dict[str, object]:
    """An exception as JSON; what is not a HubkitError carries its traceback as `trace`."""
    if isinstance(error, HubkitError):
        return {
            "kind": type(error).__name__,
            "message": error.message,
            "hint": error.hint,
            "exit_code": error.exit_code,
        }
    if isinstance(error, MemoryError):
        return {"kind": "HubkitError", "message": "out of memory", "hint": "", "exit_code": 1}
    text = f"{type(error).__name__}: {error}".strip()
    trace = "".join(traceback.format_exception(error))
    return {"kind": "HubkitError", "message": text, "hint": "", "exit_code": 1, "trace": trace}


def error_from(event: dict[str, object], *, stage: str) -> HubkitError:
    """The exception that an error event tells of, as the class it was."""
    kind = getattr(errors, str(event["kind"]), HubkitError)
    message = str(event["message"])
    if "trace" in event:
        message = f"stage {stage} failed: {message}"
        if os.environ.get("HUBKIT_DEBUG"):
            message += "\n" + str(event["trace"])
    hint = str(event.get("hint", "")) or ("" if kind is not HubkitError else _DEBUG_HINT)
    exit_code = event["exit_code"]
    error: HubkitError = kind(message, hint=hint)
    error.exit_code = exit_code if isinstance(exit_code, int) else 1
    return error


_DEBUG_HINT = "Run it again with HUBKIT_DEBUG=1 for the whole traceback."


def serve(calls: TextIO, events: TextIO) -> None:
    """Answer calls until `calls` ends."""
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in calls:
            waiting.put(line)
        os._exit(1)  # the parent is gone: whatever runs now has nobody to run for

    def tell(**event: object) -> None:
        events.write(json.dumps(event, ensure_ascii=False) + "\n")
        events.flush()

    threading.Thread(target=read, daemon=True).start()
    while True:
        line = waiting.get()
        try:
            execute(
                Call.model_validate_json(line),
                lambda what, done, total: tell(progress=[what, done, total]),
            )
        except Exception as error:
            tell(error=error_event(error))
        else:
            tell(done=True)


def main() -> None:
    """Serve on stdin and the real stdout; what libraries print goes to stderr instead."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    report_to_nobody()
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, events)


if __name__ == "__main__":
    main()
