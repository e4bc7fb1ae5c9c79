"""Optional packages: imported when they are needed, or an error that says what to install."""

from __future__ import annotations

import importlib
from types import ModuleType

from hubkit.errors import MissingDependencyError


def require(module: str, *, extra: str) -> ModuleType:
    """The imported module. Raises MissingDependencyError with the pip command of hubkit's `extra`.

    An ImportError from a package inside it counts too: the extra is what brings that package.
    """
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
