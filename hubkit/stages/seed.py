"""Put what a builder made on a Hub, so that the demo resolves and links real repositories."""

from __future__ import annotations

from contextlib import suppress

from hubkit.demo.stage import BuiltDemo
from hubkit.hub.client import Hub, connect
from hubkit.hub.faults import NotThere
from hubkit.keys import digest_of_value
from hubkit.recipe import RepoId
from hubkit.records import Record
from hubkit.stage import Context, Progress, no_progress
from hubkit.stages.push import Pushed, PushInput, push
from hubkit.store import Store


class Seeded(Record):
    """The two repositories; `made_commit` is False where the Hub had them already. `dataset`: None
    where the rows may not be passed on, and so were not pushed."""

    model: Pushed
    dataset: Pushed | None


def seed_hub(
    endpoint: str | None,
    token: str | None,
    built: BuiltDemo,
    model_id: RepoId,
    dataset_id: RepoId,
    store: Store,
    progress: Progress = no_progress,
) -> Seeded:
    """A public model repository with what was built and, where the dataset is public, a dataset
    repository: one commit each, none where nothing differs. Raises HubError.

    What it once put there is known by a receipt in the store, and only looked at.
    """
    message = f"Add what hubkit's builder {built.builder} made"
    calls = [PushInput(bundle=built.model, repo_id=model_id, message=message)]
    if built.dataset_public:
        rows = PushInput(bundle=built.dataset, repo_id=dataset_id, message=message, kind="dataset")
        calls.append(rows)
    hub = connect(endpoint, token)
    receipt = digest_of_value(
        {"seeded": [call.model_dump(mode="json") for call in calls], "endpoint": hub.endpoint}
    )
    kept = store.get_record(receipt, Seeded)
    if kept is not None and _is_there(hub, kept):
        return kept
    with store.scratch() as scratch:
        ctx = Context(store, scratch, progress, hub.endpoint, token)
        pushed = [push(call, ctx) for call in calls]
    seeded = Seeded(model=pushed[0], dataset=pushed[1] if len(pushed) > 1 else None)
    unchanged = {
        name: one.model_copy(update={"made_commit": False, "changes": ()})
        for name, one in (("model", seeded.model), ("dataset", seeded.dataset))
        if one is not None
    }
    store.put_record(receipt, seeded.model_copy(update=unchanged))
    return seeded


def _is_there(hub: Hub, seeded: Seeded) -> bool:
    """Whether the repositories are as they were left: a commit's id is a digest of all of it."""
    pushed = (one for one in (seeded.model, seeded.dataset) if one is not None)
    with suppress(NotThere):  # the Hub's folder was removed, or it is another Hub at that address
        return all(hub.head(one.repo_id, kind=one.kind) == one.commit for one in pushed)
    return False
