"""The JSON Schema of a recipe file, for editors; for `demo:` it is the same made partial."""

from __future__ import annotations

from hubkit.recipe_yaml import Plain

JsonObject = dict[str, Plain]

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_SUFFIX = "Overlay"


def recipe_schema() -> JsonObject:
    """JSON Schema (draft 2020-12) that accepts every recipe file whose keys and types are right."""
    from hubkit.recipe import Recipe

    schema: JsonObject = Recipe.model_json_schema(by_alias=True)
    definitions = _object(schema.pop("$defs"))
    base = _object(_object(schema["properties"])["base"])
    kinds = [str(k) for k in _object(_object(base["discriminator"])["mapping"]).values()]
    kinds = [kind.removeprefix("#/$defs/") for kind in kinds]
    for kind in kinds:  # `source` has a default in code; in a file it tells the kinds apart
        required = _object(definitions[kind]).get("required")
        _object(definitions[kind])["required"] = ["source", *_list(required)]
    overlay = _partial({k: v for k, v in schema.items() if k != "description"})
    properties = _object(overlay["properties"])
    del properties["demo"]
    described = _object(_object(schema["properties"])["demo"])["description"]
    _object(schema["properties"])["demo"] = {
        "anyOf": [{"$ref": f"#/$defs/Recipe{_SUFFIX}"}, {"type": "null"}],
        "default": None,
        "description": described,
    }
    partial: JsonObject = {
        name + _SUFFIX: _partial(_object(value)) for name, value in definitions.items()
    }
    _reset_others(kinds, partial)
    all_definitions: JsonObject = {**definitions, **partial, f"Recipe{_SUFFIX}": overlay}
    return {"$schema": _DRAFT, **schema, "$defs": all_definitions}


def _object(value: Plain) -> JsonObject:
    assert isinstance(value, dict)
    return value


def _list(value: Plain) -> list[Plain]:
    return list(value) if isinstance(value, list) else []


def _reset_others(kinds: list[str], definitions: JsonObject) -> None:
    """Let the overlay of each kind of base set the keys of the other kinds to null."""
    every = [name for kind in kinds for name in _properties(kind, definitions)]
    for kind in kinds:
        own = _properties(kind, definitions)
        own.update({name: {"type": "null"} for name in every if name not in own})


def _properties(kind: str, definitions: JsonObject) -> JsonObject:
    return _object(_object(definitions[kind + _SUFFIX])["properties"])


def _partial(part: JsonObject) -> JsonObject:
    """A part of which any key may be left out, or null to reset it."""
    kept: JsonObject = {k: v for k, v in part.items() if k != "required"}
    properties = _object(part.get("properties") or {})
    kept["properties"] = {name: _optional(_object(value)) for name, value in properties.items()}
    return kept


def _optional(value: JsonObject) -> JsonObject:
    described: JsonObject = {k: value[k] for k in ("description",) if k in value}
    return {"anyOf": [*_alternatives(value), {"type": "null"}], **described}


def _alternatives(value: JsonObject) -> list[Plain]:
    """What may stand in an overlay for a value: a mapping merges, so a part of it; else a whole."""
    reference = value.get("$ref")
    if isinstance(reference, str):
        return [{"$ref": reference + _SUFFIX}]
    union = value.get("oneOf", value.get("anyOf"))
    if isinstance(union, list):
        return [a for member in union for a in _alternatives(_object(member))]
    kept = {k: v for k, v in value.items() if k not in ("description", "default", "minProperties")}
    if "additionalProperties" in kept:
        kept["additionalProperties"] = {"anyOf": [kept["additionalProperties"], {"type": "null"}]}
    return [kept]
