"""What must hold between the keys of a recipe, beyond the type of each."""

from __future__ import annotations

from collections.abc import Iterator

from hubkit.nearest import did_you_mean
from hubkit.recipe import Recipe, Slice, VariantSpec, calibration_of
from hubkit.recipe_analyses import entity_type
from hubkit.recipe_publication import publication_faults
from hubkit.recipe_tasks import TASK_KEYS
from hubkit.recipe_yaml import Fault, Loc

# Found out by trying: optimum-intel 1.27 with Neural Compressor 3.7, DistilBERT and BERT.
NO_AWARE_TRAINING = (
    "quantization-aware training is not to be had: optimum-intel's INCTrainer trains to the end and"
    " then saves an FP32 model without a word; leave it out, fine-tune as usual and let `hubkit"
    " tune` find the INT8 that keeps the accuracy"
)
# Of what a format is made.
_KINDS = {
    "onnx": "onnx-dynamic, onnx-static or onnx-blockwise",
    "openvino": "openvino-static",
    "pytorch": "inc-static",
}


def check_recipe(recipe: Recipe) -> tuple[Fault, ...]:
    """Every contradiction within a recipe, each at the key to change; empty when there is none."""
    checks = (
        *(_variants, _metrics, _gates, _splits, _columns, _labels, _base, _project),
        *(_plan, _analyses, _sweep, _tune, publication_faults),
    )
    return tuple(fault for check in checks for fault in check(recipe))


def format_of(variant: VariantSpec) -> str:
    """The format that a variant is published in: onnx, openvino or pytorch."""
    library = variant.kind.partition("-")[0]
    return {"inc": "pytorch"}.get(library, library)


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
    found = ((i, calibration_of(v)) for i, v in enumerate(recipe.variants))
    plans = [(i, plan) for i, plan in found if plan is not None]
    for index, plan in plans:
        if plan.seed != plans[0][1].seed:
            what = f"all variants calibrate on one sample, drawn with seed {plans[0][1].seed}"
            yield Fault(("variants", index, "calibration", "seed"), what)
    yield from _repeated(("publication", "formats"), recipe.publication.formats)
    for index, wanted in enumerate(recipe.publication.formats):
        if wanted not in map(format_of, recipe.variants):
            what = f"no variant is made in the format {wanted}: add one of kind {_KINDS[wanted]}"
            yield Fault(("publication", "formats", index), what)


def _metrics(recipe: Recipe) -> Iterator[Fault]:
    keys = TASK_KEYS[recipe.task]
    given: list[tuple[Loc, str]] = [
        (("evaluation", "metrics", index), metric)
        for index, metric in enumerate(recipe.evaluation.metrics)
    ]
    for loc, metric in (*given, (("gates", "metric"), recipe.gates.metric)):
        if metric not in keys.metrics:
            near = did_you_mean(metric, keys.metrics)
            what = f"{recipe.task} has no metric {metric}{near} ({', '.join(keys.metrics)})"
            yield Fault(loc, what)
    if recipe.gates.metric in keys.lower_is_better:
        best = keys.default_metrics[0]
        what = f"of {recipe.gates.metric} less is better, and a gate holds what may not fall: hold"
        yield Fault(("gates", "metric"), f"{what} {best}")


def _gates(recipe: Recipe) -> Iterator[Fault]:
    metric, measured = recipe.gates.metric, recipe.evaluation.metrics
    yield from _repeated(("evaluation", "metrics"), measured)
    if metric not in measured and metric in TASK_KEYS[recipe.task].metrics:
        given = "metric" in recipe.gates.model_fields_set
        loc: Loc = ("gates", "metric") if given else ("evaluation", "metrics")
        yield Fault(
            loc, f"the gate holds {metric}, and evaluation.metrics is {', '.join(measured)}: add it"
        )


def _splits(recipe: Recipe) -> Iterator[Fault]:
    dataset = recipe.dataset
    static = any(calibration_of(v) for v in recipe.variants)
    sweep = recipe.sweep
    static = static or (sweep is not None and "static" in sweep.quantization_approach)
    if static and _overlap(dataset.calibration_split, dataset.eval_split):
        given = "calibration_split" in dataset.model_fields_set
        yield Fault(
            ("dataset", "calibration_split" if given else "eval_split"),
            f"calibrating on {dataset.calibration_split} and evaluating on {dataset.eval_split}"
            " would score a model on the data that tuned it: use another split",
        )


def _project(recipe: Recipe) -> Iterator[Fault]:
    """A projection is of embeddings, and never fitted to rows that every variant is scored on."""
    plan = recipe.base.project
    if plan is None:
        return
    if recipe.task != "feature-extraction":
        what = f"a projection is of embeddings, which feature-extraction gives and {recipe.task}"
        yield Fault(("base", "project"), f"{what} does not: leave it out")
    if _overlap(plan.split, recipe.dataset.eval_split):
        given = "split" in plan.model_fields_set
        yield Fault(
            ("base", "project", "split") if given else ("dataset", "eval_split"),
            f"fitting a projection to {plan.split} and evaluating on {recipe.dataset.eval_split}"
            " would score a model on the rows that it learnt: use another split",
        )
    if plan.samples is not None and plan.samples <= plan.dimensions:
        what = f"{plan.samples} rows span at most {plan.samples - 1} dimensions, and"
        yield Fault(
            ("base", "project", "samples"), f"{what} {plan.dimensions} are wanted: take more rows"
        )


def _base(recipe: Recipe) -> Iterator[Fault]:
    """Fine-tuning is on rows with labels, and never on those that every variant is scored on."""
    plan = recipe.base.finetune
    if plan is None:
        return
    if not TASK_KEYS[recipe.task].labels:
        able = " and ".join(task for task, keys in TASK_KEYS.items() if keys.labels)
        what = f"{recipe.task} cannot be fine-tuned here, only {able}: leave it out"
        yield Fault(("base", "finetune"), what)
    if _overlap(plan.split, recipe.dataset.eval_split):
        given = "split" in plan.model_fields_set
        yield Fault(
            ("base", "finetune", "split") if given else ("dataset", "eval_split"),
            f"fine-tuning on {plan.split} and evaluating on {recipe.dataset.eval_split}"
            " would score a model on the rows that it learnt: use another split",
        )
    if plan.aware_training:
        yield Fault(("base", "finetune", "aware_training"), NO_AWARE_TRAINING)


def _overlap(one: str, other: str) -> bool:
    """Whether two splits may share rows; of two different slices of a split we cannot know."""
    if one == other:
        return True
    if "[" in one and "[" in other:
        return False
    names = [{part.split("[")[0].strip() for part in s.split("+")} for s in (one, other)]
    return bool(names[0] & names[1])


def splits_overlap(one: str, other: str) -> bool:
    """Whether two splits may share rows."""
    return _overlap(one, other)


def _tune(recipe: Recipe) -> Iterator[Fault]:
    if recipe.tune and not recipe.tune.accuracy_criterion.higher_is_better:
        what = f"of {recipe.gates.metric}, which the gate holds, more is better: leave this out"
        yield Fault(("tune", "accuracy_criterion", "higher_is_better"), what)


def _columns(recipe: Recipe) -> Iterator[Fault]:
    data_keys, ref_keys = recipe.dataset.data_keys, recipe.dataset.ref_keys
    keys = TASK_KEYS[recipe.task]
    takes = (*keys.required, *keys.optional)
    for key in keys.required:
        if key not in data_keys:
            noun = "text" if key == "primary" else key
            yield Fault(("dataset", "data_keys", key), f"missing key: the column of the {noun}")
    for key in data_keys:
        if key not in takes:
            what = f"{recipe.task} takes {' and '.join(takes)} only"
            yield Fault(("dataset", "data_keys", key), what)
    if len(ref_keys) != keys.references:
        number = str(keys.references) if keys.references else "no"
        what = f"{recipe.task} takes {number} reference column, found {len(ref_keys)}"
        yield Fault(("dataset", "ref_keys"), what)
    columns = list(data_keys.values())
    for index, column in enumerate(ref_keys):
        if column in columns:
            what = (
                f"the column {column} is among data_keys too: the answer would be in the question"
            )
            yield Fault(("dataset", "ref_keys", index), what)
    yield from _repeated(("dataset", "data_keys"), tuple(columns))


def _labels(recipe: Recipe) -> Iterator[Fault]:
    if TASK_KEYS[recipe.task].labels and not recipe.labels:
        what = Recipe.model_fields["labels"].description or ""
        yield Fault(("labels",), f"missing key: {what.rstrip('.')}")
    if recipe.labels and not TASK_KEYS[recipe.task].labels:
        yield Fault(("labels",), f"{recipe.task} has no labels: leave them out")


def _repeated(loc: Loc, values: tuple[object, ...]) -> Iterator[Fault]:
    for index, value in enumerate(values):
        if value in values[:index]:
            inside = index if loc[-1] != "data_keys" else "secondary"
            yield Fault((*loc, inside), f"{value} is listed twice")


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


def _analyses(recipe: Recipe) -> Iterator[Fault]:
    plan = recipe.analyses
    yield from _repeated(("analyses", "group_columns"), plan.group_columns)
    for index, column in enumerate(plan.group_columns):
        if column in recipe.dataset.data_keys.values():
            what = f"the model is given the column {column}: its values are no groups, name another"
            yield Fault(("analyses", "group_columns", index), what)
    seen: dict[str, int] = {}
    for index, one in enumerate(plan.slices):
        loc: Loc = ("analyses", "slices", index)
        if one.name in seen:
            what = f"slices[{seen[one.name]}] is named {one.name} too: give another name"
            yield Fault((*loc, "name"), what)
        seen.setdefault(one.name, index)
        if one.name.startswith(tuple(f"{column}=" for column in plan.group_columns)):
            what = f"{one.name} is named like a slice of a group column: give another name"
            yield Fault((*loc, "name"), what)
        yield from _slice(recipe, one, loc)


def _slice(recipe: Recipe, one: Slice, loc: Loc) -> Iterator[Fault]:
    longest = recipe.evaluation.max_length
    if one.length and (one.length.at_least or 0) > longest and recipe.task != "question-answering":
        what = f"evaluation.max_length cuts at {longest}: raise that, or look at shorter rows"
        yield Fault((*loc, "length", "at_least"), what)
    if one.label is None:
        return
    if not TASK_KEYS[recipe.task].labels:
        what = f"{recipe.task} has no labels: choose rows by length or pattern"
        yield Fault((*loc, "label"), what)
    elif recipe.labels:
        known = list(dict.fromkeys(recipe.labels.values()))
        if recipe.task == "token-classification":
            known = list(dict.fromkeys((*map(entity_type, known), *known)))
        if one.label not in known:
            near = did_you_mean(one.label, known)
            what = f'"{one.label}" is no label of the recipe{near} ({", ".join(known)})'
            yield Fault((*loc, "label"), what)


def _sweep(recipe: Recipe) -> Iterator[Fault]:
    sweep = recipe.sweep
    if sweep is None:
        if recipe.gates.select_from == "sweep":
            what = "the recipe declares no sweep to select from: add `sweep:`"
            yield Fault(("gates", "select_from"), what)
        return
    if sweep.aware_training:
        yield Fault(("sweep", "aware_training"), NO_AWARE_TRAINING)
    yield from _repeated(("sweep", "batch_sizes"), sweep.batch_sizes)
    yield from _repeated(("sweep", "input_lengths"), sweep.input_lengths)
