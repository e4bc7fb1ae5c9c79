"""Whether a folder that is to be published holds a secret."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path

from hubkit.errors import HubkitError
from hubkit.keys import digest_of_bytes
from hubkit.record_base import Record
from hubkit.secrets_scan.pieces import joined, line_of, pieces_of, place_at
from hubkit.secrets_scan.rules import HOME, SECRET_FILES, find

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
        " the same command again; a token or key that others have seen is to be revoked. What is no"
        f" secret can be allowed in the recipe: publication.allow_in_scan: [{hits[0].digest}]",
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
    pieces, is_text = pieces_of(path)
    text, starts = joined(pieces)
    for found in find(text, anywhere=not is_text):
        where = place_at(pieces, starts, found.start)
        if (found.kind, found.secret) in hits or (found.kind == HOME and _NO_PATHS.search(where)):
            continue
        hits[found.kind, found.secret] = Hit(
            path=name,
            where=_with_line(path, where, found.secret) if is_text else where,
            kind=found.kind,
            shown=found.shown,
            digest=digest_of_bytes(found.secret.encode()),
        )
    if path.suffix == ".ipynb":
        hits |= {(name, hit.where): hit for hit in _outputs(path, name)}
    return list(hits.values())


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
