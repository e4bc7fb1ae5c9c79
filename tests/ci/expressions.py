"""The expressions of GitHub's workflows, as far as ours use them: contexts, ==, !=, &&, ||, ! and a
few functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

Value = None | bool | float | str | Mapping[str, "Value"]
_TOKEN = re.compile(r"\s*('(?:[^']|'')*'|[A-Za-z_][\w-]*|\d+|&&|\|\||==|!=|[!().,])")
_BRACES = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
STATUS = ("success", "failure", "cancelled", "always")


class Expression:
    """One expression, evaluated as it is read."""

    def __init__(
        self,
        text: str,
        contexts: Mapping[str, Value],
        functions: Mapping[str, Callable[..., Value]],
    ) -> None:
        self._tokens = _tokens(text)
        self._contexts = contexts
        self._functions = functions

    def value(self) -> Value:
        found = self._any_of()
        assert not self._tokens, f"left over: {self._tokens}"
        return found

    def _next(self, *wanted: str) -> str | None:
        return self._tokens.pop(0) if self._tokens and self._tokens[0] in wanted else None

    def _any_of(self) -> Value:
        found = self._all_of()
        while self._next("||"):
            other = self._all_of()
            found = found if found else other
        return found

    def _all_of(self) -> Value:
        found = self._equal()
        while self._next("&&"):
            other = self._equal()
            found = other if found else found
        return found

    def _equal(self) -> Value:
        found = self._one()
        while sign := self._next("==", "!="):
            other = self._one()
            same = str(found or "").lower() == str(other or "").lower()
            found = same if sign == "==" else not same
        return found

    def _one(self) -> Value:
        if self._next("!"):
            return not self._one()
        if self._next("("):
            found = self._any_of()
            assert self._next(")")
            return found
        token = self._tokens.pop(0)
        if token.startswith("'"):
            return token[1:-1].replace("''", "'")
        if self._next("("):
            return self._functions[token](*self._arguments())
        return self._property(self._contexts[token])

    def _arguments(self) -> Sequence[Value]:
        found: list[Value] = []
        while not self._next(")"):
            found.append(self._any_of())
            self._next(",")
        return found

    def _property(self, found: Value) -> Value:
        while self._next("."):
            name = self._tokens.pop(0)
            found = found.get(name) if isinstance(found, Mapping) else None
        return found


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    text = text.strip()
    while at < len(text):
        token = _TOKEN.match(text, at)
        assert token, f"not read: {text[at:]}"
        found.append(token[1])
        at = token.end()
    return found


def expand(text: str, evaluate: Callable[[str], Value]) -> str:
    """A text with its ${{ }} filled in."""
    return _BRACES.sub(lambda m: _as_text(evaluate(m[1])), text)


def _as_text(value: Value) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def condition(text: str, evaluate: Callable[[str], Value], *, well: bool) -> bool:
    """What an `if` comes to; one that asks for no status holds only while all went well."""
    bare = text.strip()
    if bare.startswith("${{"):
        bare = bare[3:].rpartition("}}")[0]
    asks = any(f"{name}(" in bare for name in STATUS)
    return bool(evaluate(bare)) and (asks or well)
