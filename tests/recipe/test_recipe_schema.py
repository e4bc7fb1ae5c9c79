"""The JSON Schema accepts what hubkit accepts, and explains every key."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from hubkit.recipe_file import load_recipe, shipped_recipes
from hubkit.recipe_schema import recipe_schema
from tests.recipe.conftest import Load

DEMO = """\
demo:
  base: {source: built, id: demo/x, revision: null, builder: b}
  labels: {0: A, 1: null}
"""


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = recipe_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize("name", shipped_recipes())
def test_it_accepts_the_shipped_recipes(validator: Draft202012Validator, name: str) -> None:
    assert [e.message for e in validator.iter_errors(load_recipe(name).document.data)] == []


def test_it_accepts_a_partial_demo(load: Load, validator: Draft202012Validator) -> None:
    data = load(more=DEMO).document.data
    assert [e.message for e in validator.iter_errors(data)] == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("nam", "x"),
        ("task", "translation"),
        ("base", {"id": "me/model"}),
        ("base", {"source": "hub", "id": "me/model", "path": "x"}),
        ("variants", []),
        ("variants", [{"kind": "onnx-dynamic", "per_chanel": True}]),
        ("evaluation", {"batch_size": 0}),
        ("labels", {"0": 1}),
        ("demo", {"evaluaton": {}}),
        ("demo", {"evaluation": {"batch_size": "8"}}),
        ("demo", {"base": {"source": "built", "idd": "x"}}),
        ("demo", {"demo": {}}),
    ],
)
def test_it_refuses_what_hubkit_refuses(
    load: Load, validator: Draft202012Validator, key: str, value: object
) -> None:
    data: dict[str, object] = dict(load().document.data)
    assert validator.is_valid(data)
    assert not validator.is_valid({**data, key: value})


def test_every_key_is_described() -> None:
    def bare(value: object, path: str) -> Iterator[str]:
        if isinstance(value, dict):
            properties = value.get("properties")
            if isinstance(properties, dict):
                yield from (f"{path}.{k}" for k, v in properties.items() if not _described(v))
            for key, below in value.items():
                yield from bare(below, f"{path}/{key}")

    assert list(bare(recipe_schema(), "")) == []


def _described(value: object) -> bool:
    # A key of another kind of base, there only to be reset, needs no words.
    return isinstance(value, dict) and ("description" in value or value == {"type": "null"})
