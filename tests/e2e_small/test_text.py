"""Text that means harm: rows, names and labels of any kind are data, and stay data on the card."""

from __future__ import annotations

import csv
import json
import shutil

from tests.e2e_small.worlds import World

HUGE = "very " * 20_000 + "good"
HOSTILE = (
    "a | b || c <script>alert(1)</script>",
    "line one\nline two\r\n\n# a heading\n---\ntitle: x\n---",
    "[link](javascript:alert(1)) ![image](http://tracker.invalid/x.png)",
    "{{ 7 * 7 }} {% include 'x' %} </table><!-- ",
    "‮ right to left, \u0000-free, \ufeff, 😀, \\u2028\u2028",
    "=cmd|' /C calc'!A0",
    "",
    " ",
)


def test_hostile_rows_and_prose(warm: World) -> None:
    with warm.evaluation.open(newline="", encoding="utf-8") as stream:
        rows = [(row["sentence"], int(row["label"])) for row in csv.DictReader(stream)][:20]
    hostile = [(text, number % 2) for number, text in enumerate((HUGE, *HOSTILE))]
    shutil.rmtree(warm.folder / "data")  # CSV has no empty text: there it is none
    (warm.folder / "data").mkdir()
    lines = [json.dumps({"sentence": text, "label": label}) for text, label in (*hostile, *rows)]
    (warm.folder / "data" / "validation.jsonl").write_text("\n".join(lines), encoding="utf-8")
    warm.write(
        card={
            "details": {"title": "A | title <script>alert(2)</script>\n# heading"},
            "intended_use": {"primary_uses": "One\n---\n| a | b |\n<img src=x onerror=alert(3)>"},
        }
    )
    bundle = warm.root / "bundle"
    options = ("--repo-id", warm.repo, "--output", str(bundle), "--format", "json")
    done = warm.hubkit("card", str(warm.folder), *options)
    assert done.code == 0, done.out + done.err
    card = (bundle / "README.md").read_text(encoding="utf-8")
    assert "<script" not in card
    assert "<img" not in card
    assert card.count("\n---\n") == 1  # the end of the front matter, and no other
    titles = [line for line in card.splitlines() if line.startswith("# ")]
    assert len(titles) == 1

    report = json.loads((bundle / "results.json").read_bytes())
    assert report["dataset"]["eval_rows"] == len(hostile) + len(rows)
    truncated = report["encoded"]["truncated"]
    assert truncated >= 1
    assert f"cut to 64 tokens. That shortened {truncated} example" in card
    assert (bundle / "README.md").stat().st_size < 100_000
