"""The card: complete, true to its records, the same every time, and whole whatever the data are."""

from __future__ import annotations

import ast
import builtins
import datetime
import os
import random
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from hubkit.demo.movie_sentiment import HOW
from hubkit.errors import HubkitError
from hubkit.recipe import Recipe
from hubkit.recipe_file import load_recipe
from hubkit.records import CalibrationInfo, Failed, Lock, Report
from hubkit.stage import Context
from hubkit.stages import card as module
from hubkit.stages.card import CardInput, card, render_card
from hubkit.store import Store
from tests.cards.answers import compared
from tests.cards.examples import (
    NOTES,
    RECIPE,
    REPO_ID,
    make_lock,
    make_recipe,
    make_report,
)
from tests.cards.markdown import headings, html_tokens, links, table_lines, tables, visible

MISSING = "Not provided by the author."
# The sections of the reference card, in the order of Mitchell et al. 2019.
SECTIONS = [
    "Model details",
    "Intended use",
    "How to load it",
    "Factors",
    "Metrics",
    "Training and evaluation data",
    "Quantitative analyses",
    "Speed",
    "Ethical considerations",
    "Caveats and recommendations",
    "Environmental impact",
    "How this was made",
    "BibTeX entry and citation info",
]


def text_of(
    recipe: Recipe | None = None,
    notes: str = "",
    lock: Lock | None = None,
    report: Report | None = None,
) -> str:
    """The card of the example, whose recipe is taken for one that comes with hubkit."""
    lock = lock or make_lock()
    return render_card(
        recipe or make_recipe(),
        notes,
        lock,
        report or make_report(),
        REPO_ID,
        shipped=(lock.recipe_digest,),
    )


def row(text: str, title: str) -> list[str]:
    """The cells of the first row of any table that begins with `title`."""
    rows = [cells for table in tables(text) for cells in table if cells[0] == title]
    assert rows, f"no row {title!r}"
    return rows[0][1:]


def rectangular(text: str) -> None:
    """Every line that looks like a table is in one, and no table has a ragged row."""
    found = tables(text)
    assert all(len(cells) == len(table[0]) for table in found for cells in table)
    assert len(table_lines(text)) == sum(len(table) + 1 for table in found)


def demo_lock() -> Lock:
    lock = make_lock()
    base = {
        "source": "built",
        "id": "demo/movie",
        "url": "/demo/movie",
        "origin": "MiniLM-L6 weights in the DistilBERT architecture, fine-tuned by hubkit.",
    }
    data = {"source": "built", "url": "/datasets/demo/x", "origin": "rated movie sentences"}
    return lock.model_copy(
        update={
            "demo": True,
            "base": lock.base.model_copy(update=base),
            "dataset": lock.dataset.model_copy(update=data),
        }
    )


def test_golden_card(golden: Callable[[str, str], None]) -> None:
    golden("card.text-classification.en.md", text_of(notes=NOTES))


def test_golden_demo_card(golden: Callable[[str, str], None]) -> None:
    recipe = make_recipe(card={}, publication={"license": "mit", "include_fp32_onnx": True})
    golden("card.demo.en.md", text_of(recipe, lock=demo_lock()))


def test_the_sections_are_those_of_the_reference_in_its_order() -> None:
    assert headings(text_of(notes=NOTES)) == SECTIONS


def test_tables_are_whole() -> None:
    rectangular(text_of(notes=NOTES))


def test_the_verdict_comes_first() -> None:
    above = text_of(notes=NOTES).split("\n## ")[0]
    assert headings(above, "h1") == ["Tiny sentiment, INT8"]
    assert row(above, "**ONNX INT8**, `model.onnx`") == ["23.1", "0.8650 (0.842–0.885)", "3.08"]
    assert row(above, "ONNX FP32 (baseline)") == ["91.0", "0.8660 (0.843–0.886)", "6.28"]
    seen = visible(above)
    assert "ONNX INT8: 3.94× smaller than ONNX FP32 and 2.04× as fast" in seen
    assert "another label on 27 of 1,000 examples. Now right: 13; now wrong: 14." in seen
    assert above.index("| Model |") < above.index(NOTES.strip()[:40])


def test_scores_are_those_of_the_records() -> None:
    text = text_of()
    assert row(text, "") == ["PyTorch INT8", "ONNX INT8", "FP32"]
    assert row(text, "Accuracy") == [
        "0.8620 (0.839–0.882)",
        "0.8650 (0.842–0.885)",
        "0.8660 (0.843–0.886)",
    ]
    assert row(text, "Model size (MB)") == ["23.5", "23.1", "91.0"]
    assert row(text, "Predictions unlike FP32") == ["46", "27", "–"]
    assert row(text, "Loss (Accuracy)") == ["+0.0040", "+0.0010", "–"]
    assert "Wilson score interval: Accuracy. Bootstrap over the examples: F1." in text


def test_candidates_are_shown_with_the_gates_reasons() -> None:
    text = text_of()
    assert row(text, "**onnx-int8-dynamic**") == [
        "23.1",
        "27",
        "16.5",
        "0.12% (−1.13% … 1.37%)",
        "passes (undecided)",
    ]
    assert row(text, "onnx-int8-static")[-2:] == ["0.35% (−1.77% … 2.48%)", "passes (undecided)"]
    assert "1,000 examples cannot settle on which side of the limit the true loss lies" in text


def test_the_gates_words_are_shown_where_it_could_not_compare() -> None:
    selection = make_report().selection
    assert selection
    odd = selection.candidates[0].model_copy(
        update={"passes": False, "relative_loss": None, "loss_interval": None, "reason": "a | b"}
    )
    report = make_report(selection=selection.model_copy(update={"candidates": (odd,)}))
    assert row(text_of(report=report), "**onnx-int8-dynamic**")[-2:] == ["–", "fails: a &#124; b"]


def test_calibration_is_told_as_it_was() -> None:
    cell = row(text_of(), "Preprocessing")[0]
    assert "The calibration sampling size is 100 in batches of 8, and so is the real one." in cell
    report = make_report()
    few = CalibrationInfo(
        method="minmax", asked_samples=100, real_samples=60, batch_size=8, split="train"
    )
    variants = tuple(
        v.model_copy(update={"calibration": few}) if v.calibration else v for v in report.variants
    )
    cell = row(text_of(report=make_report(variants=variants)), "Preprocessing")[0]
    assert "size is 100, and the real one is 60: there were no more rows." in cell
    more = few.model_copy(update={"real_samples": 104})
    variants = tuple(
        v.model_copy(update={"calibration": more}) if v.calibration else v for v in report.variants
    )
    cell = row(text_of(report=make_report(variants=variants)), "Preprocessing")[0]
    assert "size 100 is not divisible by the batch size 8, so the real sampling size is 104" in cell


def test_rows_that_were_cut_are_counted() -> None:
    assert "That shortened 3 examples of 1,000. The" in row(text_of(), "Preprocessing")[0]
    whole = make_report().encoded.model_copy(update={"truncated": 0})
    cell = row(text_of(report=make_report(encoded=whole)), "Preprocessing")[0]
    assert "cut to 128 tokens. No example was longer. The" in cell


def test_int8_is_compared_with_fp32_of_its_own_format() -> None:
    text = text_of()
    assert "own format; the FP32 column shows ONNX FP32. " in text
    assert (
        "ONNX FP32 against PyTorch FP32: another label on 0 of 1,000 examples; the largest logit"
        " difference is 3.1e-06." in text
    )
    scores = compared("onnx-fp32", "pytorch-fp32", 1, 0, 0.25, 0.01)
    others = tuple(s for s in make_report().scores if s.variant != "onnx-fp32")
    other = text_of(report=make_report(scores=(*others, scores)))
    assert "another label on 1 of 1,000 examples; the largest logit difference is 0.250." in other


def test_pytorch_that_the_gate_would_refuse_is_called_so() -> None:
    assert "published because the recipe asks for it" not in text_of()
    poor = compared("pytorch-int8-static", "pytorch-fp32", 10, 40, 0.9, 0.2)
    others = tuple(s for s in make_report().scores if s.variant != poor.variant)
    report = make_report(scores=(*others, poor))
    paired = poor.paired
    assert paired
    low, high = (v / 0.866 * 100 for v in (paired.loss_interval.low, paired.loss_interval.high))
    above = visible(text_of(report=report).split("\n## ")[0])
    assert (
        "It loses 3.46% of the value of PyTorch FP32 (Accuracy; 95% interval"
        f" {low:.2f}% … {high:.2f}%), more than the 1% that the gate allows an ONNX model;"
        " it is published because the recipe asks for it." in above
    )
    assert report.selection
    lenient = report.selection.model_copy(update={"max_relative_loss": 0.03 / 0.866})
    assert "It loses" not in text_of(report=report.model_copy(update={"selection": lenient}))


def test_the_card_says_which_rows_are_published() -> None:
    text = text_of()
    assert "1 row of the evaluation split is published word for word in `results.json`" in text
    one = make_report().samples[0]
    many = text_of(report=make_report(samples=(one,) * 16))
    assert "16 rows of the evaluation split are published word for word" in many
    assert "word for word" not in text_of(report=make_report(samples=()))


def test_speed_is_told_with_the_machine_and_the_plan() -> None:
    text = text_of().split("## Speed")[1]
    assert row(text, "8 × 128") == [
        "170 (1.16×)",
        "96.8 (2.04×)",
        "197",
        "276 (0.71×)",
    ]
    assert "Example CPU @ 2.60GHz" in visible(text)
    assert (
        "with 2 threads, in 3 interleaved rounds. At each point it ran for at least 2 s in all,"
        " and at least 30 calls. 5 calls went before to warm up in the first round, and one in each"
        " later round." in text
    )
    assert headings(text, "h3")[:2] == ["PyTorch INT8, all timings", "ONNX INT8, all timings"]


def test_code_on_the_card_is_code() -> None:
    text = text_of(make_recipe(publication={"license": "mit", "include_fp32_onnx": True}))
    blocks = re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    assert len(blocks) == 4
    for block in blocks:
        ast.parse(block)
    assert "ORTModelForSequenceClassification.from_pretrained(repo_id)\n" in text
    assert "INCModelForSequenceClassification.from_pretrained(repo_id)\n" in text


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"warmup": 0}, "No call went before to warm up."),
        ({"warmup": 1}, "1 call went before to warm up in the first round, and one in each later"),
        ({"warmup": 7, "rounds": 1}, "30 calls. 7 calls went before to warm up."),
    ],
)
def test_the_warm_up_is_told_as_it_was(plan: dict[str, int], said: str) -> None:
    assert said in text_of(make_recipe(benchmark=plan))


def test_the_command_makes_it_again() -> None:
    lock = make_lock(demo=True)
    known = (lock.recipe_digest,)
    assert "\nhubkit publish tiny-sentiment\n" in text_of()
    elsewhere = render_card(make_recipe(), "", lock, make_report(), "me/other", shipped=known)
    assert "\nhubkit publish tiny-sentiment --demo --repo-id me/other\n" in elsewhere
    assert "is a file of this repository" not in elsewhere


def test_a_recipe_from_elsewhere_is_the_repositorys_own() -> None:
    lock = make_lock(demo=True)
    text = render_card(make_recipe(), "", lock, make_report(), "me/other")
    assert "\nhubkit publish recipe.json --repo-id me/other\n" in text
    assert "`recipe.json` is a file of this repository" in text
    assert "beside the recipe" not in text
    local = {"source": "local", "id": "my-model", "url": None}
    lock = lock.model_copy(update={"base": lock.base.model_copy(update=local)})
    text = render_card(make_recipe(), "", lock, make_report(), REPO_ID)
    assert "looks for it beside the recipe: `my-model`." in text


@pytest.mark.parametrize("demo", [False, True])
def test_the_shipped_recipes_are_known(demo: bool) -> None:
    loaded = load_recipe("distilbert-sst2", demo=demo)
    lock = make_lock(recipe_digest=loaded.digest, demo=demo)
    command = "hubkit publish distilbert-sst2" + " --demo" * demo
    text = render_card(loaded.recipe, loaded.notes, lock, make_report(), "me/other")
    assert f"\n{command} --repo-id me/other\n" in text
    # A copy that was edited is another recipe, whatever it calls itself.
    edited = render_card(loaded.recipe, "", make_lock(demo=demo), make_report(), "me/other")
    assert "\nhubkit publish recipe.json --repo-id me/other\n" in edited


def test_the_demos_own_words_are_true_to_its_builder() -> None:
    loaded = load_recipe("distilbert-sst2", demo=True)
    rows = f"{HOW.rows:,}"
    assert HOW.epochs == 1
    assert f"in one pass over {rows} movie sentences" in loaded.notes
    assert f"fine-tuned on the spot by hubkit on {rows} sentences" in (
        loaded.recipe.card.data.datasets or ""
    )


def test_the_pins_are_there_whole() -> None:
    lock = make_lock()
    pins = text_of().split("## How this was made")[1]
    assert f"example/tiny-sentiment @ {lock.base.sha}\n" in pins
    assert f"example/sentences @ {lock.dataset.sha}\n" in pins
    assert f"sha256 {lock.recipe_digest}\n" in pins
    assert row(text_of(), "Base model")[0].endswith(
        f"at revision [`{lock.base.sha[:12]}`]({lock.base.url}/tree/{lock.base.sha})"
    )


def test_notes_pass_as_they_are() -> None:
    assert NOTES.strip() in text_of(notes=NOTES)


def test_no_notes_no_gap() -> None:
    text = text_of()
    outside = re.sub(r"^```.*?^```", "(code)", text, flags=re.DOTALL | re.MULTILINE)
    assert "\n\n\n" not in outside
    assert not [line for line in outside.splitlines() if line != line.rstrip()]
    assert text.endswith("`CITATION.cff` holds how to cite this repository.\n")


def test_what_the_author_did_not_say_is_shown_as_missing() -> None:
    text = text_of(make_recipe(card={}))
    for title in (
        "Authors",
        "Organisation",
        "Date",
        "Version",
        "Type",
        "Papers and other resources",
        "Questions and comments",
        "Primary intended uses",
        "Primary intended users",
        "Out-of-scope uses",
        "Groups",
        "Instrumentation",
        "Environment",
        "Card prompts",
        "Motivation",
        "Human life",
        "Mitigations",
        "Risks and harms",
        "Use cases",
    ):
        assert row(text, title) == [MISSING], title
    assert row(text, "Intersectional results") == ["Not measured."]
    assert f"## Caveats and recommendations\n\n{MISSING}\n" in text
    assert text.endswith(f"## BibTeX entry and citation info\n\n{MISSING}\n")
    assert headings(text, "h1") == ["INT8 tiny-sentiment"]
    rectangular(text)


def test_a_built_base_is_called_what_it_is() -> None:
    text = text_of(make_recipe(card={}), lock=demo_lock())
    seen = visible(text)
    assert "MiniLM-L6 weights in the DistilBERT architecture, fine-tuned by hubkit." in seen
    assert "The data are these: rated movie sentences." in seen
    assert "made without access to huggingface.co" in seen
    assert "distilbert-base" not in text
    assert "SST-2" not in text
    assert "HF_ENDPOINT" in text
    assert "/demo/movie" in links(text)


def test_a_models_own_word_on_its_origin_is_shown_but_not_obeyed() -> None:
    base = make_report().base.model_copy(update={"description": "made <b>by</b> | us\n# x"})
    text = text_of(report=make_report(base=base))
    assert "The base model is this: made <b>by</b> | us # x." in visible(text)
    assert html_tokens(text) == []


def test_the_public_hub_needs_no_endpoint() -> None:
    assert "HF_ENDPOINT" not in text_of()


def test_a_part_of_the_split_is_branded() -> None:
    dataset = make_report().dataset.model_copy(
        update={"partial": True, "eval_rows": 100, "eval_rows_available": 872}
    )
    above = text_of(report=make_report(dataset=dataset)).split("\n## ")[0]
    assert "**This is not the whole split, which has 872 rows.**" in above


@pytest.mark.parametrize("kind", ["onnx", "pytorch"])
def test_one_format_alone(kind: str) -> None:
    publication = {"license": "mit", "repo_id": REPO_ID, "formats": [kind]}
    text = text_of(make_recipe(publication=publication))
    other = {"onnx": "INCModel", "pytorch": "ORTModel"}[kind]
    assert other not in text
    label = {"onnx": "ONNX INT8", "pytorch": "PyTorch INT8"}[kind]
    assert row(text, "") == [label, "FP32"]
    rectangular(text)


def test_nothing_measured_says_so() -> None:
    text = text_of(report=make_report(timings=None, scores=(), selection=None))
    assert "## Speed\n\nNot measured.\n" in text
    assert row(text, "ONNX FP32 (baseline)") == ["91.0", "not measured", "not measured"]
    rectangular(text)


def test_no_variant_passed_the_gate() -> None:
    selection = make_report().selection
    assert selection
    lost = [c.model_copy(update={"passes": False, "mean_ms": None}) for c in selection.candidates]
    none = selection.model_copy(update={"candidates": tuple(lost), "selected": None})
    text = text_of(report=make_report(selection=none))
    assert row(text, "onnx-int8-dynamic") == [
        "23.1",
        "27",
        "not measured",
        "0.12% (−1.13% … 1.37%)",
        "fails (undecided)",
    ]
    assert "ORTModel" not in text
    rectangular(text)


def test_failures_are_told() -> None:
    failed = Failed(stage="quantize", subject="onnx-int8-x", reason="a | pipe\n<b>")
    text = text_of(report=make_report(failures=(failed,)))
    assert "Did not work: quantize of onnx-int8-x: a | pipe <b>" in visible(text)
    assert html_tokens(text) == []


HOSTILE = "a|b`c`\n---\nlicense: gpl\n\n# H\n<script>x</script> [l](javascript:x) {{ y }}"


def _poisoned(value: object, *, keep: tuple[str, ...]) -> object:
    """The value with every string replaced, but for those under the keys in `keep`."""
    if isinstance(value, str):
        return HOSTILE
    if isinstance(value, dict):
        return {k: v if k in keep else _poisoned(v, keep=keep) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_poisoned(item, keep=keep) for item in value]
    return value


def test_hostile_strings_everywhere_break_nothing() -> None:
    # Caveats are the author's own paragraphs: they may hold what Markdown holds.
    card_data = _poisoned(RECIPE["card"], keep=("url", "caveats"))
    recipe = make_recipe(card=card_data)
    lock = make_lock()
    # The name of a local folder can be anything; ids on the Hub, which the front matter names, not.
    hostile_source = {
        "source": "local",
        "id": HOSTILE,
        "sha": HOSTILE,
        "license": HOSTILE,
        "origin": HOSTILE,
    }
    lock = lock.model_copy(
        update={
            "base": lock.base.model_copy(update=hostile_source),
            "dataset": lock.dataset.model_copy(update=hostile_source),
            "tools": {HOSTILE: HOSTILE},
        }
    )
    report = make_report()
    timings = report.timings
    assert timings
    report = report.model_copy(
        update={
            "base": report.base.model_copy(
                update={"architecture": HOSTILE, "labels": (HOSTILE,), "model_type": HOSTILE}
            ),
            "dataset": report.dataset.model_copy(update={"label_counts": {HOSTILE: 3}}),
            "timings": timings.model_copy(
                update={
                    "machine": timings.machine.model_copy(update={"cpu": HOSTILE, "os": HOSTILE})
                }
            ),
            "failures": (Failed(stage=HOSTILE, subject=HOSTILE, reason=HOSTILE),),
        }
    )
    text = text_of(recipe, lock=lock, report=report)
    rectangular(text)
    assert headings(text) == SECTIONS
    assert len(headings(text, "h1")) == 1
    assert set(html_tokens(text)) <= {"<code>", "</code>"}
    assert not [target for target in links(text) if "javascript" in target]


def test_pure(monkeypatch: pytest.MonkeyPatch) -> None:
    first = text_of(notes=NOTES)

    def refuse(*args: object, **kwargs: object) -> NoReturn:
        raise AssertionError("a card reads no clock, no network and no chance")

    class NoClock(datetime.datetime):
        now = today = utcnow = refuse

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(datetime, "datetime", NoClock)
    for owner, name in ((time, "time"), (time, "time_ns"), (random, "random"), (os, "urandom")):
        monkeypatch.setattr(owner, name, refuse)
    opened: list[str] = []
    real_open = builtins.open

    def watch(file: object, *args: object, **kwargs: object) -> object:
        opened.append(str(file))
        return real_open(file, *args, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr(builtins, "open", watch)
    assert text_of(notes=NOTES) == first
    assert all(name.endswith((".j2", ".py", ".pyc", ".cache")) for name in opened), opened


def test_the_stage_gives_the_card_and_its_input_is_json(tmp_path: Path) -> None:
    given = CardInput(
        recipe=make_recipe(), notes=NOTES, lock=make_lock(), report=make_report(), repo_id=REPO_ID
    )
    again = CardInput.model_validate_json(given.model_dump_json(by_alias=True))
    made = card(again, Context(store=Store(tmp_path / "store"), scratch=tmp_path))
    (readme,) = made.cards
    assert (readme.path, readme.language) == ("README.md", "en")
    assert [file.path for file in made.files] == ["notes.md", "CITATION.cff"]
    assert readme.text == render_card(
        make_recipe(), NOTES, make_lock(), make_report(), REPO_ID, shipped=given.shipped
    )


def test_an_edited_template_is_another_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = module.templates_digest()
    (tmp_path / "card").mkdir()
    (tmp_path / "card" / "base.md.j2").write_text("{{ oops }}", encoding="utf-8")
    monkeypatch.setattr(module, "templates_dir", lambda: tmp_path)
    assert module.templates_digest() != before


def test_template_mistakes_reach_the_user_with_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "card").mkdir()
    (tmp_path / "card" / "text-classification.md.j2").write_text("x\n{{ titel }}", encoding="utf-8")
    monkeypatch.setattr("hubkit.cards.environment.templates_dir", lambda: tmp_path)
    with pytest.raises(HubkitError, match=r"card/text-classification\.md\.j2, line 2.*titel"):
        text_of()


def _with_rounds(*rounds: float) -> Report:
    report = make_report()
    assert report.timings is not None
    timings = tuple(
        timing.model_copy(
            update={
                "points": tuple(
                    p.model_copy(update={"round_means_ms": rounds}) for p in timing.points
                )
            }
        )
        for timing in report.timings.timings
    )
    return report.model_copy(
        update={"timings": report.timings.model_copy(update={"timings": timings})}
    )


def test_the_card_says_how_far_the_rounds_differ() -> None:
    quiet = text_of(report=_with_rounds(10.0, 10.5, 10.1))
    assert "differed by 5% in the median and 5% at most." in quiet
    busy = text_of(report=_with_rounds(10.0, 30.0, 20.0))
    assert "differed by 100% in the median" in busy
    assert "The machine was busy with something else" in busy
    assert "The machine was busy" not in quiet
    assert "differed by" not in text_of(report=_with_rounds(10.0))
