"""What a stage is: a function `stage(input_record, ctx) -> output_record` with a name, a version
and a kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, TypeVar

from hubkit.errors import UsageError
from hubkit.records import Record
from hubkit.registry import Registry
from hubkit.store import Store

I_ = TypeVar("I_", bound=Record)
O_ = TypeVar("O_", bound=Record)

# pure: no clock, network or model. heavy: memoised, may run in any process. measured: memoised
# for this machine
# alone, never beside other work. effect: reads or writes the Hub, never memoised.
Kind = Literal["pure", "heavy", "measured", "effect"]

STAGES = Registry(
    "stage",
    {
        "build-demo": "hubkit.demo.stage:build_demo",
        "fetch-model": "hubkit.stages.fetch_model:fetch_model",
        "fetch-training": "hubkit.stages.fetch_training:fetch_training",
        "prune": "hubkit.stages.prune:prune",
        "finetune": "hubkit.stages.finetune:finetune",
        "project": "hubkit.stages.project:project",
        "fetch-dataset": "hubkit.stages.fetch_dataset:fetch_dataset",
        "part": "hubkit.stages.part:part",
        "encode": "hubkit.stages.encode:encode",
        "export": "hubkit.stages.export:export",
        "optimize": "hubkit.stages.optimize:optimize",
        "convert": "hubkit.stages.convert:convert",
        "digest": "hubkit.stages.digest:digest",
        "smooth": "hubkit.stages.smooth:smooth",
        "calibrate": "hubkit.stages.calibrate:calibrate",
        "quantize": "hubkit.stages.quantize:quantize",
        "propose": "hubkit.stages.propose:propose",
        "predict": "hubkit.stages.predict:predict",
        "evaluate": "hubkit.stages.evaluate:evaluate",
        "analyse": "hubkit.stages.analyse:analyse",
        "sample": "hubkit.stages.sample:sample",
        "plot": "hubkit.stages.plot:plot",
        "cost": "hubkit.stages.cost:cost",
        "vectors": "hubkit.stages.vectors:vectors",
        "diverge": "hubkit.stages.diverge:diverge",
    },
)

Progress = Callable[[str, int, int], None]  # (what, done, total)


def no_progress(what: str, done: int, total: int) -> None:
    """A progress listener that listens to nothing."""


@dataclass(frozen=True)
class Context:
    """What a stage may touch: the store, a scratch folder of its own, and a progress listener.

    `journal`: where a long stage may write down what it has done, line by line: the same call finds
    it again after a kill. None: nobody keeps one.
    """

    store: Store
    scratch: Path
    progress: Progress = no_progress
    endpoint: str | None = None  # of the Hub to read from; None: huggingface_hub's default
    token: str | None = None
    journal: Path | None = None


@dataclass(frozen=True)
class Stage(Generic[I_, O_]):
    """A registered stage. `tools` names the packages whose version is part of the key; `unkeyed`
    the fields of the input that say where something is on this machine, not what it is, and so are
    no part of it."""

    name: str
    version: int
    kind: Kind
    takes: type[I_]
    gives: type[O_]
    function: Callable[[I_, Context], O_]
    tools: tuple[str, ...] = ()
    unkeyed: tuple[str, ...] = ()

    def __call__(self, given: I_, ctx: Context) -> O_:
        return self.function(given, ctx)


def stage(
    name: str,
    *,
    version: int,
    kind: Kind,
    takes: type[I_],
    gives: type[O_],
    tools: tuple[str, ...] = (),
    unkeyed: tuple[str, ...] = (),
) -> Callable[[Callable[[I_, Context], O_]], Stage[I_, O_]]:
    """Declare a stage. Raise `version` whenever the same input would now give another output."""

    def declare(function: Callable[[I_, Context], O_]) -> Stage[I_, O_]:
        return Stage(name, version, kind, takes, gives, function, tools, unkeyed)

    return declare


def find_stage(name: str) -> Stage[Record, Record]:
    """The stage of that name, imported now; one outside hubkit is named "module:attribute"."""
    known = Registry("stage", {name: name}) if ":" in name else STAGES
    found = known.get(name)
    if not isinstance(found, Stage):
        raise UsageError(f"{name} is not a stage")
    return found
