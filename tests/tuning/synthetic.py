"""A synthetic quantizer: what a spec loses and wins is a formula, so that a search can be checked
without a model."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from hubkit.recipe import OnnxDynamic, OnnxStatic, VariantSpec
from hubkit.recipe_tune import AccuracyCriterion, ExitPolicy, Tune
from hubkit.records import Artifact, Interval, Metric, Paired, Scores, Variant
from hubkit.tune_candidates import candidates, named
from hubkit.tune_groups import without
from hubkit.tune_judge import judge
from hubkit.tune_ranking import History, Problem
from hubkit.tune_records import Group, GroupCost, Sensitivity, Trial
from hubkit.tune_steps import Ask, Clock, Proposal, Sense, Step, Stop, Try
from hubkit.tune_strategy import next_step

ROWS, BASELINE = 1000, 0.9
FP32_BYTES = 90_000_000
NO_ARTIFACT = Artifact(digest="0" * 64, files=())


def baseline() -> Scores:
    metric = Metric(
        name="accuracy",
        value=BASELINE,
        interval=Interval(low=0.88, high=0.92),
        method="wilson",
        confidence=0.95,
    )
    return Scores(variant="onnx-fp32", rows=ROWS, metrics=(metric,))


def scores(name: str, loss: float, damage: float) -> Scores:
    """Scores of a trial that loses so much, with an interval of ± 0.004."""
    paired = Paired(
        baseline="onnx-fp32",
        flips=round(ROWS * damage),
        now_right=1,
        now_wrong=1,
        mcnemar_p=1.0,
        loss=loss,
        loss_interval=Interval(low=loss - 0.004, high=loss + 0.004),
        max_abs_logit_diff=damage,
        mean_abs_logit_diff=damage,
    )
    metric = baseline().metrics[0].model_copy(update={"value": BASELINE - loss})
    return Scores(variant=name, rows=ROWS, metrics=(metric,), paired=paired)


def groups(number: int) -> tuple[Group, ...]:
    """Of equal size; the k-th is /m/layer.k."""
    return tuple(
        Group(
            key=f"/m/layer.{k}",
            patterns=(rf"/m/layer\.{k}/.*",),
            nodes=2,
            multiplications=1000,
            weights_bytes=4000,
        )
        for k in range(number)
    )


@dataclass
class World:
    """`losses`: kind -> what each group loses of the metric when it is INT8; `speeds`: kind -> the
    mean latency of the whole model over FP32's. Counts the steps that it carries out."""

    losses: Mapping[str, tuple[float, ...]]
    speeds: Mapping[str, float]
    sizes: Mapping[str, int] = field(default_factory=dict)
    broken: frozenset[str] = frozenset()
    proposals: tuple[VariantSpec, ...] = ()
    damages: Mapping[int, float] = field(default_factory=dict)  # of groups, where not their loss
    gains: Mapping[int, float] = field(default_factory=dict)  # µs, of groups without bytes
    drift: tuple[float, ...] = ()  # by which factor the first runs of the benchmark are off
    steps: list[Step] = field(default_factory=list)

    def loss(self, spec: VariantSpec) -> float:
        return sum(self.losses[key_of(spec)][k] for k in self._integer(spec))

    def time(self, spec: VariantSpec) -> float:
        whole = self.speeds[key_of(spec)]
        share = len(self._integer(spec)) / len(self.losses[key_of(spec)])
        return 1 - (1 - whole) * share

    def _integer(self, spec: VariantSpec) -> list[int]:
        out = [g for g in groups(len(self.losses[key_of(spec)])) if self._is_out(g, spec)]
        gone = {g.key for g in out}
        return [
            k for k, g in enumerate(groups(len(self.losses[key_of(spec)]))) if g.key not in gone
        ]

    @staticmethod
    def _is_out(group: Group, spec: VariantSpec) -> bool:
        blocks = spec.blockwise if isinstance(spec, OnnxDynamic) else None
        return group.patterns[0] in (*spec.node_exclusion, *(blocks.nodes if blocks else ()))

    def trial(self, number: int, one: Proposal, criterion: AccuracyCriterion) -> Trial:
        spec = one.spec
        common = Trial(
            number=number, phase=one.phase, spec=spec, base=one.base, gave_back=one.gave_back
        )
        if key_of(spec) in self.broken:
            from hubkit.records import Failed

            failed = Failed(stage="quantize", subject=spec.name, reason="cannot be made")
            return common.model_copy(update={"failed": failed})
        loss = self.loss(spec)
        found = scores(spec.name, loss, abs(loss) + 0.001)
        variant = Variant(
            name=spec.name,
            format="onnx",
            precision="int8",
            artifact=NO_ARTIFACT,
            model_file="model.onnx",
            size_bytes=self.sizes.get(key_of(spec), 23_000_000),
        )
        update = {
            "variant": variant,
            "scores": found,
            "verdict": judge(found, baseline(), "accuracy", criterion),
        }
        return common.model_copy(update=update)

    def carry_out(self, problem: Problem, history: History, step: Step) -> History:
        """The history with the step's results."""
        self.steps.append(step)
        if isinstance(step, Try):
            number = len(history.trials) + 1
            criterion = problem.tune.accuracy_criterion
            new = (self.trial(number + i, p, criterion) for i, p in enumerate(step.proposals))
            return replace(history, trials=(*history.trials, *new))
        if isinstance(step, Clock):
            run = sum(isinstance(one, Clock) for one in self.steps) - 1
            off = self.drift[run] if run < len(self.drift) else 1.0
            trials = tuple(
                t.model_copy(update={"relative_ms": noisy(off * self.time(t.spec), t.name)})
                if t.name in step.names
                else t
                for t in history.trials
            )
            return replace(history, trials=trials, final=history.final or step.final)
        if isinstance(step, Sense):
            trial = history.find(step.name)
            assert trial is not None
            return replace(history, sensitivities=(*history.sensitivities, self.sensed(trial)))
        assert isinstance(step, Ask)
        return replace(history, proposals=self.proposals)

    def sensed(self, trial: Trial) -> Sensitivity:
        losses = self.losses[key_of(trial.spec)]
        costs = tuple(
            GroupCost(
                group=g,
                damage=self.damages.get(k, abs(loss)),
                flips=0,
                gain_us=self.gains.get(k, 100.0),
                gain_bytes=0 if k in self.gains else 3000,
            )
            for k, (g, loss) in enumerate(zip(groups(len(losses)), losses, strict=True))
        )
        return Sensitivity(of=trial.name, rows=100, costs=costs)


def key_of(spec: VariantSpec) -> str:
    """What a World knows a spec by: its kind, its graph, its operators, how ranges are learnt."""
    if isinstance(spec, OnnxDynamic):
        fused = "-fused" if spec.framework_args.optimization_level else ""
        fused += "-smooth" if spec.smooth_quant is not None else ""
        plain = "" if "Gather" in spec.operators_to_quantize else "-products"
        return f"dynamic{fused}{plain}"
    if isinstance(spec, OnnxStatic):
        return f"static-{spec.calibration.method}" + ("-smooth" if spec.smooth_quant else "")
    return spec.kind


def noisy(value: float, name: str) -> tuple[float, ...]:
    """Three rounds that differ by half a per cent, the same for a name."""
    chance = random.Random(name)
    return tuple(value * (1 + chance.uniform(-0.005, 0.005)) for _ in range(3))


def problem(
    *,
    relative: float = 0.01,
    objective: str = "fastest",
    timeout: float | None = None,
    max_trials: int = 100,
    framework: str = "onnxruntime",
) -> Problem:
    tune = Tune.model_validate(
        {
            "framework": framework,
            "objective": objective,
            "accuracy_criterion": AccuracyCriterion(relative=relative),
            "exit_policy": ExitPolicy(timeout=timeout, max_trials=max_trials),
        }
    )
    specs = candidates(tune, reduce_range=False, static=True, seed=13)
    return Problem(tune, FP32_BYTES, specs)


def search(
    world: World,
    wanted: Problem,
    history: History | None = None,
    *,
    killed: Callable[[int], bool] = lambda step: False,
    out_of_time: Callable[[History], bool] = lambda history: False,
) -> tuple[History, Stop | None]:
    """A whole search; or, where `killed` says so of the number of a step, what it had by then."""
    found = history or History()
    for number in range(1000):
        step = next_step(wanted, found, out_of_time=out_of_time(found))
        if isinstance(step, Stop):
            return found, step
        if killed(number):
            return found, None
        found = world.carry_out(wanted, found, step)
        if isinstance(step, Clock) and step.last is not None:
            return found, Stop(step.last)
    raise AssertionError("the search has no end")


def spec_without(spec: VariantSpec, *keys: str) -> VariantSpec:
    """The spec with those groups in float."""
    assert isinstance(spec, OnnxDynamic | OnnxStatic)
    return named(without(spec, (g for g in groups(64) if g.key in keys)))
