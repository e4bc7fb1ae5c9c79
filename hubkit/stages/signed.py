"""What a push would change, with the signature that the repository has kept or is given."""

from __future__ import annotations

from collections.abc import Iterator

from hubkit.hub.client import Hub
from hubkit.hub.faults import NotThere
from hubkit.hub.manifest import SUMS, parse_sums
from hubkit.keys import digest_of_bytes
from hubkit.provenance.signature import SIGNATURE
from hubkit.provenance.signing import with_signature
from hubkit.records import Artifact
from hubkit.stages.push_plan import Plan, make_plan
from hubkit.stages.push_spot import Spot
from hubkit.store import Store


def plan_signed(
    hub: Hub, store: Store, bundle: Artifact, spot: Spot, sign_with: str | None
) -> tuple[Artifact, Plan]:
    """The bundle as it is to lie there, signed or not, and the plan that puts it there.

    `sign_with`: the path of a private key, "keyless", or None. Raises UsageError, HubError.
    """
    plan = make_plan(hub, bundle, store.path(bundle), spot)
    if sign_with is None and all(change.path != SIGNATURE for change in plan.changes):
        return bundle, plan
    there = tuple(_signatures(hub, spot))
    signed = with_signature(bundle, store, spot.repo_id, there=there, sign_with=sign_with)
    if signed == bundle:
        return bundle, plan
    return signed, make_plan(hub, signed, store.path(signed), spot)


def _signatures(hub: Hub, spot: Spot) -> Iterator[str]:
    """That of the branch; and of the pull requests that this one may have been opened as before."""
    revisions = [spot.parent] if spot.parent else []
    if spot.create_pr and spot.parent:
        mine = hub.open_pull_requests(spot.repo_id, hub.account().name, kind=spot.kind)
        heads = hub.refs(spot.repo_id, kind=spot.kind).pull_requests if mine else {}
        revisions += [heads[one.number] for one in mine if one.number in heads]
    for revision in revisions:
        try:
            data = hub.read(spot.repo_id, revision, SIGNATURE, kind=spot.kind)
            sums = parse_sums(hub.read(spot.repo_id, revision, SUMS, kind=spot.kind).decode())
        except (NotThere, ValueError):
            continue
        # One that no publication has put there may claim anything.
        if sums.get(SIGNATURE) == digest_of_bytes(data):
            yield data.decode(errors="replace")
