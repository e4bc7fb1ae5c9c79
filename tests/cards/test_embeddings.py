"""What the card says of a model with a projection, and what it prints to get its embedding."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from hubkit.cards import snippets
from hubkit.cards.embedding_snippets import embedding_of, embeddings, sentence_transformers_example
from hubkit.cards.javascript import javascript_example
from hubkit.i18n import languages
from hubkit.records import BaseBuild, Embedding, Format, Projected
from hubkit.stages.card import render_card
from tests.cards.examples import REPO_ID, artifact, make_base, make_lock
from tests.cards.test_javascript import FILES
from tests.cards.test_tasks import recipe_of, report_of

TASK = "feature-extraction"
BUILT = BaseBuild(
    projected=Projected(
        dimensions=96,
        width=384,
        pooling="mean",
        split="train",
        rows=2000,
        rows_available=8070,
        overlapping=0,
        unusable=0,
        max_length=128,
        seed=13,
        explained_variance=0.8765,
    )
)


def _card(built: BaseBuild | None, code: str = "en") -> str:
    lock = make_lock(built=built)
    # Whose tokenizer transformers.js can read.
    report = report_of(TASK).model_copy(
        update={"base": make_base(labels=(), artifact=artifact("base", **FILES))}
    )
    return render_card(recipe_of(TASK), "", lock, report, REPO_ID, shipped=(), language=code)


def test_the_words() -> None:
    card = _card(BUILT)
    assert (
        "hubkit put a linear layer on it: of the vector of a text, 384 numbers (pooling: `mean`),"
        " it makes one of 96. The layer is the principal components of 2,000 rows of the split"
        " `train` of [" in card
    )
    assert "none of them is evaluated on. They hold 87.6" in card or "They hold 87.7" in card
    assert "Most tokens: 128; seed: `13`." in card
    assert "the vector that the model's last layer gives" in card
    assert "the mean over the tokens of the last hidden state" not in card
    assert "the mean over the tokens of the last hidden state" in _card(None)


@pytest.mark.parametrize("code", languages())
def test_every_language_says_it_with_its_numbers(code: str) -> None:
    (note,) = [line for line in _card(BUILT, code).splitlines() if "`mean`" in line]
    for said in ("`mean`", "`train`", "`13`"):
        assert said in note
    if code == "ar":  # has digits of its own
        return
    for number in (r"\b384\b", r"\b96\b", r"2\D?000", r"87[.,][67]", r"\b128\b"):
        assert re.search(number.replace(r"\b", r"(?<!\d)", 1).replace(r"\b", r"(?!\d)"), note)


def test_its_programs_give_the_embedding() -> None:
    card = _card(BUILT)
    programs = re.findall(r"^```python\n(.*?)^```", card, flags=re.DOTALL | re.MULTILINE)
    kinds = [
        re.findall(r"INCModel\b|ORTModelForCustomTasks|SentenceTransformer", one)[0]
        for one in programs
    ]
    assert kinds == ["INCModel", "ORTModelForCustomTasks", "SentenceTransformer"]
    assert "2_Dense/model.safetensors" in programs[0]
    assert '["sentence_embedding"]' in programs[1]
    assert "pipeline(" not in card
    assert "### With `sentence-transformers`" in card
    (javascript,) = re.findall(r"^```javascript\n(.*?)^```", card, flags=re.DOTALL | re.MULTILINE)
    assert "sentence_embedding" in javascript
    assert "sentence_embedding" not in _card(None)
    assert "ORTModelForCustomTasks" not in _card(None)


MADE = [
    Embedding(pooling="mean", dimensions=3, activation="Identity"),
    Embedding(pooling="cls", dimensions=3, activation="Tanh", normalized=True),
    Embedding(pooling="cls", dimensions=3, normalized=True),
]


@pytest.mark.parametrize("found", MADE)
@pytest.mark.parametrize("pair", [False, True])
@pytest.mark.parametrize("kind", ["pytorch", "onnx", "openvino"])
def test_they_are_python(kind: Format, pair: bool, found: Embedding) -> None:
    text = snippets.loading(kind, REPO_ID, TASK, found) + snippets.prediction(
        TASK, pair=pair, kind=kind, made=found
    )
    ast.parse(text)
    assert max(map(len, text.splitlines())) <= 100
    assert ("mean(0)" in text) == (kind == "pytorch" and found.pooling == "mean")
    ast.parse(sentence_transformers_example(REPO_ID))


@pytest.mark.parametrize("made", MADE)
def test_the_program_of_pytorch_computes_it(
    made: Embedding, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What the card prints, run on states that are given."""
    import torch
    import transformers.utils
    from safetensors.torch import save_file

    torch.manual_seed(1)
    states, weight, bias = torch.randn(1, 5, 4), torch.randn(3, 4), torch.randn(3)
    save_file({"linear.weight": weight, "linear.bias": bias}, tmp_path / "dense")
    monkeypatch.setattr(transformers.utils, "cached_file", lambda *_: str(tmp_path / "dense"))
    program = embeddings("pytorch", made, pair=True).partition("inputs = tokenizer")[0]
    names: dict[str, object] = {"model": lambda **_: {"last_hidden_state": states}, "repo_id": ""}
    exec(program, names)
    expected = states[0].mean(0) if made.pooling == "mean" else states[0, 0]
    if made.activation:
        expected = weight @ expected + bias
    if made.activation == "Tanh":
        expected = expected.tanh()
    if made.normalized:
        expected = expected / expected.norm()
    embed = names["embed"]
    assert callable(embed)
    assert torch.allclose(embed({}), expected, atol=1e-6)


def test_the_card_names_the_base_s_own_modules() -> None:
    base = make_base(labels=(), artifact=artifact("base", **FILES), embedding=MADE[1])
    report = report_of(TASK).model_copy(update={"base": base})
    card = render_card(recipe_of(TASK), "", make_lock(), report, REPO_ID, shipped=())
    assert "by its own modules: `Pooling (cls)`, `Dense (Tanh)`, `Normalize`." in card
    assert "ORTModelForCustomTasks" in card
    assert "the mean over the tokens of the last hidden state" not in card
    assert "by its own modules" not in _card(None) + _card(BUILT)


def test_javascript_reads_the_same_output() -> None:
    one, two = (javascript_example(TASK, "me/x", pair=p, projected=True) for p in (False, True))
    assert "sentence_embedding.data" in one
    assert "sentence_embedding.dims" in two
    assert "mean" not in one + two


def test_the_fp32_model_is_loaded_by_the_same_class() -> None:
    text = snippets.loading_fp32_onnx("me/x", TASK, MADE[0])
    assert "model = ORTModelForCustomTasks.from_pretrained(" in text


def test_the_lock_says_how_it_pools() -> None:
    assert embedding_of(make_lock(), make_base()) is None
    made = embedding_of(make_lock(built=BUILT), make_base())
    assert made == Embedding(pooling="mean", dimensions=96, activation="Identity")
    assert "projected" not in BaseBuild().model_dump()
