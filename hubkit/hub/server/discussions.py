"""Discussions and pull requests: a JSON file each, and for a pull request the ref `refs/pr/N`."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from hubkit.hub.server.disk import write_atomic
from hubkit.hub.server.git import MAIN
from hubkit.hub.server.merging import merge_of
from hubkit.hub.server.problems import Problem, bad_request, conflict
from hubkit.hub.server.repos import now_text

if TYPE_CHECKING:
    from pathlib import Path

    from hubkit.hub.server.git import GitRepo
    from hubkit.hub.server.repos import Repository

MOST_TITLE = 4096
MOST_TEXT = 65_536
Status = Literal["draft", "open", "closed", "merged"]


class Event(BaseModel):
    """Something that happened in a discussion; `data` is as the client reads it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(default_factory=lambda: secrets.token_hex(12))
    type: Literal["comment", "status-change", "commit", "title-change"]
    created_at: str = Field(default_factory=now_text)
    author: str
    data: dict[str, object]


class Discussion(BaseModel):
    """A discussion or pull request as stored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num: int
    title: str
    author: str
    status: Status
    is_pull_request: bool
    created_at: str = Field(default_factory=now_text)
    merge_commit: str | None = None
    events: tuple[Event, ...] = ()

    @property
    def ref(self) -> str:
        """The git ref of a pull request."""
        return f"refs/pr/{self.num}"


def comment_event(author: str, text: str) -> Event:
    """A comment."""
    data: dict[str, object] = {"edited": False, "hidden": False, "history": []}
    data["latest"] = _latest(author, text)
    return Event(type="comment", author=author, data=data)


def commit_event(author: str, oid: str, subject: str) -> Event:
    """Commits that were pushed to a pull request."""
    return Event(type="commit", author=author, data={"oid": oid, "subject": subject})


def _latest(author: str, text: str) -> dict[str, object]:
    # Its HTML is left empty: the text is not rendered anywhere.
    return {"raw": text, "html": "", "updatedAt": now_text(), "author": {"name": author}}


def edited(comment: Event, author: str, text: str) -> Event:
    """A comment with another text; what it said before is in its history."""
    before, history = comment.data["latest"], comment.data["history"]
    assert isinstance(history, list)
    data = {"edited": True, "latest": _latest(author, text), "history": [*history, before]}
    return comment.model_copy(update={"data": {**comment.data, **data}})


def hidden(comment: Event, author: str) -> Event:
    """A comment without its text and history, for good."""
    data = {"hidden": True, "hiddenBy": author, "latest": _latest(author, ""), "history": []}
    return comment.model_copy(update={"data": {**comment.data, **data}})


def _folder(repository: Repository) -> Path:
    return repository.path / "discussions"


def load(repository: Repository, num: int) -> Discussion:
    """One discussion; 404 if there is none."""
    try:
        text = (_folder(repository) / f"{num}.json").read_bytes()
    except FileNotFoundError:
        raise Problem(404, f"Discussion {num} not found") from None
    return Discussion.model_validate_json(text)


def load_all(repository: Repository) -> list[Discussion]:
    """All discussions, newest first."""
    return [load(repository, num) for num in numbers(repository)]


def numbers(repository: Repository) -> list[int]:
    """The numbers of all discussions, newest first."""
    return sorted((int(p.stem) for p in _folder(repository).glob("[0-9]*.json")), reverse=True)


def save(repository: Repository, discussion: Discussion) -> None:
    """Store a discussion; the caller holds the repository's lock."""
    _folder(repository).mkdir(exist_ok=True)
    data = json.dumps(discussion.model_dump(mode="json")).encode()
    write_atomic(_folder(repository) / f"{discussion.num}.json", data)


def next_num(repository: Repository, git: GitRepo) -> int:
    """A number that neither a discussion nor a pull request's ref has."""
    refs = [int(name.rpartition("/")[2]) for name in git.refs("refs/pr/")]
    files = [int(path.stem) for path in _folder(repository).glob("[0-9]*.json")]
    return max([0, *refs, *files]) + 1


def checked_text(text: object, what: str) -> str | None:
    """What somebody says, if anything; 400 for what is no text or too long."""
    if text is not None and (not isinstance(text, str) or len(text) > MOST_TEXT):
        raise bad_request(f"A {what} is text of at most {MOST_TEXT} characters")
    return text


def open_discussion(
    repository: Repository, author: str, title: object, description: object, *, pull_request: bool
) -> Discussion:
    """Open a discussion, or a draft pull request that starts at main's head."""
    if not isinstance(title, str) or not 3 <= len(title.strip()) <= 200:
        raise bad_request("A title has 3 to 200 characters")
    description = checked_text(description, "description")
    with repository.lock, repository.git() as git:
        num = next_num(repository, git)
        if pull_request:
            git.move_ref(f"refs/pr/{num}", None, git.dulwich.refs[MAIN].decode())
        made = Discussion(
            num=num,
            title=title.strip(),
            author=author,
            status="draft" if pull_request else "open",
            is_pull_request=pull_request,
            events=(comment_event(author, description),) if description else (),
        )
        save(repository, made)
        return made


def set_status(repository: Repository, found: Discussion, author: str, status: object) -> Event:
    """Open or close a discussion that is not merged; the caller has it and holds the lock."""
    if status not in ("open", "closed"):
        raise bad_request("status is open or closed")
    new: Status = "open" if status == "open" else "closed"
    if found.status == "merged":
        raise bad_request("It is merged already")
    event = Event(type="status-change", author=author, data={"status": new})
    events = (*found.events, event)
    save(repository, found.model_copy(update={"status": new, "events": events}))
    return event


def merge_title(found: Discussion) -> str:
    """Message of the commit that merges a pull request."""
    return f"{found.title} (#{found.num})"


def as_merged(found: Discussion, author: str, commit: str) -> Discussion:
    """A pull request once that commit has merged it."""
    event = Event(type="status-change", author=author, data={"status": "merged"})
    update = {"status": "merged", "merge_commit": commit, "events": (*found.events, event)}
    return found.model_copy(update=update)


def merge(repository: Repository, num: int, author: str) -> Discussion:
    """Merge an open pull request into main; 409 if both sides changed the same file differently."""
    with repository.lock, repository.git() as git:
        found = load(repository, num)
        if not found.is_pull_request or found.status not in ("open", "draft"):
            raise bad_request(f"Pull request {num} is {found.status} and cannot be merged")
        main = MAIN.decode()
        ours, theirs = git.ref(main), git.ref(found.ref)
        if ours is None or theirs is None:
            raise Problem(404, "The pull request's branch is gone", "RevisionNotFound")
        merged = merge_of(git, ours, theirs)
        if merged.conflicts:
            raise conflict(f"{merged.conflicts[0]} was changed on both sides")
        message = merge_title(found)
        made = git.write_commit(git.write_tree(merged.files), [ours, theirs], author, message)
        if not git.move_ref(main, ours, made):
            raise conflict("main has moved; try again")
        done = as_merged(found, author, made)
        save(repository, done)
        return done
