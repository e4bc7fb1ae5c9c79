"""Configurations of Neural Compressor, read as the settings of `hubkit tune`.

Three forms: the YAML of 1.x (model, device, quantization, tuning), a YAML with the fields of 2.x's
PostTrainingQuantConfig, and a Python file in which such a config is written, which is read and not
run (recipe_inc_python.py). What has no meaning here is refused by its name, with its line: a search
that passed it over would not be the one that was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from hubkit.nearest import did_you_mean
from hubkit.recipe_inc_python import python_document
from hubkit.recipe_inc_words import APPROACHES, FRAMEWORKS, OBJECTIVES, REASONS, UNKNOWN
from hubkit.recipe_tune import AccuracyCriterion, ExitPolicy, Tune
from hubkit.recipe_yaml import Document, Fault, Loc, Plain, read_document

T = TypeVar("T")

_V2 = ("approach", "accuracy_criterion", "tuning_criterion", "calibration_sampling_size")


@dataclass(frozen=True)
class IncConfig:
    """What a configuration says of a search: keys of Tune, and of its parts where only some of
    theirs are given. `model`: model.name, which is whatever its author called it."""

    model: str | None
    values: Mapping[str, object]
    criterion: Mapping[str, object]
    policy: Mapping[str, object]

    def over(self, tune: Tune) -> Tune:
        """Those settings with what the configuration says in their place."""
        criterion = AccuracyCriterion.model_validate(self.criterion) if self.criterion else None
        policy = ExitPolicy.model_validate({**tune.exit_policy.model_dump(), **self.policy})
        given = {**self.values, "exit_policy": policy}
        given |= {"accuracy_criterion": criterion} if criterion else {}
        return tune.model_copy(update=given)


def read_inc_config(path: Path) -> IncConfig:
    """The configuration in a YAML or Python file. Raises RecipeError with one line
    `file:line: key: what` for each thing that is wrong or has no meaning here."""
    label = str(path)
    python = path.suffix == ".py"
    document = python_document(path, label) if python else read_document(path, label)
    reader = _Reader(document, list(document.faults))
    second = python or (any(key in document.data for key in _V2) and "model" not in document.data)
    reader.section((), document.data, _SECOND if second else _FIRST)
    if not second and "model" in document.data and "framework" not in reader.seen:
        reader.fault(("model", "framework"), "missing key: pytorch, or one of onnxrt_…")
    if not python and not reader.seen:
        reader.fault((), "no configuration of Neural Compressor: it has none of its keys")
    document.refuse(
        tuple(reader.faults),
        hint="docs/tune.md says what is read of a configuration. Remove the rest, or say it in the"
        " recipe.",
    )
    return IncConfig(reader.model, reader.values, reader.criterion, reader.policy)


@dataclass
class _Reader:
    """Collects what a document says, and what is wrong with it."""

    document: Document
    faults: list[Fault]
    model: str | None = None
    values: dict[str, object] = field(default_factory=dict)
    criterion: dict[str, object] = field(default_factory=dict)
    policy: dict[str, object] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def fault(self, loc: Loc, what: str) -> None:
        self.faults.append(Fault(loc, what))

    def section(self, loc: Loc, value: Plain, rules: Mapping[str, _Rule]) -> None:
        """Every key of a mapping by its rule; those without one are refused."""
        if not isinstance(value, dict):
            self.fault(loc, "expected a mapping of keys")
            return
        for key, below in ((str(key), below) for key, below in value.items()):
            here = (*loc, key)
            self.seen.add(key)
            rule = rules.get(key)
            if rule is None:
                known = did_you_mean(key, tuple(rules))
                self.fault(here, f"no meaning here{known or ': ' + REASONS.get(key, UNKNOWN)}")
            else:
                rule(self, here, below)

    def number(self, loc: Loc, value: Plain, *, whole: bool = False) -> float | int | None:
        wanted = int if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, wanted) or value < 0:
            self.fault(loc, f"expected a {'whole ' if whole else ''}number, not below 0")
            return None
        assert isinstance(value, int | float)
        return value

    def word(self, loc: Loc, value: Plain, meanings: Mapping[str, T]) -> T | None:
        """What a word means; faulted where it means nothing here."""
        if isinstance(value, str) and value in meanings:
            return meanings[value]
        text = value if isinstance(value, str) else str(value)
        reason = next((REASONS[w] for w in (text, *map(str, reversed(loc))) if w in REASONS), "")
        near = f": {reason}" if reason else did_you_mean(text, tuple(meanings))
        self.fault(loc, f"{text} has no meaning here{near} ({', '.join(meanings)})")
        return None


_Rule = Callable[[_Reader, Loc, Plain], None]


def _nested(rules: Mapping[str, _Rule]) -> _Rule:
    return lambda reader, loc, value: reader.section(loc, value, rules)


def _one_of(**meanings: None) -> _Rule:
    """A word that says what is so anyway."""

    def rule(reader: _Reader, loc: Loc, value: Plain) -> None:
        reader.word(loc, value, meanings)

    return rule


def _nothing(reader: _Reader, loc: Loc, value: Plain) -> None:
    """A key that may be there when it asks for nothing."""
    if value not in (None, False, {}, []):
        reason = REASONS.get(str(loc[-1]), UNKNOWN)
        reader.fault(loc, f"no meaning here: {reason}")


def _any(reader: _Reader, loc: Loc, value: Plain) -> None:
    """A key that changes nothing, such as the format's version."""


def _name(reader: _Reader, loc: Loc, value: Plain) -> None:
    reader.model = str(value)


def _framework(reader: _Reader, loc: Loc, value: Plain) -> None:
    found = reader.word(loc, value, FRAMEWORKS)
    if found:
        reader.values["framework"] = found[0]
        _agreed(reader, loc, value, found[1])


def _approach(reader: _Reader, loc: Loc, value: Plain) -> None:
    _agreed(reader, loc, value, reader.word(loc, value, APPROACHES))


def _agreed(reader: _Reader, loc: Loc, value: Plain, approach: str | None) -> None:
    """An approach that one of ONNX Runtime's names and quantization.approach both tell."""
    if approach and reader.values.setdefault("approach", approach) != approach:
        other = reader.values["approach"]
        reader.fault(loc, f"{value} is {approach}, and another key asks for {other}")


def _objective(reader: _Reader, loc: Loc, value: Plain) -> None:
    found = reader.word(loc, value, OBJECTIVES)
    if found:
        reader.values["objective"] = found


def _loss(kind: str) -> _Rule:
    def rule(reader: _Reader, loc: Loc, value: Plain) -> None:
        number = reader.number(loc, value)
        if number is not None and kind == "relative" and number >= 1:
            reader.fault(loc, "a share of FP32's value, less than 1: 0.01 is 1 %")
        elif number is not None:
            if reader.criterion.keys() & {"relative", "absolute"}:
                reader.fault(loc, "relative and absolute are two criteria: give one")
            reader.criterion[kind] = float(number)

    return rule


def _higher(reader: _Reader, loc: Loc, value: Plain) -> None:
    if value is not True:
        reader.fault(loc, "of every metric that a gate can hold more is better: only true")


def _criterion_of_2(reader: _Reader, loc: Loc, value: Plain) -> None:
    """criterion and tolerable_loss, or what 1.x has."""
    given = value if isinstance(value, dict) else {}
    kind = given.get("criterion", "relative")
    meanings = {"relative": "relative", "absolute": "absolute", "obsolete": "absolute"}

    def criterion(inner: _Reader, here: Loc, word: Plain) -> None:
        inner.word(here, word, meanings)

    loss = _loss(meanings.get(str(kind), "relative"))
    reader.section(loc, value, {**_CRITERION, "criterion": criterion, "tolerable_loss": loss})
    if not reader.criterion and isinstance(value, dict) and not reader.faults:
        reader.criterion[meanings[str(kind)]] = 0.01  # its default


def _timeout(reader: _Reader, loc: Loc, value: Plain) -> None:
    number = reader.number(loc, value)
    if number is not None:
        reader.policy["timeout"] = float(number)


def _max_trials(reader: _Reader, loc: Loc, value: Plain) -> None:
    number = reader.number(loc, value, whole=True)
    if number == 0:
        reader.fault(loc, "at least one trial is needed")
    elif number is not None:
        reader.policy["max_trials"] = number


def _seed(reader: _Reader, loc: Loc, value: Plain) -> None:
    number = reader.number(loc, value, whole=True)
    if number is not None and number >= 2**32:
        reader.fault(loc, "a seed has 32 bits at most")
    elif number is not None:
        reader.values["random_seed"] = number


def _sampling(reader: _Reader, loc: Loc, value: Plain) -> None:
    """A number of rows, or a list of one; several would be several searches."""
    one = value[0] if isinstance(value, list) and len(value) == 1 else value
    if isinstance(one, list | str):
        reader.fault(loc, "one number of rows is read: name one")
        return
    number = reader.number(loc, one, whole=True)
    if number == 0:
        reader.fault(loc, "at least one row is needed")
    elif number is not None:
        reader.values["num_calibration_samples"] = number


_CRITERION: dict[str, _Rule] = {
    "relative": _loss("relative"),
    "absolute": _loss("absolute"),
    "obsolete": _loss("absolute"),  # as some slides of Neural Compressor spell it
    "higher_is_better": _higher,
}
_EXIT: dict[str, _Rule] = {
    "timeout": _timeout,
    "max_trials": _max_trials,
    "performance_only": _nothing,
}
_TUNING: dict[str, _Rule] = {
    "accuracy_criterion": _criterion_of_2,
    "exit_policy": _nested(_EXIT),
    "objective": _objective,
    "random_seed": _seed,
    "strategy": _nested({"name": _one_of(basic=None, auto=None)}),
    "tensorboard": _nothing,
    "diagnosis": _nothing,
}
_FIRST: dict[str, _Rule] = {
    "version": _any,
    "model": _nested({"name": _name, "framework": _framework}),
    "device": _one_of(cpu=None),
    "quantization": _nested(
        {
            "approach": _approach,
            "calibration": _nested({"sampling_size": _sampling}),
            "recipes": _nothing,
        }
    ),
    "tuning": _nested(_TUNING),
}
_SECOND: dict[str, _Rule] = {
    "version": _any,
    "framework": _framework,
    "device": _one_of(cpu=None, auto=None),
    "backend": _one_of(default=None),
    "domain": _one_of(auto=None, nlp=None),
    "quant_format": _one_of(default=None, QDQ=None, QOperator=None),
    "quant_level": _one_of(auto=None),
    "approach": _approach,
    "calibration_sampling_size": _sampling,
    "accuracy_criterion": _criterion_of_2,
    "tuning_criterion": _nested(
        {
            **_EXIT,
            "strategy": _one_of(basic=None, auto=None),
            "strategy_kwargs": _nothing,
            "objective": _objective,
        }
    ),
    "random_seed": _seed,
    **{
        key: _nothing
        for key in (
            *("recipes", "op_type_dict", "op_name_dict", "reduce_range", "example_inputs"),
            *("inputs", "outputs", "excluded_precisions", "diagnosis", "ni_workload_name"),
        )
    },
}
