"""A PostTrainingQuantConfig in a Python file, read from its syntax: the file is never run."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from hubkit.errors import RecipeError
from hubkit.recipe_yaml import Document, Fault, Loc, Place, Plain, read_text

_CONFIG = "PostTrainingQuantConfig"
_PARTS = ("AccuracyCriterion", "TuningCriterion")


def python_document(path: Path, label: str) -> Document:
    """The arguments of the one PostTrainingQuantConfig(...) of a file, as if they were a YAML.

    Raises RecipeError where the file is not Python, or has none or several.
    """
    try:
        tree = ast.parse(read_text(path, label), filename=label)
    except (SyntaxError, ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None) or 1
        raise RecipeError(f"{label}:{line}: not readable as Python") from error
    calls = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and _called(node) == _CONFIG
    ]
    if len(calls) != 1:
        where = f":{calls[1].lineno}" if calls else ""
        raise RecipeError(
            f"{label}{where}: {len(calls) or 'no'} {_CONFIG}(...) in it, and one is read",
            hint="Write one, with its values as they are: PostTrainingQuantConfig(approach=...).",
        )
    reader = _Reader(_named(tree), {}, [])
    try:
        data = reader.arguments(calls[0], ())
    except RecursionError as error:  # a value that is made of itself
        raise RecipeError(f"{label}:{calls[0].lineno}: not readable as Python") from error
    return Document(label, data, reader.places, (*reader.faults, *_set_later(tree)))


def _called(call: ast.Call) -> str:
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _set_later(tree: ast.Module) -> list[Fault]:
    """What changes a config, or a part of one, after it was made: NAME.key = value."""
    made = [
        n for n in ast.walk(tree) if isinstance(n, ast.Assign) and isinstance(n.value, ast.Call)
    ]
    ours = [n for n in made if _called(cast("ast.Call", n.value)) in (_CONFIG, *_PARTS)]
    names = {t.id for one in ours for t in one.targets if isinstance(t, ast.Name)}
    return [
        Fault((node.attr,), "set after it was made: name it among the arguments", node.lineno)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load)
        if _root(node) in names
    ]


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _named(tree: ast.Module) -> Mapping[str, ast.expr]:
    """The names that are given a value once in all of a file, and are no argument in it."""
    found = {
        target.id: line.value
        for line in ast.walk(tree)
        if isinstance(line, ast.Assign)
        for target in line.targets
        if isinstance(target, ast.Name)
    }
    stored = [
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)
    ]
    stored += [node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)] * 2
    return {name: value for name, value in found.items() if stored.count(name) == 1}


class _Reader:
    """Calls to mappings, with the line of each argument. `named`: what names stand for."""

    def __init__(
        self, named: Mapping[str, ast.expr], places: dict[Loc, Place], faults: list[Fault]
    ) -> None:
        self._named, self.places, self.faults = named, places, faults

    def arguments(self, call: ast.Call, loc: Loc) -> dict[str, Plain]:
        if call.args or any(keyword.arg is None for keyword in call.keywords):
            self._fault(loc, call, "arguments are read by their names: write name=value")
        found: dict[str, Plain] = {}
        for keyword in call.keywords:
            if keyword.arg is None:
                continue
            here = (*loc, keyword.arg)
            self.places[here] = Place(keyword.value.lineno)
            found[keyword.arg] = self._value(keyword.value, here)
        return found

    def _value(self, node: ast.expr, loc: Loc) -> Plain:
        if isinstance(node, ast.Name):
            node = self._named.get(node.id, node)
        if isinstance(node, ast.Call) and _called(node) in _PARTS:
            return self.arguments(node, loc)
        try:
            value: Plain = ast.literal_eval(node)
        except (ValueError, TypeError, RecursionError):
            self._fault(loc, node, "the file is read and not run: write the value itself")
            return None
        if isinstance(value, dict):
            for key in value:
                self.places[(*loc, str(key))] = Place(node.lineno)
        return value

    def _fault(self, loc: Loc, node: ast.expr, what: str) -> None:
        self.faults.append(Fault(loc, what, node.lineno))
