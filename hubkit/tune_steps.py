"""The steps of a search: what tune_strategy.py decides on, and tuning.py carries out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from hubkit.recipe import VariantSpec
from hubkit.tune_records import Phase


@dataclass(frozen=True)
class Proposal:
    """A model to try. `base`: the trial that it is made from; `gave_back`: its float groups."""

    spec: VariantSpec
    phase: Phase
    base: str | None = None
    gave_back: tuple[str, ...] = ()


@dataclass(frozen=True)
class Try:
    """Make and score these."""

    proposals: tuple[Proposal, ...]


@dataclass(frozen=True)
class Clock:
    """Time these trials beside FP32. `last`: why nothing comes after that, where it is so; `final`:
    they were timed before, in several runs, and now they are in one."""

    names: tuple[str, ...]
    last: str | None = None
    final: bool = False


@dataclass(frozen=True)
class Sense:
    """Measure the sensitivity of the groups of this trial."""

    name: str


@dataclass(frozen=True)
class Ask:
    """Let Neural Compressor's own loop propose."""


@dataclass(frozen=True)
class Stop:
    """The search is over; `why` None: by itself."""

    why: str | None = None


Step: TypeAlias = "Try | Clock | Sense | Ask | Stop"
