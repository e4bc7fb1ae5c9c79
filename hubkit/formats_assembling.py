"""From a recipe to a FormatsReport: what is measured of every engine, joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hubkit.backends.gpu import find_gpu
from hubkit.errors import UsageError
from hubkit.formats_measuring import measure_formats
from hubkit.formats_records import (
    Engine,
    FormatsReport,
    GpuInfo,
    SearchResult,
    ServingConfig,
    ServingCurve,
    ServingPlan,
)
from hubkit.formats_variants import Compared, compare
from hubkit.machine import default_threads, machine_info
from hubkit.preparing import NO_ORIGINS, Origins
from hubkit.recipe_file import RECIPE, LoadedRecipe
from hubkit.records import Failed, MachineInfo
from hubkit.runner import Runner
from hubkit.serving.client import Client
from hubkit.stages.search_serving import SearchServingInput, search_serving
from hubkit.stages.serve_load import ServeLoadInput, serve_load
from hubkit.stages.serve_url import ServeUrlInput, serve_url

# Those that servers run: hubkit serve, Triton.
SEARCHED = ("onnxruntime", "openvino")
DEFAULT_PLAN = ServingPlan()


@dataclass(frozen=True)
class Choice:
    """What is measured beyond the recipe. `engines`: patterns of names; none: all of them.
    `p99_ms`: what p99 may be where throughput is searched for; None: unbounded. `url`: of a server
    to be measured too, and the name of the model there."""

    plan: ServingPlan = DEFAULT_PLAN
    engines: tuple[str, ...] = ()
    search: bool = True
    p99_ms: float | None = None
    url: str | None = None
    server_model: str | None = None


ALL = Choice()


def formats_of(
    run: Runner, loaded: LoadedRecipe, origins: Origins = NO_ORIGINS, choice: Choice = ALL
) -> FormatsReport:
    """Everything that the report shows; nothing is written out."""
    recipe = loaded.recipe
    refuse_away(choice, recipe.name)
    compared = compare(run, loaded, origins)
    refuse_long(choice.plan, compared.material.base.max_positions)
    machine, material = machine_info(), compared.material
    metric = recipe.evaluation.metrics[0]
    found = measure_formats(run, metric, compared, machine, choice.engines)
    able = [one for one in found.engines if one.missing is None and one.served]
    curves, failed = _serve(run, compared, able, choice.plan, machine)
    searched, unfound = (
        _search(run, compared, able, curves, choice, machine, _named(loaded))
        if choice.search
        else ((), ())
    )
    return FormatsReport(
        recipe=recipe.name,
        recipe_digest=loaded.digest,
        task=recipe.task,
        demo=loaded.demo,
        partial=_partial(choice, material.dataset.partial),
        base=material.base,
        dataset=material.dataset,
        encoded=material.evaluation,
        lock=material.lock,
        machine=machine,
        gpu=_gpu(found.engines),
        variants=compared.variants,
        engines=found.engines,
        cost=found.cost,
        peaks=found.peaks,
        rooflines=found.rooflines,
        curves=found.curves,
        reference=found.reference,
        noise=found.noise,
        divergences=found.divergences,
        invariances=found.invariances,
        plan=choice.plan,
        serving=(*curves, *_of_url(run, loaded, compared, choice)),
        search=searched,
        failures=(*compared.failures, *found.failures, *failed, *unfound),
    )


def refuse_away(choice: Choice, name: str) -> None:
    """Raise HubkitError now, and not after minutes, where the server that is to be measured is away
    or has no such model."""
    if choice.url is None:
        return
    client = Client(choice.url)
    try:
        client.model(choice.server_model or name)
    finally:
        client.close()


def refuse_long(plan: ServingPlan, most: int) -> None:
    """Raise UsageError for sentences of more tokens than the model takes."""
    if plan.input_length is not None and plan.input_length > most:
        raise UsageError(
            f"--length {plan.input_length}: the model takes at most {most} tokens",
            hint=f"Give --length {most} or less, or leave it out.",
        )


def _serve(
    run: Runner,
    compared: Compared,
    engines: Sequence[Engine],
    plan: ServingPlan,
    machine: MachineInfo,
) -> tuple[tuple[ServingCurve, ...], tuple[Failed, ...]]:
    """All levels of each engine that can be served, one engine after the other."""
    calls = [
        (
            ServeLoadInput(
                engine=engine,
                variant=compared.variant(engine.variant),
                encoded=compared.material.evaluation,
                plan=plan,
                config=ServingConfig(threads=default_threads(machine)),
                machine=machine,
            ),
            engine.name,
            "",
        )
        for engine in engines
        if engine.variant is not None
    ]
    curves, failed = run.try_map(serve_load, calls)
    return tuple(curves), tuple(failed)


def _search(
    run: Runner,
    compared: Compared,
    engines: Sequence[Engine],
    curves: Sequence[ServingCurve],
    choice: Choice,
    machine: MachineInfo,
    target: str,
) -> tuple[tuple[SearchResult, ...], tuple[Failed, ...]]:
    """The search over what hubkit serve can run, of the engine of each runtime that was fastest."""
    best = {curve.engine: curve.best.throughput_per_s for curve in curves if curve.best}
    fastest: dict[str, Engine] = {}
    for engine in sorted(engines, key=lambda one: -best.get(one.name, 0.0)):
        if engine.runtime in SEARCHED and engine.name in best:
            fastest.setdefault(engine.runtime, engine)
    calls = [
        (
            SearchServingInput(
                engine=engine,
                variant=compared.variant(engine.variant or ""),
                encoded=compared.material.evaluation,
                plan=choice.plan,
                machine=machine,
                p99_bound_ms=choice.p99_ms,
                target=target,
            ),
            engine.name,
            "",
        )
        for engine in fastest.values()
    ]
    found, failed = run.try_map(search_serving, calls)
    return tuple(found), tuple(failed)


def _named(loaded: LoadedRecipe) -> str:
    """The recipe as `hubkit serve` is told of it: a shipped one's name; of another one its folder
    or file, without what is above it, which is of one machine."""
    name = loaded.folder.name if loaded.path.name == RECIPE else loaded.path.name
    return f"{name} --demo" if loaded.demo else name


def _of_url(
    run: Runner, loaded: LoadedRecipe, compared: Compared, choice: Choice
) -> tuple[ServingCurve, ...]:
    """The server that was named; nothing of it is kept, since it is not ours."""
    if choice.url is None:
        return ()
    given = ServeUrlInput(
        url=choice.url,
        model=choice.server_model or loaded.recipe.name,
        encoded=compared.material.evaluation,
        plan=choice.plan,
    )
    return (run.run(serve_url, given),)


def _gpu(engines: Sequence[Engine]) -> GpuInfo | None:
    """The GPU that some of them ran on."""
    gpu = find_gpu()
    if gpu is None or not any(one.device == "cuda" and one.missing is None for one in engines):
        return None
    memory, capability = gpu.memory_bytes / 2**30, ".".join(map(str, gpu.capability))
    return GpuInfo(name=gpu.name, memory_gib=round(memory, 1), capability=capability)


def _partial(choice: Choice, few_rows: bool) -> tuple[str, ...]:
    reasons = []
    if choice.engines:
        reasons.append(f"only engines of the names {', '.join(choice.engines)}")
    if few_rows:
        reasons.append("only a part of the evaluation rows")
    return tuple(reasons)
