"""A planned revision, written to a mirror: one commit, then its names."""

from __future__ import annotations

from contextlib import suppress

from hubkit.errors import HubError
from hubkit.hub.faults import Clash
from hubkit.hub.remote import MAIN
from hubkit.hub.session import default_endpoint
from hubkit.mirror_copy import Carrier, Progress, is_same
from hubkit.mirror_origin import Origin
from hubkit.mirror_plan import TITLE, Options, Plan, read_state, work_branch
from hubkit.mirror_side import Side


def write_commit(
    source: Side, mirror: Side, origin: Origin, plan: Plan, options: Options, progress: Progress
) -> str:
    """The commit of the mirror that holds the revision, checked. Raises Moved where somebody else
    was faster: nothing is lost then, and planning anew finds what is there."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    parent = _room(mirror, origin, plan, options)
    there = mirror.files(origin.id, origin.wanted.kind, parent)
    total = sum(origin.files[path].size_bytes for path in plan.puts)
    carrier = Carrier(source, mirror, origin, progress, total)
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        *carrier.carry(plan.puts),
        *(CommitOperationDelete(path) for path in there if path not in origin.files),
    ]

    def send() -> str:
        with default_endpoint(mirror.endpoint):
            return mirror.api.create_commit(
                origin.id,
                operations,
                commit_message=_message(source, origin),
                revision=plan.branch,
                parent_commit=parent,
                repo_type=origin.wanted.kind,
            ).oid

    commit = mirror.ask(f"committing to {origin.id}", origin.id, lambda _: send())
    _verify(mirror, origin, commit, options)
    carrier.clear()
    return commit


def _message(source: Side, origin: Origin) -> str:
    kind = origin.wanted.kind
    path = origin.id if kind == "model" else f"{kind}s/{origin.id}"
    title = f"{TITLE}{source.endpoint}/{path} at {origin.wanted.revision}"
    return f"{title}\n\nCommit {origin.commit} there."


def _room(mirror: Side, origin: Origin, plan: Plan, options: Options) -> str:
    """The commit to build on, of a repository and a branch that are made where they lack."""
    kind = origin.wanted.kind
    if plan.is_new:
        _make_repo(mirror, origin, options)
        if plan.branch != MAIN:
            _branch(mirror, origin, plan.branch, plan.start)
    info = mirror.ask(
        f"reading {origin.id}",
        origin.id,
        lambda api: api.repo_info(origin.id, revision=plan.branch, repo_type=kind),
    )
    return str(info.sha)


def _make_repo(mirror: Side, origin: Origin, options: Options) -> None:
    kind, space = origin.id.partition("/")[0], origin.wanted.kind
    private = origin.restricted if options.private is None else options.private
    try:
        with suppress(Clash):
            mirror.ask(
                f"creating {origin.id}",
                origin.id,
                lambda api: api.create_repo(
                    origin.id,
                    repo_type=space,
                    private=private,
                    space_sdk=(origin.sdk or "static") if space == "space" else None,
                    exist_ok=True,
                ),
            )
    except HubError as error:
        if "no write access" in error.message:
            error.hint = (
                f"Let the user of this token write to {kind}: `orgs: [{kind}]`, or `orgs: ['*']`"
                " for all, in the file of `hubkit hub serve --users`."
            )
        raise


def _verify(mirror: Side, origin: Origin, commit: str, options: Options) -> None:
    there = mirror.files(origin.id, origin.wanted.kind, commit)
    for path, file in origin.files.items():
        wanted = options.selection.takes(path)
        if wanted and (path not in there or not is_same(file, there[path])):
            raise HubError(
                f"{path} of {origin.id} is not on {mirror.endpoint} as it should be, in commit"
                f" {commit[:12]}",
                hint="Run the same command again.",
            )


def name_commit(mirror: Side, origin: Origin, commit: str, options: Options) -> tuple[str, ...]:
    """Give a commit its names: its branch, the id it has at its origin, its tags. The tags made."""
    state = read_state(mirror, origin)
    names = [] if origin.branch is None or origin.branch in state.branches else [origin.branch]
    if state.known != commit:
        alias = f"refs/origin/{origin.commit}"
        names.append(alias)
        if state.known is not None:
            _drop(mirror, origin, alias)
    for name in names:
        _branch(mirror, origin, name, commit)
    made = tuple(tag for tag in origin.tags if state.tags.get(tag) != commit)
    for tag in made:
        _tag(mirror, origin, tag, commit, taken=tag in state.tags, force=options.force)
    if work_branch(origin) in state.branches:
        _drop(mirror, origin, work_branch(origin))
    return made


def _branch(mirror: Side, origin: Origin, name: str, at: str | None) -> None:
    mirror.ask(
        f"making {name} of {origin.id}",
        origin.id,
        lambda api: api.create_branch(
            origin.id, branch=name, revision=at, repo_type=origin.wanted.kind, exist_ok=True
        ),
    )


def _drop(mirror: Side, origin: Origin, branch: str) -> None:
    mirror.ask(
        f"dropping {branch} of {origin.id}",
        origin.id,
        lambda api: api.delete_branch(origin.id, branch=branch, repo_type=origin.wanted.kind),
    )


def _tag(mirror: Side, origin: Origin, tag: str, commit: str, *, taken: bool, force: bool) -> None:
    kind = origin.wanted.kind
    if taken and not force:
        raise HubError(
            f"tag {tag} of {origin.id} stands for another commit on {mirror.endpoint}",
            hint="It was moved where it comes from, or here. Move it here too with --force.",
        )
    if taken:
        mirror.ask(
            f"moving tag {tag} of {origin.id}",
            origin.id,
            lambda api: api.delete_tag(origin.id, tag=tag, repo_type=kind),
        )
    mirror.ask(
        f"making tag {tag} of {origin.id}",
        origin.id,
        lambda api: api.create_tag(
            origin.id, tag=tag, revision=commit, repo_type=kind, exist_ok=True
        ),
    )
