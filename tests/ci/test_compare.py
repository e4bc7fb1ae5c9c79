"""The comparison and the job summary: what they say, and what they let nobody say."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from hubkit.ci.comment import LONGEST
from hubkit.ci.compare import compare
from hubkit.ci.markdown import comparison, fenced, plain
from hubkit.ci.records import Comparison, Outcome
from hubkit.ci.sides import read_side
from hubkit.ci.summary import Where, summary
from hubkit.cli import app as cli
from hubkit.errors import DataError, UsageError
from hubkit.records import Candidate, Report, Timing
from hubkit.stages.bundle import recipe_json
from hubkit.stages.report import record_json
from tests.cards.examples import artifact, make_lock, make_recipe, make_report


def changed(report: Report) -> Report:
    """Less accurate and larger, 20 % slower, one model 0.3 % slower, and one model gone."""
    variants, scores = list(report.variants), list(report.scores)
    assert report.timings is not None
    timings = list(report.timings.timings)
    variants[2] = variants[2].model_copy(update={"size_bytes": 25_000_000})
    paired = scores[2].paired
    assert paired is not None
    metric = scores[2].metrics[0].model_copy(update={"value": 0.8555})
    scores[2] = scores[2].model_copy(
        update={
            "metrics": (metric, *scores[2].metrics[1:]),
            "paired": paired.model_copy(update={"flips": 31}),
        }
    )
    timings[2], timings[3] = slower(timings[2], 1.2), slower(timings[3], 1.003)
    kept = report.timings.model_copy(update={"timings": tuple(timings[:4])})
    return report.model_copy(
        update={"variants": tuple(variants[:4]), "scores": tuple(scores[:4]), "timings": kept}
    )


def slower(timing: Timing, factor: float) -> Timing:
    points = tuple(
        p.model_copy(
            update={
                "p50_ms": p.p50_ms * factor,
                "round_means_ms": tuple(ms * factor for ms in p.round_means_ms),
            }
        )
        for p in timing.points
    )
    return timing.model_copy(update={"points": points})


def side(folder: Path, report: Report | None, card: str = "# A card\n", **lock: object) -> Path:
    folder.mkdir()
    if report is not None:
        (folder / "results.json").write_text(record_json(report))
        (folder / "lock.json").write_text(record_json(make_lock(**lock)))
        (folder / "README.md").write_text(card)
    return folder


def outcome(folder: Path, **values: object) -> None:
    made = Outcome.model_validate({"recipe": "tiny", "exit_code": 0, **values})
    (folder / "outcome.json").write_text(record_json(made))


def compared(base: Path, new: Path) -> Comparison:
    return compare(read_side(base), read_side(new), "recipe")


def test_a_change_in_markdown(tmp_path: Path, golden: Callable[[str, str], None]) -> None:
    base = side(tmp_path / "a", make_report(), "# A card\n\nAccuracy 0.8650\n")
    new = side(
        tmp_path / "b",
        changed(make_report()),
        "# A card\n\nAccuracy 0.8555\n```\n",
        python="3.12.1",
    )
    golden("ci-comparison.md", comparison(compared(base, new)))


def test_nothing_changed(results: Path) -> None:
    text = comparison(compared(results, results))
    assert "→" not in text
    assert "The card is the same." in text
    assert "What went in differs" not in text


def test_other_rows_and_another_machine_are_said(tmp_path: Path) -> None:
    report = make_report()
    assert report.timings is not None
    machine = report.timings.machine.model_copy(update={"fingerprint": "0" * 64})
    other = changed(report).model_copy(
        update={
            "encoded": report.encoded.model_copy(update={"rows": 900}),
            "timings": report.timings.model_copy(update={"machine": machine}),
        }
    )
    base, new = side(tmp_path / "a", report), side(tmp_path / "b", other)
    found = compared(base, new)
    assert (found.same_rows, found.same_machine) == (False, False)
    text = comparison(found)
    assert "scored on different rows" in text
    assert "latency cannot be compared" in text


def test_the_same_rows_are_known_again(tmp_path: Path) -> None:
    """Among rows to calibrate with, by another tokenizer, with a column more."""
    report = make_report()
    rows, ids = report.dataset.artifact, report.encoded.artifact
    other_rows = artifact("other", eval__parquet=81_204, calibration__parquet=9)
    more_rows = other_rows.model_copy(update={"files": (*rows.files, other_rows.files[1])})
    other_ids = artifact("other", encoded__npz=120_001)
    assert rows.digest != more_rows.digest
    base = side(tmp_path / "base", report)
    for name, read, encoded, same in (
        ("calibrated", more_rows, other_ids, True),
        ("sliced", other_rows, ids, True),
        ("other", other_rows, other_ids, False),
    ):
        other = report.model_copy(
            update={
                "dataset": report.dataset.model_copy(update={"artifact": read}),
                "encoded": report.encoded.model_copy(update={"artifact": encoded}),
            }
        )
        assert compared(base, side(tmp_path / name, other)).same_rows is same, name


def test_one_round_has_no_spread(tmp_path: Path) -> None:
    def once(report: Report, factor: float) -> Report:
        assert report.timings is not None
        timings = tuple(
            timing.model_copy(
                update={
                    "points": tuple(
                        p.model_copy(
                            update={"p50_ms": p.p50_ms * factor, "round_means_ms": (p.mean_ms,)}
                        )
                        for p in timing.points
                    )
                }
            )
            for timing in report.timings.timings
        )
        return report.model_copy(
            update={"timings": report.timings.model_copy(update={"timings": timings})}
        )

    base = side(tmp_path / "a", once(make_report(), 1.0))
    new = side(tmp_path / "b", once(make_report(), 2.0))
    text = comparison(compared(base, new))
    assert "8.79 → 17.6 |" in text
    assert "spread" not in text


def test_a_gate_that_is_not_met_says_why(tmp_path: Path, results: Path) -> None:
    report = make_report()
    assert report.selection is not None
    candidates = tuple(
        Candidate.model_validate(
            {**c.model_dump(), "passes": False, "reason": "it loses <b>2.1 %</b> of 1 % | @all"}
        )
        for c in report.selection.candidates
    )
    refused = report.selection.model_copy(update={"candidates": candidates, "selected": None})
    new = side(tmp_path / "new", report.model_copy(update={"selection": refused}))
    (new / "README.md").unlink()
    outcome(new, exit_code=3, message="no ONNX variant meets the gate\nVariant  Loss")
    text = comparison(compared(results, new))
    assert "> [!CAUTION]\n> **The gate is not met.**" in text
    assert "> no ONNX variant meets the gate\n" in text
    assert "it loses &#60;b&#62;2.1 %" in text
    assert "@all" not in text
    assert "README.md" not in text  # there is no card to compare with


def test_a_recipe_that_is_new(tmp_path: Path, results: Path) -> None:
    base = side(tmp_path / "base", None)
    outcome(base, exit_code=2, message="recipe: no such folder")
    text = comparison(compared(base, results))
    assert "Nothing to compare with: recipe&#58; no such folder." in text
    assert "(new)" not in text  # all of it is
    assert "0.8650" in text


def test_a_recipe_that_is_not_read(tmp_path: Path, results: Path) -> None:
    new = side(tmp_path / "new", None)
    outcome(new, exit_code=2, message="recipe.yaml:3: task: unknown")
    found = compared(results, new)
    assert not found.gate.passes
    text = comparison(found)
    assert "**This cannot be published.**" in text
    assert "(removed)" not in text


def test_results_alone_are_enough(results: Path) -> None:
    found = compared(results / "results.json", results / "results.json")
    assert found.gate.passes
    assert len(found.variants) == 5


@pytest.mark.parametrize("what", ["missing", "empty"])
def test_what_is_no_result(tmp_path: Path, what: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=what):
        read_side(tmp_path / what)


def test_a_result_of_another_hubkit(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('{"schema": 2}')
    with pytest.raises(DataError, match=r"results\.json is not one of this hubkit"):
        read_side(tmp_path)


def test_a_comment_is_never_too_long(tmp_path: Path) -> None:
    lines = "".join(f"line {number} {'x' * 90}\n" for number in range(3000))
    base, new = side(tmp_path / "a", make_report()), side(tmp_path / "b", make_report(), lines)
    for name in ("README.de.md", "README.fr.md"):
        (new / name).write_text(lines)
    text = comparison(compared(base, new))
    assert LONGEST - 3000 < len(text) <= LONGEST
    assert text.count("the rest is left out") == 3


def test_a_card_cannot_leave_its_block(tmp_path: Path) -> None:
    card = "````\n# Not a heading\n@everyone <script>alert(1)</script>\n~~~\n"
    base, new = side(tmp_path / "a", make_report()), side(tmp_path / "b", make_report(), card)
    tokens = MarkdownIt("commonmark", {"html": True}).parse(comparison(compared(base, new)))
    outside = "".join(token.content for token in tokens if token.type != "fence")
    assert "everyone" not in outside
    assert "Not a heading" not in outside


def test_a_fence_is_longer_than_any_in_it() -> None:
    block = fenced(["+`````", "x" * 1000], 10_000).split("\n")
    assert block[0] == "``````diff"
    assert block[-1] == "``````"
    assert len(block[2]) == 401


def test_words_are_words() -> None:
    said = plain("[x](https://evil.example) @team <img src=x> **b** #1\n| a")
    rendered = MarkdownIt("gfm-like", {"linkify": False}).render(said)
    assert not re.search("<(a|img|strong|table)", rendered)
    assert "@" not in said


@pytest.fixture(name="bundle")
def _bundle(results: Path) -> Path:
    """What `summary` reads of a bundle."""
    (results / "recipe.json").write_text(recipe_json(make_recipe(), make_lock()))
    (results / "SHA256SUMS").write_text("")
    return results


def test_a_summary_in_markdown(bundle: Path, golden: Callable[[str, str], None]) -> None:
    golden("ci-summary.md", summary(bundle, Where()))


def test_a_summary_shows_what_all_can_see(bundle: Path) -> None:
    url = "https://hub.example/me/model"
    where = Where(url, "0123456789abcdef", f"{url}/resolve/0123456789abcdef")
    text = summary(bundle, where)
    assert f"Published and verified: {url}, commit `0123456789ab`." in text
    assert f'<img src="{url}/resolve/0123456789abcdef/assets/' in text
    assert "mermaid" not in text


def test_a_summary_of_something_else(tmp_path: Path, bundle: Path) -> None:
    with pytest.raises(UsageError, match="no bundle"):
        summary(tmp_path / "nothing", Where())
    with pytest.raises(UsageError, match="not an address"):
        summary(bundle, Where('javascript:alert(1)"'))


def test_the_commands_print_markdown_or_json(
    results: Path, bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*args: str) -> str:
        monkeypatch.setattr("sys.argv", ["hubkit", "ci", *args])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert not ended.value.code
        return capsys.readouterr().out

    text = run("compare", str(results), str(results), "--name", "models/one")
    assert text.startswith("<!-- hubkit: models/one -->\n")
    found = json.loads(run("compare", str(results), str(results), "--format", "json"))
    assert found["name"] == "tiny-sentiment"
    assert found["variants"][2]["new"]["flips"] == 27
    assert run("summary", str(bundle), "--format", "human").startswith("## `tiny-sentiment`")
