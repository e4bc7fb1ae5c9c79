"""Question answering from texts to scores: windows, kept logits, answers, metrics, changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from hubkit.errors import DataError, ModelError
from hubkit.statistics import paired_difference, wilson
from hubkit.tasks.base import Encoding, Rows, Scorer
from hubkit.tasks.question_answering import SpanAnswers, task
from tests.squad_rows import squad_rows, write_squad
from tests.tasks.models import make_question_answering

DATA = squad_rows(16)
Arrays = dict[str, np.ndarray]


def _rows(
    contexts: Sequence[str], answers: Sequence[Sequence[str]] | None, question: str = "who ?"
) -> Rows:
    return Rows({"question": [question] * len(contexts), "context": list(contexts)}, answers)


SQUAD = Rows(
    {"question": [r["question"] for r in DATA], "context": [r["context"] for r in DATA]},
    [r["answers"]["text"] for r in DATA],
)


@pytest.fixture(scope="module")
def model(distilbert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_question_answering(tmp_path_factory.mktemp("models") / "qa", distilbert)


def _arrays(encoding: Encoding) -> Arrays:
    """What encoded.npz holds."""
    offsets = np.cumsum([0, *map(len, encoding.ids)])
    ids = np.array([i for row in encoding.ids for i in row], dtype=np.int64)
    return {**encoding.arrays, "offsets": offsets, "input_ids": ids}


def _outputs(folder: Path, encoding: Encoding, inputs: Sequence[int], width: int) -> Arrays:
    """Of the model, padded on the right to `width` tokens."""
    import torch
    from transformers import AutoModelForQuestionAnswering

    network = AutoModelForQuestionAnswering.from_pretrained(folder).eval()
    ids = torch.full((len(inputs), width), encoding.pad_id)
    mask = torch.zeros_like(ids)
    for at, one in enumerate(inputs):
        ids[at, : len(encoding.ids[one])] = torch.tensor(encoding.ids[one])
        mask[at, : len(encoding.ids[one])] = 1
    with torch.inference_mode():
        found = network(input_ids=ids, attention_mask=mask)
    return {name: found[name].numpy() for name in task.outputs}


def _kept(folder: Path, encoding: Encoding, batch_size: int, padding: int = 0) -> np.ndarray:
    arrays, kept = _arrays(encoding), []
    for start in range(0, len(encoding.ids), batch_size):
        inputs = np.arange(start, min(start + batch_size, len(encoding.ids)))
        width = max(len(encoding.ids[one]) for one in inputs) + padding
        kept += task.keep(_outputs(folder, encoding, inputs.tolist(), width), inputs, arrays)
    return np.concatenate(kept)


@pytest.fixture
def scorer_of(distilbert: Path, tmp_path: Path) -> Callable[[Rows], tuple[Scorer, Encoding]]:
    def made(rows: Rows) -> tuple[Scorer[SpanAnswers], Encoding]:
        encoding = task.encode(rows, distilbert, max_length=64)
        return task.scorer(_arrays(encoding), rows, (), tmp_path), encoding

    return made


def _logits(
    encoding: Encoding, spans: Mapping[int, tuple[str, float]], contexts: Sequence[str]
) -> np.ndarray:
    """Logits 0, but `points` at the first and last token of the text given for an input."""
    kept = np.zeros((sum(map(len, encoding.ids)), 2), dtype=np.float32)
    arrays = _arrays(encoding)
    for one, (text, points) in spans.items():
        here = range(arrays["offsets"][one], arrays["offsets"][one + 1])
        start = contexts[arrays["rows"][one]].index(text)
        first = next(t for t in here if arrays["context_starts"][t] == start)
        last = next(t for t in here if arrays["context_ends"][t] == start + len(text))
        kept[first, 0], kept[last, 1] = points, points
    return kept


def test_encoding(distilbert: Path) -> None:
    encoding = task.encode(SQUAD, distilbert, max_length=64)
    arrays = encoding.arrays
    assert set(arrays) == {"rows", "context_starts", "context_ends"}
    assert all(values.dtype == np.int64 and values.ndim == 1 for values in arrays.values())
    assert arrays["rows"].shape == (len(encoding.ids),)
    assert arrays["context_starts"].shape == (sum(map(len, encoding.ids)),)
    assert len(encoding.ids) > len(SQUAD)
    assert sorted(set(arrays["rows"].tolist())) == list(range(len(SQUAD)))
    assert (np.diff(arrays["rows"]) >= 0).all()
    assert (encoding.truncated, encoding.lost) == (0, 0)


def test_encoding_again_is_equal(distilbert: Path) -> None:
    first, second = (task.encode(SQUAD, distilbert, max_length=64) for _ in "ab")
    assert [list(ids) for ids in first.ids] == [list(ids) for ids in second.ids]
    assert all((first.arrays[k] == second.arrays[k]).all() for k in first.arrays)


def test_a_cut_question_is_counted(distilbert: Path) -> None:
    rows = Rows({"question": ["who ? " * 40, "who ?"], "context": ["Tom did ."] * 2}, [["Tom"]] * 2)
    assert task.encode(rows, distilbert, max_length=64).truncated == 1


def test_what_is_kept_depends_on_no_padding_and_no_batch(model: Path) -> None:
    encoding = task.encode(SQUAD, model, max_length=64)
    alone = _kept(model, encoding, 1)
    assert alone.shape == (sum(map(len, encoding.ids)), 2)
    assert alone.dtype == np.float32
    padding = 64 - max(map(len, encoding.ids))
    np.testing.assert_allclose(_kept(model, encoding, 5, padding), alone, atol=1e-4)


def test_answers_are_those_of_transformers(model: Path, tmp_path: Path) -> None:
    """Its pipeline, on contexts that fit into one window."""
    from transformers import pipeline

    short = [at for at in range(len(SQUAD)) if at % 4 == 0]
    rows = Rows(
        {key: [values[at] for at in short] for key, values in SQUAD.columns.items()},
        [[""]] * len(short),
    )
    encoding = task.encode(rows, model, max_length=64)
    assert len(encoding.ids) == len(short)
    # With accepted answers, so that no row may be left without one.
    answered = Rows(rows.columns, [["x"]] * len(short))
    scorer = task.scorer(_arrays(encoding), answered, (), tmp_path)
    ours = scorer.answers(_kept(model, encoding, 4)).texts
    ask = pipeline("question-answering", model=str(model), tokenizer=str(model), device="cpu")
    options = {"max_answer_len": 30, "align_to_words": False, "max_seq_len": 64}
    asked = zip(rows.columns["question"], rows.columns["context"], strict=True)
    theirs = [ask(question=q, context=c, **options)["answer"].strip() for q, c in asked]
    assert list(ours) == theirs
    assert len(set(theirs)) > 1


def test_text_of_the_answer(scorer_of: Callable) -> None:
    contexts = ["It was Zoë 🎬 , in naïve Köln !", "Tom did it . " * 20 + "Or Ada ."]
    scorer, encoding = scorer_of(_rows(contexts, [["zoë 🎬"], ["the Ada"]]))
    last = len(encoding.ids) - 1
    assert last > 1
    kept = _logits(encoding, {0: ("Zoë 🎬", 5.0), last: ("Ada", 5.0)}, contexts)
    answers = scorer.answers(kept)
    assert answers.texts == ("Zoë 🎬", "Ada")
    assert answers.exact.tolist() == [True, True]
    # A better span in another window of the row is taken instead.
    kept += _logits(encoding, {1: ("Tom did", 7.0)}, contexts)
    assert scorer.answers(kept).texts == ("Zoë 🎬", "Tom did")


def test_an_answer_longer_than_a_window_is_answered_in_part(
    distilbert: Path, tmp_path: Path
) -> None:
    contexts = ["a very good film with a great cast and a moving story , and fun to watch"]
    rows = _rows(contexts, [contexts])
    encoding = task.encode(rows, distilbert, max_length=16)
    assert len(encoding.ids) > 1
    scorer = task.scorer(_arrays(encoding), rows, (), tmp_path)
    answers = scorer.answers(_logits(encoding, {0: ("good film with a great", 5.0)}, contexts))
    assert answers.texts == ("good film with a great",)
    # Without the articles 4 of its 4 words, and of the 13 accepted ones.
    assert answers.f1.tolist() == pytest.approx([8 / 17])
    assert not answers.exact.any()


def test_only_the_context_answers(scorer_of: Callable) -> None:
    """The largest logits are at the question and the special tokens."""
    scorer, encoding = scorer_of(_rows(["Tom", ""], [["Tom"], ["x"]]))
    kept = np.full((sum(map(len, encoding.ids)), 2), 9, dtype=np.float32)
    kept[encoding.arrays["context_starts"] >= 0] = -9
    answers = scorer.answers(kept)
    assert answers.texts[0] == "Tom"[: len(answers.texts[0])] != ""
    # An empty context has nothing to answer with.
    assert answers.texts[1] == ""
    assert answers.f1[1] == 0


def test_no_answer_only_where_the_data_has_such_rows(scorer_of: Callable) -> None:
    contexts = ["Tom did it .", "Ada did it ."]
    points = {0: ("Tom", 2.0), 1: ("Ada", 4.0)}
    for references, expected in (
        ([["Tom"], ["Ada"]], ("Tom", "Ada")),
        ([["Tom"], []], ("", "Ada")),
    ):
        scorer, encoding = scorer_of(_rows(contexts, references))
        kept = _logits(encoding, points, contexts)
        kept[_arrays(encoding)["offsets"][:-1]] = 3.0  # 6 for no answer, 4 for Tom, 8 for Ada
        answers = scorer.answers(kept)
        assert answers.texts == expected
    assert answers.exact.tolist() == [False, False]
    assert answers.f1.tolist() == [0, 0]
    kept[_arrays(encoding)["offsets"][:-1]] = 5.0
    answers = scorer.answers(kept)
    assert answers.texts == ("", "")
    assert answers.exact.tolist() == [False, True]
    assert answers.f1.tolist() == [0, 1]


CONTEXTS = ["Tom Jones did it .", "Ada did it .", "Zoë did it .", "Iris did it ."]
REFERENCES = [["Tom Jones"], ["Ada", "Ada did"], ["the Zoë"], ["no one"]]


def _answers(scorer_of: Callable, texts: Sequence[str]) -> tuple[Scorer, SpanAnswers]:
    scorer, encoding = scorer_of(_rows(CONTEXTS, REFERENCES))
    spans = {at: (text, 9.0) for at, text in enumerate(texts)}
    answers = scorer.answers(_logits(encoding, spans, CONTEXTS))
    assert answers.texts == tuple(texts)
    return scorer, answers


def test_metrics(scorer_of: Callable) -> None:
    scorer, answers = _answers(scorer_of, ["Tom", "Ada", "Zoë did it", "Iris"])
    # F1: 2/3 for Tom of Tom Jones; 1; 1 word of 3 and of 1 is 1/2; 0.
    assert answers.f1.tolist() == pytest.approx([2 / 3, 1, 0.5, 0])
    f1, exact = scorer.metrics(answers, ("f1", "exact_match"), 0.95, answers)
    assert (f1.name, exact.name) == ("f1", "exact_match")
    assert f1.value == pytest.approx((2 / 3 + 1 + 0.5) / 4)
    assert exact.value == 0.25
    assert (f1.method, exact.method) == ("bootstrap", "wilson")
    assert exact.interval == wilson(1, 4, 0.95)
    assert 0 <= f1.interval.low < f1.value < f1.interval.high <= 1
    narrower = scorer.metrics(answers, ("f1",), 0.6, answers)[0]
    assert narrower.confidence == 0.6
    assert f1.interval.low < narrower.interval.low < narrower.interval.high < f1.interval.high


def test_changes(scorer_of: Callable) -> None:
    _, baseline = _answers(scorer_of, ["Tom Jones", "Ada", "Zoë did", "Iris did"])
    scorer, ours = _answers(scorer_of, ["Tom", "Ada did", "Zoë", "Iris"])
    found = scorer.changes(ours, baseline, "exact_match", 0.95, baseline)
    # All say something else; the second is right both times.
    assert (found.flips, found.now_right, found.now_wrong) == (4, 1, 1)
    assert found.p == 1.0
    assert found.loss_interval == paired_difference(1, 1, 4, 0.95)
    by_f1 = scorer.changes(ours, baseline, "f1", 0.95, baseline).loss_interval
    # Row losses 1/3, 0, -1/3, 0: no resample can lie outside of them.
    assert -1 / 3 <= by_f1.low < 0 < by_f1.high <= 1 / 3


def test_a_change_of_case_or_article_is_no_flip(scorer_of: Callable) -> None:
    contexts = ["the Ada did it . ada left ."]
    scorer, encoding = scorer_of(_rows(contexts, [["Ada"]]))
    one, other = (
        scorer.answers(_logits(encoding, {0: (text, 9.0)}, contexts)) for text in ("the Ada", "ada")
    )
    assert one.texts != other.texts
    found = scorer.changes(one, other, "f1", 0.95, other)
    assert (found.flips, found.now_right, found.now_wrong, found.p) == (0, 0, 0, 1.0)
    assert (found.loss_interval.low, found.loss_interval.high) == (0, 0)


@pytest.mark.parametrize("shape", [(3, 2), (0, 2), (40, 1), (40,)], ids=str)
def test_logits_of_another_shape(scorer_of: Callable, shape: tuple[int, ...]) -> None:
    scorer, encoding = scorer_of(_rows(CONTEXTS, REFERENCES))
    assert sum(map(len, encoding.ids)) != 40
    with pytest.raises(ModelError, match="of shape"):
        scorer.answers(np.zeros(shape, dtype=np.float32))


def test_logits_that_are_no_numbers(scorer_of: Callable) -> None:
    scorer, encoding = scorer_of(_rows(CONTEXTS, REFERENCES))
    kept = np.zeros((sum(map(len, encoding.ids)), 2), dtype=np.float32)
    kept[5, 1] = np.nan
    with pytest.raises(ModelError, match="not finite"):
        scorer.answers(kept)


def test_outputs_of_another_head(distilbert: Path) -> None:
    encoding = task.encode(_rows(["Tom"], [["Tom"]]), distilbert, max_length=64)
    good = np.zeros((1, len(encoding.ids[0])), dtype=np.float32)
    for bad in (good[..., None], good[:, :-1], np.concatenate([good, good])):
        with pytest.raises(ModelError, match=r"end_logits of shape .* for 1 inputs"):
            task.keep({"start_logits": good, "end_logits": bad}, np.array([0]), _arrays(encoding))


def test_recorded_is_all_of_one_input() -> None:
    outputs = {
        "start_logits": np.array([[1, 2]], dtype=np.float32),
        "end_logits": np.array([[3, 4]], dtype=np.float32),
    }
    assert task.recorded(outputs).tolist() == [1, 2, 3, 4]


def test_rows_that_do_not_fit(distilbert: Path, tmp_path: Path) -> None:
    encoding = task.encode(_rows(CONTEXTS, REFERENCES), distilbert, max_length=64)
    arrays = _arrays(encoding)
    for rows, message in (
        (_rows(CONTEXTS, None), "no accepted answers"),
        (_rows(CONTEXTS[:2], REFERENCES[:2]), "not those of the 2 rows"),
        (_rows([], []), "no rows to score"),
    ):
        with pytest.raises(DataError, match=message):
            task.scorer(arrays, rows, (), tmp_path)


def test_the_classes_of_the_snippets_exist() -> None:
    import optimum.onnxruntime
    import transformers

    assert hasattr(transformers, task.classes.torch)
    assert hasattr(optimum.onnxruntime, task.classes.onnx)
    assert task.classes.neural_compressor == "INCModelForQuestionAnswering"


def test_the_data_of_these_tests_is_of_squads_form(tmp_path: Path) -> None:
    from datasets import load_dataset

    folder = write_squad(tmp_path / "data", train=6, validation=9, unanswerable=2)
    loaded = load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert {name: len(split) for name, split in loaded.items()} == {"train": 6, "validation": 9}
    for row in loaded["validation"]:
        for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True):
            assert text
            assert row["context"][start:].startswith(text)
    answered = [bool(row["answers"]["text"]) for row in loaded["validation"]]
    assert answered == [True] * 7 + [False] * 2


def test_what_a_row_answers_does_not_hang_on_which_rows_are_looked_at(
    distilbert: Path, tmp_path: Path
) -> None:
    rows = _rows(["a dull plot .", "a great film ."], [[], ["great"]])
    encoding = task.encode(rows, distilbert, max_length=64)
    arrays = _arrays(encoding)
    kept = np.zeros((len(arrays["input_ids"]), 2), dtype=np.float32)
    kept[arrays["offsets"][:-1]] = 5  # both rows would rather have no answer
    part = task.subset(arrays, rows, np.array([1]), ())
    scorer = task.scorer(part.arrays, part.rows, (), tmp_path)
    assert scorer.answers(kept[part.kept]).texts == ("",)  # though this row has one
    assert task.scorer(arrays, rows, (), tmp_path).answers(kept).texts == ("", "")
