"""Whether a folder that is to be published holds a secret."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from hubkit.errors import HubkitError
from hubkit.keys import digest_of_bytes
from hubkit.record_base import Record
from hubkit.secrets_scan.pieces import Kind, Piece, joined, line_of, pieces_of, place_at
from hubkit.secrets_scan.rules import HOME, PASSWORDS, SECRET_FILES, Found, find

_LISTED = 10  # hits that a message names
# Addresses on a Hub, rows of a dataset and names of ONNX nodes, whatever they begin with.
_NO_PATHS = re.compile(r"(?:^|\.)(?:url|primary|secondary|words|node_exclusion)(?:\[\d+\])*$")


class Hit(Record):
    """`where`: "line 3", or a key; "" for the file itself. `shown`: as much of the secret as may be
    said. `digest`: its SHA-256, by which a recipe allows it."""

    path: str
    where: str
    kind: str
    shown: str = ""
    digest: str

    def __str__(self) -> str:
        place = f"{self.path}, {self.where}" if self.where else self.path
        return f"{place}: {self.kind} {self.shown}".rstrip()


def scan_bundle(folder: Path) -> tuple[Hit, ...]:
    """Every secret in the files of a folder, by path; the same one in a file is named once."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return tuple(hit for path in files for hit in _scan(path, path.relative_to(folder).as_posix()))


def refuse_secrets(folder: Path) -> None:
    """Raise HubkitError for a folder with secrets, but those that its recipe.json allows."""
    allowed = _allowed(folder)
    hits = [hit for hit in scan_bundle(folder) if hit.digest not in allowed]
    if not hits:
        return
    lines = [str(hit) for hit in hits[:_LISTED]]
    if len(hits) > _LISTED:
        lines.append(f"and {len(hits) - _LISTED} more")
    raise HubkitError(
        "what was to be published holds what others must not see, so it is not published:\n"
        + "\n".join(f"  {line}" for line in lines),
        hint="Take it out of the recipe, the notes or the model's files that it comes from, and run"
        " the same command again; a token or key that others have seen is to be revoked."
        + _allowing(hits),
    )


def _allowing(hits: list[Hit]) -> str:
    # The digest of a password that is short would give it away.
    found = next((hit for hit in hits if hit.kind not in PASSWORDS), None)
    if found is None:
        return ""
    return (
        " What is no secret can be allowed in the recipe: publication.allow_in_scan:"
        f" [{found.digest}]"
    )


def _allowed(folder: Path) -> frozenset[str]:
    with suppress(OSError, ValueError, AttributeError, TypeError, LookupError):
        recipe = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))
        return frozenset(map(str, recipe["publication"]["allow_in_scan"]))
    return frozenset()


def _scan(path: Path, name: str) -> list[Hit]:
    hits: dict[tuple[str, str], Hit] = {}
    if SECRET_FILES.fullmatch(path.name):
        digest = digest_of_bytes(name.encode())
        hits[name, ""] = Hit(path=name, where="", kind="a file that holds secrets", digest=digest)
    pieces, kind = pieces_of(path)
    for found, where in _found(pieces, kind):
        if (found.kind, found.secret) in hits or (found.kind == HOME and _NO_PATHS.search(where)):
            continue
        hits[found.kind, found.secret] = Hit(
            path=name,
            where=_with_line(path, where, found.secret) if kind == "text" else where,
            kind=found.kind,
            shown=found.shown,
            digest=digest_of_bytes(found.secret.encode()),
        )
    if path.suffix == ".ipynb":
        hits |= {(name, hit.where): hit for hit in _outputs(path, name)}
    return list(hits.values())


def _found(pieces: Iterable[Piece], kind: Kind) -> Iterator[tuple[Found, str]]:
    """Every secret, with the place of the piece that it is in. Weights are never held whole."""
    if kind == "raw":
        for where, text in pieces:
            for found in find(text, anywhere=True):
                yield found, where
        return
    known = list(pieces)
    text, starts = joined(known)
    for found in find(text):
        yield found, place_at(known, starts, found.start)


def _with_line(path: Path, where: str, secret: str) -> str:
    line = None if where.startswith("line ") else line_of(path, secret)
    return where if line is None else f"line {line} ({where})"


def _outputs(path: Path, name: str) -> list[Hit]:
    """The cells of a notebook that still have outputs, which show what a machine printed."""
    with suppress(ValueError, AttributeError, TypeError, KeyError):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return [
            Hit(
                path=name,
                where=f"cell {number}",
                kind="output of a notebook",
                digest=digest_of_bytes(json.dumps(cell["outputs"], sort_keys=True).encode()),
            )
            for number, cell in enumerate(cells, 1)
            if cell.get("outputs")
        ]
    return []
