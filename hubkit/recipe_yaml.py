"""A YAML file as plain values with the line of each, its `demo:` overlay laid over it if asked for.

yaml.compose gives nodes with marks; they are turned into values here, not by yaml's own
constructor, so that a key given twice or a key that is no text is a fault with a line, not a
silent choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, TypeAlias

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.resolver import Resolver

from hubkit.errors import RecipeError

Loc = tuple[str | int, ...]
Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"

_TAG = "tag:yaml.org,2002:"
_SCALARS = ("null", "bool", "int", "float", "str")
# Aliases make a file of some lines expand without end; no recipe is near this many values.
_MOST_VALUES = 20_000


# A date is read as the text it is.
_RESOLVERS = {
    first: [(tag, form) for tag, form in resolvers if tag != _TAG + "timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads no dates."""

    yaml_implicit_resolvers = _RESOLVERS


def _fast_loader() -> type[yaml.SafeLoader] | None:
    """The same on libyaml's parser, eight times as fast; None where PyYAML came without it.

    Only the parser is C: its own composer recurses without a limit, and a file of many brackets
    would end the process.
    """
    try:
        from yaml._yaml import CParser
    except ImportError:
        return None

    class FastLoader(Composer, CParser, SafeConstructor, Resolver):
        yaml_implicit_resolvers = _RESOLVERS

        def __init__(self, stream: str) -> None:
            CParser.__init__(self, stream)
            Composer.__init__(self)
            SafeConstructor.__init__(self)
            Resolver.__init__(self)

    return FastLoader  # type: ignore[return-value]


_FAST = _fast_loader()


@dataclass(frozen=True)
class Place:
    """Where a value stands: its line from 1, a plain scalar as written, and whether in `demo:`."""

    line: int
    written: str | None = None
    overlay: bool = False


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong, at a key; `line` and `key` where the key's place does not tell."""

    loc: Loc
    what: str
    line: int | None = None
    key: str | None = None


@dataclass(frozen=True)
class Document:
    """A recipe file as read, shown to the user as `label`; `dropped`: the keys reset by null."""

    label: str
    data: dict[str, Plain]
    places: Mapping[Loc, Place]
    faults: tuple[Fault, ...] = ()
    dropped: Mapping[Loc, int] = field(default_factory=dict)

    def place(self, loc: Loc) -> Place:
        """The place of a key, or of the nearest one that holds it."""
        while loc and loc not in self.places:
            loc = loc[:-1]
        return self.places.get(loc, Place(1))

    def line(self, fault: Fault) -> int:
        """The line that a fault is about, from 1."""
        return fault.line or self.place(fault.loc).line

    def describe(self, fault: Fault) -> str:
        """`file:line: key: what`."""
        overlay = fault.loc and self.place(fault.loc).overlay
        key = fault.key or dotted(("demo", *fault.loc) if overlay else fault.loc)
        return f"{self.label}:{self.line(fault)}: " + (f"{key}: " if key else "") + fault.what

    def refuse(self, faults: tuple[Fault, ...], *, hint: str = "") -> None:
        """Raise RecipeError with one line a fault, in the file's order; nothing without faults."""
        if faults:
            lines = dict.fromkeys(
                self.describe(f) for f in sorted(faults, key=lambda f: (self.line(f), str(f.loc)))
            )
            raise RecipeError("\n".join(lines), hint=hint)


def dotted(loc: Loc) -> str:
    """`variants[1].per_channel`."""
    text = ""
    for step in loc:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def read_document(path: Path, label: str, *, demo: bool = False) -> Document:
    """The file's values with their places; without `demo`, `demo:` is one key among others.

    Raises RecipeError where the file is not one YAML mapping, or has no `demo:` that is asked for.
    """
    root, plain = _mapping(read_text(path, label), label)
    if not demo:
        return plain
    overlay = next((value for key, value in root.value if key.value == "demo"), None)
    if not isinstance(overlay, MappingNode):
        raise RecipeError(
            f"{label}: this recipe has no demo: mapping, so it cannot run with --demo",
            hint="Run it without --demo, or add a demo: mapping (docs/recipe.md).",
        )
    merged = MappingNode(root.tag, [p for p in root.value if p[0].value != "demo"], root.start_mark)
    dropped: dict[Loc, int] = {}
    merged = _laid_over(merged, overlay, (), dropped)
    reader_of_merged = _Reader(label, overlay)
    result = reader_of_merged.value(merged, ())
    assert isinstance(result, dict)
    # The faults are those of the file as written: merging hides keys given twice.
    return Document(label, result, reader_of_merged.places, plain.faults, dropped)


def parse_document(text: str, label: str) -> Document:
    """The values of one YAML mapping with their places. Raises RecipeError where it is none."""
    return _mapping(text, label)[1]


def _mapping(text: str, label: str) -> tuple[MappingNode, Document]:
    root = _compose(text, label)
    reader = _Reader(label)
    data = reader.value(root, ())
    if not isinstance(root, MappingNode) or not isinstance(data, dict):
        raise RecipeError(
            f"{label}:1: expected a mapping of keys, found {_kind(root)}",
            hint="See docs/recipe.md, or start from `hubkit recipe new MODEL_ID`.",
        )
    return root, Document(label, data, reader.places, tuple(reader.faults))


def read_text(path: Path, label: str) -> str:
    """The file's text. Raises RecipeError where it cannot be read as UTF-8."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise RecipeError(
            f"{label}: no such file", hint="`hubkit recipe list` shows the shipped recipes."
        ) from error
    except UnicodeDecodeError as error:
        raise RecipeError(
            f"{label}: not UTF-8 text (byte {error.start})", hint="Save the file as UTF-8."
        ) from error
    except OSError as error:
        raise RecipeError(
            f"{label}: {error.strerror}", hint="Give a recipe.yaml that you may read."
        ) from error


def _compose(text: str, label: str) -> Node:
    if _FAST is not None:
        # What is wrong with a file is told by the parser in Python, in its words.
        with suppress(yaml.YAMLError, RecursionError):
            fast: Node | None = yaml.compose(text, Loader=_FAST)
            if fast is not None:
                return fast
    try:
        node: Node | None = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{label}:{mark.line + 1}:{mark.column + 1}" if mark else label
        context = f" ({error.context})" if error.context else ""
        raise RecipeError(
            f"{where}: not readable as YAML: {error.problem}{context}",
            hint="YAML indents with spaces; text with `: ` or ` #` in it needs quotes.",
        ) from error
    except yaml.YAMLError as error:  # a forbidden character: no mark, a position
        position = getattr(error, "position", 0)
        line, column = text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position)
        raise RecipeError(
            f"{label}:{line}:{column}: not readable as YAML: a control character",
            hint="Remove the character; a recipe is plain UTF-8 text.",
        ) from error
    except RecursionError as error:
        raise RecipeError(
            f"{label}: not readable as YAML: nested too deep", hint="A recipe is five levels deep."
        ) from error
    if node is None:
        raise RecipeError(
            f"{label}:1: the file is empty", hint="Write one with `hubkit recipe new MODEL_ID`."
        )
    return node


def _laid_over(
    base: MappingNode, over: MappingNode, loc: Loc, dropped: dict[Loc, int]
) -> MappingNode:
    """`base` under `over`: mappings merge, null takes the key away, anything else replaces."""
    pairs = {str(key.value): (key, value) for key, value in base.value}
    for key, value in over.value:
        name, here = str(key.value), (*loc, str(key.value))
        old = pairs.get(name, (None, None))[1]
        if value.tag == _TAG + "null":
            pairs.pop(name, None)
            dropped[here] = key.start_mark.line + 1
        elif isinstance(value, MappingNode):
            if not isinstance(old, MappingNode):  # nulls below it reset too
                old = MappingNode(value.tag, [], value.start_mark, value.end_mark)
            pairs[name] = (key, _laid_over(old, value, here, dropped))
        else:
            pairs[name] = (key, value)
    return MappingNode(base.tag, list(pairs.values()), base.start_mark, base.end_mark)


@dataclass
class _Reader:
    """Nodes to values; collects places and faults on the way."""

    label: str
    overlay: MappingNode | None = None
    places: dict[Loc, Place] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    inside: list[Node] = field(default_factory=list)
    count: int = 0

    def value(self, node: Node, loc: Loc) -> Plain:
        self.count += 1
        if self.count > _MOST_VALUES:
            self._refuse(node, f"more than {_MOST_VALUES} values: aliases that multiply")
        self.places.setdefault(loc, self._place(node, node))
        if any(outer is node for outer in self.inside):
            self._refuse(node, "an alias that holds itself")
        self.inside.append(node)
        try:
            if isinstance(node, MappingNode):
                return self._mapping(node, loc)
            if isinstance(node, SequenceNode):
                return [self.value(item, (*loc, i)) for i, item in enumerate(node.value)]
            return self._scalar(node, loc)
        finally:
            self.inside.pop()

    def _mapping(self, node: MappingNode, loc: Loc) -> dict[str, Plain]:
        values: dict[str, Plain] = {}
        first: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            name = self._key(key, loc)
            if name is None:
                continue
            here = (*loc, name)
            if name in first:
                what = f"the key is given twice (first on line {first[name]})"
                self.faults.append(Fault(here, what, line, dotted(here)))
                continue
            first[name] = line
            self.places[here] = self._place(key, value)
            values[name] = self.value(value, here)
        return values

    def _key(self, node: Node, loc: Loc) -> str | None:
        text = str(node.value) if isinstance(node, ScalarNode) else "?"
        if node.tag == _TAG + "str":
            return text
        if node.tag == _TAG + "int":  # `labels:` maps class numbers; 007 and 0x7 are the class 7
            return str(self._scalar(node, loc))
        if node.tag == _TAG + "merge":
            self._fault(loc, "merge keys (<<) are not supported: write the keys out", node)
        elif isinstance(node, ScalarNode):
            read = _kind(node)
            self._fault(loc, f'the key {text} is read by YAML as {read}: quote it, "{text}"', node)
        else:
            self._fault(loc, "a key must be text", node)
        return None

    def _scalar(self, node: Node, loc: Loc) -> Plain:
        kind = node.tag.removeprefix(_TAG)
        if kind not in _SCALARS:
            self._fault(loc, f"the tag {node.tag} is not supported", node)
            return None
        if kind == "str":  # most of a recipe, and a loader for each takes its time
            return str(node.value)
        try:
            value: Plain = yaml.SafeLoader("").construct_object(node)
        except ValueError:
            self._fault(loc, f"{node.value} cannot be read as {kind}", node)
            return None
        if isinstance(value, float) and value - value != 0:
            self._fault(loc, f"{node.value} is not a finite number", node)
            return None
        return value

    def _fault(self, loc: Loc, what: str, node: Node) -> None:
        self.faults.append(Fault(loc, what, node.start_mark.line + 1, dotted(loc)))

    def _refuse(self, node: Node, what: str) -> NoReturn:
        raise RecipeError(
            f"{self.label}:{node.start_mark.line + 1}: {what}",
            hint="Write the values out without `&` and `*`.",
        )

    def _place(self, at: Node, value: Node) -> Place:
        scalar = isinstance(value, ScalarNode) and not value.style
        start, over = at.start_mark.index, self.overlay
        inside = over is not None and over.start_mark.index <= start < over.end_mark.index
        return Place(at.start_mark.line + 1, str(value.value) if scalar else None, inside)


def _kind(node: Node) -> str:
    names = {"bool": "true or false", "null": "nothing", "float": "a number", "seq": "a list"}
    return names.get(node.tag.removeprefix(_TAG), "text")
