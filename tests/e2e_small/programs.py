"""Running what a card prints: Python here, on what was downloaded, JavaScript in a process."""

from __future__ import annotations

import contextlib
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest

# Between onnxruntime here and in Node.js, of other versions; of a share, a cosine.
CLOSE = 1e-3

Row = dict[str, object]


@dataclass(frozen=True)
class Ran:
    """What a program printed, and the names that it left."""

    printed: str
    names: dict[str, object]

    def call(self, name: str, *args: object, **options: object) -> object:
        """Its own pipeline, asked in another way."""
        pipeline = self.names[name]
        assert callable(pipeline)
        return pipeline(*args, **options)


def blocks(card: str, language: str) -> list[str]:
    """The programs of a card in a language, one after the other."""
    return re.findall(rf"^```{language}\n(.*?)^```", card, flags=re.DOTALL | re.MULTILINE)


def run_python(program: str, repo_id: str, folder: Path) -> Ran:
    """Run it in this process, with the folder for the repository."""
    assert json.dumps(repo_id) in program
    code = program.replace(json.dumps(repo_id), json.dumps(str(folder)), 1)
    printed, names = io.StringIO(), dict[str, object]()
    with contextlib.redirect_stdout(printed), mock.patch.dict("os.environ", HF_HUB_OFFLINE="1"):
        exec(compile(code, "card", "exec"), names)
    return Ran(printed.getvalue().strip(), names)


def rows(value: object) -> list[Row]:
    """A list of mappings, or the one mapping there is."""
    found = value if isinstance(value, list) else [value]
    assert all(isinstance(row, dict) for row in found)
    return found


def check_alike(task: str, piped: Ran, javascript: object) -> None:
    """The program in JavaScript says what the pipeline does, whose groups of words or limits on
    answers it has not."""
    if task == "feature-extraction":
        assert javascript == pytest.approx(float(piped.printed), abs=CLOSE)
        return
    ours = {
        "text-classification": lambda: piped.call("classify", piped.names["text"], top_k=None),
        "token-classification": lambda: piped.call("find", piped.names["text"]),
        "question-answering": lambda: piped.call(
            "answer",
            question=piped.names["question"],
            context=piped.names["context"],
            max_answer_len=1000,
        ),
    }[task]()
    theirs = rows(javascript)
    assert len(theirs) == len(rows(ours)) > 0
    names = {
        "text-classification": ("label",),
        "token-classification": ("entity", "index"),
        "question-answering": (),
    }[task]
    for one, other in zip(_sorted(rows(ours)), _sorted(theirs), strict=True):
        assert [one[name] for name in names] == [other[name] for name in names]
        assert other["score"] == pytest.approx(float(str(one["score"])), abs=CLOSE)
    if task == "question-answering":  # here in whole words of the text, there in tokens
        (one,), (other,) = rows(ours), theirs
        tokens = str(other["answer"]).replace("##", "").replace(" ", "")
        assert tokens in str(one["answer"]).lower().replace(" ", "")


def _sorted(found: list[Row]) -> list[Row]:
    return sorted(found, key=lambda row: (row.get("index", 0), row.get("label", "")))
