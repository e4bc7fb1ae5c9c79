"""What pydantic finds wrong in a recipe, in the words of its file: key, found, expected, cure."""

from __future__ import annotations

import json
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, Union, get_args, get_origin

from hubkit.nearest import did_you_mean
from hubkit.recipe import Part, Recipe
from hubkit.recipe_yaml import Document, Fault, Loc, Place, dotted

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping of keys",
    "model_type": "a mapping of keys",
    "model_attributes_type": "a mapping of keys",
}
_BOUNDS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
# Key -> what the pattern of its text stands for.
_FORMS = {
    "name": "a name of letters, digits, dots, dashes and underscores",
    "id": "a repository id, owner/name",
    "repo_id": "a repository id, owner/name",
    "url": "an address that begins with https://, http:// or /",
    "languages": "an ISO 639 code such as en, or multilingual",
}
_DISCRIMINATORS = ("source", "kind")
_LONGEST_SHOWN = 60


def faults_of(
    errors: Iterable[ErrorDetails], document: Document, model: type[Part] = Recipe
) -> tuple[Fault, ...]:
    """Each validation error of a Recipe, or of another part, as a fault at its key in the file."""
    # pydantic counts the valid items: a list whose every item is wrong is "too short" as well.
    real = (e for e in errors if e["type"] != "too_short" or not e["input"])
    return tuple(_fault(error, document, model) for error in real)


def unknown_resets(document: Document) -> tuple[Fault, ...]:
    """Faults for keys that the demo resets with null and that no recipe has."""
    faults = []
    for loc, line in document.dropped.items():
        known = _keys(_spot(loc).holder)
        if known and str(loc[-1]) not in known:
            key = dotted(("demo", *loc))
            faults.append(Fault(loc, _unknown(str(loc[-1]), known), line, key))
    return tuple(faults)


@dataclass(frozen=True)
class _Spot:
    """A place in a recipe: its keys without pydantic's union tags, the types there and above."""

    loc: Loc
    members: tuple[object, ...]
    holder: tuple[object, ...]


def _spot(raw: Loc, model: type[Part] = Recipe) -> _Spot:
    loc: Loc = ()
    members: tuple[object, ...] = (model,)
    holder: tuple[object, ...] = ()
    for step in raw:
        if step == "[key]":  # pydantic's mark for a mapping's key itself
            break
        tagged = _tagged(members, step)
        if tagged:
            members = tagged
            continue
        loc, holder = (*loc, step), members
        members = tuple(m for held in holder for m in _below(held, step))
    return _Spot(loc, members, holder)


def _parts(members: Iterable[object]) -> tuple[type[Part], ...]:
    return tuple(m for m in members if isinstance(m, type) and issubclass(m, Part))


def _tagged(members: tuple[object, ...], step: str | int) -> tuple[object, ...]:
    parts = _parts(members)
    if len(parts) < 2:
        return ()
    fields = {p: field for p in parts for d in _DISCRIMINATORS if (field := p.model_fields.get(d))}
    return tuple(p for p, field in fields.items() if step in get_args(field.annotation))


def _below(holder: object, step: str | int) -> tuple[object, ...]:
    """The types that a key, or a list's item, of a type may have."""
    if get_origin(holder) is dict:
        return _plain(get_args(holder)[1])
    if get_origin(holder) is tuple:
        return _plain(get_args(holder)[0])
    fields = [
        f for p in _parts([holder]) for k, f in p.model_fields.items() if step == _key(k, f.alias)
    ]
    return tuple(m for f in fields for m in _plain(f.annotation))


def _plain(annotation: object) -> tuple[object, ...]:
    """A type's alternatives, without Annotated and None."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(m for a in get_args(annotation) for m in _plain(a) if m is not type(None))
    return (annotation,)


def _key(name: str, alias: str | None) -> str:
    return alias or name


def _keys(members: Iterable[object]) -> list[str]:
    found = [_key(k, f.alias) for p in _parts(members) for k, f in p.model_fields.items()]
    return list(dict.fromkeys(found))


def _fault(error: ErrorDetails, document: Document, model: type[Part]) -> Fault:
    spot = _spot(error["loc"], model)
    kind, found, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return Fault(spot.loc, _unknown(str(spot.loc[-1]), _keys(spot.holder)))
    if kind == "missing":
        return Fault(spot.loc, "missing key" + _described(spot))
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        loc = (*spot.loc, str(context["discriminator"]).strip("'"))
        kinds = [p.model_fields[str(loc[-1])].annotation for p in _parts(spot.members)]
        choices = _choices(*kinds)
        if kind == "union_tag_not_found":
            return Fault(loc, f"missing key: one of {', '.join(choices)}")
        return Fault(loc, _not_one_of(context["tag"], choices, document.place(loc)))
    if kind == "literal_error":
        place = document.place(spot.loc)
        if error["loc"][-1] == "[key]":
            keys = [c for held in spot.holder for c in _choices(get_args(held)[0])]
            return Fault(spot.loc, _unknown(str(found), keys))
        return Fault(spot.loc, _not_one_of(found, _choices(*spot.members), place))
    what = _mismatch(kind, found, context, spot.loc, document.place(spot.loc))
    return Fault(spot.loc, what or error["msg"])


def _choices(*members: object) -> list[str]:
    return [str(c) for m in members if get_origin(m) is Literal for c in get_args(m)]


def _unknown(name: str, known: list[str]) -> str:
    near = did_you_mean(name, known)
    return "unknown key" + (near or f" (known: {', '.join(known)})")


def _described(spot: _Spot) -> str:
    for part in _parts(spot.holder):
        for name, field in part.model_fields.items():
            if _key(name, field.alias) == spot.loc[-1] and field.description:
                return f": {field.description.rstrip('.')}"
    return ""


def _not_one_of(found: object, choices: list[str], place: Place) -> str:
    expected = f"one of {', '.join(choices)}" if len(choices) > 1 else choices[0]
    near = did_you_mean(found, choices) if isinstance(found, str) else ""
    return f"expected {expected}, found {_shown(found, place)}{near}"


def _mismatch(
    kind: str, found: object, context: Mapping[str, object], loc: Loc, place: Place
) -> str:
    if kind in _EXPECTED:
        expected = _EXPECTED[kind]
        return f"expected {expected}, found {_shown(found, place)}" + _cure(expected, found, place)
    if kind in _BOUNDS:
        word, bound = _BOUNDS[kind]
        return f"expected {word} {context[bound]}, found {_shown(found, place)}"
    if kind == "too_short":
        return "must not be empty"
    if kind == "string_too_long":
        return f"expected at most {context['max_length']} characters, found {_shown(found, place)}"
    if kind == "string_pattern_mismatch":
        name = next((step for step in reversed(loc) if isinstance(step, str)), "")
        form = _FORMS.get(name, f"text like {context['pattern']}")
        return f"expected {form}, found {_shown(found, place)}"
    return ""


def _shown(found: object, place: Place) -> str:
    if isinstance(found, (list, tuple)):
        return "a list"
    if isinstance(found, dict):
        return "a mapping"
    text = json.dumps(found, ensure_ascii=False)
    if len(text) > _LONGEST_SHOWN:
        text = text[: _LONGEST_SHOWN - 3] + '..."'
    # no, on, 012 and 1:30 are not what they look like: say both.
    if isinstance(found, str) or not place.written or place.written == text:
        return "nothing" if found is None else text
    return f"{'nothing' if found is None else text} (which is how YAML reads {place.written})"


def _cure(expected: str, found: object, place: Place) -> str:
    if expected == "text" and isinstance(found, (bool, int, float)):
        return f': quote it, "{place.written or found}"'
    if expected == "a list" and not isinstance(found, (dict, type(None))):
        return f": write [{place.written or found}]"
    if expected in ("a number", "a whole number") and isinstance(found, str):
        try:
            return f": write {float(found):g} without quotes"
        except ValueError:
            return ""
    return ""
