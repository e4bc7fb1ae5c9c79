"""Where the shipped files are, and where hubkit keeps what it has computed."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _shipped(name: str) -> Path:
    # A wheel carries them as hubkit/_shipped/NAME; a checkout, editable or not, has them beside
    # hubkit/.
    inside = _PACKAGE / "_shipped" / name
    return inside if inside.exists() else _PACKAGE.parent / name


def templates_dir() -> Path:
    """Folder of the Jinja templates."""
    return _shipped("templates")


def model_cards_dir() -> Path:
    """Folder of the shipped recipes, one sub-folder each."""
    return _shipped("model_cards")


def constraints_file() -> Path:
    """The exact versions that were measured to work together, for pip's -c."""
    return _shipped("constraints.txt")


def cache_dir() -> Path:
    """`$HUBKIT_HOME`, else `$XDG_CACHE_HOME/hubkit`, else `~/.cache/hubkit`. It is not created
    here."""
    home = os.environ.get("HUBKIT_HOME")
    if home:
        return Path(home).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "hubkit"
