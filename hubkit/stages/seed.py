"""Put what a builder made on a Hub, so that the demo resolves and links real repositories."""

from __future__ import annotations

from hubkit.demo.stage import BuiltDemo
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
    repository: one commit each, none where nothing differs. Raises HubError."""
    message = f"Add what hubkit's builder {built.builder} made"
    with store.scratch() as scratch:
        ctx = Context(store, scratch, progress, endpoint, token)
        model = push(PushInput(bundle=built.model, repo_id=model_id, message=message), ctx)
        if not built.dataset_public:
            return Seeded(model=model, dataset=None)
        rows = PushInput(bundle=built.dataset, repo_id=dataset_id, message=message, kind="dataset")
        return Seeded(model=model, dataset=push(rows, ctx))
