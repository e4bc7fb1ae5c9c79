"""`hubkit publish` of every other task, from the recipe to what a reader of the card can do."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from huggingface_hub import ModelCard, ModelCardData, snapshot_download

from hubkit.cards import javascript, snippets
from hubkit.hub.server.embedded import EmbeddedHub
from hubkit.records import Report
from hubkit.tasks.made_up import QUESTIONS, SENTENCES
from tests.e2e_small.programs import CLOSE, blocks, check_alike, run_python
from tests.e2e_small.worlds import Recipe, World, sentences, tiny_recipe
from tests.hub_client.hubs import Switchboard
from tests.javascript.node import run as run_javascript
from tests.javascript.node import run_tool
from tests.squad_rows import squad_rows
from tests.tiny import ENTITIES, make_tiny_model

pytest.importorskip("neural_compressor", reason="needs the inc extra")

ROWS = 30
SPLITS = (("train", 1), ("validation", 2))
CLASSES = {
    "token-classification": ("INCModelForTokenClassification", "ORTModelForTokenClassification"),
    "question-answering": ("INCModelForQuestionAnswering", "ORTModelForQuestionAnswering"),
    "feature-extraction": ("INCModel", "ORTModelForFeatureExtraction"),
}
METRICS = {
    "token-classification": ["f1", "precision", "recall", "accuracy"],
    "question-answering": ["f1", "exact_match"],
    "feature-extraction": ["cosine", "relative_l2"],
}
TITLES = {
    "token-classification": ("Precision (entities)", "F1 (entities)", "Accuracy (words)"),
    "question-answering": ("F1 (words of the answer)", "Exact match"),
    "feature-extraction": (
        "Cosine similarity to PyTorch FP32",
        "Relative L2 distance from PyTorch FP32 (lower is better)",
    ),
}
WHERE_CHANGES_ARE = {
    "token-classification": "Words labelled unlike FP32",
    "question-answering": "Answers unlike FP32",
    "feature-extraction": "Nearest neighbours unlike FP32",
}
# Rows of a dataset like this may not be shown; those of question answering may.
HIDDEN = ("token-classification", "feature-extraction")
# Published as PyTorch too: one task shows that flow, tests/stages/test_tasks.py quantizes them all.
BOTH = ("token-classification",)


_INC = {"kind": "inc-static", "calibration": {"num_samples": 4, "batch_size": 4}}


@dataclass(frozen=True)
class Publication:
    """What is on the Hub of one task, and the texts of its dataset's rows, all splits together."""

    task: str
    world: World
    folder: Path  # a snapshot of the repository
    texts: Sequence[str]
    said: dict[str, object]  # by `hubkit publish`

    @property
    def card(self) -> str:
        return (self.folder / "README.md").read_text(encoding="utf-8")

    @property
    def report(self) -> Report:
        return Report.model_validate_json((self.folder / "results.json").read_bytes())


def _tags(model: Path, words: Sequence[str]) -> list[str]:
    """What the FP32 model says of each word, so that there are entities to find."""
    import torch
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    network = AutoModelForTokenClassification.from_pretrained(model).eval()
    inputs = tokenizer(list(words), is_split_into_words=True, return_tensors="pt")
    with torch.no_grad():
        found = network(**inputs).logits[0].argmax(-1).tolist()
    first = [inputs.word_ids().index(at) for at in range(len(words))]
    return [network.config.id2label[found[at]] for at in first]


def _write_lines(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _token_data(folder: Path) -> tuple[Recipe, list[str]]:
    texts = []
    for split, seed in SPLITS:
        some = sentences(ROWS, seed)
        rows = [{"tokens": t.split(), "tags": _tags(folder / "model", t.split())} for t in some]
        _write_lines(folder / "data" / f"{split}.jsonl", rows)
        texts += some
    keys = {"data_keys": {"primary": "tokens"}, "ref_keys": ["tags"], "redistributable": False}
    return keys, texts


def _question_data(folder: Path) -> tuple[Recipe, list[str]]:
    """With the whole context among the answers: a tiny model is not always wrong, on any CPU."""
    rows = squad_rows(12)
    for row in rows:
        row["answers"]["text"].append(row["context"])
        row["answers"]["answer_start"].append(0)
    for split, some in (("train", rows[8:]), ("validation", rows[:8])):
        _write_lines(folder / "data" / f"{split}.jsonl", some)
    keys = {"question": "question", "context": "context"}
    return {"data_keys": keys, "ref_keys": ["answers"]}, [row["context"] for row in rows]


def _text_data(folder: Path) -> tuple[Recipe, list[str]]:
    texts = []
    for split, seed in SPLITS:
        some = sentences(ROWS, seed)
        _write_lines(folder / "data" / f"{split}.jsonl", [{"text": text} for text in some])
        texts += some
    return {"data_keys": {"primary": "text"}, "redistributable": False}, texts


DATA = {
    "token-classification": _token_data,
    "question-answering": _question_data,
    "feature-extraction": _text_data,
}


@pytest.fixture(scope="module", name="made", params=list(DATA))
def _made(
    request: pytest.FixtureRequest,
    server: EmbeddedHub,
    switch: Switchboard,
    tmp_path_factory: pytest.TempPathFactory,
) -> Publication:
    task, root = request.param, tmp_path_factory.mktemp("task")
    switch.heal()
    world = World(root, server, switch, repo=f"writer/{task}")
    make_tiny_model(world.model, task=task)
    data, texts = DATA[task](world.folder)
    world.write(
        name=task,
        task=task,
        dataset={"source": "local", "path": "data", **data},
        labels={name: name for name in ENTITIES} if task == "token-classification" else {},
        variants=[{"kind": "onnx-dynamic"}, *([_INC] if task in BOTH else [])],
        evaluation={"max_length": 64},
        publication={
            **_mapping(tiny_recipe()["publication"]),
            "formats": ["pytorch", "onnx"] if task in BOTH else ["onnx"],
            "include_fp32_onnx": True,
        },
    )
    done = world.publish()
    assert done.code == 0, done.out + done.err
    folder = snapshot_download(
        world.repo, endpoint=server.endpoint, token=world.token, cache_dir=root / "cache"
    )
    return Publication(task, world, Path(folder), texts, done.json())


def _mapping(value: object) -> Recipe:
    assert isinstance(value, dict)
    return value


def test_it_is_published_and_verified_whole(made: Publication) -> None:
    files = {path.relative_to(made.folder).as_posix() for path in made.folder.rglob("*.*")}
    assert files >= {"model.onnx", "onnx/model_fp32.onnx", "config.json"}
    assert ("pytorch_model.bin" in files) == (made.task in BOTH)
    assert not any(name.endswith(".safetensors") for name in files)
    verified = _mapping(made.said["verified"])
    checks = {check["format"]: check for check in verified["formats"]}  # type: ignore[attr-defined]
    assert set(checks) == ({"onnx", "pytorch"} if made.task in BOTH else {"onnx"})
    for check in checks.values():
        assert check["checked"]
        assert check["samples"] == len(made.report.samples) >= 8
        assert check["max_abs_logit_diff"] <= check["tolerance"]
    if made.task in BOTH:
        assert checks["pytorch"]["quantized_modules"] > 0


def test_the_card_is_of_the_task(made: Publication) -> None:
    card = ModelCard(made.card)
    assert isinstance(card.data, ModelCardData)
    assert card.data.pipeline_tag == made.task
    # The Hub knows no metric that needs no labels.
    known = None if made.task == "feature-extraction" else METRICS[made.task]
    assert card.data.metrics == known
    assert {result.task_type for result in card.data.eval_results or []} == {made.task}
    named = {name for name in re.findall(r"\b(?:INC|ORT)Model\w*", card.text)}
    inc, ort = CLASSES[made.task]
    assert named == ({inc, ort} if made.task in BOTH else {ort})
    for title in (*TITLES[made.task], WHERE_CHANGES_ARE[made.task]):
        assert f"| {title} |" in card.text
    right = "… of these, now right" in card.text
    assert right == (made.task != "feature-extraction")
    assert ("| Labels |" in card.text) == (made.task == "token-classification")


def test_the_scores_on_the_card_are_those_of_the_report(made: Publication) -> None:
    scores = made.report.scores_of("onnx-int8-dynamic")
    assert scores
    assert scores.paired
    row = next(line for line in made.card.splitlines() if line.startswith("| **ONNX INT8**"))
    assert f"{scores.metrics[0].value:.4f}" in row
    units = scores.paired.units
    assert (units is not None) == (made.task == "token-classification")
    what = "questions" if made.task == "question-answering" else "examples"
    of = f" of {units:,} words" if units else f" of {scores.rows} {what}"
    assert f"{scores.paired.flips}{of}" in made.card


def test_no_row_is_shown_where_none_may_be(made: Publication) -> None:
    """Long enough to be no chance; in JSON, a row of words is a list of them."""
    long = [text for text in made.texts if len(text.split()) >= 4]
    assert len(long) >= 12
    found = {
        text
        for path in made.folder.rglob("*")
        if path.is_file()
        for content in [_flat(path.read_bytes())]
        for text in long
        if _flat(text.encode()) in content
    }
    report = made.report
    assert report.made_up_samples == (made.task in HIDDEN)
    if made.task in HIDDEN:
        assert found == set()
        assert len(report.samples) == 16
        assert "are made up and not from the dataset" in made.card
        assert "word for word" not in made.card
    else:
        assert len(found) >= 8  # the search does find them
        assert "8 rows of the evaluation split are published word for word" in made.card
        assert "made up" not in made.card


def _flat(content: bytes) -> bytes:
    """Letters and digits alone, however they were written down."""
    return re.sub(rb"[^A-Za-z0-9]+", b" ", content).strip().lower()


def test_made_up_rows_are_ours(made: Publication) -> None:
    ours = {_flat(text.encode()) for text in (*SENTENCES, *QUESTIONS)}
    for sample in made.report.samples:
        assert (_flat(sample.primary.encode()) in ours) == (made.task in HIDDEN)
        assert (sample.words is not None) == (made.task == "token-classification")


def test_what_the_card_prints_runs(made: Publication, tmp_path: Path) -> None:
    """Every program on the card: Python on what was downloaded, JavaScript from the Hub."""
    programs = blocks(made.card, "python")
    assert len(programs) == (4 if made.task in BOTH else 3)
    ran = [run_python(program, made.world.repo, made.folder) for program in programs]
    *predictions, piped, nothing = ran
    assert nothing.printed == ""  # loads the FP32 model, and no more
    assert "pipeline" in piped.names
    for prediction in predictions:
        if made.task == "token-classification":
            assert prediction.printed.count("(") == 10
            labels = set(re.findall(r"'([OBI](?:-\w+)?)'\)", prediction.printed))
            assert labels <= set(ENTITIES)
        elif made.task == "feature-extraction":
            assert -1 <= float(prediction.printed) <= 1
    if made.task == "token-classification":
        kinds = set(re.findall(r"'entity_group': '(\w+)'", piped.printed))
        assert kinds <= {name[2:] for name in ENTITIES}
        assert kinds
    elif made.task == "question-answering":
        assert "'answer': '" in piped.printed
    elif made.task == "feature-extraction":
        assert float(piped.printed) == pytest.approx(float(predictions[-1].printed), abs=CLOSE)
        check_vector_of_two_texts(made, tmp_path)

    (program,) = blocks(made.card, "javascript")
    (said,) = run_javascript(program, tmp_path, hub=made.world.server.endpoint)
    check_alike(made.task, piped, said)
    (difference,) = run_tool("web.mjs", tmp_path, str(made.folder / "model.onnx"))
    assert isinstance(difference, int | float)
    assert difference < 0.05  # of a number of the outputs, which go to 5 and more


def check_vector_of_two_texts(made: Publication, folder: Path) -> None:
    """As the card says of a dataset of pairs, which this is not."""
    repo = made.world.repo
    program = snippets.pipeline_example(made.task, repo, pair=True)
    assert run_python(program, repo, made.folder).printed == "torch.Size([32])"
    code = javascript.javascript_example(made.task, repo, pair=True)
    assert run_javascript(code, folder, hub=made.world.server.endpoint) == [[1, 32]]
