from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hubkit.errors import DataError, HubError
from hubkit.hub.server.embedded import EmbeddedHub
from hubkit.recipe import DatasetSpec
from hubkit.records import Dataset, Source
from hubkit.stage import Context
from hubkit.stages import hub_source
from hubkit.stages.fetch_dataset import FetchDatasetInput, fetch_dataset
from hubkit.stages.push import PushInput, push
from hubkit.stages.resolve import digest_of_data
from hubkit.stages.split_rows import read_groups, read_rows
from hubkit.store import Store

TOKEN = "hf_owner_token"
LABELS = {"0": "NEGATIVE", "1": "POSITIVE"}
Table = dict[str, list[object]]
_OF_THE_SPEC = DatasetSpec.model_fields.keys() - {"source", "path"}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedHub]:
    root = tmp_path_factory.mktemp("hub")
    with EmbeddedHub(root, users={"ana": {"token": TOKEN}}) as running:
        yield running


@pytest.fixture(autouse=True)
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hf-cache"))


def _reviews(count: int, start: int = 0) -> Table:
    numbers = range(start, start + count)
    return {"sentence": [f"review {i}" for i in numbers], "label": [i % 2 for i in numbers]}


def _write(folder: Path, *, names: list[str] | None = None, **splits: Table) -> Path:
    """A dataset folder, data/SPLIT.parquet; with `names` its label column has class names."""
    (folder / "data").mkdir(parents=True)
    for split, columns in splits.items():
        table = pa.table(columns)
        if names is not None:
            features = {
                "sentence": {"dtype": "string", "_type": "Value"},
                "label": {"names": names, "_type": "ClassLabel"},
            }
            note = json.dumps({"info": {"features": features}})
            table = table.replace_schema_metadata({"huggingface": note})
        pq.write_table(table, folder / "data" / f"{split}-00000-of-00001.parquet")
    return folder


def _spec(path: str, **changes: object) -> DatasetSpec:
    given = {"path": path, "data_keys": {"primary": "sentence"}, "ref_keys": ("label",)}
    return DatasetSpec.model_validate({**given, **changes})


def _fetch(
    given: FetchDatasetInput, root: Path, endpoint: str = "http://127.0.0.1:9"
) -> tuple[Dataset, dict[str, Table]]:
    store = Store(root)
    with store.scratch() as scratch:
        ctx = Context(store, scratch, endpoint=endpoint, token=TOKEN)
        found = fetch_dataset(given, ctx)
    folder = store.path(found.artifact)
    return found, {p.stem: pq.read_table(p).to_pydict() for p in folder.iterdir()}


def _local(path: Path, root: Path, **changes: object) -> tuple[Dataset, dict[str, Table]]:
    spec_changes = {k: changes.pop(k) for k in list(changes) if k in _OF_THE_SPEC}
    source = Source(
        kind="dataset", source="local", id=path.name, revision="local", sha=digest_of_data(path)
    )
    given: dict[str, object] = {
        "source": source,
        "spec": _spec(path.name, source="local", **spec_changes),
        "labels": LABELS,
        "model_labels": ("NEGATIVE", "POSITIVE"),
        "path": str(path),
    }
    return _fetch(FetchDatasetInput.model_validate({**given, **changes}), root)


def _publish(hub: EmbeddedHub, folder: Path, root: Path, repo_id: str) -> Source:
    store = Store(root)
    with store.scratch() as scratch:
        bundle = store.adopt(folder)
        ctx = Context(store, scratch, endpoint=hub.endpoint, token=TOKEN)
        given = PushInput(bundle=bundle, repo_id=repo_id, message="Add", kind="dataset")
        done = push(given, ctx)
    return Source(kind="dataset", source="hub", id=repo_id, revision="main", sha=done.commit)


def _remote(hub: EmbeddedHub, source: Source, **changes: object) -> FetchDatasetInput:
    return FetchDatasetInput.model_validate(
        {
            "source": source,
            "spec": _spec(source.id),
            "labels": LABELS,
            "model_labels": ("NEGATIVE", "POSITIVE"),
            **changes,
        }
    )


def test_reads_the_pinned_revision_from_the_hub(hub: EmbeddedHub, tmp_path: Path) -> None:
    folder = _write(tmp_path / "d", train=_reviews(20), validation=_reviews(6, 100))
    pinned = _publish(hub, folder, tmp_path / "seed", "ana/reviews")
    newer = _write(tmp_path / "e", train=_reviews(20), validation=_reviews(2, 500))
    assert _publish(hub, newer, tmp_path / "seed", "ana/reviews").sha != pinned.sha
    given = _remote(hub, pinned, calibration_rows=5)
    found, rows = _fetch(given, tmp_path / "store", hub.endpoint)
    assert rows["eval"] == {
        "primary": [f"review {i}" for i in range(100, 106)],
        "label": [0, 1, 0, 1, 0, 1],
    }
    assert len(rows["calibration"]["primary"]) == 5
    assert set(rows["calibration"]["primary"]) <= {f"review {i}" for i in range(20)}
    assert found.label_counts == {"NEGATIVE": 3, "POSITIVE": 3}
    assert (found.eval_rows, found.eval_rows_available, found.calibration_rows) == (6, 6, 5)
    assert not found.partial


def test_downloads_only_the_splits_it_needs(hub: EmbeddedHub, tmp_path: Path) -> None:
    folder = _write(tmp_path / "d", train=_reviews(9), validation=_reviews(6), test=_reviews(3))
    source = _publish(hub, folder, tmp_path / "seed", "ana/three")
    hub.requests.clear()
    _fetch(_remote(hub, source), tmp_path / "store", hub.endpoint)
    files = {path.rsplit("/", 1)[-1] for _, path in hub.requests if path.endswith(".parquet")}
    assert files == {"validation-00000-of-00001.parquet"}


def test_a_folder_here_is_not_taken_for_a_dataset_there(
    hub: EmbeddedHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _write(tmp_path / "d", train=_reviews(4), validation=_reviews(4))
    source = _publish(hub, folder, tmp_path / "seed", "ana/shadowed")
    _write(tmp_path / "ana" / "shadowed", train=_reviews(1), validation=_reviews(1))
    monkeypatch.chdir(tmp_path)
    found, _ = _fetch(_remote(hub, source), tmp_path / "store", hub.endpoint)
    assert found.eval_rows == 4


def test_hub_and_folder_give_the_same_artifact(hub: EmbeddedHub, tmp_path: Path) -> None:
    def write(name: str) -> Path:
        return _write(tmp_path / name, train=_reviews(20), validation=_reviews(6, 100))

    source = _publish(hub, write("d"), tmp_path / "seed", "ana/both")
    one, _ = _fetch(_remote(hub, source, calibration_rows=5), tmp_path / "one", hub.endpoint)
    two, _ = _local(write("d2"), tmp_path / "two", calibration_rows=5)
    assert one == two


def test_a_dataset_that_was_removed(hub: EmbeddedHub, tmp_path: Path) -> None:
    source = Source(kind="dataset", source="hub", id="ana/removed", revision="main", sha="0" * 40)
    with pytest.raises(HubError, match="the dataset ana/removed is not on the Hub"):
        _fetch(_remote(hub, source), tmp_path / "store", hub.endpoint)


def test_a_hub_that_is_away(
    hub: EmbeddedHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hubkit.hub.retry import Retry

    monkeypatch.setattr(hub_source, "DOWNLOADS", Retry(tries=2, sleep=lambda _: None))
    source = Source(kind="dataset", source="hub", id="ana/away", revision="main", sha="0" * 40)
    with pytest.raises(HubError, match="does not answer"):
        _fetch(_remote(hub, source), tmp_path / "store", "http://127.0.0.1:9")


def test_an_empty_repository(hub: EmbeddedHub, tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "README.md").write_text("nothing yet")
    source = _publish(hub, folder, tmp_path / "seed", "ana/empty")
    with pytest.raises(DataError, match="the dataset ana/empty cannot be read"):
        _fetch(_remote(hub, source), tmp_path / "store", hub.endpoint)


@pytest.mark.parametrize(
    "labels", [{"0": "NEGATIVE", "1": "POSITIVE"}, {"neg": "NEGATIVE", "pos": "POSITIVE"}]
)
def test_class_names_and_numbers_both_name_a_label(tmp_path: Path, labels: dict[str, str]) -> None:
    folder = _write(tmp_path / "d", names=["neg", "pos"], validation=_reviews(4))
    _, rows = _local(folder, tmp_path / "store", labels=labels)
    assert rows["eval"]["label"] == [0, 1, 0, 1]


def test_the_mapping_decides_not_the_number(tmp_path: Path) -> None:
    folder = _write(tmp_path / "d", validation=_reviews(4))
    _, rows = _local(folder, tmp_path / "store", labels={"0": "POSITIVE", "1": "NEGATIVE"})
    assert rows["eval"]["label"] == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (["bad", "good"], {"bad": "NEGATIVE", "good": "POSITIVE"}),
        ([False, True], {"false": "NEGATIVE", "true": "POSITIVE"}),
        ([1.0, 5.0], {"1": "NEGATIVE", "5": "POSITIVE"}),
    ],
)
def test_labels_of_any_type(tmp_path: Path, values: list[object], labels: dict[str, str]) -> None:
    columns: Table = {"sentence": ["a", "b"], "label": values}
    folder = _write(tmp_path / "d", validation=columns)
    _, rows = _local(folder, tmp_path / "store", labels=labels)
    assert rows["eval"]["label"] == [0, 1]


def test_pairs_of_texts(tmp_path: Path) -> None:
    columns: Table = {"q": ["a", "b"], "r": ["c", "d"], "label": [0, 1]}
    folder = _write(tmp_path / "d", validation=columns)
    keys = {"primary": "q", "secondary": "r"}
    _, rows = _local(folder, tmp_path / "store", data_keys=keys)
    assert rows["eval"] == {"primary": ["a", "b"], "secondary": ["c", "d"], "label": [0, 1]}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows.csv", "sentence,label\nfine,1\ndull,0\n"),
        ("rows.tsv", "sentence\tlabel\nfine\t1\ndull\t0\n"),
        ("rows.jsonl", '{"sentence": "fine", "label": 1}\n{"sentence": "dull", "label": 0}\n'),
    ],
)
def test_single_files(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    found, rows = _local(tmp_path / name, tmp_path / "store", eval_split="train")
    assert rows["eval"] == {"primary": ["fine", "dull"], "label": [1, 0]}
    assert found.eval_rows == 2


def test_a_slice_of_a_split(tmp_path: Path) -> None:
    folder = _write(tmp_path / "d", train=_reviews(10))
    _, rows = _local(
        folder,
        tmp_path / "store",
        eval_split="train[:4]",
        calibration_split="train[4:]",
        calibration_rows=3,
    )
    assert rows["eval"]["primary"] == [f"review {i}" for i in range(4)]
    assert set(rows["calibration"]["primary"]) <= {f"review {i}" for i in range(4, 10)}


def test_calibration_never_sees_an_evaluation_row(tmp_path: Path) -> None:
    both = _reviews(12)
    folder = _write(tmp_path / "d", train=_reviews(15), validation=both)
    found, rows = _local(folder, tmp_path / "store", calibration_rows=10, samples=2)
    assert set(rows["calibration"]["primary"]) == {"review 12", "review 13", "review 14"}
    assert found.calibration_rows == 3


def test_calibration_rows_are_drawn_with_the_seed(tmp_path: Path) -> None:
    folder = _write(tmp_path / "d", train=_reviews(200), validation=_reviews(4, 900))
    drawn = [
        _local(folder, tmp_path / f"store{i}", calibration_rows=n, calibration_seed=seed)[1][
            "calibration"
        ]["primary"]
        for i, (n, seed) in enumerate([(20, 1), (20, 1), (20, 2)])
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 20
    assert drawn[0] != [f"review {i}" for i in range(20)]


def test_calibration_needs_no_labels(tmp_path: Path) -> None:
    train: Table = {"sentence": ["x", None, "z"], "label": [-1, 0, 1]}
    folder = _write(tmp_path / "d", train=train, validation=_reviews(4))
    _, rows = _local(folder, tmp_path / "store", calibration_rows=3)
    found = dict(zip(rows["calibration"]["primary"], rows["calibration"]["label"], strict=True))
    assert found == {"x": -1, "z": 1}


def test_nothing_left_to_calibrate_with(tmp_path: Path) -> None:
    folder = _write(tmp_path / "d", train=_reviews(3), validation=_reviews(4))
    with pytest.raises(DataError, match="no row to calibrate with"):
        _local(folder, tmp_path / "store", calibration_rows=3)


def test_a_limit_takes_a_sample_of_all_labels_and_says_so(tmp_path: Path) -> None:
    columns: Table = {
        "sentence": [f"review {i}" for i in range(400)],
        "label": [int(i >= 200) for i in range(400)],
    }
    folder = _write(tmp_path / "d", validation=columns)
    found, rows = _local(folder, tmp_path / "store", samples=50)
    assert (found.eval_rows, found.eval_rows_available, found.partial) == (50, 400, True)
    assert min(found.label_counts.values()) > 10
    numbers = [int(str(text).split()[1]) for text in rows["eval"]["primary"]]
    assert numbers == sorted(numbers)
    assert rows["eval"]["label"] == [int(n >= 200) for n in numbers]
    assert _local(folder, tmp_path / "again", samples=50)[0] == found


def test_a_limit_beyond_the_rows_limits_nothing(tmp_path: Path) -> None:
    folder = _write(tmp_path / "d", validation=_reviews(4))
    assert not _local(folder, tmp_path / "store", samples=9)[0].partial


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data_keys": {"primary": "sentense"}}, "no column sentense .*did you mean sentence"),
        ({"ref_keys": ("labels",)}, "no column labels .*did you mean label"),
        ({"data_keys": {"primary": "sentence", "secondary": "other"}}, "no column other"),
    ],
)
def test_a_column_that_is_not_there(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    folder = _write(tmp_path / "d", validation=_reviews(4))
    with pytest.raises(DataError, match=said) as caught:
        _local(folder, tmp_path / "store", **changes)
    assert caught.value.hint == "Its columns: sentence, label."


def test_a_split_that_is_not_there(tmp_path: Path) -> None:
    folder = _write(tmp_path / "d", train=_reviews(4), validation=_reviews(4))
    with pytest.raises(DataError, match="no split validaton, did you mean validation") as caught:
        _local(folder, tmp_path / "store", eval_split="validaton")
    assert "train, validation" in caught.value.hint
    with pytest.raises(DataError, match="no split unsupervised"):
        _local(folder, tmp_path / "s", calibration_split="unsupervised", calibration_rows=1)


def test_an_empty_split(tmp_path: Path) -> None:
    empty = {"sentence": pa.array([], pa.string()), "label": pa.array([], pa.int64())}
    folder = _write(tmp_path / "d", train=_reviews(2), validation=empty)
    with pytest.raises(DataError, match="split validation of d is empty"):
        _local(folder, tmp_path / "store")


def test_a_slice_that_is_empty(tmp_path: Path) -> None:
    folder = _write(tmp_path / "d", validation=_reviews(4))
    with pytest.raises(DataError, match=r"validation\[:0\] of d is empty"):
        _local(folder, tmp_path / "store", eval_split="validation[:0]")


def test_a_label_that_the_recipe_does_not_map(tmp_path: Path) -> None:
    columns: Table = {"sentence": list("abcdef"), "label": [0, 1, 2, 2, 0, 3]}
    folder = _write(tmp_path / "d", validation=columns)
    with pytest.raises(DataError) as caught:
        _local(folder, tmp_path / "store")
    assert "says nothing of the value 2, first in row 2, 2 rows in all" in caught.value.message
    assert "(1 other such values)" in caught.value.message
    assert "knows 0, 1" in caught.value.hint


def test_a_class_that_the_recipe_does_not_map(tmp_path: Path) -> None:
    columns: Table = {"sentence": ["a", "b"], "label": [0, 2]}
    folder = _write(tmp_path / "d", names=["neg", "pos", "meh"], validation=columns)
    with pytest.raises(DataError, match="value meh or 2, first in row 1"):
        _local(folder, tmp_path / "store")


@pytest.mark.parametrize(("hidden", "said"), [(-1, r"\(-1"), (None, r"\(null")])
def test_labels_that_are_kept_back(tmp_path: Path, hidden: object, said: str) -> None:
    columns: Table = {"sentence": ["a", "b", "c"], "label": [0, hidden, hidden]}
    folder = _write(tmp_path / "d", names=["neg", "pos"], test=columns)
    with pytest.raises(DataError, match=f"2 rows without a label {said}, first in row 1") as caught:
        _local(folder, tmp_path / "store", eval_split="test")
    assert "validation" in caught.value.hint


def test_text_that_is_null(tmp_path: Path) -> None:
    columns: Table = {"sentence": ["a", None, "c"], "label": [0, 1, 0]}
    folder = _write(tmp_path / "d", validation=columns)
    with pytest.raises(DataError, match=r"1 rows without text \(null\), first in row 1"):
        _local(folder, tmp_path / "store")


def test_a_column_that_is_not_text(tmp_path: Path) -> None:
    columns: Table = {"sentence": [1, 2], "label": [0, 1]}
    folder = _write(tmp_path / "d", validation=columns)
    with pytest.raises(DataError, match="column sentence of dataset d holds int64, not text"):
        _local(folder, tmp_path / "store")


def test_labels_that_are_lists(tmp_path: Path) -> None:
    columns: Table = {"sentence": ["a", "b"], "label": [[0, 1], [1]]}
    folder = _write(tmp_path / "d", validation=columns)
    with pytest.raises(DataError, match="holds lists of int64, not one label a row"):
        _local(folder, tmp_path / "store")


def test_a_mapping_to_no_label_of_the_model(tmp_path: Path) -> None:
    folder = _write(tmp_path / "d", validation=_reviews(4))
    with pytest.raises(DataError, match=r'"POSITVE", which is no label .*did you mean POSITIVE'):
        _local(folder, tmp_path / "store", labels={"0": "NEGATIVE", "1": "POSITVE"})


def test_an_unknown_configuration(tmp_path: Path) -> None:
    folder = _write(tmp_path / "d", validation=_reviews(4))
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: plain\n  data_files:\n  - split: validation\n"
        "    path: data/validation-*\n---\n"
    )
    assert _local(folder, tmp_path / "store", config="plain")[0].eval_rows == 4
    with pytest.raises(DataError, match=r"'fancy' not found\. Available: \['plain'\]"):
        _local(folder, tmp_path / "store", config="fancy")


def test_a_file_that_is_damaged(tmp_path: Path) -> None:
    folder = _write(tmp_path / "d", validation=_reviews(4))
    (folder / "data" / "validation-00000-of-00001.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match="the dataset d cannot be read"):
        _local(folder, tmp_path / "store")


def test_a_file_of_no_known_form(tmp_path: Path) -> None:
    (tmp_path / "rows.xlsx").write_bytes(b"x")
    with pytest.raises(DataError, match=r"rows\.xlsx is of no form") as caught:
        _local(tmp_path / "rows.xlsx", tmp_path / "store")
    assert ".parquet" in caught.value.hint


def test_a_folder_that_changed_is_refused(tmp_path: Path) -> None:
    folder = _write(tmp_path / "d", validation=_reviews(4))
    source = Source(kind="dataset", source="local", id="d", revision="local", sha="0" * 64)
    with pytest.raises(DataError, match="was changed"):
        _local(folder, tmp_path / "store", source=source)


def test_the_recipe_of_the_dataset_has_one_place_in_the_store(tmp_path: Path) -> None:
    folder = _write(tmp_path / "d", validation=_reviews(4))
    _local(folder, tmp_path / "store")
    left = {p.name for p in (tmp_path / "store").rglob("*") if p.is_file()}
    assert left == {"eval.parquet"}


TAGS = ["O", "B-PER", "I-PER"]
NER: dict[str, object] = {
    "task": "token-classification",
    "data_keys": {"primary": "tokens"},
    "ref_keys": ("ner_tags",),
    "labels": {name: name for name in TAGS},
    "model_labels": ("O", "I-PER", "B-PER"),
}
QA: dict[str, object] = {
    "task": "question-answering",
    "data_keys": {"question": "q", "context": "c"},
    "ref_keys": ("answers",),
    "labels": {},
    "model_labels": (),
}


def _sentences(tags: list[object], *, words: list[object] | None = None) -> Table:
    return {"tokens": words or [["Ada", "Lim", "won"], ["She", "won"]], "ner_tags": tags}


def _tagged(folder: Path, split: str, columns: Table) -> Path:
    """A dataset folder whose tags have class names, as CoNLL-2003 has them on the Hub."""
    from datasets import ClassLabel, Features, Sequence, Value
    from datasets import Dataset as Rows

    kinds = {"tokens": Sequence(Value("string")), "ner_tags": Sequence(ClassLabel(names=TAGS))}
    (folder / "data").mkdir(parents=True, exist_ok=True)
    rows = Rows.from_dict(columns, features=Features(kinds))
    rows.to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet")
    return folder


@pytest.mark.parametrize(
    ("tags", "labels"),
    [
        ([["B-PER", "I-PER", "O"], ["O", "O"]], {name: name for name in TAGS}),
        ([[1, 2, 0], [0, 0]], {"0": "O", "1": "B-PER", "2": "I-PER"}),
    ],
    ids=["names", "numbers"],
)
def test_labels_of_words(tmp_path: Path, tags: list[object], labels: dict[str, str]) -> None:
    folder = _write(tmp_path / "d", validation=_sentences(tags))
    found, rows = _local(folder, tmp_path / "store", **{**NER, "labels": labels})
    assert rows["eval"] == {
        "primary": [["Ada", "Lim", "won"], ["She", "won"]],
        "label": [[2, 1, 0], [0, 0]],
    }
    assert found.label_counts == {"O": 3, "I-PER": 1, "B-PER": 1}
    assert found.eval_rows == 2


@pytest.mark.parametrize("labels", [{n: n for n in TAGS}, {str(i): n for i, n in enumerate(TAGS)}])
def test_class_names_of_words(tmp_path: Path, labels: dict[str, str]) -> None:
    folder = _tagged(tmp_path / "d", "validation", _sentences([[1, 2, 0], [0, 0]]))
    _, rows = _local(folder, tmp_path / "store", **{**NER, "labels": labels})
    assert rows["eval"]["label"] == [[2, 1, 0], [0, 0]]


def test_calibration_on_words_needs_no_labels(tmp_path: Path) -> None:
    folder = _tagged(tmp_path / "d", "validation", _sentences([[0, 0, 0], [0, 0]]))
    words: list[object] = [["She", "won"], ["Nobody"], ["No", "one"], []]
    _tagged(folder, "train", _sentences([[-1, -1], [2], [0, 0], []], words=words))
    found, rows = _local(folder, tmp_path / "store", **NER, calibration_rows=9)
    assert set(rows["calibration"]) == {"primary"}
    assert sorted(map(str, rows["calibration"]["primary"])) == sorted(map(str, words[1:]))
    assert found.calibration_rows == 3


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (_sentences([[0, 0, 0], [0]]), "has 2 words and 1 labels in row 1"),
        (_sentences([[0, 0, 0], [0, 7]]), "value 7, first in row 1, 1 words in all"),
        (_sentences([[0, 0, 0], [-1, -1]]), r"2 words without a label \(-1, first in row 1\)"),
        (_sentences([[0, 0, 0], None]), r"a row without labels \(null\), row 1"),
        (_sentences([[0, None, 0], [0, 0]]), r"1 words without a label \(null, first in row 0"),
        (
            _sentences([[0, 0], [0]], words=[["a", None], ["b"]]),
            r"1 rows without text \(null\), first in row 0",
        ),
        (_sentences([0, 1]), "column ner_tags .* holds int64, not a list of labels a row"),
        (_sentences([[0], [0]], words=["a", "b"]), "tokens .* holds string, not lists of words"),
    ],
    ids=["lengths", "unknown", "hidden", "null row", "null label", "null word", "flat", "text"],
)
def test_words_and_labels_that_do_not_fit(tmp_path: Path, columns: Table, said: str) -> None:
    folder = _write(tmp_path / "d", validation=columns)
    labels = {"0": "O", "1": "B-PER", "2": "I-PER"}
    with pytest.raises(DataError, match=said) as caught:
        _local(folder, tmp_path / "store", **{**NER, "labels": labels})
    assert caught.value.hint


@pytest.mark.parametrize(
    "answers",
    [
        [{"text": ["Oslo", "in Oslo"], "answer_start": [3, 0]}, {"text": [], "answer_start": []}],
        [[{"text": "Oslo", "answer_start": 3}, {"text": "in Oslo", "answer_start": 0}], []],
        [["Oslo", "in Oslo"], []],
    ],
    ids=["squad", "a struct an answer", "lists"],
)
def test_answers(tmp_path: Path, answers: list[object]) -> None:
    columns: Table = {"q": ["Where?", "Why?"], "c": ["in Oslo", "it rains"], "answers": answers}
    folder = _write(tmp_path / "d", train=columns, validation=columns)
    found, rows = _local(folder, tmp_path / "store", **QA)
    assert rows["eval"] == {
        "question": ["Where?", "Why?"],
        "context": ["in Oslo", "it rains"],
        "answers": [["Oslo", "in Oslo"], []],
    }
    assert found.label_counts == {}


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([["Oslo"], None], r"a row without answers \(null\), row 1"),
        (["Oslo", "rain"], "holds string, not a list of texts a row"),
        ([[1], [2]], "holds lists of int64, not a list of texts a row"),
    ],
)
def test_answers_of_another_form(tmp_path: Path, answers: list[object], said: str) -> None:
    columns: Table = {"q": ["Where?", "Why?"], "c": ["in Oslo", "it rains"], "answers": answers}
    folder = _write(tmp_path / "d", validation=columns)
    with pytest.raises(DataError, match=said) as caught:
        _local(folder, tmp_path / "store", **QA)
    assert caught.value.hint


def test_texts_without_a_reference(tmp_path: Path) -> None:
    folder = _write(
        tmp_path / "d", train={"sentence": ["x", "y"]}, validation={"sentence": ["a", "b"]}
    )
    given = {"task": "feature-extraction", "ref_keys": (), "labels": {}, "model_labels": ()}
    found, rows = _local(folder, tmp_path / "store", **given, calibration_rows=2)
    assert rows["eval"] == {"primary": ["a", "b"]}
    assert set(rows["calibration"]) == {"primary"}
    assert (found.label_counts, found.calibration_rows) == ({}, 2)


def _grouped(values: list[object], **more: list[object]) -> Table:
    count = len(values)
    return {**_reviews(count), "group": values, **more}


def test_group_columns_are_kept_as_text_beside_the_evaluation_rows(tmp_path: Path) -> None:
    hostile = "a|b\n`c` <i>"
    both = _grouped([hostile, None, "", "x"], year=[1996, 1996, None, 2003])
    train: Table = {**_reviews(9, 50), "group": ["y"] * 9, "year": list(range(9))}
    folder = _write(tmp_path / "d", train=train, validation=both)
    found, rows = _local(
        folder, tmp_path / "store", group_columns=("year", "group"), calibration_rows=2
    )
    assert rows["eval"]["group:group"] == [hostile, None, "", "x"]
    assert rows["eval"]["group:year"] == ["1996", "1996", None, "2003"]
    assert sorted(rows["calibration"]) == ["label", "primary"]
    folder = Store(tmp_path / "store").path(found.artifact)
    assert read_groups(folder) == {
        name: rows["eval"][f"group:{name}"] for name in ("year", "group")
    }
    # No model is given them, and a row without a value is a row all the same.
    assert read_rows(folder, "eval").columns == {"primary": rows["eval"]["primary"]}


def test_the_groups_of_a_sample_are_those_of_its_rows(tmp_path: Path) -> None:
    folder = _write(tmp_path / "d", validation=_grouped([f"g{at % 20}" for at in range(200)]))
    _, rows = _local(folder, tmp_path / "store", group_columns=("group",), samples=30)
    numbers = [int(str(text).split()[1]) for text in rows["eval"]["primary"]]
    assert rows["eval"]["group:group"] == [f"g{number % 20}" for number in numbers]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([True, False], ["true", "false"]),
        ([1.0, 2.5], ["1", "2.5"]),
        ([float("nan"), 2.0], [None, "2"]),
        ([None, None], [None, None]),
    ],
)
def test_groups_of_any_type(tmp_path: Path, values: list[object], texts: list[object]) -> None:
    folder = _write(tmp_path / "d", validation=_grouped(values))
    _, rows = _local(folder, tmp_path / "store", group_columns=("group",))
    assert rows["eval"]["group:group"] == texts


def test_groups_by_class_have_its_name(tmp_path: Path) -> None:
    columns: Table = {"sentence": ["a", "b", "c"], "label": [0, 1, -1]}
    folder = _write(tmp_path / "d", names=["neg", "pos"], validation=columns)
    spec = {"ref_keys": (), "data_keys": {"primary": "sentence"}}
    _, rows = _local(
        folder, tmp_path / "s", group_columns=("label",), task="feature-extraction", **spec
    )
    assert rows["eval"]["group:label"] == ["neg", "pos", None]


@pytest.mark.parametrize(
    ("values", "column", "said"),
    [
        (["a"], "grup", r"no column grup \(analyses.group_columns\), did you mean group"),
        ([[1], [2]], "group", "holds lists of int64, not one value a row"),
        ([f"g{at}" for at in range(21)], "group", "has 21 different values, .* at most 20"),
        ([b"a"], "group", "holds binary, not one value a row"),
    ],
)
def test_columns_that_make_no_groups(
    tmp_path: Path, values: list[object], column: str, said: str
) -> None:
    folder = _write(tmp_path / "d", validation=_grouped(values))
    with pytest.raises(DataError, match=said):
        _local(folder, tmp_path / "store", group_columns=(column,))
