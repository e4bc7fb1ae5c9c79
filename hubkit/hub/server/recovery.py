"""What a start mends after kill -9: the few changes that take two files, finished or undone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubkit.hub.server import discussions
from hubkit.hub.server.git import MAIN
from hubkit.hub.server.info import commit_author, commit_date, commit_message

if TYPE_CHECKING:
    from pathlib import Path

    from hubkit.hub.server.git import GitRepo
    from hubkit.hub.server.repos import Repository, RepoStore


def mend_all(store: RepoStore) -> None:
    """Mend every repository; before serving, while the root is locked."""
    store.sweep()
    for kind in ("models", "datasets", "spaces"):
        for repository in store.all(kind):
            mend(repository)


def mend(repository: Repository) -> None:
    """Leave nothing half done in a repository.

    A pull request's ref is made before its discussion is written, and a commit to it and its merge
    before the discussion says so: a ref without a discussion was never answered, so it goes; a
    commit that is at the ref was made, and a merge that is in main is a merge.
    """
    if (repository.path / "refs" / "pr").is_dir():
        with repository.lock, repository.git() as git:
            known = {found.num: found for found in discussions.load_all(repository)}
            for ref in git.refs("refs/pr/"):
                number = ref.removeprefix("refs/pr/")
                if number.isdigit() and int(number) not in known:
                    git.delete_ref(ref)
            for found in known.values():
                if not found.is_pull_request or found.status == "merged":
                    continue
                found = _told_of_its_head(repository, git, found)
                if found.status in ("open", "draft"):
                    _finish_merge(repository, git, found)
    for folder in ("heads", "tags", "pr"):
        _remove_empty(repository.path / "refs" / folder)


def _told_of_its_head(
    repository: Repository, git: GitRepo, found: discussions.Discussion
) -> discussions.Discussion:
    head, main = git.ref(found.ref), git.ref(MAIN.decode())
    told = {event.data.get("oid") for event in found.events if event.type == "commit"}
    if head is None or main is None or head in told:
        return found
    if any(commit.id.decode() == head for commit in git.history(main)):
        return found  # it has no commit of its own yet
    made = git.commit(head)
    event = discussions.commit_event(commit_author(made), head, commit_message(made)[0])
    event = event.model_copy(update={"created_at": commit_date(made)})
    told_of = found.model_copy(update={"events": (*found.events, event)})
    discussions.save(repository, told_of)
    return told_of


def _finish_merge(repository: Repository, git: GitRepo, found: discussions.Discussion) -> None:
    # Whoever merged held the lock, so nothing came after it.
    head, theirs = git.ref(MAIN.decode()), git.ref(found.ref)
    if head is None or theirs is None:
        return
    commit = git.commit(head)
    parents = [parent.decode() for parent in commit.parents]
    message = commit.message.decode("utf-8", "replace").rstrip()
    is_its = message == discussions.merge_title(found).rstrip()
    if len(parents) == 2 and parents[1] == theirs and is_its:
        done = discussions.as_merged(found, commit_author(commit), head)
        discussions.save(repository, done)


def _remove_empty(folder: Path) -> None:
    """Folders that a name with a slash left behind; they would stand in the way of other names."""
    below = [path for path in folder.rglob("*") if path.is_dir()] if folder.is_dir() else []
    for path in sorted(below, key=lambda path: len(path.parts), reverse=True):
        if not any(path.iterdir()):
            path.rmdir()
