"""The filter of a sweep: a condition over the parameters of a configuration."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable, Mapping, Sequence

from hubkit.errors import UsageError
from hubkit.nearest import did_you_mean

# A value that a filter may speak of.
Value = bool | int | float | str | None | tuple[str, ...]

# Values that need no quotes.
_WORDS = ("dynamic", "static", "minmax", "entropy", "percentile", "int8", "uint8")
_ALLOWED = (ast.BoolOp, ast.UnaryOp, ast.Compare, ast.Name, ast.Constant, ast.List, ast.Tuple)


def condition(text: str, names: Sequence[str]) -> Callable[[Mapping[str, Value]], bool]:
    """A filter such as `static and per_channel and "Add" in operators_to_quantize`, as a function
    of a configuration's parameters, whose names are `names`.

    It may hold and, or, not, in, comparisons and parentheses over parameters and literals. A bare
    word that is a value (static, minmax, uint8) is true where some parameter has it. Nothing is
    executed. Raises UsageError for anything else.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
        _check(tree.body, names)
    except SyntaxError:
        raise _unreadable(text, "it is no condition", names) from None
    except _Refused as error:
        raise _unreadable(text, str(error), names) from None
    return lambda known: bool(_value(tree.body, known))


class _Refused(Exception):
    """What a filter may not hold."""


def _check(node: ast.expr, names: Sequence[str]) -> None:
    is_odd = isinstance(node, ast.UnaryOp) and not isinstance(node.op, ast.Not | ast.USub)
    if not isinstance(node, _ALLOWED) or is_odd:
        raise _Refused(f"{ast.unparse(node)} is nothing that a filter may hold")
    if isinstance(node, ast.Constant) and not isinstance(
        node.value, bool | int | float | str | None
    ):
        raise _Refused(f"{ast.unparse(node)} is no value of a parameter")
    if isinstance(node, ast.Name) and node.id not in (*names, *_WORDS):
        raise _Refused(f"{node.id} is no parameter{did_you_mean(node.id, (*names, *_WORDS))}")
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            _check(child, names)


def _value(node: ast.expr, known: Mapping[str, Value]) -> Value:
    if isinstance(node, ast.BoolOp):
        judged = (bool(_value(one, known)) for one in node.values)
        return all(judged) if isinstance(node.op, ast.And) else any(judged)
    if isinstance(node, ast.UnaryOp):
        value = _value(node.operand, known)
        if isinstance(node.op, ast.Not):
            return not value
        return -value if isinstance(value, int | float) else None
    if isinstance(node, ast.Compare):
        sides = [_side(one, known) for one in (node.left, *node.comparators)]
        return all(
            _holds(op, *pair) for op, pair in zip(node.ops, itertools.pairwise(sides), strict=True)
        )
    if isinstance(node, ast.Name) and node.id not in known:
        return node.id in known.values()
    return _side(node, known)


def _side(node: ast.expr, known: Mapping[str, Value]) -> Value:
    """A side of a comparison; a bare word that is no parameter is that word."""
    if isinstance(node, ast.Name):
        return known.get(node.id, node.id)
    if isinstance(node, ast.List | ast.Tuple):
        return tuple(str(_side(element, known)) for element in node.elts)
    if isinstance(node, ast.Constant):
        value: Value = node.value  # type: ignore[assignment]  # _check has seen to it
        return value
    return _value(node, known)


def _holds(op: ast.cmpop, one: Value, other: Value) -> bool:
    if isinstance(op, ast.Eq | ast.Is):
        return one == other
    if isinstance(op, ast.NotEq | ast.IsNot):
        return one != other
    if isinstance(op, ast.In | ast.NotIn):
        inside = isinstance(other, tuple) and one in other
        return inside == isinstance(op, ast.In)
    if not isinstance(one, int | float) or not isinstance(other, int | float):
        return False
    if isinstance(op, ast.Lt | ast.GtE):
        return (one < other) == isinstance(op, ast.Lt)
    return (one > other) == isinstance(op, ast.Gt)


def _unreadable(text: str, why: str, names: Sequence[str]) -> UsageError:
    return UsageError(
        f"--where '{text}': {why}",
        hint="For example: --where 'static and per_channel', or --where"
        f" '\"Add\" in operators_to_quantize and method != entropy'."
        f" Parameters: {', '.join(names)}.",
    )
