"""Repositories of one Hub copied into an embedded one, for work in closed networks.

A revision becomes one commit. Its id is the mirror's own; `refs/origin/COMMIT` makes the id it has
where it comes from stand for it too, so that a recipe or a program that pins that id finds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hubkit.errors import HubError, UsageError
from hubkit.hub.faults import Moved
from hubkit.mirror_copy import Progress, held_objects
from hubkit.mirror_origin import Origin, Wanted, datasets_of, read_origin
from hubkit.mirror_plan import Options, Plan, State, make_plan, read_state
from hubkit.mirror_side import MirrorKind, Side
from hubkit.mirror_write import name_commit, write_commit
from hubkit.record_base import Record

# A mirror that somebody else writes to may change under us this often.
_TRIES = 4


class Mirrored(Record):
    """A revision on a mirror, or, of a dry run, what would become one.

    `commit`: the mirror's; None: there is none yet. `copied_files` and `copied_bytes`: what was not
    at the tip of the branch; `sent_bytes`: what of it no revision of the repository had.
    """

    id: str
    kind: MirrorKind
    revision: str
    origin: str
    origin_commit: str
    commit: str | None
    made_commit: bool
    files: int
    size_bytes: int
    copied_files: int
    copied_bytes: int
    sent_bytes: int
    deleted_files: int
    tags: tuple[str, ...]


def mirror_all(
    source: Side,
    mirror: Side,
    wanted: Iterable[Wanted],
    options: Options,
    progress: Progress,
    *,
    with_datasets: bool = False,
) -> Iterator[Mirrored]:
    """Copy revisions, one after the other; with the datasets that the models' cards name.

    Raises HubError at the first that cannot be copied: what is copied stays.
    """
    if source.endpoint == mirror.endpoint:
        raise UsageError(
            f"{source.endpoint} cannot be a mirror of itself",
            hint="Give --from the Hub to copy from, and --root or --endpoint the one to copy to.",
        )
    for one in wanted:
        origin = read_origin(source, one)
        yield mirror_one(source, mirror, origin, options, progress)
        if with_datasets and one.kind == "model":
            rest = datasets_of(source, origin)
            yield from mirror_all(source, mirror, rest, options, progress)


def mirror_one(
    source: Side, mirror: Side, origin: Origin, options: Options, progress: Progress
) -> Mirrored:
    """Copy one revision; where the mirror has it already, nothing is written.

    Raises HubError: refused, away, or changed on the mirror itself.
    """
    for _ in range(_TRIES):
        state = read_state(mirror, origin)
        plan = make_plan(mirror, origin, state, options)
        found = _told(source, mirror, origin, plan, state)
        if options.dry_run:
            return found
        commit = plan.commit
        try:
            commit = commit or write_commit(source, mirror, origin, plan, options, progress)
        except Moved:  # by somebody else, or by a commit of ours whose answer was lost
            continue
        tags = name_commit(mirror, origin, commit, options)
        made = plan.commit is None
        return found.model_copy(update={"commit": commit, "made_commit": made, "tags": tags})
    raise HubError(
        f"{origin.id} on {mirror.endpoint} is being changed by somebody else",
        hint="Wait until the other writer is done, then run the same command again.",
    )


def _told(source: Side, mirror: Side, origin: Origin, plan: Plan, state: State) -> Mirrored:
    taken = [origin.files[path] for path in plan.puts]
    held = held_objects(mirror, origin, taken) if state.exists and taken else set()
    return Mirrored(
        id=origin.id,
        kind=origin.wanted.kind,
        revision=origin.wanted.revision,
        origin=source.endpoint,
        origin_commit=origin.commit,
        commit=plan.commit,
        made_commit=False,
        files=len(origin.files),
        size_bytes=sum(file.size_bytes for file in origin.files.values()),
        copied_files=len(plan.puts),
        copied_bytes=sum(file.size_bytes for file in taken),
        sent_bytes=sum(file.size_bytes for file in taken if file.sha256 not in held),
        deleted_files=len(plan.deletes),
        tags=(),
    )
