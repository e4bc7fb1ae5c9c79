"""Optional packages: imported when they are needed, or an error that says what to install."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from hubkit.errors import MissingDependencyError


def require(module: str, *, extra: str) -> ModuleType:
    """The imported module. Raises MissingDependencyError with the pip command of hubkit's `extra`.

    An ImportError from a package inside it counts too: the extra is what brings that package.
    """
    report_to_nobody()
    try:
        return importlib.import_module(module)
    except ImportError as error:
        missing = error.name or module
        raise MissingDependencyError(
            f"{module} cannot be imported: {missing} is not installed"
            if isinstance(error, ModuleNotFoundError)
            else f"{module} cannot be imported: {error}",
            hint=f'pip install "hubkit[{extra}]"',
        ) from error


def report_to_nobody() -> None:
    """Keep OpenVINO and NNCF from telling their makers that they are used.

    Importing openvino forks a process that sends an event, with all pipes of this one; forked while
    other threads hold locks it may never end, and whoever reads these pipes to their end with it.
    Without openvino_telemetry both use a stub of their own.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type] # means: none
