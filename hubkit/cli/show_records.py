"""What `hubkit verify` prints of a publication's records: who signed it, and what made it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hubkit.provenance.checks import CardsCheck, RecordChecks
    from hubkit.provenance.environment import VersionDifference
    from hubkit.provenance.signature import SignatureCheck


def record_lines(found: RecordChecks) -> tuple[str, ...]:
    """One line for each thing that was looked at, and one for each tool of another version."""
    bom = "bom.cdx.json: says the same as lock.json and SHA256SUMS" if found.bom else None
    lines = (_signature(found.signature), bom, _cards(found.cards), *_versions(found.environment))
    return tuple(line for line in lines if line is not None)


def _signature(found: SignatureCheck) -> str:
    by = f" by {found.by}" if found.by else ""
    if found.state == "valid":
        return f"signed{by}: checked"
    if found.state == "unchecked":
        return f"signed{by}: not checked, for no --public-key was given"
    return "not signed"


def _cards(found: CardsCheck) -> str | None:
    if not (found.same or found.other or found.reason):
        return None
    if not found.other:
        count = len(found.same)
        same = f"cards: {count} {'is' if count == 1 else 'are'} what the records say"
        return same if found.same else f"cards: not compared: {found.reason}"
    return f"cards: {'; '.join(found.other)}: other words than here ({found.reason})"


def _versions(found: tuple[VersionDifference, ...]) -> list[str]:
    if not found:
        return ["versions: those of lock.json"]
    return [
        f"versions: {one.tool} {one.recorded} made it, and here is {one.here or 'none'}"
        for one in found
    ]
