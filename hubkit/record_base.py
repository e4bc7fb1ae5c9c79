"""What every record is made of: the base class, files, and scores with their uncertainty."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Sha = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Record(BaseModel):
    """Base of all records: immutable, no unknown keys, written with `schema` as the alias says."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class FileRef(Record):
    path: str
    size_bytes: int
    sha256: Sha


class Artifact(Record):
    """A folder in the store. `digest` is `keys.digest_of_folder`."""

    digest: Sha
    files: tuple[FileRef, ...]

    @property
    def size_bytes(self) -> int:
        return sum(f.size_bytes for f in self.files)


class Interval(Record):
    low: float
    high: float


class Metric(Record):
    """One task metric on `rows` rows with its interval (`method`: wilson or bootstrap) at
    `confidence`."""

    name: str
    value: float
    interval: Interval
    method: Literal["wilson", "bootstrap"]
    confidence: float


class Paired(Record):
    """A variant against the FP32 baseline, unit by unit: `unit` is a row, or a word."""

    baseline: str
    flips: int  # predictions that differ
    now_right: int  # baseline wrong, variant right
    now_wrong: int  # baseline right, variant wrong
    # Exact two-sided binomial on now_right against now_wrong. Words of one sentence are not
    # independent: for them it is on sentences that became wholly right, or are so no more.
    mcnemar_p: float
    loss: float  # metric of the gate: baseline - variant
    loss_interval: Interval  # paired, same confidence as the metrics
    max_abs_logit_diff: float
    mean_abs_logit_diff: float
    unit: str = "row"
    units: int | None = None  # how many were compared; None: as many as Scores.rows


class Scores(Record):
    variant: str
    rows: int
    metrics: tuple[Metric, ...]
    paired: Paired | None = None  # None for the baseline itself
