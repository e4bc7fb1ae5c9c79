"""What a `.gitignore` ignores, decided in linear time: anyone may have written it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import translate

from hubkit.hub.server.problems import bad_request

_MOST_CHARACTERS = 64 * 1024
# Characters of paths compared with patterns in one request, seconds at worst.
_MOST_WORK = 50_000_000
_NOTHING = re.compile(r"(?!)")
_ESCAPED = re.compile(r"\\(.)|\[\^")


@dataclass(frozen=True)
class _Pattern:
    """A line: one regular expression for each part of a path; None is `**`, any number of parts."""

    ignores: bool
    only_folders: bool
    parts: tuple[re.Pattern[str] | None, ...]

    def matches(self, names: list[str]) -> bool:
        last = self.parts[-1]
        if last is not None and last.match(names[-1]) is None:
            return False
        # Only the latest ** is ever tried again, so that time is a product and no power.
        at = place = resumed = 0
        star = -1
        while at < len(names):
            part = self.parts[place] if place < len(self.parts) else None
            if place < len(self.parts) and part is None:
                star, resumed, place = place, at, place + 1
            elif part is not None and part.match(names[at]):
                at, place = at + 1, place + 1
            elif star >= 0:
                resumed += 1
                at, place = resumed, star + 1
            else:
                return False
        return all(part is None for part in self.parts[place:])


def _fnmatch_text(found: re.Match[str]) -> str:
    if found[1] is None:
        return "[!"
    return f"[{found[1]}]" if found[1] in "*?[" else found[1]


def _part(text: str) -> re.Pattern[str]:
    # The module's groups are atomic: a star is not tried again, as gitignore needs none to be.
    try:
        return re.compile(translate(_ESCAPED.sub(_fnmatch_text, text)))
    except re.error:  # [z-a], which Python 3.10 does not take for nothing
        return _NOTHING


def _pattern(line: str) -> _Pattern | None:
    """A line's pattern, or None where it has none."""
    text = line.rstrip(" ") + (" " if line.rstrip(" ").endswith("\\") else "")
    if not text or text.startswith("#"):
        return None
    negated = text.startswith("!")
    body = text[1:] if negated else text
    only_folders = body.endswith("/")
    body = body.rstrip("/")
    if not body:
        return None
    texts = body.removeprefix("/").split("/")
    if "/" not in body:
        texts.insert(0, "**")
    if texts[-1] == "**":  # what is in a folder, not the folder
        texts.append("*")
    parts = tuple(None if text == "**" else _part(text) for text in texts)
    return _Pattern(not negated, only_folders, parts)


class Ignored:
    """Whether a `.gitignore`'s text ignores a path; of a long text its first 64 Ki characters."""

    def __init__(self, text: object) -> None:
        lines = text[:_MOST_CHARACTERS].splitlines() if isinstance(text, str) else []
        found = [pattern for line in lines if (pattern := _pattern(line)) is not None]
        self._patterns = found[::-1]
        self._folders: dict[str, bool] = {}
        self._work = 0

    def __call__(self, path: str) -> bool:
        names = path.split("/")
        # An ignored folder ignores everything below it.
        return any(self._folder(names[:n]) for n in range(1, len(names))) or self._decide(
            names, is_folder=False
        )

    def _folder(self, names: list[str]) -> bool:
        path = "/".join(names)
        if path not in self._folders:
            self._folders[path] = self._decide(names, is_folder=True)
        return self._folders[path]

    def _decide(self, names: list[str], *, is_folder: bool) -> bool:
        self._work += len(self._patterns) * sum(map(len, names))
        if self._work > _MOST_WORK:
            raise bad_request("The .gitignore is too long for so many files; send fewer at a time")
        for pattern in self._patterns:  # the last line that matches decides
            if (is_folder or not pattern.only_folders) and pattern.matches(names):
                return pattern.ignores
        return False
