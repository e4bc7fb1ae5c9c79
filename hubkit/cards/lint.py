"""What the Hub would refuse in a README.md, and what it would only grumble at: known offline.

It mirrors the check that the Hub runs on every push (`/api/validate-yaml`), with the hubkit.cards
part of it in `lint_keys` and `lint_index`, and is stricter where readers of the card differ: a key
given twice, a word that YAML 1.1 takes for a truth value, a number that JSON cannot hold.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from hubkit.cards.lint_index import index_problems
from hubkit.cards.lint_keys import key_problems
from hubkit.cards.lint_problem import Problem as Problem
from hubkit.cards.lint_problem import error, warning
from hubkit.errors import HubkitError

# The Hub takes larger files as LFS only, which a card cannot be; so large a block of metadata is
# no metadata.
MAX_CARD_BYTES, MAX_METADATA_BYTES = 10_000_000, 256_000
_BLOCK = re.compile(r"\A---\r?\n(.*?)(?:^---(?:\r?\n|\Z))", re.DOTALL | re.MULTILINE)
_BEGIN = re.compile(r"---[ \t]*(\r?\n|\Z)")
_TAG = "tag:yaml.org,2002:"
_TRUTH = frozenset({"yes", "no", "on", "off"})


def lint(text: str) -> tuple[Problem, ...]:
    """Everything that is wrong with the metadata of a README.md, in the order of its keys. Empty:
    the Hub takes the card. Never raises."""
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        return (error("", "the text is not valid Unicode", "Save the file as UTF-8."),)
    if size > MAX_CARD_BYTES:
        what = f"the card has {size:,} bytes, and the Hub takes {MAX_CARD_BYTES:,}"
        return (error("", what, "Shorten the notes."),)
    found = _BLOCK.match(text)
    if found is None:
        return tuple(_no_block(text))
    return tuple(_block_problems(found[1]))


def check_card(text: str) -> None:
    """Refuse a card that the Hub would refuse. Raises HubkitError with each error and its cure."""
    errors = [problem for problem in lint(text) if problem.severity == "error"]
    if errors:
        lines = "\n".join(f"- {problem}" for problem in errors)
        raise HubkitError(
            f"the Hub would refuse the metadata of README.md:\n{lines}",
            hint="Most of it comes from `publication:` in the recipe; mend it there, then run the"
            " same command again.",
        )


def _no_block(text: str) -> Iterator[Problem]:
    if text.startswith("\ufeff"):
        yield error("", "the file begins with a byte order mark", "Save it as UTF-8 without one.")
    elif _BEGIN.match(text):
        what = "the metadata does not begin and end with lines of three dashes"
        yield error("", what, "Write --- above it and below it, and nothing else in these lines.")
    elif re.match(r"\s+---", text):
        yield error("", "something stands before the metadata", "Let the first line be ---.")
    else:
        what = "there is no metadata"
        yield warning("", what, "Begin the file with --- and the keys, then --- again.")


def _block_problems(block: str) -> Iterator[Problem]:
    tab = block.find("\t")
    if tab >= 0:
        line = block.count("\n", 0, tab) + 2  # the block begins in the file's second
        yield error("", f"there is a tab in line {line}", "Use spaces.")
        return
    if not block.strip(" \r\n"):
        yield warning("", "the metadata is empty", "Give at least language, license and tags.")
        return
    if len(block.encode("utf-8")) > MAX_METADATA_BYTES:
        what = f"the metadata has more than {MAX_METADATA_BYTES:,} bytes"
        yield error("", what, "Leave out what belongs into the text below it.")
        return
    loader = yaml.SafeLoader("")
    try:
        loader = yaml.SafeLoader(block)
        root = loader.get_single_node()
        broken = list(_node_problems(root, loader)) if root else []
        data = None if root is None or _stops(broken) else loader.construct_document(root)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as fault:
        yield _unreadable(fault)
        return
    finally:
        loader.dispose()
    yield from broken
    if not _stops(broken):
        yield from _data_problems(data)


def _stops(problems: list[Problem]) -> bool:
    return any(problem.severity == "error" for problem in problems)


def _unreadable(fault: Exception) -> Problem:
    mark = getattr(fault, "problem_mark", None)
    line = f" (line {mark.line + 2})" if mark else ""
    said = getattr(fault, "problem", None) or getattr(fault, "reason", None) or str(fault)
    if isinstance(fault, RecursionError):
        said = "it is nested too deep"
    what = f"not YAML{line}: {' '.join(str(said).split())}"
    return error("", what, "Quote values that hold `: `, `#` or a leading symbol.")


def _data_problems(data: object) -> Iterator[Problem]:
    if not isinstance(data, dict):
        what = "the metadata is no mapping of keys to values"
        yield error("", what, "Write `key: value` lines between the two lines of dashes.")
        return
    try:
        json.dumps(data, default=str, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        yield error("", "a value is infinite, or no number", "Leave out what was not measured.")
        return
    yield from key_problems(data)
    yield from index_problems(data.get("model-index"))


def _node_problems(root: Node, loader: yaml.SafeLoader) -> Iterator[Problem]:
    """What the values no longer show: keys given twice, tags, references, bare yes and no."""
    seen: set[int] = set()
    waiting: list[tuple[str, Node]] = [("", root)]
    while waiting:
        key, node = waiting.pop()
        if id(node) in seen:
            yield error(key, "it refers to another value with *", "Write the value out.")
            continue
        seen.add(id(node))
        if isinstance(node, ScalarNode):
            yield from _scalar_problems(key, node, loader)
        elif node.tag != _resolved(node, loader):
            yield error(key, f"it has the tag {_shown(node.tag)}", "Leave the tag out.")
        elif isinstance(node, SequenceNode):
            inside = [(f"{key}[{at}]", value) for at, value in enumerate(node.value)]
            waiting += reversed(inside)
        elif isinstance(node, MappingNode):
            yield from _mapping_problems(key, node)
            inside = [(_below(key, name), value) for name, value in node.value]
            waiting += reversed(inside)


def _below(key: str, name: Node) -> str:
    last = _shown(str(name.value)) if isinstance(name, ScalarNode) else "?"
    return f"{key}.{last}" if key else last


def _mapping_problems(key: str, node: MappingNode) -> Iterator[Problem]:
    names: set[str] = set()
    for name, _ in node.value:
        here = _below(key, name)
        line = name.start_mark.line + 2
        if not isinstance(name, ScalarNode) or name.tag != f"{_TAG}str":
            what = f"the key in line {line} is no text"
            yield error(here, what, "Quote it, or leave it out.")
        elif name.value in names:
            what = f"it is given twice, the second time in line {line}"
            yield error(here, what, "Keep one of the two.")
        names.add(str(name.value))


def _scalar_problems(key: str, node: ScalarNode, loader: yaml.SafeLoader) -> Iterator[Problem]:
    plain = node.style is None
    if node.tag != _resolved(node, loader):
        yield error(key, f"it has the tag {_shown(node.tag)}", "Leave the tag out.")
    elif any("\ud800" <= character <= "\udfff" for character in node.value):
        yield error(key, "it holds half of a character", "Write the character itself.")
    elif plain and node.value.lower() in _TRUTH:
        # The Hub reads YAML 1.2, where this is a word; Python and its huggingface_hub read 1.1.
        what = f"a bare {node.value} is true or false to half of its readers"
        yield warning(key, what, f'Quote it: "{node.value}".')


def _resolved(node: Node, loader: yaml.SafeLoader) -> str:
    """The tag that YAML gives the node by itself: where it has another, it was written down."""
    plain = node.style is None if isinstance(node, ScalarNode) else True
    tag: str = loader.resolve(type(node), node.value, (plain, not plain))  # type: ignore[no-untyped-call]
    return tag


def _shown(text: str) -> str:
    short = " ".join(text.split())
    return short if len(short) <= 60 else short[:57] + "..."
