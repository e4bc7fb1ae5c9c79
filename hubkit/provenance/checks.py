"""What `verify` says of a publication's records, beside its files and its models."""

from __future__ import annotations

from hubkit.provenance.environment import VersionDifference
from hubkit.provenance.signature import SignatureCheck
from hubkit.records import Record


class CardsCheck(Record):
    """`same`: cards that are, byte for byte, what the records make of them here; `other`: those
    that are not, each with its first line that differs; `reason`: why not all were looked at, or
    why they may differ."""

    same: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    reason: str = ""


class RecordChecks(Record):
    """`bom`: whether there is a bill of materials, which then says the same as the other records;
    `environment`: tools that are here in other versions than those that made the publication."""

    signature: SignatureCheck = SignatureCheck()
    bom: bool = False
    cards: CardsCheck = CardsCheck()
    environment: tuple[VersionDifference, ...] = ()
