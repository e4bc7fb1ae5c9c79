"""`hubkit report formats` on a tiny model, and its section on the card that is published."""

from __future__ import annotations

import json

import pytest

from hubkit.formats_records import FormatsReport
from hubkit.keys import files_of
from tests.e2e_small.worlds import World

pytestmark = pytest.mark.conformance

QUICK = ("--concurrency", "1,2", "--window", "0.05", "--no-search")


def reporting(world: World, *args: str, style: str = "json") -> tuple[str, ...]:
    """The arguments of `hubkit report formats` of the recipe."""
    into = str(world.root / "report")
    return ("report", "formats", str(world.folder), "-o", into, "--format", style, *QUICK, *args)


def test_every_engine_has_a_row_and_the_card_a_section(fresh: World) -> None:
    begun = fresh.start(*reporting(fresh, "--lang", "ru", "--lang", "en"))
    done = fresh.end(begun, seconds=900)  # every engine there is, some of which compile
    assert done.code == 0, done.err
    folder = fresh.root / "report"
    report = FormatsReport.model_validate_json((folder / "formats.json").read_bytes())
    assert {"README.md", "README.en.md", "report.html", "recipe.json"} <= set(files_of(folder))
    measured = {one.name for one in report.engines if one.missing is None}
    assert "onnxruntime-cpu-fp32" in measured
    for one in report.engines:
        assert one.missing is None or (one.missing.reason and one.missing.cure)
    failed = {one.subject for one in report.failures}
    assert measured - failed <= {one.engine for one in report.divergences}
    served = {one.name for one in report.engines if one.missing is None and one.served}
    assert served - failed == {one.engine for one in report.serving}
    text = (folder / "README.md").read_text(encoding="utf-8")
    for line in ("Concurrency: 1, throughput:", "Concurrency: 2, throughput:"):
        assert line in text
    # What is finished is looked up.
    again = fresh.hubkit(*reporting(fresh))
    assert again.code == 0, again.err
    assert again.ran() <= {"resolve", "formats-report"}

    published = fresh.publish("--formats", str(folder))
    assert published.code == 0, published.err
    assert json.loads(fresh.file("formats.json"))["recipe"] == report.recipe
    assert "## Cost, formats and serving" in fresh.file("README.md").decode()
    titles = fresh.titles()
    assert fresh.publish("--formats", str(folder)).json()["made_commit"] is False
    assert fresh.titles() == titles


def test_an_engine_of_no_such_name_is_refused_with_those_there_are(warm: World) -> None:
    done = warm.hubkit(*reporting(warm, "--engine", "onnxrutime-cpu-fp32"))
    assert done.code == 2, done.out
    assert "did you mean onnxruntime-cpu-fp32" in str(done.json()["error"])


def test_a_part_of_the_engines_is_a_partial_report_that_is_not_published(warm: World) -> None:
    done = warm.hubkit(*reporting(warm, "--engine", "onnxruntime-cpu-fp32"))
    assert done.code == 0, done.err
    refused = warm.publish("--formats", str(warm.root / "report"))
    assert refused.code == 2
    assert "partial" in str(refused.json()["error"])


def test_a_folder_without_a_report_is_refused_at_once(warm: World) -> None:
    refused = warm.publish("--formats", str(warm.root))
    assert refused.code == 2
    assert "no report on formats" in str(refused.json()["error"])
