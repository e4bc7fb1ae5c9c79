"""The stage `encode`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from transformers import AutoTokenizer

from hubkit.errors import DataError
from hubkit.records import Dataset, Encoded
from hubkit.stages.encode import EncodeInput, encode
from hubkit.store import Store
from tests.stages.evaluation_data import Columns, base_model, context, dataset
from tests.tiny import SENTENCES, make_tiny_model

LABELS = [i % 2 for i in range(len(SENTENCES))]
ROWS: Columns = {"primary": SENTENCES, "label": LABELS}
PAIRS: Columns = {"primary": SENTENCES, "secondary": SENTENCES[::-1], "label": LABELS}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {
        "distilbert": make_tiny_model(root / "distilbert"),
        "bert": make_tiny_model(root / "bert", model_type="bert"),
    }


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def _encode(
    store: Store, model: Path, data: Dataset, *, max_length: int = 8, positions: int = 64
) -> Encoded:
    base = base_model(store, model, max_positions=positions)
    given = EncodeInput(
        dataset=data,
        base=base,
        split="eval",
        max_length=max_length,
        task="text-classification",
    )
    with context(store) as ctx:
        return encode(given, ctx)


def _arrays(store: Store, made: Encoded) -> dict[str, NDArray[np.int64]]:
    with np.load(store.path(made.artifact) / "encoded.npz", allow_pickle=False) as file:
        return dict(file)


@pytest.mark.parametrize("columns", [ROWS, PAIRS], ids=["sentences", "pairs"])
@pytest.mark.parametrize("name", ["distilbert", "bert"])
def test_ragged_rows_are_autotokenizers(
    store: Store, models: dict[str, Path], name: str, columns: Columns
) -> None:
    made = _encode(store, models[name], dataset(store, eval=columns))
    texts = [list(columns[c]) for c in ("primary", "secondary") if c in columns]
    tokenizer = AutoTokenizer.from_pretrained(models[name])
    expected = tokenizer(*texts, truncation=True, max_length=8)
    arrays = _arrays(store, made)
    cuts = arrays["offsets"][1:-1]
    assert [row.tolist() for row in np.split(arrays["input_ids"], cuts)] == expected["input_ids"]
    assert arrays["labels"].tolist() == LABELS
    assert ("token_type_ids" in arrays) == (name == "bert") == ("token_type_ids" in expected)
    if name == "bert":
        types = [row.tolist() for row in np.split(arrays["token_type_ids"], cuts)]
        assert types == expected["token_type_ids"]
    whole = tokenizer(*texts)["input_ids"]
    assert made.truncated == sum(len(row) > 8 for row in whole) > 0
    assert made.input_names == tuple(n for n in _ORDER if n in expected)
    assert made.mean_tokens == pytest.approx(np.mean([len(r) for r in expected["input_ids"]]))
    assert {k: str(v.dtype) for k, v in arrays.items() if k != "token_type_ids"} == {
        "offsets": "int64",
        "input_ids": "int32",
        "labels": "int64",
    }


_ORDER = ("input_ids", "attention_mask", "token_type_ids")


def test_token_types_of_a_bert_tokenizer_are_not_for_a_distilbert(
    store: Store, models: dict[str, Path], tmp_path: Path
) -> None:
    import shutil

    folder = tmp_path / "distilbert"
    shutil.copytree(models["distilbert"], folder)
    settings = folder / "tokenizer_config.json"
    settings.write_text(settings.read_text().replace("DistilBertTokenizer", "BertTokenizer"))
    made = _encode(store, folder, dataset(store, eval=ROWS))
    assert made.input_names == ("input_ids", "attention_mask")
    assert "token_type_ids" not in _arrays(store, made)


def test_equal_input_gives_equal_bytes(store: Store, models: dict[str, Path]) -> None:
    data = dataset(store, eval=ROWS)
    first = _encode(store, models["bert"], data)
    elsewhere = Store(store.root.parent / "other")
    second = _encode(elsewhere, models["bert"], dataset(elsewhere, eval=ROWS))
    assert first == second


def test_the_model_s_positions_bound_the_length(store: Store, models: dict[str, Path]) -> None:
    long: Columns = {"primary": ["good " * 50], "label": [1]}
    made = _encode(
        store, models["distilbert"], dataset(store, eval=long), max_length=48, positions=16
    )
    assert (made.max_length, made.mean_tokens, made.truncated) == (16, 16.0, 1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"calibration": ROWS}, "no eval rows"),
        ({"eval": {"primary": [], "label": []}}, "is empty"),
        ({"eval": {"primary": ["good", None], "label": [0, 1]}}, "1 of the 2 rows .* no primary"),
        ({"eval": {"primary": ["good", "bad"], "label": [0, None]}}, "no label"),
    ],
    ids=["no split", "empty", "no text", "no label"],
)
def test_bad_rows_are_an_error(
    store: Store, models: dict[str, Path], data: dict[str, Columns], message: str
) -> None:
    with pytest.raises(DataError, match=message) as raised:
        _encode(store, models["distilbert"], dataset(store, **data))
    assert raised.value.hint
