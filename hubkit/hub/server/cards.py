"""Cards: the YAML front matter of a README.md, what is wrong with it, and the tags it gives."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import yaml

from hubkit.hub.server.card_yaml import InvalidYaml, parsed_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable

_FRONT = re.compile(
    r"\A\ufeff?\s*---[ \t]*\r?\n(.*?)(?:^---[ \t]*(?:\r?\n|\Z))", re.DOTALL | re.MULTILINE
)
_TEXTS = ("pipeline_tag", "library_name", "license_name", "license_link", "pretty_name", "sdk")
_LISTS = (
    "language",
    "license",
    "tags",
    "datasets",
    "metrics",
    "base_model",
    "task_categories",
    "task_ids",
    "size_categories",
)


@dataclass(frozen=True)
class Card:
    """A card's metadata, its text without the metadata, and what is wrong with the metadata."""

    data: dict[str, object] = field(default_factory=dict)
    body: str = ""
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    front: str = ""  # the metadata as they are written, without the lines around them


def parse_card(text: str) -> Card:
    """Read a README's front matter and check it as the Hub does."""
    found = _FRONT.match(text)
    if found is None or not found[1].strip():
        body = text[found.end() :] if found else text
        return Card({}, body, (), ("empty or missing yaml metadata in repo card",))
    body = text[found.end() :]
    try:
        data = parsed_yaml(found[1])
    except InvalidYaml as error:
        return Card({}, body, (str(error),), front=found[1])
    if not isinstance(data, dict):
        wrong = "The metadata must be a mapping of keys to values"
        return Card({}, body, (wrong,), front=found[1])
    return Card(data, body, tuple(_errors_of(data)), front=found[1])


def _errors_of(data: dict[str, object]) -> Iterable[str]:
    for key in _TEXTS:
        if data.get(key) is not None and not isinstance(data[key], str):
            yield f'"{key}" must be a string'
    for key in _LISTS:
        value = data.get(key)
        values = value if isinstance(value, list) else [value]
        # A bare `no` is Norwegian to the Hub and False to YAML 1.1.
        ok = all(isinstance(v, str) or (key == "language" and v is False) for v in values)
        if value is not None and not ok:
            yield f'"{key}" must be a string or a list of strings'
    index = data.get("model-index")
    if index is not None:
        yield from _index_errors(index)


def _index_errors(index: object) -> Iterable[str]:
    if not isinstance(index, list):
        yield '"model-index" must be an array'
        return
    for m, model in enumerate(index):
        where = f"model-index[{m}]"
        if not isinstance(model, dict) or not isinstance(model.get("name"), str):
            yield f'"{where}.name" is required'
            continue
        results = model.get("results")
        if not isinstance(results, list):
            yield f'"{where}.results" is required'
            continue
        for r, result in enumerate(results):
            yield from _result_errors(f"{where}.results[{r}]", result)


def _result_errors(where: str, result: object) -> Iterable[str]:
    if not isinstance(result, dict):
        yield f'"{where}" must be an object'
        return
    for part, keys in (("task", ("type",)), ("dataset", ("name", "type"))):
        inner = result.get(part)
        for key in keys:
            if not isinstance(inner, dict) or not isinstance(inner.get(key), str):
                yield f'"{where}.{part}.{key}" is required'
    metrics = result.get("metrics")
    if not isinstance(metrics, list):
        yield f'"{where}.metrics" is required'
        return
    for n, metric in enumerate(metrics):
        for key in ("type", "value"):
            if not isinstance(metric, dict) or metric.get(key) is None:
                yield f'"{where}.metrics[{n}].{key}" is required'


def space_card(name: str, sdk: str | None) -> str:
    """The README.md that a new Space starts with."""
    about = {"title": name, "sdk": sdk or "static", "pinned": False}
    return f"---\n{yaml.safe_dump(about, sort_keys=False, allow_unicode=True)}---\n"


def texts(value: object) -> list[str]:
    """A string or a list of strings as a list; anything else is nothing."""
    values = value if isinstance(value, list) else [value]
    return [v for v in values if isinstance(v, str)]


def tags_of(data: dict[str, object]) -> list[str]:
    """The tags the Hub derives from a card's metadata, in its order."""
    found = [
        *texts(data.get("library_name")),
        *texts(data.get("tags")),
        *texts(data.get("pipeline_tag")),
        *(f"task_categories:{t}" for t in texts(data.get("task_categories"))),
        *texts(data.get("language")),
        *(f"dataset:{d}" for d in texts(data.get("datasets"))),
        *(f"base_model:{b}" for b in texts(data.get("base_model"))),
        *(f"license:{name}" for name in texts(data.get("license"))),
        "region:us",
    ]
    return list(dict.fromkeys(found))
