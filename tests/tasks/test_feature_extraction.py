"""Feature extraction: the mean over the tokens, and how far a model's vectors are from FP32's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from hubkit.errors import DataError, ModelError
from hubkit.tasks import feature_extraction
from hubkit.tasks.base import Encoding, Rows, Scorer
from hubkit.tasks.feature_extraction import task
from tests.tasks.models import make_encoder
from tests.tiny import SENTENCES

ROWS = Rows({"primary": SENTENCES}, None)
Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def model(distilbert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("models") / "encoder", distilbert)


def _arrays(encoding: Encoding) -> Arrays:
    return {"offsets": np.cumsum([0, *map(len, encoding.ids)])}


def _kept(folder: Path, encoding: Encoding, batch_size: int, padding: int = 0) -> np.ndarray:
    """Of all inputs; a batch is padded to its longest input, and by so many tokens more."""
    import torch
    from transformers import AutoModel

    network = AutoModel.from_pretrained(folder).eval()
    kept: list[np.ndarray] = []
    for start in range(0, len(encoding.ids), batch_size):
        some = encoding.ids[start : start + batch_size]
        ids = torch.full((len(some), max(map(len, some)) + padding), encoding.pad_id)
        mask = torch.zeros_like(ids)
        for at, one in enumerate(some):
            ids[at, : len(one)] = torch.tensor(one)
            mask[at, : len(one)] = 1
        with torch.inference_mode():
            states = network(input_ids=ids, attention_mask=mask).last_hidden_state.numpy()
        inputs = np.arange(start, start + len(some))
        kept += task.keep({"last_hidden_state": states}, inputs, _arrays(encoding))
    return np.concatenate(kept)


def _scorer(rows: int, same: Sequence[int] = ()) -> Scorer[np.ndarray]:
    """Of so many rows, each of two tokens; `same`: rows of which each has the text of the first."""
    ids = np.arange(2 * rows).reshape(rows, 2)
    ids[list(same)] = ids[list(same)[:1]]
    arrays = {"offsets": np.arange(rows + 1) * 2, "input_ids": ids.reshape(-1)}
    return task.scorer(arrays, Rows({}, None), (), Path())


def test_encoding_is_autotokenizers(model: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    found = task.encode(ROWS, model, max_length=8)
    expected = tokenizer(list(SENTENCES), truncation=True, max_length=8)["input_ids"]
    assert [list(ids) for ids in found.ids] == expected
    whole = tokenizer(list(SENTENCES))["input_ids"]
    assert found.truncated == sum(len(ids) > 8 for ids in whole) > 0
    pairs = Rows({"primary": SENTENCES, "secondary": SENTENCES[::-1]}, None)
    expected = tokenizer(list(SENTENCES), list(SENTENCES[::-1]))["input_ids"]
    assert [list(ids) for ids in task.encode(pairs, model, max_length=64).ids] == expected


def test_the_mean_of_each_texts_own_tokens(model: Path) -> None:
    encoding = task.encode(ROWS, model, max_length=64)
    alone = _kept(model, encoding, 1)
    assert alone.shape == (len(ROWS), 32)
    assert alone.dtype == np.float32
    for batch_size, padding in ((4, 0), (len(ROWS), 20)):
        np.testing.assert_allclose(_kept(model, encoding, batch_size, padding), alone, atol=1e-4)


def test_padding_does_not_enter() -> None:
    states = np.array([[[1, 10], [3, 30], [99, 99]], [[5, 5], [6, 6], [7, 7]]], dtype=np.float32)
    kept = task.keep(
        {"last_hidden_state": states}, np.array([1, 0]), {"offsets": np.array([0, 3, 5])}
    )
    assert [one.tolist() for one in kept] == [[[2, 20]], [[6, 6]]]
    assert task.recorded({"last_hidden_state": states[1:]}).tolist() == [6, 6]


@pytest.mark.parametrize("shape", [(2, 3), (2, 2, 4), (3, 3, 4)], ids=str)
def test_outputs_of_another_head(shape: tuple[int, ...]) -> None:
    states = np.zeros(shape, dtype=np.float32)
    with pytest.raises(ModelError, match=r"of shape .* for 2 inputs"):
        task.keep({"last_hidden_state": states}, np.arange(2), {"offsets": np.array([0, 3, 5])})


def test_metrics_by_hand() -> None:
    reference = np.array([[3.0, 4.0], [1.0, 0.0], [0.0, 2.0]])
    ours = np.array([[6.0, 8.0], [1.0, 1.0], [0.0, -2.0]])
    scorer = _scorer(len(reference))
    cosine, distance = scorer.metrics(ours, ("cosine", "relative_l2"), 0.95, reference)
    # cosines 1, 1/√2, -1; |a-b|/|b| 5/5, 1/1, 4/2
    assert cosine.value == pytest.approx((1 + 0.5**0.5 - 1) / 3)
    assert distance.value == pytest.approx(4 / 3)
    assert {cosine.method, distance.method} == {"bootstrap"}
    assert -1 <= cosine.interval.low < cosine.value < cosine.interval.high <= 1
    assert 1 <= distance.interval.low < distance.value < distance.interval.high <= 2


def test_cosine_is_scikit_learns() -> None:
    random = np.random.default_rng(3)
    ours, reference = random.normal(size=(2, 40, 16))
    (found,) = _scorer(len(ours)).metrics(ours, ("cosine",), 0.95, reference)
    assert found.value == pytest.approx(np.diag(cosine_similarity(ours, reference)).mean())


def test_the_reference_itself_is_exactly_equal() -> None:
    reference = np.random.default_rng(3).normal(size=(50, 33))
    scorer = _scorer(len(reference))
    for metric, value in zip(
        scorer.metrics(reference.copy(), task.default_metrics, 0.95, reference), (1, 0), strict=True
    ):
        assert metric.value == metric.interval.low == metric.interval.high == value
    found = scorer.changes(reference, reference, "cosine", 0.95, reference)
    assert (found.flips, found.now_right, found.now_wrong, found.p) == (0, 0, 0, 1.0)
    assert (found.loss_interval.low, found.loss_interval.high) == (0, 0)


def test_vectors_of_zeros_have_finite_scores() -> None:
    zero, other = np.zeros((1, 4)), np.ones((1, 4))
    scorer = _scorer(len(zero))

    def values(ours: np.ndarray, reference: np.ndarray) -> list[float]:
        return [m.value for m in scorer.metrics(ours, ("cosine", "relative_l2"), 0.95, reference)]

    assert values(zero, zero) == [1, 0]
    assert values(other, zero) == [0, 1]
    assert values(zero, other) == [0, 1]


def test_changes_are_other_nearest_neighbours() -> None:
    degrees = np.array([0, 10, 25, 90, 105])

    def vectors(*turned: int) -> np.ndarray:
        angles = np.radians(degrees + np.array(turned))
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)

    reference = vectors(0, 0, 0, 0, 0)
    # 10° is nearest to 0°; turned to 20° it is nearest to 25°. 25° turned to 20° stays with 10°.
    ours = vectors(0, 10, -5, 0, 0)
    scorer = _scorer(len(reference))
    found = scorer.changes(ours, reference, "cosine", 0.95, reference)
    assert (found.flips, found.now_right, found.now_wrong, found.p) == (1, 0, 0, 1.0)
    # Losses 1 - cos 10°, 1 - cos 5° and 0.
    assert 0 <= found.loss_interval.low < found.loss_interval.high <= 1 - np.cos(np.radians(10))
    further = scorer.changes(ours, reference, "relative_l2", 0.95, reference)
    # Lower is better there: what is further off loses less than nothing.
    assert further.loss_interval.low < further.loss_interval.high <= 0


def test_either_of_two_equal_rows_may_be_found() -> None:
    """Their vectors differ by rounding, as those of one text in two batches do."""
    reference = np.array([[1.0, 0.0], [1.0, 0.1], [1.0, 0.1 + 1e-7], [0.0, 1.0]])
    ours = reference.copy()
    ours[0] = [1.0, 0.2]  # was nearest to the first of the two, now to the second
    for same, flips in (((1, 2), 0), ((), 1)):
        found = _scorer(4, same).changes(ours, reference, "cosine", 0.95, reference)
        assert found.flips == flips


def test_neighbours_equal_those_of_trying_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """In chunks, and among the first rows alone where there are many."""
    random = np.random.default_rng(3)
    reference = random.normal(size=(70, 5))
    ours = reference + random.normal(scale=0.4, size=reference.shape)
    monkeypatch.setattr(feature_extraction, "NEIGHBOUR_ROWS", 50)
    monkeypatch.setattr(feature_extraction, "_ROWS_AT_ONCE", 8)

    def nearest(vectors: np.ndarray) -> np.ndarray:
        likeness = cosine_similarity(vectors[:50], reference[:50])
        np.fill_diagonal(likeness, -2)
        return likeness.argmax(axis=1)

    expected = int((nearest(ours) != nearest(reference)).sum())
    assert 5 < expected < 50
    found = _scorer(len(reference)).changes(ours, reference, "cosine", 0.95, reference)
    assert found.flips == expected


def test_one_row_alone_has_no_neighbour() -> None:
    one, other = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    assert _scorer(len(one)).changes(other, one, "cosine", 0.95, one).flips == 0


def test_the_interval_is_that_of_the_mean() -> None:
    """Of many rows, about the normal one; narrower with less confidence."""
    random = np.random.default_rng(3)
    reference = random.normal(size=(400, 8))
    ours = reference + random.normal(scale=0.3, size=reference.shape)
    scorer = _scorer(len(reference))
    (found,) = scorer.metrics(ours, ("cosine",), 0.95, reference)
    values = np.diag(cosine_similarity(ours, reference))
    half = 1.96 * values.std() / 20
    assert found.interval.low == pytest.approx(found.value - half, abs=half / 5)
    assert found.interval.high == pytest.approx(found.value + half, abs=half / 5)
    assert scorer.metrics(ours, ("cosine",), 0.95, reference)[0] == found


def test_vectors_that_do_not_fit() -> None:
    scorer = _scorer(3)
    for shape in ((2, 4), (3,), (3, 1, 4)):
        with pytest.raises(ModelError, match="for 3 rows"):
            scorer.answers(np.zeros(shape, dtype=np.float32))
    with pytest.raises(ModelError, match="not finite"):
        scorer.answers(np.full((3, 4), np.inf, dtype=np.float32))
    with pytest.raises(ModelError, match="have 4 numbers, those of FP32 5"):
        scorer.metrics(np.ones((3, 4)), ("cosine",), 0.95, np.ones((3, 5)))
    with pytest.raises(DataError, match="no rows"):
        _scorer(0)


def test_the_classes_of_the_snippets_exist() -> None:
    import optimum.onnxruntime
    import transformers

    assert hasattr(transformers, task.classes.torch)
    assert hasattr(optimum.onnxruntime, task.classes.onnx)
    assert task.classes.neural_compressor == "INCModel"
