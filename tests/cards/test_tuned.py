"""The card of a variant that was found by a search: what it says of it, in each language."""

from __future__ import annotations

import pytest

from hubkit.i18n import languages
from hubkit.records import Interval, Report, TuneOrigin
from hubkit.stages.card import render_card
from hubkit.stages.report import record_json
from tests.cards.examples import REPO_ID, make_lock, make_recipe, make_report

ORIGIN = TuneOrigin(
    trials=14,
    search_rows=1000,
    confirm_rows=1000,
    taken="dynamic-0a1b2c3d",
    metric="accuracy",
    loss=0.0021,
    loss_interval=Interval(low=-0.0042, high=0.0101),
    confidence=0.975,
    allowed=0.0087,
    decided=False,
    rows_needed=1987,
)


def card(origin: TuneOrigin | None, language: str = "en") -> str:
    report = make_report().model_copy(update={"tuned": origin})
    return render_card(make_recipe(), "", make_lock(), report, REPO_ID, language=language)


def test_the_search_is_told_with_its_interval() -> None:
    text = card(ORIGIN)
    assert "The variant `dynamic-0a1b2c3d` was found by a search of 14 trials on 1,000 of" in text
    assert "97.5% interval: −0.0042 … +0.0101" in text
    assert "0.0087 is allowed. `tune.json` holds all that was tried." in text
    assert "about 1,987 would." in text


def test_nothing_is_said_where_nothing_was_searched_or_is_open() -> None:
    assert "tune.json" not in card(None)
    decided = ORIGIN.model_copy(update={"decided": True, "rows_needed": None})
    assert "which side of that the true loss lies" not in card(decided)


def test_the_search_of_a_pytorch_model_is_told_without_a_table_of_onnx_variants() -> None:
    report = make_report().model_copy(update={"tuned": ORIGIN, "selection": None})
    text = render_card(make_recipe(), "", make_lock(), report, REPO_ID)
    assert "ONNX variant" not in text
    assert text.count("### Variants that were tried") == 1
    assert "was found by a search of 14 trials" in text


@pytest.mark.parametrize("language", [code for code in languages() if code != "en"])
def test_in_each_language(language: str) -> None:
    text = card(ORIGIN, language)
    assert "`tune.json`" in text
    assert "a search of" not in text


def test_a_card_made_again_from_its_records_has_the_patterns_in_the_same_order() -> None:
    """A search excludes several groups, in the order of the graph; results.json sorts them."""
    report = make_report()
    excluded = {"/encoder/layer.1/.*": 2, "/classifier/.*": 1}
    variants = tuple(
        variant.model_copy(update={"nodes_excluded": excluded}) for variant in report.variants
    )
    report = report.model_copy(update={"variants": variants})
    again = Report.model_validate_json(record_json(report))
    cards = [render_card(make_recipe(), "", make_lock(), one, REPO_ID) for one in (report, again)]
    assert "/encoder/layer.1/" in cards[0]
    assert cards[0] == cards[1]
