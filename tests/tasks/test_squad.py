"""Exact match and F1 against hand-worked values, and against transformers' own evaluation."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from transformers.data.metrics import squad_metrics

from hubkit.tasks.metrics import SCRIPTS
from hubkit.tasks.squad import accepted_forms, answerable, exact_match, f1, normalized


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Eiffel\tTower!", "eiffel tower"),
        ("U.S.A.", "usa"),
        ("an apple a day", "apple day"),
        ("theatre", "theatre"),
        ("Ångström – “a”", "ångström – “ ”"),
        ("the", ""),
        ("", ""),
    ],
)
def test_normalized(text: str, expected: str) -> None:
    assert normalized(text) == expected


@pytest.mark.parametrize(
    ("answer", "accepted", "exact", "score"),
    [
        ("the Denver Broncos", ["Denver Broncos"], True, 1.0),
        # 2 common words of 3 and 2: precision 2/3, recall 1
        ("champion Denver Broncos", ["Denver Broncos"], False, 0.8),
        # the best of them: 1 of 1 and 2 is 2/3, of 1 and 3 is 1/2
        ("Denver", ["Denver Broncos", "Denver Broncos team"], False, 2 / 3),
        # a word counts as often as both have it: 1 common of 3 and 2
        ("no no no", ["no yes"], False, 0.4),
        ("Oslo", ["Rome"], False, 0.0),
        ("", [], True, 1.0),
        ("", ["", " "], True, 1.0),
        ("Oslo", [], False, 0.0),
        ("", ["Oslo"], False, 0.0),
        ("the", ["a"], True, 1.0),
    ],
)
def test_hand_worked(answer: str, accepted: list[str], exact: bool, score: float) -> None:
    forms = accepted_forms(accepted)
    assert exact_match(normalized(answer), forms) is exact
    assert f1(normalized(answer), forms) == pytest.approx(score)


def test_an_answer_of_articles_alone_is_an_answer() -> None:
    assert answerable(["the"])
    assert not answerable([])
    assert not answerable([" "])


def test_equal_to_transformers() -> None:
    chance = random.Random(5)
    words = ["The", "a", "Oslo", "U.S.", "great,", "great", "film", "–", "naïve", "", "an"]
    differ = 0
    for _ in range(500):
        answer, other = (" ".join(chance.choices(words, k=chance.randint(1, 5))) for _ in "ab")
        if not other.strip():
            continue
        forms, ours = accepted_forms([other]), normalized(answer)
        assert exact_match(ours, forms) == squad_metrics.compute_exact(other, answer)
        assert f1(ours, forms) == pytest.approx(squad_metrics.compute_f1(other, answer))
        differ += 0 < f1(ours, forms) < 1
    assert differ > 50


@pytest.mark.usefixtures("own_modules")
def test_the_script_loads_by_path_without_a_hub(tmp_path: Path) -> None:
    import evaluate

    metric = evaluate.load(str(SCRIPTS / "squad.py"), cache_dir=str(tmp_path))
    found = metric.compute(
        predictions=["the Oslo", "champion Denver Broncos", ""],
        references=[["Rome", "oslo"], ["Denver Broncos"], []],
    )
    assert found == {"exact_match": pytest.approx(2 / 3), "f1": pytest.approx(2.8 / 3)}
