"""What is wrong with the results in a card's metadata, `model-index`: see `hubkit.cards.lint`.

The form is that of huggingface/hub-docs, modelcard.md.
"""

from __future__ import annotations

from collections.abc import Iterator

from hubkit.cards.lint_problem import Problem, error, warning

_OPTIONAL = {"dataset": ("config", "split", "revision"), "task": ("name",)}


def index_problems(index: object) -> Iterator[Problem]:
    """The problems of `model-index`; None: there is none."""
    if index is None:
        return
    if not isinstance(index, list):
        yield error("model-index", "it is no list of models", "Write `- name: ...` below it.")
        return
    if not index:
        # huggingface_hub fails on it.
        yield error("model-index", "it is empty", "Leave it out.")
    if len(index) > 1:
        what = "it names more than one model, and a repository holds one"
        yield warning("model-index", what, "Put all results below one name.")
    for at, model in enumerate(index):
        key = f"model-index[{at}]"
        yield from _text(f"{key}.name", _get(model, "name"))
        results = _get(model, "results")
        if not isinstance(results, list):
            yield _missing(f"{key}.results", "a list of results")
            continue
        for number, result in enumerate(results):
            yield from _result(f"{key}.results[{number}]", result)


def _get(holder: object, name: str) -> object:
    return holder.get(name) if isinstance(holder, dict) else None


def _missing(key: str, what: str) -> Problem:
    return error(key, f"missing: {what}", "Give it, or leave the whole result out.")


def _text(key: str, value: object) -> Iterator[Problem]:
    if value is None:
        yield _missing(key, "a text")
    elif not isinstance(value, str) or not value.strip():
        yield error(key, "it is no text, or an empty one", "Quote it.")


def _result(key: str, result: object) -> Iterator[Problem]:
    for part, names in (("task", ("type",)), ("dataset", ("name", "type"))):
        holder = _get(result, part)
        for name in names:
            yield from _text(f"{key}.{part}.{name}", _get(holder, name))
        for name in _OPTIONAL[part]:
            value = _get(holder, name)
            if value is not None and not isinstance(value, str):
                yield error(f"{key}.{part}.{name}", "it is no text", "Quote it.")
    args = _get(_get(result, "dataset"), "args")
    if args is not None and not isinstance(args, dict):
        what = "the Hub takes a mapping of names to values"
        yield warning(f"{key}.dataset.args", what, "Write `name: value` below it.")
    source = _get(result, "source")
    if source is not None:
        yield from _text(f"{key}.source.url", _get(source, "url"))
    metrics = _get(result, "metrics")
    if not isinstance(metrics, list):
        yield _missing(f"{key}.metrics", "a list of metrics")
        return
    if not metrics:
        yield warning(f"{key}.metrics", "it is empty", "Leave the result out.")
    seen: set[tuple[str, str]] = set()
    for at, metric in enumerate(metrics):
        yield from _metric(f"{key}.metrics[{at}]", metric, seen)


def _metric(key: str, metric: object, seen: set[tuple[str, str]]) -> Iterator[Problem]:
    kind, name = _get(metric, "type"), _get(metric, "name")
    yield from _text(f"{key}.type", kind)
    if name is not None and not isinstance(name, str):
        yield error(f"{key}.name", "it is no text", "Quote it.")
    called = (str(kind), str(name))
    if called in seen:
        yield warning(key, "another metric of this result has its type and name", "Rename one.")
    seen.add(called)
    yield from _value(f"{key}.value", _get(metric, "value"))
    verified = _get(metric, "verified")
    if verified is not None and not isinstance(verified, bool):
        yield error(f"{key}.verified", "it is neither true nor false", "Write false.")
    if verified is True and not _get(metric, "verifyToken"):
        what = "only the Hub's own evaluation is verified, and signs it with a verifyToken"
        yield error(f"{key}.verified", what, "Write false.")


def _value(key: str, value: object) -> Iterator[Problem]:
    # Numbers that are infinite or none are refused before: JSON has no such.
    if value is None:
        yield _missing(key, "the number that was measured")
    elif isinstance(value, bool) or not isinstance(value, int | float):
        yield error(key, "it is no number", "Write the number without quotes.")
