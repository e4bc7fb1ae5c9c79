"""YAML as anybody may send it: read within limits, and only what JSON can hold.

PyYAML has no limits of its own. A few hundred bytes of anchors are gigabytes once JSON writes them
out, a number in base 60 takes the square of its length, and a value that does not fit its explicit
tag (`!!bool maybe`) raises whatever its constructor happens to raise.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from collections.abc import Callable

    from yaml.nodes import ScalarNode

MOST_VALUES = 200_000
"""Keys and values of a text, those behind an alias counted wherever it stands."""
MOST_DEPTH = 64
_MOST_DIGITS = 400
# In C where it is there: some ten times as fast, and it refuses half a character.
_Base: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class InvalidYaml(ValueError):
    """What cannot be read, or is more than is read."""


def parsed_yaml(text: str) -> object:
    """The value of a YAML text as JSON has it: dates and bytes are text, and so are NaN and
    infinity, which JSON lacks. InvalidYaml for anything else."""
    try:
        _measure(text)
        value = yaml.load(text, Loader=_loader())  # a SafeLoader
    except yaml.YAMLError as error:
        raise InvalidYaml(f"Invalid YAML: {error}") from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise InvalidYaml(f"Invalid YAML: a value does not fit its tag: {error}") from None
    except RecursionError:
        raise InvalidYaml("Invalid YAML: nested too deeply") from None
    try:
        plain: object = json.loads(json.dumps(value, default=str), parse_constant=str)
        json.dumps(plain, ensure_ascii=False).encode()  # no half of a surrogate pair is in it
    except (TypeError, ValueError, RecursionError):
        raise InvalidYaml("The metadata holds what JSON cannot") from None
    return plain


@cache
def _loader() -> type[yaml.SafeLoader]:
    class Loader(_Base):  # type: ignore[misc, valid-type]
        """The safe one, with short numbers."""

    for kind, construct in (
        ("int", yaml.SafeLoader.construct_yaml_int),
        ("float", yaml.SafeLoader.construct_yaml_float),
    ):
        Loader.add_constructor(f"tag:yaml.org,2002:{kind}", _short(construct))
    return Loader


def _short(
    construct: Callable[[yaml.SafeLoader, ScalarNode], object],
) -> Callable[[yaml.SafeLoader, ScalarNode], object]:
    def checked(loader: yaml.SafeLoader, node: ScalarNode) -> object:
        if len(node.value) > _MOST_DIGITS:
            raise InvalidYaml(f"a number has over {_MOST_DIGITS} digits")
        return construct(loader, node)

    return checked


def _measure(text: str) -> None:
    """Raise InvalidYaml where a text has too many values or is nested too deeply, aliases followed,
    before anything of it is built."""
    known: dict[str, tuple[int, int]] = {}  # anchor -> values, depth
    # Of each collection that is open: its anchor, the values before it, the depth of what is in it.
    open_ones: list[tuple[str | None, int, int]] = []
    values = 0
    for event in yaml.parse(text, Loader=_Base):
        before, depth = values, 1
        if isinstance(event, yaml.CollectionStartEvent):
            values += 1
            open_ones.append((event.anchor, before, 0))
            depth = 0
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before, inside = open_ones.pop()
            depth = inside + 1
            _remember(known, anchor, values - before, depth)
        elif isinstance(event, yaml.AliasEvent):
            # One that is not known stands in what it names, or names nothing.
            more, depth = known.get(event.anchor or "", (1, MOST_DEPTH))
            values += more
        elif isinstance(event, yaml.ScalarEvent):
            values += 1
            _remember(known, event.anchor, 1, 1)
        if open_ones:
            anchor, start, inside = open_ones[-1]
            open_ones[-1] = (anchor, start, max(inside, depth))
        if len(open_ones) + depth > MOST_DEPTH:
            raise InvalidYaml(f"Invalid YAML: nested more than {MOST_DEPTH} deep, or in itself")
        if values > MOST_VALUES:
            raise InvalidYaml(f"Invalid YAML: more than {MOST_VALUES} keys and values")


def _remember(
    known: dict[str, tuple[int, int]], anchor: str | None, values: int, depth: int
) -> None:
    if anchor is not None:
        known[anchor] = values, depth
