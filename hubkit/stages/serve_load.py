"""Throughput and latency of an engine under load: closed loop, then Poisson arrivals."""

from __future__ import annotations

from collections.abc import Sequence

from hubkit.errors import ModelError
from hubkit.formats_records import Engine, Level, ServingConfig, ServingCurve, ServingPlan
from hubkit.records import Encoded, MachineInfo, Record, Variant
from hubkit.serving.yardstick import machine_gflops
from hubkit.stage import Context, stage
from hubkit.stages.serving_child import ServingChild
from hubkit.stages.serving_journal import keep_level, kept_levels
from hubkit.stages.serving_worker import Load

# (clients, share of the best throughput): the one or the other.
Step = tuple[int | None, float | None]


class ServeLoadInput(Record):
    """What is put under load, with which sentences, and how."""

    engine: Engine
    variant: Variant
    encoded: Encoded
    plan: ServingPlan
    config: ServingConfig
    machine: MachineInfo


@stage("serve-load", version=2, kind="measured", takes=ServeLoadInput, gives=ServingCurve)
def serve_load(given: ServeLoadInput, ctx: Context) -> ServingCurve:
    """The levels of the plan: each number of clients, then arrivals at shares of the best
    throughput that these reached.

    The instances live in a process of their own without a server, with the clients, so that a
    request is timed from when it is sent until its answer is there, and nothing of HTTP. Loading
    and warm-up are not timed. The machine's own speed is taken between levels. Each level goes to
    the journal, and a call that finds one goes on after its last. Raises ModelError where the model
    does nothing but fail, HubkitError when its process dies.
    """
    steps = steps_of(given.plan)
    levels = kept_levels(ctx.journal)[: len(steps)]
    ctx.progress("loading", 0, 1)
    child = ServingChild(given.engine.name, ctx.scratch / "serving")
    try:
        ready = child.load(load_call(given.engine, given.variant, given, ctx))
        before = machine_gflops()
        for step in steps[len(levels) :]:
            ctx.progress("measuring", len(levels), len(steps))
            level = run_level(child, step, levels, given.plan)
            after = machine_gflops()
            levels.append(level.model_copy(update={"machine_gflops": (before + after) / 2}))
            keep_level(ctx.journal, levels[-1])
            before = after
        ctx.progress("measuring", len(levels), len(steps))
    finally:
        child.kill()
    return ServingCurve(
        engine=given.engine.name,
        where="in-process",
        config=given.config,
        batch_size=given.plan.batch_size,
        mean_tokens=ready.mean_tokens,
        levels=tuple(levels),
    )


def load_call(engine: Engine, variant: Variant, given: ServeLoadInput, ctx: Context) -> Load:
    """The call that has an engine loaded."""
    return Load(
        engine=engine,
        variant=variant,
        folder=str(ctx.store.path(variant.artifact)),
        sentences=str(ctx.store.path(given.encoded.artifact) / "encoded.npz"),
        pad_id=given.encoded.pad_id,
        plan=given.plan,
        config=given.config,
    )


def steps_of(plan: ServingPlan) -> list[Step]:
    """The levels in their order."""
    return [(clients, None) for clients in plan.concurrency] + [
        (None, share) for share in plan.open_rates
    ]


def run_level(child: ServingChild, step: Step, levels: Sequence[Level], plan: ServingPlan) -> Level:
    """One level; of an open one the rate is a share of what those before it reached at best."""
    clients, share = step
    if share is None:
        return child.level(concurrency=clients)
    return child.level(rate_per_s=open_rate(levels, share, plan.batch_size))


def open_rate(levels: Sequence[Level], share: float, batch_size: int) -> float:
    """Requests a second at a share of the best throughput of the closed levels."""
    closed = [level.throughput_per_s for level in levels if level.loop == "closed"]
    if not closed or max(closed) <= 0:
        raise ModelError(
            "no level with a fixed number of clients was measured, so that there is no rate to take"
            " a share of",
            hint="Give the plan at least one concurrency.",
        )
    return max(closed) * share / batch_size
