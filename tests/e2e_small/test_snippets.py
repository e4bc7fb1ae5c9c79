"""What the card of a text classifier prints runs, in Python and in JavaScript; and what the cards
of models of two texts print."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from huggingface_hub import snapshot_download

from hubkit.cards import javascript, snippets
from tests.e2e_small.programs import CLOSE, Ran, blocks, check_alike, rows, run_python
from tests.e2e_small.worlds import World
from tests.javascript.node import run, run_tool

TASK = "text-classification"


@pytest.fixture(scope="module", name="folder")
def _folder(published: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot of the repository."""
    return Path(
        snapshot_download(
            published.repo,
            endpoint=published.server.endpoint,
            token=published.token,
            cache_dir=tmp_path_factory.mktemp("cache"),
        )
    )


def _probabilities(prediction: Ran) -> dict[str, float]:
    """What the program without a pipeline prints, to four digits."""
    found = ast.literal_eval(prediction.printed)
    assert isinstance(found, dict)
    return found


def _check_labels(found: object, expected: dict[str, float]) -> None:
    scores = {row["label"]: row["score"] for row in rows(found)}
    assert scores == pytest.approx(expected, abs=CLOSE)
    assert sum(expected.values()) == pytest.approx(1, abs=CLOSE)


def test_what_the_card_prints_runs(published: World, folder: Path, tmp_path: Path) -> None:
    card = (folder / "README.md").read_text(encoding="utf-8")
    onnx, piped = (run_python(one, published.repo, folder) for one in blocks(card, "python"))
    expected = _probabilities(onnx)
    _check_labels(piped.call("classify", piped.names["text"], top_k=None), expected)
    (program,) = blocks(card, "javascript")
    (said,) = run(program, tmp_path, hub=published.server.endpoint)
    _check_labels(said, expected)
    check_alike(TASK, piped, said)
    (difference,) = run_tool("web.mjs", tmp_path, str(folder / "model.onnx"))
    assert isinstance(difference, int | float)
    assert difference < 0.05  # of a logit


def test_two_texts(published: World, folder: Path, tmp_path: Path) -> None:
    """The model was made for one, but takes two."""
    loading = snippets.loading("onnx", published.repo, TASK)
    plain = run_python(loading + snippets.prediction(TASK, pair=True), published.repo, folder)
    expected = _probabilities(plain)
    program = snippets.pipeline_example(TASK, published.repo, pair=True)
    piped = run_python(program, published.repo, folder)
    _check_labels(piped.call("classify", piped.names["text"], top_k=None), expected)
    code = javascript.javascript_example(TASK, published.repo, pair=True)
    (said,) = run(code, tmp_path, hub=published.server.endpoint)
    _check_labels(said, expected)


def test_on_a_hub_of_its_own_the_program_reads_the_variable(
    published: World, folder: Path, tmp_path: Path
) -> None:
    endpoint = published.server.endpoint
    here = javascript.javascript_example(TASK, published.repo, own_hub=True)
    there = javascript.javascript_example(TASK, published.repo)
    assert run(here, tmp_path, hf_endpoint=endpoint) == run(there, tmp_path, hub=endpoint)
