"""Files of a publication, attached to the GitHub release of a tag."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hubkit.ci.github import GitHub, Json, Refused
from hubkit.errors import HubkitError, UsageError

NOTES = "release-notes.md"  # of a folder of records: the text of a release that we make
# In the text of a draft: it is ours, left by a run that ended early, and not an author's.
_OURS = "<!-- hubkit: release -->"


@dataclass(frozen=True)
class Attached:
    """A release and what was done to it: names of the files, sorted. `made`: it was not there."""

    url: str
    made: bool
    added: tuple[str, ...]
    replaced: tuple[str, ...]
    kept: tuple[str, ...]


def attach(github: GitHub, tag: str, folder: Path) -> Attached:
    """Make the files of a folder the assets of a tag's release; one that is missing is made.

    A new release is a draft until all is there. Files that it has already are kept, those of our
    names with other contents replaced, all others left alone: the same call again goes on where one
    that failed was. Raises UsageError for a folder without files, and what `GitHub` raises.
    """
    files = {path.name: path for path in sorted(folder.glob("*")) if path.is_file()}
    notes = files.pop(NOTES, None)
    if not files:
        raise UsageError(f"{folder}: no files to attach", hint="`hubkit ci publish` writes some.")
    text = (notes.read_text(encoding="utf-8") if notes else "").rstrip()
    return github.persist(lambda: _attach(github, tag, files, text))


def _attach(github: GitHub, tag: str, files: Mapping[str, Path], notes: str) -> Attached:
    release = _release(github, tag)
    if release is None:
        body = f"{notes}\n\n{_OURS}\n"
        new: Json = {"tag_name": tag, "name": tag, "body": body, "draft": True}
        release = github.call("POST", "releases", new)
    there = {str(asset["name"]): asset for asset in _assets(github, release)}
    added, replaced, kept = [], [], []
    for name, path in files.items():
        content = path.read_bytes()
        if name in there:
            if _is(there[name], content):
                kept.append(name)
                continue
            _refuse_foreign(tag, name, there[name])
            _allowed(github, "DELETE", f"releases/assets/{there[name]['id']}")
            replaced.append(name)
        else:
            added.append(name)
        _upload(github, release, name, content)
    made = bool(release.get("draft")) and _OURS in str(release.get("body"))
    if made:
        release = github.call("PATCH", f"releases/{release['id']}", {"draft": False})
    url = str(release.get("html_url", ""))
    return Attached(url, made, tuple(added), tuple(replaced), tuple(kept))


def _release(github: GitHub, tag: str) -> Json | None:
    """The release of a tag, a draft too; those are not found by their tag."""
    found = (one for one in github.pages("releases") if one.get("tag_name") == tag)
    return min(found, key=lambda one: bool(one.get("draft")), default=None)


def _assets(github: GitHub, release: Json) -> list[Json]:
    return list(github.pages(f"releases/{release['id']}/assets"))


def _is(asset: Json, content: bytes) -> bool:
    """Whether an asset holds this; one whose upload broke off is listed too, and is not whole."""
    if asset.get("state") != "uploaded" or asset.get("size") != len(content):
        return False
    return asset.get("digest") == f"sha256:{hashlib.sha256(content).hexdigest()}"


def _refuse_foreign(tag: str, name: str, asset: Json) -> None:
    """A job's files are the bot's: what a person has attached is not replaced."""
    uploader = asset.get("uploader")
    person = isinstance(uploader, dict) and uploader.get("type") == "User"
    if person and asset.get("state") == "uploaded":
        raise HubkitError(
            f"the release {tag} has a file {name} that somebody attached, with other contents",
            hint=f"Rename or delete {name} in the release, then run the job again.",
        )


def _upload(github: GitHub, release: Json, name: str, content: bytes) -> None:
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    try:
        github.upload(str(release["upload_url"]), name, content, kind)
    except Refused as error:
        raise _explained(error) from None


def _allowed(github: GitHub, method: str, path: str) -> None:
    try:
        github.call(method, path)
    except Refused as error:
        raise _explained(error) from None


def _explained(error: Refused) -> HubkitError:
    if error.status == 422:
        error.hint = (
            "A published release of a repository with immutable releases takes no more files:"
            " push the tag before there is a release, and this makes one."
        )
    return error
