"""One comment on a pull request, found by a hidden mark and written anew each time."""

from __future__ import annotations

import re
from typing import Literal

from hubkit.ci.github import GitHub
from hubkit.errors import UsageError

# GitHub takes so many characters in a comment.
LONGEST = 65_536
_MARK = re.compile(r"<!-- hubkit: [\w./ -]{0,100} -->")
_ODD = re.compile(r"[^\w./ -]|--", re.ASCII)

Done = Literal["created", "updated", "unchanged"]


def mark(name: str) -> str:
    """The hidden first line of the comment about `name`, such as a recipe's folder."""
    return f"<!-- hubkit: {_ODD.sub('-', name)[:100]} -->"


def stick(github: GitHub, number: int, text: str) -> Done:
    """Make `text` the one comment of its mark on a pull request.

    Only an app's comment is ever taken for ours: anybody can write the mark. Raises UsageError
    where the text does not begin with a mark or is longer than GitHub takes, and what `GitHub`
    raises.
    """
    first = text.partition("\n")[0]
    if not _MARK.fullmatch(first):
        raise UsageError(
            "the comment does not begin with hubkit's mark",
            hint="`hubkit ci compare` writes one that does.",
        )
    if len(text) > LONGEST:
        raise UsageError(f"the comment has {len(text):,} characters; GitHub takes {LONGEST:,}")
    return github.persist(lambda: _stick(github, number, first, text))


def _stick(github: GitHub, number: int, first: str, text: str) -> Done:
    for found in github.pages(f"issues/{number}/comments"):
        body, user = found.get("body"), found.get("user")
        if not (isinstance(body, str) and body.partition("\n")[0].rstrip("\r") == first):
            continue
        if not (isinstance(user, dict) and user.get("type") == "Bot"):
            continue
        if _plain(body) == _plain(text):
            return "unchanged"
        github.call("PATCH", f"issues/comments/{found['id']}", {"body": text})
        return "updated"
    github.call("POST", f"issues/{number}/comments", {"body": text})
    return "created"


def _plain(text: str) -> str:
    """The text without what GitHub itself changes."""
    return text.replace("\r\n", "\n").strip()
