"""What the card says of a base that hubkit pruned and fine-tuned."""

from __future__ import annotations

import re

import pytest

from hubkit.i18n import languages
from hubkit.records import BaseBuild, Lock
from hubkit.stages.card import render_card
from tests.cards.examples import NOTES, REPO_ID, make_lock, make_recipe, make_report
from tests.sweeps.test_report_full import BUILT


def _card(built: BaseBuild | None, code: str = "en") -> str:
    lock = make_lock(built=built)
    return render_card(
        make_recipe(), NOTES, lock, make_report(), REPO_ID, shipped=(), language=code
    )


@pytest.mark.parametrize("code", languages())
def test_what_was_done_is_said_with_its_numbers(code: str) -> None:
    card = _card(BUILT, code)
    (note,) = [line for line in card.splitlines() if "`0`" in line and "`2`" in line]
    for said in ("`4`", "`train`", "`0.0001`", "`0.06`", "`13`", "376"):
        assert (said in note) == (said != "376"), said
    assert re.search(r"5\D?990", note)
    assert "{" not in note
    # No other line of the card speaks of it.
    plain = set(_card(None, code).splitlines())
    assert [line for line in card.splitlines() if line not in plain and line != note] == [
        line for line in card.splitlines() if line.startswith("base_model_relation")
    ]


def test_the_words() -> None:
    card = _card(BUILT)
    assert (
        "hubkit took layers out of the base model: of its 6 layers these are left, numbered from 0:"
        " `0`, `2`, `4`. hubkit fine-tuned it on 5,990 rows of the split `train` of [" in card
    )
    assert (
        "none of them is evaluated on. Its head was made anew for these labels. Epochs: 2;" in card
    )


def test_only_what_was_done_is_said() -> None:
    pruned = _card(BaseBuild(pruned=BUILT.pruned))
    assert "took layers out" in pruned
    assert "fine-tuned it" not in pruned
    trained = _card(BaseBuild(finetuned=BUILT.finetuned))
    assert "took layers out" not in trained
    assert "\n\nhubkit fine-tuned it on 5,990 rows" in trained


def test_the_relation_to_the_base() -> None:
    assert "\nbase_model_relation: quantized\n" in _card(None)
    assert "\nbase_model_relation: quantized\n" in _card(BaseBuild(pruned=BUILT.pruned))
    assert "\nbase_model_relation: finetune\n" in _card(BUILT)


def test_the_lock_reads_back_and_is_silent_of_nothing() -> None:
    lock = make_lock(built=BUILT)
    assert Lock.model_validate_json(lock.model_dump_json(by_alias=True)) == lock
    assert "built" not in make_lock().model_dump()
