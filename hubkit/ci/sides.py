"""One side of a comparison, read back from what a rehearsal or a publication left."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from hubkit.ci.records import BUNDLE, OUTCOME_FILE, Outcome
from hubkit.errors import DataError, UsageError
from hubkit.recorded import LOCK_FILE, RESULTS_FILE, is_card
from hubkit.records import Lock, Record, Report

R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Side:
    """What one side recorded. `report` None: nothing was measured; `outcome` tells why."""

    report: Report | None
    lock: Lock | None
    cards: dict[str, str]
    outcome: Outcome | None

    @property
    def missing(self) -> str | None:
        """Why there is no report; None: there is one."""
        if self.report is not None:
            return None
        return self.outcome.message if self.outcome else "nothing was measured"


def read_side(path: Path) -> Side:
    """What is at a path: the folder of a rehearsal, a bundle, or a results.json.

    Raises UsageError where nothing is there, DataError where a file is not what its name says.
    """
    if path.is_file():
        return Side(_read(path, Report), None, {}, None)
    if not path.is_dir():
        raise UsageError(
            f"{path}: no such file or folder",
            hint="Give a results.json, a bundle, or what `hubkit ci rehearse --output` wrote.",
        )
    outcome = _maybe(path / OUTCOME_FILE, Outcome)
    folder = path / BUNDLE if (path / BUNDLE).is_dir() else path
    report = _maybe(folder / RESULTS_FILE, Report)
    if report is None and outcome is None:
        raise UsageError(
            f"{path}: neither {RESULTS_FILE} nor {OUTCOME_FILE} is in it",
            hint="Give a results.json, a bundle, or what `hubkit ci rehearse --output` wrote.",
        )
    cards = {
        card.name: card.read_bytes().decode("utf-8", errors="replace")
        for card in sorted(folder.glob("README*.md"))
        if is_card(card.name)
    }
    return Side(report, _maybe(folder / LOCK_FILE, Lock), cards, outcome)


def _maybe(path: Path, kind: type[R]) -> R | None:
    return _read(path, kind) if path.is_file() else None


def _read(path: Path, kind: type[R]) -> R:
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        raise DataError(
            f"{path.name} is not one of this hubkit ({where or 'JSON'}: {first['msg']})",
            hint="Measure again with the hubkit that compares.",
        ) from error
