"""Whether the records of a repository agree with its files and with one another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from hubkit.errors import VerifyError
from hubkit.hub.manifest import SUMS
from hubkit.provenance.bom import BOM
from hubkit.provenance.bom_check import bom_problems
from hubkit.provenance.checks import CardsCheck, RecordChecks
from hubkit.provenance.environment import version_differences
from hubkit.provenance.signature import SIGNATURE, Trust, check_signature
from hubkit.records import Lock, Report
from hubkit.stages.rendered import check_cards
from hubkit.sweep_records import SweepReport

_LOCK = "lock.json"


def check_records(
    folder: Path,
    sums: Mapping[str, str],
    report: Report | SweepReport,
    repo_id: str,
    trust: Trust | None,
) -> RecordChecks:
    """Signature, bill of materials, cards and versions of a repository in a folder, whose files are
    those of `sums` (its SHA256SUMS).

    Raises VerifyError where the signature is not that of the one who is trusted, or two of the
    records contradict each other. Other versions here than in lock.json are listed, no more.
    """
    signature = check_signature(folder, sums, trust)
    lock = _lock(folder, sums)
    if lock is None:
        return RecordChecks(signature=signature)
    _check_bom(folder, sums, lock)
    cards = CardsCheck()  # of a sweep there are none
    if isinstance(report, Report):
        cards = check_cards(folder, sums, lock, report, repo_id)
    return RecordChecks(
        signature=signature,
        bom=BOM in sums,
        cards=cards,
        environment=version_differences(lock),
    )


def _lock(folder: Path, sums: Mapping[str, str]) -> Lock | None:
    if _LOCK not in sums:
        return None
    try:
        return Lock.model_validate_json((folder / _LOCK).read_bytes())
    except ValidationError as error:
        raise VerifyError(
            f"{_LOCK} is not of the form that this hubkit knows: {str(error).splitlines()[0]}",
            hint="Verify with the version of hubkit that published it.",
        ) from error


def _check_bom(folder: Path, sums: Mapping[str, str], lock: Lock) -> None:
    if BOM not in sums:
        return
    files = {path: sha for path, sha in sums.items() if path not in (BOM, SUMS, SIGNATURE)}
    problems = bom_problems((folder / BOM).read_bytes().decode(errors="replace"), lock, files)
    if problems:
        raise VerifyError(
            f"{BOM}: {'; '.join(problems[:3])}",
            hint="Somebody has changed it or what it lists: publish again to put it right.",
        )
