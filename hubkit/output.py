"""The only printer: data on stdout, everything else on stderr, in one of three formats.

`human` prints text and progress, `json` one JSON object on stdout and nothing on stderr but errors,
`quiet` nothing but data.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    Json = None | bool | int | float | str | Sequence["Json"] | dict[str, "Json"]

Format = Literal["human", "json", "quiet"]
FORMATS: tuple[Format, ...] = ("human", "json", "quiet")


class Output:
    """Where a command writes."""

    def __init__(self, style: Format = "human") -> None:
        self.style: Format = style

    @property
    def live(self) -> bool:
        """Whether a person is watching: progress bars only then."""
        return self.style == "human" and sys.stderr.isatty()

    def data(self, value: Json) -> None:
        """The command's result on stdout: text as it is, anything else as JSON."""
        text = value if isinstance(value, str) and self.style != "json" else _json(value)
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        sys.stdout.flush()

    def info(self, message: str = "") -> None:
        """A line for a person, on stderr."""
        if self.style == "human":
            sys.stderr.write(message + "\n")
            sys.stderr.flush()

    def warn(self, message: str) -> None:
        """A warning, on stderr, in every format but quiet."""
        if self.style != "quiet":
            sys.stderr.write(f"warning: {message}\n")

    def error(self, message: str, hint: str = "", exit_code: int = 1) -> None:
        """What went wrong and its cure, on stderr; with `json` also one object on stdout."""
        if self.style == "json":
            self.data({"error": message, "hint": hint, "exit_code": exit_code})
            return
        sys.stderr.write(f"error: {message}\n")
        if hint:
            sys.stderr.write(f"  hint: {hint}\n")

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
        """A plain table as text: first column left, the others right, two spaces between."""
        widths = [max(len(r[i]) for r in (headers, *rows)) for i in range(len(headers))]
        lines = []
        for row in (headers, ["-" * w for w in widths], *rows):
            cells = [row[0].ljust(widths[0])]
            cells += [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
            lines.append("  ".join(cells).rstrip())
        return "\n".join(lines)

    def steps(self) -> Steps:
        """A display of running stages with progress bars and an estimate of what is left."""
        return Steps(self)


class Steps(AbstractContextManager["Steps"]):
    """One line a stage: a bar while it runs (on a terminal), a line with its seconds when done."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Steps:
        if self._output.live:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                Progress,
                SpinnerColumn,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )

            self._progress = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(bar_width=20),
                TextColumn("{task.fields[count]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(compact=True),
                console=Console(file=sys.stderr),
                transient=True,
            )
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def update(self, name: str, what: str = "", done: int = 0, total: int = 0) -> None:
        """Show that a stage runs; `done` of `total` where it is known."""
        if self._progress is None:
            return
        label = f"{name}: {what}" if what else name
        count = f"{done}/{total}" if total else ""
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(label, total=None, count=count)
        self._progress.update(
            self._tasks[name],
            description=label[:40],
            total=total or None,
            completed=done,
            count=count,
        )

    def done(self, name: str, seconds: float | None) -> None:
        """End a stage's bar and leave one line; `seconds` None: it was looked up, not run."""
        self._end(name, "kept" if seconds is None else f"{seconds:.1f} s")

    def failed(self, name: str) -> None:
        """End the bar of a stage that did not work."""
        self._end(name, "failed")

    def _end(self, name: str, how: str) -> None:
        if self._progress is not None and name in self._tasks:
            self._progress.remove_task(self._tasks.pop(name))
        line = f"  {name:<60} {how:>9}"
        if self._progress is not None:
            self._progress.console.print(line, markup=False, highlight=False)
        else:
            self._output.info(line)


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._start


def _json(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1)


_current = Output()


def output() -> Output:
    """The process's printer."""
    return _current


def set_format(style: Format) -> None:
    """Choose the format of all that follows."""
    _current.style = style
