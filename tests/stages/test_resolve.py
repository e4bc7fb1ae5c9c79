from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from hubkit.errors import DataError, HubError, ModelError
from hubkit.hub.retry import Retry
from hubkit.hub.server.embedded import EmbeddedHub
from hubkit.lock import tool_versions
from hubkit.recipe import Base, BuiltModel, DatasetSpec, HubModel, LocalModel
from hubkit.records import Lock, Source
from hubkit.stage import Context
from hubkit.stages import hub_source
from hubkit.stages.hub_benchmark import tasks_done
from hubkit.stages.push import PushInput, push
from hubkit.stages.resolve import ResolveInput, digest_of_data, resolve
from hubkit.store import Store
from tests.tiny import make_tiny_model

OWNER, OTHER = "hf_owner_token", "hf_other_token"
KEYS = {"data_keys": {"primary": "text"}, "ref_keys": ("label",)}
DIGEST = "a" * 64
EVAL_YAML = """
name: Sentences
description: Sentences that were labelled by people.
evaluation_framework: hubkit
tasks:
- {id: sentences_validation, config: default, split: validation}
- {id: sentences_any, split: validation}
- {id: sentences_test}
- {id: sentences_hard, config: hard, split: validation}
- {config: default, split: validation}
- {id: 3, split: validation}
- sentences
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedHub]:
    root = tmp_path_factory.mktemp("hub")
    with EmbeddedHub(root, users={"ana": {"token": OWNER}, "bob": {"token": OTHER}}) as running:
        _put(running, root, "ana/model", "model", "license: mit")
        _put(running, root, "ana/data", "dataset", "license:\n- cc-by-4.0\n- other")
        _put(running, root, "ana/bench", "dataset", "license: mit", eval_yaml=EVAL_YAML)
        _put(running, root, "ana/broken", "dataset", "license: mit", eval_yaml="tasks: !!bool x")
        _put(running, root, "ana/hidden", "model", "license: mit", private=True)
        HfApi(running.endpoint, token=OWNER).create_tag("ana/model", tag="v1.0")
        yield running


def _put(
    hub: EmbeddedHub,
    root: Path,
    repo_id: str,
    kind: str,
    card: str,
    *,
    private: bool = False,
    eval_yaml: str | None = None,
) -> None:
    store = Store(root.parent / "seed-store")
    with store.scratch() as scratch:
        (scratch / "repo").mkdir()
        (scratch / "repo" / "README.md").write_text(f"---\n{card}\n---\nA repository\n")
        if eval_yaml is not None:
            (scratch / "repo" / "eval.yaml").write_text(eval_yaml)
        bundle = store.adopt(scratch / "repo")
        given = PushInput.model_validate(
            {
                "bundle": bundle,
                "repo_id": repo_id,
                "message": "Add",
                "kind": kind,
                "private": private,
            }
        )
        push(given, Context(store, scratch, endpoint=hub.endpoint, token=OWNER))


def _resolve(
    hub: EmbeddedHub | str,
    tmp_path: Path,
    base: Base | None = None,
    dataset: DatasetSpec | None = None,
    token: str = OWNER,
) -> Lock:
    store = Store(tmp_path / "store")
    endpoint = hub if isinstance(hub, str) else hub.endpoint
    given = ResolveInput(
        base=base or HubModel(id="ana/model"),
        dataset=dataset or DatasetSpec(path="ana/data", **KEYS),
        recipe_digest=DIGEST,
        folder=str(tmp_path),
        tools=("huggingface_hub", "no-such-package"),
    )
    return resolve(given, Context(store, tmp_path, endpoint=endpoint, token=token))


def test_pins_commits_licences_and_tools(hub: EmbeddedHub, tmp_path: Path) -> None:
    lock = _resolve(hub, tmp_path)
    api = HfApi(hub.endpoint, token=OWNER)
    assert lock.base.sha == api.model_info("ana/model").sha
    assert lock.dataset.sha == api.dataset_info("ana/data").sha
    assert (lock.base.license, lock.dataset.license) == ("mit", "cc-by-4.0, other")
    assert (lock.base.url, lock.dataset.url) == ("/ana/model", "/datasets/ana/data")
    assert lock.recipe_digest == DIGEST
    assert lock.tools == tool_versions(["huggingface_hub"])
    assert set(lock.tools) == {"huggingface_hub"}


def test_a_tag_is_pinned_to_its_commit(hub: EmbeddedHub, tmp_path: Path) -> None:
    lock = _resolve(hub, tmp_path, HubModel(id="ana/model", revision="v1.0"))
    assert lock.base.revision == "v1.0"
    assert lock.base.sha == _resolve(hub, tmp_path).base.sha


def test_what_hubkit_built_says_from_what(hub: EmbeddedHub, tmp_path: Path) -> None:
    given = ResolveInput(
        base=BuiltModel(id="ana/model", builder="movie-sentiment"),
        dataset=DatasetSpec(source="built", path="ana/data", **KEYS),
        recipe_digest=DIGEST,
        folder=str(tmp_path),
        demo=True,
        base_origin="made of clay",
        dataset_origin="made of sand",
    )
    ctx = Context(Store(tmp_path / "store"), tmp_path, endpoint=hub.endpoint, token=OWNER)
    lock = resolve(given, ctx)
    assert (lock.base.source, lock.base.origin) == ("built", "made of clay")
    assert (lock.dataset.source, lock.dataset.origin) == ("built", "made of sand")
    assert lock.demo
    assert len(lock.base.sha) == 40


def test_a_built_dataset_that_is_on_no_hub(hub: EmbeddedHub, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with store.scratch() as scratch:
        (scratch / "rows").mkdir()
        (scratch / "rows" / "README.md").write_text("---\nlicense: other\n---\nRows\n")
        (scratch / "rows" / "train.csv").write_text("text,label\nfine,1\n")
        rows = store.adopt(scratch / "rows")
    given = ResolveInput(
        base=BuiltModel(id="ana/model", builder="conll-ner"),
        dataset=DatasetSpec(source="built", path="sentences", **KEYS),
        recipe_digest=DIGEST,
        folder=str(tmp_path),
        dataset_origin="made of sand",
        stored_dataset=rows,
    )
    lock = resolve(given, Context(store, tmp_path, endpoint=hub.endpoint, token=OWNER))
    assert lock.dataset == Source(
        kind="dataset",
        source="built",
        id="sentences",
        revision="local",
        sha=rows.digest,
        license="other",
        url=None,
        origin="made of sand",
    )
    assert digest_of_data(store.path(rows)) == lock.dataset.sha  # as for a local dataset
    assert len(lock.base.sha) == 40


def test_is_fast(hub: EmbeddedHub, tmp_path: Path) -> None:
    _resolve(hub, tmp_path)
    start = time.perf_counter()
    _resolve(hub, tmp_path)
    assert time.perf_counter() - start < 1.0
    hub.requests.clear()
    _resolve(hub, tmp_path)
    assert len(hub.requests) == 2


def _tasks(hub: EmbeddedHub, tmp_path: Path, path: str, **spec: str) -> tuple[str, ...]:
    dataset = DatasetSpec.model_validate({"path": path, **KEYS, **spec})
    return _resolve(hub, tmp_path, dataset=dataset).dataset.benchmark_tasks


@pytest.mark.parametrize(
    ("spec", "tasks"),
    [
        ({}, ("sentences_validation", "sentences_any")),
        ({"config": "default"}, ("sentences_validation", "sentences_any")),
        ({"eval_split": "test"}, ("sentences_test",)),
        ({"config": "hard"}, ("sentences_hard",)),
        ({"config": "hard", "eval_split": "test"}, ()),
        ({"eval_split": "validation[:100]"}, ()),
    ],
)
def test_the_tasks_of_a_benchmark_that_the_recipe_does(
    hub: EmbeddedHub, tmp_path: Path, spec: dict[str, str], tasks: tuple[str, ...]
) -> None:
    assert _tasks(hub, tmp_path, "ana/bench", **spec) == tasks


def test_what_is_no_benchmark_sets_no_task(hub: EmbeddedHub, tmp_path: Path) -> None:
    assert _tasks(hub, tmp_path, "ana/data") == ()
    assert _tasks(hub, tmp_path, "ana/broken") == ()


@pytest.mark.parametrize(
    "text", ["", "- a", "tasks: a", "tasks: {a: b}", "a: [", "tasks: [{id: a, config: [b]}]"]
)
def test_an_eval_yaml_that_sets_none(text: str) -> None:
    spec = DatasetSpec.model_validate({"path": "a/b", **KEYS})
    assert tasks_done(text.encode(), spec) == ()


def test_an_eval_yaml_out_of_bounds() -> None:
    spec = DatasetSpec.model_validate({"path": "a/b", **KEYS, "eval_split": "test"})
    assert tasks_done(b"\xff\xfe", spec) == ()
    assert tasks_done(b"tasks: [{id: a}, {id: a}, {id: ' b '}]", spec) == ("a", "b")
    assert tasks_done(b"tasks: [{id: a}]" + b"#" * 1_000_000, spec) == ()
    assert tasks_done(b"tasks: [{id: 'a\n\n  b'}]", spec) == ()


def test_a_model_that_is_not_there(hub: EmbeddedHub, tmp_path: Path) -> None:
    with pytest.raises(HubError, match="the model ana/modle is not on the Hub") as caught:
        _resolve(hub, tmp_path, HubModel(id="ana/modle"))
    assert "spelling" in caught.value.hint
    assert "--endpoint" in caught.value.hint


def test_a_dataset_that_is_not_there(hub: EmbeddedHub, tmp_path: Path) -> None:
    with pytest.raises(HubError, match="the dataset ana/model is not on the Hub"):
        _resolve(hub, tmp_path, dataset=DatasetSpec(path="ana/model", **KEYS))


def test_a_private_model_of_another(hub: EmbeddedHub, tmp_path: Path) -> None:
    assert _resolve(hub, tmp_path, HubModel(id="ana/hidden")).base.id == "ana/hidden"
    with pytest.raises(HubError, match="or may not be seen") as caught:
        _resolve(hub, tmp_path, HubModel(id="ana/hidden"), token=OTHER)
    assert "hf auth login" in caught.value.hint
    assert OTHER not in caught.value.message + caught.value.hint


def test_a_revision_that_is_not_there(hub: EmbeddedHub, tmp_path: Path) -> None:
    with pytest.raises(HubError, match=r"no revision v1\.9, did you mean v1\.0") as caught:
        _resolve(hub, tmp_path, HubModel(id="ana/model", revision="v1.9"))
    assert "main, v1.0" in caught.value.hint


def test_a_token_that_the_hub_does_not_know(hub: EmbeddedHub, tmp_path: Path) -> None:
    with pytest.raises(HubError) as caught:
        _resolve(hub, tmp_path, token="hf_of_another_hub")
    assert "hf auth login" in caught.value.hint
    assert "hf_of_another_hub" not in caught.value.message + caught.value.hint


def test_a_hub_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    patience = Retry(tries=3, sleep=waits.append)
    monkeypatch.setattr(hub_source, "PATIENCE", patience)
    with pytest.raises(HubError, match="does not answer") as caught:
        _resolve("http://127.0.0.1:9", tmp_path)
    assert "--endpoint" in caught.value.hint
    assert len(waits) == 2


def test_a_hub_that_comes_back(
    tmp_path: Path, hub: EmbeddedHub, tmp_path_factory: pytest.TempPathFactory
) -> None:
    left = [2]

    def faults(method: str, path: str, phase: str) -> int | str | None:
        if phase == "before" and "/revision/" in path and left[0]:
            left[0] -= 1
            return 503
        return None

    root = tmp_path_factory.mktemp("shaky")
    with EmbeddedHub(root, users={"ana": {"token": OWNER}}, faults=faults) as shaky:
        left[0] = 0
        _put(shaky, root, "ana/model", "model", "license: mit")
        _put(shaky, root, "ana/data", "dataset", "license: mit")
        left[0] = 2
        assert _resolve(shaky, tmp_path).base.license == "mit"
    assert left == [0]


def test_local_paths_are_pinned_by_content(hub: EmbeddedHub, tmp_path: Path) -> None:
    make_tiny_model(tmp_path / "my-model")
    (tmp_path / "rows.csv").write_text("text,label\nfine,1\n")
    base, data = LocalModel(path="my-model"), DatasetSpec(source="local", path="rows.csv", **KEYS)
    one = _resolve("http://127.0.0.1:9", tmp_path, base, data)  # no Hub is asked
    assert (one.base.id, one.dataset.id) == ("my-model", "rows.csv")
    assert one.base.url is None
    assert str(tmp_path) not in one.model_dump_json()

    (tmp_path / "my-model" / "notes.txt").write_text("does not make the model")
    assert _resolve("http://127.0.0.1:9", tmp_path, base, data) == one
    (tmp_path / "my-model" / "vocab.txt").write_text("[PAD]\n[UNK]\n")
    (tmp_path / "rows.csv").write_text("text,label\nfine,0\n")
    two = _resolve("http://127.0.0.1:9", tmp_path, base, data)
    assert two.base.sha != one.base.sha
    assert two.dataset.sha != one.dataset.sha


def test_a_local_card_names_the_licence(tmp_path: Path) -> None:
    make_tiny_model(tmp_path / "m")
    (tmp_path / "m" / "README.md").write_text("---\nlicense: mit\n---\n")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "train.csv").write_text("text,label\nfine,1\n")
    spec = DatasetSpec(source="local", path="d", **KEYS)
    lock = _resolve("http://127.0.0.1:9", tmp_path, LocalModel(path="m"), spec)
    assert (lock.base.license, lock.dataset.license) == ("mit", None)


def test_local_paths_that_hold_nothing(tmp_path: Path) -> None:
    spec = DatasetSpec(source="local", path="rows", **KEYS)
    with pytest.raises(ModelError, match="no model folder"):
        _resolve("http://127.0.0.1:9", tmp_path, LocalModel(path="gone"), spec)
    make_tiny_model(tmp_path / "m")
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / ".hidden").write_text("")
    with pytest.raises(DataError, match="no dataset"):
        _resolve("http://127.0.0.1:9", tmp_path, LocalModel(path="m"), spec)
