"""What `hubkit card` prints: cards, what they lack, and how they differ from the Hub's."""

from __future__ import annotations

import os
import re
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.output import output

if TYPE_CHECKING:
    from hubkit.card_check import Checked, Difference
    from hubkit.card_diff import CardDiff
    from hubkit.cards.completeness import Completeness, SectionScore
    from hubkit.errors import HubkitError
    from hubkit.output import Json
    from hubkit.records import Bundle, CardText
    from hubkit.store import Store

_TITLES = {
    "notes": "Notes",
    "model_details": "Model details",
    "intended_use": "Intended use",
    "how_to_load": "How to load it",
    "factors": "Factors",
    "metrics": "Metrics",
    "data": "Training and evaluation data",
    "analyses": "Quantitative analyses",
    "ethics": "Ethical considerations",
    "caveats": "Caveats and recommendations",
    "bibtex": "BibTeX",
}
_NONE = "–"
_COLOURS = {"+": "\033[32m", "-": "\033[31m", "@": "\033[36m"}
_BOLD, _PLAIN = "\033[1m", "\033[0m"
# What a terminal obeys: a card on a Hub may be anybody's.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_LONGEST = 76


def show_card(repo_id: str, card: CardText) -> None:
    """One card's text."""
    out = output()
    if out.style == "json":
        out.data(
            {
                "repo_id": repo_id,
                "path": card.path,
                "language": card.language,
                "card": card.text,
            }
        )
        return
    out.data(card.text)


def show_cards(cards: Sequence[CardText]) -> None:
    """Several cards, each after a line with its path."""
    out = output()
    if out.style == "json":
        out.data([{"path": c.path, "language": c.language, "text": c.text} for c in cards])
        return
    out.data("\n".join(f"<!-- {card.path} -->\n{card.text}" for card in cards))


def show_bundle(store: Store, ready: Bundle, into: Path) -> None:
    """Write the whole bundle, and print its card."""
    from hubkit.cli.show import copy_folder
    from hubkit.records import CardText

    folder = store.path(ready.artifact)
    copy_folder(folder, into)
    output().info(f"The bundle is in {into}.")
    text = (folder / "README.md").read_text(encoding="utf-8")
    show_card(ready.repo_id, CardText(text=text))


def show_checked(checked: Checked) -> None:
    """What each section of the card says of what only its author knows, and what is wrong."""
    out = output()
    if out.style == "json":
        out.data(_checked_json(checked))
    elif out.style == "quiet":
        lines = [*(m.key for m in checked.missing), *(d.path for d in checked.differences)]
        if lines:
            out.data("\n".join(lines))
    else:
        out.data(_table(checked.completeness))
        for one in checked.warnings:
            out.warn(f"{one.path}: {one.what}")
        if checked.cards and not checked.differences:
            same = f"As their records make them: {', '.join(checked.cards)}."
            out.data("\n" + textwrap.fill(same, _LONGEST + 2))


def _table(found: Completeness) -> str:
    rows = [("Section", "Said", "%", "Missing (in brackets: may be left out)")]
    for section in found.sections:
        rows += _rows(section)
    rows.append(("All", f"{found.said}/{found.total}", _percent(found.said, found.total), ""))
    width = max(len(row[0]) for row in rows)
    return "\n".join(
        f"{name:<{width}}  {said:>5}  {percent:>3}  {key}".rstrip()
        for name, said, percent, key in rows
    )


def _rows(section: SectionScore) -> list[tuple[str, str, str, str]]:
    title = _TITLES[section.section]
    if not section.fields:
        return [(title, _NONE, _NONE, "written from the records")]
    keys = [*section.missing, *(f"[{key}]" for key in section.left_out)] or [""]
    score = (f"{section.said}/{section.total}", _percent(section.said, section.total))
    return [(title, *score, keys[0]), *(("", "", "", key) for key in keys[1:])]


def _percent(said: int, total: int) -> str:
    # Down, so that 100 is everything.
    return str(100 * said // total)


def unmet(checked: Checked) -> HubkitError:
    """What to raise where a check has found something."""
    from hubkit.errors import GateError
    from hubkit.gate import incomplete

    hint = "Say these in the recipe; docs/recipe.md explains each."
    wrong = _faults(checked)
    if not wrong:
        return incomplete(checked.missing, hint)
    lines = [incomplete(checked.missing, hint).message] if checked.missing else []
    lines += ["the card is not what its records make:", *wrong]
    return GateError(
        "\n".join(lines),
        hint="Publish again, or write the bundle anew with `hubkit card RECIPE --output DIR`:"
        " then card and records go together.",
    )


def _faults(checked: Checked) -> list[str]:
    lines = [f"{one.path}: {one.what}" for one in checked.findings]
    for one in checked.differences:
        lines += _difference(one)
    return lines


def _difference(one: Difference) -> list[str]:
    if one.wanted is None and one.line == 1:
        return [f"{one.path}: the recipe makes no such card"]
    if one.found is None and one.line == 1:
        return [f"{one.path}: is missing"]
    sides = (("-", one.found), ("+", one.wanted))
    shown = [f"  {sign} {_cut(text)}" for sign, text in sides if text is not None]
    return [f"{one.path}:{one.line}: it has (-), and would have (+)", *shown]


def _cut(text: str) -> str:
    text = _tame(text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _checked_json(checked: Checked) -> Json:
    found = checked.completeness
    sections: list[Json] = [
        {
            "section": one.section,
            "said": one.said,
            "total": one.total,
            "missing": list(one.missing),
            "left_out": list(one.left_out),
        }
        for one in found.sections
    ]
    missing: list[Json] = [
        {"key": one.key, "says": one.says, "file": one.file, "line": one.line}
        for one in checked.missing
    ]
    return {
        "passes": checked.passes,
        "complete": found.complete,
        "said": found.said,
        "total": found.total,
        "sections": sections,
        "missing": missing,
        "cards": list(checked.cards),
        "differences": [
            {"path": d.path, "line": d.line, "found": d.found, "wanted": d.wanted}
            for d in checked.differences
        ],
        "findings": [{"path": one.path, "what": one.what} for one in checked.findings],
        "warnings": [{"path": one.path, "what": one.what} for one in checked.warnings],
    }


def show_diffs(diffs: Sequence[CardDiff]) -> None:
    """Unified diffs, in colour for a person."""
    out = output()
    if out.style == "json":
        out.data([{"path": one.path, "diff": list(one.lines)} for one in diffs])
        return
    lines = [line for one in diffs for line in one.lines]
    if not lines:
        out.info("No difference.")
        return
    terminal = sys.stdout.isatty()
    coloured = terminal and not os.environ.get("NO_COLOR")
    shown = (
        _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", line) if terminal else line for line in lines
    )
    out.data("\n".join(_coloured(line) if coloured else line for line in shown))


def _coloured(line: str) -> str:
    colour = _BOLD if line.startswith(("+++ ", "--- ")) else _COLOURS.get(line[:1], "")
    return f"{colour}{line}{_PLAIN}" if colour else line


def _tame(line: str) -> str:
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", line)
