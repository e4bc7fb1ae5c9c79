from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi, ModelCard, hf_hub_download

from hubkit.demo.stage import BuiltDemo
from hubkit.errors import HubError
from hubkit.hub.server.embedded import EmbeddedHub
from hubkit.records import Artifact
from hubkit.stages.seed import seed_hub
from hubkit.store import Store

TOKEN = "hf_owner_token"
MODEL, DATASET = "ana/model", "ana/sentences"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[EmbeddedHub]:
    with EmbeddedHub(tmp_path / "hub", users={"ana": {"token": TOKEN}}) as running:
        yield running


def _adopt(store: Store, **files: str) -> Artifact:
    with store.scratch() as scratch:
        folder = scratch / "folder"
        folder.mkdir()
        for name, text in files.items():
            (folder / name.replace("_", ".")).write_text(text)
        return store.adopt(folder)


def _built(store: Store, weights: str = "weights") -> BuiltDemo:
    return BuiltDemo(
        builder="movie-sentiment",
        model=_adopt(store, README_md="---\nlicense: mit\n---\nA model", model_safetensors=weights),
        dataset=_adopt(store, README_md="---\nlicense: mit\n---\nRows", rows_csv="text,label\n"),
        model_origin="clay",
        dataset_origin="sand",
        validation_accuracy=0.9,
    )


def test_both_are_public_repositories_of_one_commit_each(hub: EmbeddedHub, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    done = seed_hub(hub.endpoint, TOKEN, _built(store), MODEL, DATASET, store)
    anyone = HfApi(hub.endpoint, token=False)
    assert done.dataset is not None
    assert anyone.model_info(MODEL).sha == done.model.commit
    assert anyone.dataset_info(DATASET).sha == done.dataset.commit
    assert done.model.made_commit
    assert done.dataset.made_commit
    titles = [c.title for c in anyone.list_repo_commits(MODEL)]
    assert titles.count("Add what hubkit's builder movie-sentiment made") == 1
    card = hf_hub_download(
        MODEL, "README.md", endpoint=hub.endpoint, token=False, local_dir=tmp_path / "got"
    )
    assert ModelCard.load(card).data.to_dict()["license"] == "mit"


def test_seeding_again_changes_nothing(hub: EmbeddedHub, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    one = seed_hub(hub.endpoint, TOKEN, _built(store), MODEL, DATASET, store)
    hub.requests.clear()
    two = seed_hub(hub.endpoint, TOKEN, _built(store), MODEL, DATASET, store)
    assert one.dataset is not None
    assert two.dataset is not None
    assert (two.model.commit, two.dataset.commit) == (one.model.commit, one.dataset.commit)
    assert not two.model.made_commit
    assert not two.dataset.made_commit
    assert {method for method, _ in hub.requests} == {"GET"}


def test_what_is_known_to_be_there_is_only_looked_at(hub: EmbeddedHub, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    seed_hub(hub.endpoint, TOKEN, _built(store), MODEL, DATASET, store)
    hub.requests.clear()
    seed_hub(hub.endpoint, TOKEN, _built(store), MODEL, DATASET, store)
    assert len(hub.requests) == 2


def test_what_somebody_changed_is_put_right(hub: EmbeddedHub, tmp_path: Path) -> None:
    store, api = Store(tmp_path / "store"), HfApi(hub.endpoint, token=TOKEN)
    seed_hub(hub.endpoint, TOKEN, _built(store), MODEL, DATASET, store)
    api.upload_file(
        path_or_fileobj=b"mine", path_in_repo="rows.csv", repo_id=DATASET, repo_type="dataset"
    )
    done = seed_hub(hub.endpoint, TOKEN, _built(store), MODEL, DATASET, store)
    assert done.dataset is not None
    assert done.dataset.made_commit
    assert not done.model.made_commit
    assert api.dataset_info(DATASET).sha == done.dataset.commit


def test_a_hub_that_was_emptied_is_filled_again(hub: EmbeddedHub, tmp_path: Path) -> None:
    store, api = Store(tmp_path / "store"), HfApi(hub.endpoint, token=TOKEN)
    seed_hub(hub.endpoint, TOKEN, _built(store), MODEL, DATASET, store)
    api.delete_repo(MODEL)
    done = seed_hub(hub.endpoint, TOKEN, _built(store), MODEL, DATASET, store)
    assert api.model_info(MODEL).sha == done.model.commit


def test_another_model_is_one_more_commit(hub: EmbeddedHub, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    one = seed_hub(hub.endpoint, TOKEN, _built(store), MODEL, DATASET, store)
    two = seed_hub(hub.endpoint, TOKEN, _built(store, "others"), MODEL, DATASET, store)
    assert two.model.commit != one.model.commit
    assert one.dataset is not None
    assert two.dataset is not None
    assert two.dataset.commit == one.dataset.commit


def test_a_dataset_that_is_not_public_stays_here(hub: EmbeddedHub, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    built = _built(store).model_copy(update={"dataset_public": False})
    done = seed_hub(hub.endpoint, TOKEN, built, MODEL, DATASET, store)
    assert done.dataset is None
    assert HfApi(hub.endpoint, token=False).model_info(MODEL).sha == done.model.commit
    assert not HfApi(hub.endpoint, token=TOKEN).repo_exists(DATASET, repo_type="dataset")


def test_without_a_known_token_nothing_is_pushed(hub: EmbeddedHub, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with pytest.raises(HubError, match="nothing was pushed"):
        seed_hub(hub.endpoint, "hf_unknown", _built(store), MODEL, DATASET, store)
    assert not HfApi(hub.endpoint, token=TOKEN).repo_exists(MODEL)
