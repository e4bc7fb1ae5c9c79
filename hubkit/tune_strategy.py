"""What a tuning run does next: pure functions of what it has tried so far.

A search is `next_step` called until it says Stop, each step's results appended to the history.
Nothing else is remembered, so that a search that was killed goes on where its records end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hubkit.recipe import OnnxDynamic, OnnxStatic, VariantSpec
from hubkit.tune_candidates import named
from hubkit.tune_groups import finer as made_finer
from hubkit.tune_groups import without
from hubkit.tune_ranking import (
    History,
    Problem,
    acceptable,
    bases,
    finalists,
    has_groups,
    is_plausible,
    ranking,
    worth_mending,
)
from hubkit.tune_records import GroupCost, Phase, Sensitivity, Trial
from hubkit.tune_steps import Ask, Clock, Proposal, Sense, Step, Stop, Try

# Phases whose trials are steps on the way: the last of them is timed.
_TIMED_AT_THE_END = ("give-back", "take-back", "finer")
_MOST_BASES = 2
_MOST_TAKEN_BACK = 6
# Shares of the time that INT8 wins on the whole model which a group may cost to be given back
# although the criterion holds, and the share of the bytes.
_BUDGETS: dict[str, tuple[float, ...]] = {
    "fastest": (0.03,),
    "smallest": (),
    "most-faithful": (0.05, 0.1, 0.2),
}
_BYTES_BUDGET = {"fastest": 0.03, "smallest": 0.0, "most-faithful": 0.2}


def next_step(problem: Problem, history: History, *, out_of_time: bool = False) -> Step:
    """The one next thing to do. `out_of_time`: only what it takes to end well."""
    policy = problem.tune.exit_policy
    if (_stops_early(problem) or history.final) and acceptable(problem, history):
        return Stop()
    step = _search(problem, history)
    left = policy.max_trials - len(history.trials)
    if isinstance(step, Stop):
        return step if out_of_time else _final(problem, history) or step
    if out_of_time or (left <= 0 and not isinstance(step, Clock)):
        return _ended(problem, history, out_of_time)
    return Try(step.proposals[:left]) if isinstance(step, Try) else step


def _ended(problem: Problem, history: History, out_of_time: bool) -> Step:
    """What it takes to end well: what meets the criterion timed, if time is not what is lacking
    beside what it is compared with."""
    policy = problem.tune.exit_policy
    why = f"{policy.max_trials} trials were made"
    if out_of_time:
        why = f"the time was up: {policy.timeout or 0:g} s"
    untimed = _names(t for t in history.trials if history.meets(t) and not t.relative_ms)
    timed = () if out_of_time else _names(finalists(problem, history))
    names = tuple(dict.fromkeys((*untimed, *timed)))
    again = len(names) > 1 and not history.final
    return Clock(names, last=why, final=True) if untimed or again else Stop(why)


def _final(problem: Problem, history: History) -> Step | None:
    """What might be taken for its speed, timed in one run: two runs of the benchmark differ by more
    than what is decided on."""
    names = _names(finalists(problem, history))
    return Clock(names, final=True) if len(names) > 1 else None


def _stops_early(problem: Problem) -> bool:
    return problem.tune.exit_policy.timeout == 0


def _search(problem: Problem, history: History) -> Step:
    early = _stops_early(problem)
    wanted = [t for t in history.trials if t.phase not in _TIMED_AT_THE_END]
    wanted = [t for t in wanted if (history.meets if early else is_plausible)(t)]
    untimed = [t for t in wanted if not t.relative_ms]
    if untimed and early:
        return Clock(_names(untimed))
    tried = {trial.name for trial in history.trials}
    untried = [spec for spec in problem.candidates if spec.name not in tried]
    if untried:
        chosen = untried[:1] if early else untried
        return Try(tuple(Proposal(spec, "whole-model") for spec in chosen))
    if untimed:
        return Clock(_names(untimed))
    if problem.tune.framework == "pytorch":
        return _ask(history, tried)
    step = _refine(problem, history) if acceptable(problem, history) else _mend(problem, history)
    return step or Stop()


def _ask(history: History, tried: set[str]) -> Step:
    if history.proposals is None:
        return Ask()
    new = [spec for spec in history.proposals if spec.name not in tried]
    return Try(tuple(Proposal(spec, "neural-compressor") for spec in new)) if new else Stop()


def _mend(problem: Problem, history: History) -> Step | None:
    """The next step towards a trial that meets the criterion, from those that do not."""
    if unknown := _names(t for t in worth_mending(history) if not t.relative_ms):
        return Clock(unknown)
    for base in bases(problem, history)[:_MOST_BASES]:
        if step := _mend_one(problem, history, base):
            return step
    return None


def _mend_one(problem: Problem, history: History, base: Trial) -> Step | None:
    found = history.sensitivity(base.name)
    if found is None:
        return Sense(base.name)
    attempts = _Attempts(history, base, found)
    order = in_order(found, by_bytes=problem.tune.objective == "smallest")
    least = _least(attempts, order)
    if not isinstance(least, int):
        return least
    return _take_back(problem, attempts, order[:least])


def _least(attempts: _Attempts, order: Sequence[GroupCost]) -> int | Try | None:
    """How many of the groups, in their order, have to be given back; the trial that it takes to
    know, or None where giving back all but one does not help."""
    most = len(order) - 1  # something stays INT8
    below, count = 0, 1
    while True:
        if count > most:
            return None
        trial = attempts.of(order[:count])
        if trial is None:
            return attempts.proposed(order[:count], "give-back")
        if attempts.met(trial):
            break
        if count == most:
            return None
        below, count = count, min(most, 2 * count)
    while count - below > 1:
        middle = (below + count) // 2
        trial = attempts.of(order[:middle])
        if trial is None:
            return attempts.proposed(order[:middle], "give-back")
        below, count = (below, middle) if attempts.met(trial) else (middle, count)
    return count


def _take_back(
    problem: Problem, attempts: _Attempts, given_back: Sequence[GroupCost]
) -> Step | None:
    """Each group that was given back as INT8 again, those that win most first, as long as the
    criterion holds; then the last that held is timed."""
    smallest = problem.tune.objective == "smallest"
    current = list(given_back)
    for cost in _to_take_back(current, smallest=smallest):
        fewer = [one for one in current if one is not cost]
        if not fewer:
            break
        trial = attempts.of(fewer)
        if trial is None:
            return attempts.proposed(fewer, "take-back")
        if attempts.met(trial):
            current = fewer
    if attempts.can_be_finer(current) and attempts.of(current, finer=True) is None:
        return attempts.proposed(current, "finer", finer=True)
    last = (attempts.of(current), attempts.of(current, finer=True))
    return _clocked(trial for trial in last if attempts.met(trial))


def _to_take_back(costs: Sequence[GroupCost], *, smallest: bool) -> list[GroupCost]:
    """Those that win most, and all look-ups: in INT8 they win no time, but most of the bytes where
    the vocabulary is large."""
    gains = sorted(costs, key=lambda c: -(c.gain_bytes if smallest else c.gain_us))
    rest = gains[_MOST_TAKEN_BACK:]
    return [*gains[:_MOST_TAKEN_BACK], *(c for c in rest if not c.group.multiplications)]


def _clocked(trials: Iterable[Trial | None]) -> Clock | None:
    untimed = _names(trial for trial in trials if trial and not trial.relative_ms)
    return Clock(untimed) if untimed else None


def _refine(problem: Problem, history: History) -> Step | None:
    """Groups that cost accuracy and win next to nothing, given back although the criterion
    holds."""
    objective = problem.tune.objective or "fastest"
    whole = (t for t in ranking(problem, history) if t.phase == "whole-model")
    base = next((t for t in whole if has_groups(t)), None)
    if base is None or not _BUDGETS[objective]:
        return None
    found = history.sensitivity(base.name)
    if found is None:
        return Sense(base.name)
    attempts = _Attempts(history, base, found)
    sets = [_within(found, share, _BYTES_BUDGET[objective]) for share in _BUDGETS[objective]]
    proposals = [
        one
        for chosen in sets
        if chosen and attempts.of(chosen) is None
        for one in attempts.proposed(chosen, "refine").proposals
    ]
    proposals += [
        one
        for chosen in sets
        if attempts.can_be_finer(chosen) and attempts.of(chosen, finer=True) is None
        for one in attempts.proposed(chosen, "refine", finer=True).proposals
    ]
    unique = {one.spec.name: one for one in proposals}
    return Try(tuple(unique.values())) if unique else None


def _within(found: Sensitivity, share: float, bytes_share: float) -> list[GroupCost]:
    """The groups that cost most accuracy for their time, within both budgets; never all."""
    time = share * sum(cost.gain_us for cost in found.costs)
    size = bytes_share * sum(cost.gain_bytes for cost in found.costs)
    chosen: list[GroupCost] = []
    for cost in in_order(found, by_bytes=False):
        fits = cost.gain_us <= time and cost.gain_bytes <= size
        if fits and cost.damage and len(chosen) + 1 < len(found.costs):
            chosen.append(cost)
            time, size = time - cost.gain_us, size - cost.gain_bytes
    return chosen


def in_order(found: Sensitivity, *, by_bytes: bool) -> list[GroupCost]:
    """The groups, those first that cost most accuracy for a microsecond, or for a byte. What could
    not be made alone costs without end."""
    total = max(1e-9, sum(cost.gain_bytes if by_bytes else cost.gain_us for cost in found.costs))

    def price(cost: GroupCost) -> float:
        damage = float("inf") if cost.damage is None else cost.damage**2  # variances add up
        share = (cost.gain_bytes if by_bytes else cost.gain_us) / total
        return damage / max(share, 1e-3)

    return sorted(found.costs, key=lambda cost: (-price(cost), cost.group.key))


class _Attempts:
    """The trials that leave some groups of one base float."""

    def __init__(self, history: History, base: Trial, found: Sensitivity) -> None:
        self._history, self._base = history, base
        self._all = found.costs

    def of(self, costs: Iterable[GroupCost], *, finer: bool = False) -> Trial | None:
        """The trial with those groups in float, or in the finer scheme; None: not tried yet."""
        return self._history.find(self._spec(costs, finer).name)

    def met(self, trial: Trial | None) -> bool:
        """Whether that one keeps the accuracy."""
        return self._history.meets(trial)

    def can_be_finer(self, costs: Iterable[GroupCost]) -> bool:
        """Whether the products of those groups can be blockwise, and there are any."""
        spec = self._base.spec
        plain = isinstance(spec, OnnxDynamic) and spec.blockwise is None
        return plain and any(cost.group.multiplications for cost in costs)

    def proposed(self, costs: Iterable[GroupCost], phase: Phase, *, finer: bool = False) -> Try:
        chosen = self._ordered(costs)
        keys = tuple(cost.group.key for cost in chosen)
        return Try((Proposal(self._spec(chosen, finer), phase, self._base.name, keys),))

    def _ordered(self, costs: Iterable[GroupCost]) -> list[GroupCost]:
        """In the graph's order, so that one set is one spec."""
        keys = {cost.group.key for cost in costs}
        return [cost for cost in self._all if cost.group.key in keys]

    def _spec(self, costs: Iterable[GroupCost], finer: bool = False) -> VariantSpec:
        spec = self._base.spec
        groups = [cost.group for cost in self._ordered(costs)]
        if finer and isinstance(spec, OnnxDynamic):
            return named(made_finer(spec, groups))
        assert isinstance(spec, OnnxDynamic | OnnxStatic)
        return named(without(spec, groups))


def _names(trials: Iterable[Trial]) -> tuple[str, ...]:
    return tuple(trial.name for trial in trials)
