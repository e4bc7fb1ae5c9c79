"""What must hold between the keys of a recipe, beyond the type of each."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hubkit.recipe import IncStatic, OnnxStatic, Recipe, VariantSpec
from hubkit.recipe_yaml import Fault, Loc

# Task -> the text columns it takes, and how many reference columns.
_DATA_KEYS = {"text-classification": ("primary", "secondary")}
_REF_KEYS = {"text-classification": 1}
_ENTRY = re.compile(r"@\w+\s*\{\s*[^\s,{}]+\s*,")


def check_recipe(recipe: Recipe) -> tuple[Fault, ...]:
    """Every contradiction within a recipe, each at the key to change; empty when there is none."""
    checks = (_variants, _gates, _splits, _columns, _plan, _bibtex)
    return tuple(fault for check in checks for fault in check(recipe))


def format_of(variant: VariantSpec) -> str:
    """The format that a variant is published in: onnx or pytorch."""
    return "onnx" if variant.kind.startswith("onnx") else "pytorch"


def _variants(recipe: Recipe) -> Iterator[Fault]:
    seen: dict[str, int] = {}
    for index, variant in enumerate(recipe.variants):
        if variant.name in seen:
            what = f"variants[{seen[variant.name]}] is named {variant.name} too: give another name"
            yield Fault(("variants", index, "name"), what)
        seen.setdefault(variant.name, index)
    torch = [i for i, v in enumerate(recipe.variants) if format_of(v) == "pytorch"]
    if "pytorch" in recipe.publication.formats and len(torch) > 1:
        what = "a repository holds one PyTorch model, and this is one more: name one alone"
        yield Fault(("variants", torch[1]), what)
    plans = [
        (i, v.calibration)
        for i, v in enumerate(recipe.variants)
        if isinstance(v, OnnxStatic | IncStatic)
    ]
    for index, plan in plans:
        if plan.seed != plans[0][1].seed:
            what = f"all variants calibrate on one sample, drawn with seed {plans[0][1].seed}"
            yield Fault(("variants", index, "calibration", "seed"), what)
    yield from _repeated(("publication", "formats"), recipe.publication.formats)
    for index, wanted in enumerate(recipe.publication.formats):
        if wanted not in map(format_of, recipe.variants):
            kinds = "onnx-dynamic or onnx-static" if wanted == "onnx" else "inc-static"
            what = f"no variant is made in the format {wanted}: add one of kind {kinds}"
            yield Fault(("publication", "formats", index), what)


def _gates(recipe: Recipe) -> Iterator[Fault]:
    metric, measured = recipe.gates.metric, recipe.evaluation.metrics
    yield from _repeated(("evaluation", "metrics"), measured)
    if metric not in measured:
        given = "metric" in recipe.gates.model_fields_set
        loc: Loc = ("gates", "metric") if given else ("evaluation", "metrics")
        yield Fault(
            loc, f"the gate holds {metric}, and evaluation.metrics is {', '.join(measured)}: add it"
        )


def _splits(recipe: Recipe) -> Iterator[Fault]:
    dataset = recipe.dataset
    static = any(isinstance(v, OnnxStatic | IncStatic) for v in recipe.variants)
    if static and _overlap(dataset.calibration_split, dataset.eval_split):
        given = "calibration_split" in dataset.model_fields_set
        yield Fault(
            ("dataset", "calibration_split" if given else "eval_split"),
            f"calibrating on {dataset.calibration_split} and evaluating on {dataset.eval_split}"
            " would score a model on the data that tuned it: use another split",
        )


def _overlap(one: str, other: str) -> bool:
    """Whether two splits may share rows; of two different slices of a split we cannot know."""
    if one == other:
        return True
    if "[" in one and "[" in other:
        return False
    names = [{part.split("[")[0].strip() for part in s.split("+")} for s in (one, other)]
    return bool(names[0] & names[1])


def _columns(recipe: Recipe) -> Iterator[Fault]:
    data_keys, ref_keys = recipe.dataset.data_keys, recipe.dataset.ref_keys
    takes, wanted = _DATA_KEYS[recipe.task], _REF_KEYS[recipe.task]
    if "primary" not in data_keys:
        what = "missing key: the column of the text"
        yield Fault(("dataset", "data_keys", "primary"), what)
    for key in data_keys:
        if key not in takes:
            what = f"{recipe.task} takes {' and '.join(takes)} only"
            yield Fault(("dataset", "data_keys", key), what)
    if len(ref_keys) != wanted:
        what = f"{recipe.task} takes {wanted} reference column, found {len(ref_keys)}"
        yield Fault(("dataset", "ref_keys"), what)
    columns = list(data_keys.values())
    for index, column in enumerate(ref_keys):
        if column in columns:
            what = (
                f"the column {column} is among data_keys too: the answer would be in the question"
            )
            yield Fault(("dataset", "ref_keys", index), what)
    yield from _repeated(("dataset", "data_keys"), tuple(columns))


def _plan(recipe: Recipe) -> Iterator[Fault]:
    plan, longest = recipe.benchmark, recipe.evaluation.max_length
    yield from _repeated(("benchmark", "batch_sizes"), plan.batch_sizes)
    yield from _repeated(("benchmark", "input_lengths"), plan.input_lengths)
    for index, length in enumerate(plan.input_lengths):
        if length > longest:
            what = (
                f"{length} tokens would be timed, and evaluation.max_length cuts at {longest}:"
                " raise that, or leave this length out"
            )
            yield Fault(("benchmark", "input_lengths", index), what)


def _bibtex(recipe: Recipe) -> Iterator[Fault]:
    text = recipe.card.bibtex
    if text is None:
        return
    loc = ("card", "bibtex")
    starts = [m.start() for m in re.finditer(r"^\s*@", text, re.MULTILINE)]
    if not starts or not text.lstrip().startswith("@"):
        yield Fault(loc, "expected BibTeX entries, @misc{key, ...}")
        return
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        entry = text[start:end].strip()
        if not _ENTRY.match(entry):
            yield Fault(
                loc, f"{entry.splitlines()[0]}: expected @type{{key, with a comma after the key"
            )
        elif not _closed(entry):
            yield Fault(loc, f"{entry.splitlines()[0]}: the braces of this entry do not match")


def _closed(entry: str) -> bool:
    depth = 0
    for position, character in enumerate(entry):
        depth += (character == "{") - (character == "}")
        if depth == 0 and character == "}":
            return position == len(entry) - 1
    return False


def _repeated(loc: Loc, values: tuple[object, ...]) -> Iterator[Fault]:
    for index, value in enumerate(values):
        if value in values[:index]:
            inside = index if loc[-1] != "data_keys" else "secondary"
            yield Fault((*loc, inside), f"{value} is listed twice")
