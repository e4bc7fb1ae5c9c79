"""The errors a user can meet. One boundary, `hubkit.cli.app.main`, turns them into text and exit
codes."""

from __future__ import annotations

DONE, FAILED, USAGE, GATE = 0, 1, 2, 3


class HubkitError(Exception):
    """What went wrong, in the user's words, and the next thing to do about it.

    `message` states the fault, `hint` the cure (a command where one exists), `exit_code` is one of
    0 done, 1 failed, 2 usage, 3 a quality gate is not met.
    """

    exit_code = FAILED

    def __init__(self, message: str, *, hint: str = "", exit_code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code


class UsageError(HubkitError):
    """The command line or an argument is wrong."""

    exit_code = USAGE


class RecipeError(HubkitError):
    """A recipe cannot be read or does not fit; the message carries file, line and key."""

    exit_code = USAGE


class DataError(HubkitError):
    """A dataset does not hold what the recipe says."""


class ModelError(HubkitError):
    """A model cannot be read or does not fit the task."""


class MissingDependencyError(HubkitError):
    """An optional package is not installed."""


class WorkerError(HubkitError):
    """A process that ran a stage ended before it answered."""


class StoreError(HubkitError):
    """The store's disk is full, not writable, or holds something damaged."""


class HubError(HubkitError):
    """The Hub refused, is away, or answered something that does not fit."""


class VerifyError(HubkitError):
    """What was pushed does not behave as what was measured."""


class GateError(HubkitError):
    """No variant meets the recipe's gates; nothing is published."""

    exit_code = GATE
