"""The report: equal parts give equal bytes, and rows say what the records say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hubkit.analysis_records import Analyses, SliceResult
from hubkit.output import output
from hubkit.records import Report
from hubkit.stage import Context
from hubkit.stages.report import (
    ReportInput,
    record_json,
    report,
    summary_cells,
    summary_header,
    summary_rows,
)
from hubkit.store import Store
from tests.cards.examples import make_lock, make_recipe, make_report


def given(**changes: object) -> ReportInput:
    parts = make_report()
    return ReportInput(
        recipe=make_recipe(),
        base=parts.base,
        dataset=parts.dataset,
        encoded=parts.encoded,
        variants=parts.variants,
        scores=parts.scores,
        timings=parts.timings,
        selection=parts.selection,
        samples=parts.samples,
    ).model_copy(update=changes)


def run(tmp_path: Path, **changes: object) -> Report:
    return report(given(**changes), Context(store=Store(tmp_path / "store"), scratch=tmp_path))


def test_a_report_is_its_parts(tmp_path: Path) -> None:
    assert run(tmp_path) == make_report()


def test_the_analyses_are_part_of_it(tmp_path: Path) -> None:
    one = SliceResult(name="a|b\n`c`", kind="column", definition="", rows=0, column="a|b\n`c`")
    analyses = Analyses(slices=(one,), without_group={"g": 2})
    made = run(tmp_path, analyses=analyses)
    assert made.analyses == analyses
    assert Report.model_validate_json(record_json(made)).analyses == analyses


def test_results_json_is_the_same_every_time_and_reads_back(tmp_path: Path) -> None:
    made = run(tmp_path)
    text = record_json(made)
    assert text == record_json(Report.model_validate_json(text))
    assert Report.model_validate_json(text) == made
    assert json.loads(text)["schema"] == 1
    assert text.endswith("}\n")


def test_the_order_of_a_mapping_does_not_matter() -> None:
    lock = make_lock()
    turned = lock.model_copy(update={"tools": dict(reversed(lock.tools.items()))})
    assert record_json(turned) == record_json(lock)


def test_times_are_in_timings_and_in_the_selection_alone(tmp_path: Path) -> None:
    value = json.loads(record_json(run(tmp_path)))
    timed = [key for key, part in value.items() if "_ms" in json.dumps(part)]
    assert sorted(timed) == ["selection", "timings"]


def test_parts_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    variants = make_report().variants
    with pytest.raises(ValueError, match="onnx-int8-dynamic"):
        run(tmp_path, variants=variants[:2])
    with pytest.raises(ValueError, match="given twice"):
        run(tmp_path, variants=(*variants, variants[0]))


def test_rows_of_the_summary() -> None:
    rows = {row.variant: row for row in summary_rows(make_report(), make_recipe())}
    assert list(rows) == [v.name for v in make_report().variants]
    dynamic = rows["onnx-int8-dynamic"]
    assert dynamic.published_as == "model.onnx"
    assert dynamic.flips == 27
    assert (dynamic.batch_size, dynamic.input_length) == (1, 32)
    assert dynamic.speedup == pytest.approx(1 / 0.49)
    assert dynamic.size_mb == pytest.approx(23.118204)
    assert rows["onnx-int8-static"].published_as is None
    assert rows["pytorch-int8-static"].published_as == "pytorch_model.bin"
    assert rows["pytorch-fp32"].flips is None
    assert rows["onnx-fp32"].speedup == 1


def test_the_recipe_decides_what_is_published() -> None:
    publication = {"license": "mit", "formats": ["onnx"], "include_fp32_onnx": True}
    rows = summary_rows(make_report(), make_recipe(publication=publication))
    published = {row.variant: row.published_as for row in rows if row.published_as}
    assert published == {"onnx-fp32": "onnx/model_fp32.onnx", "onnx-int8-dynamic": "model.onnx"}


def test_cells_fit_a_terminal_of_80_columns() -> None:
    rows = summary_rows(make_report(), make_recipe())
    lines = [summary_header(rows), *(summary_cells(row) for row in rows)]
    assert lines[0] == ("Variant", "MB", "Accuracy", "Flips", "1×32 ms", "Speed", "In repo")
    assert summary_cells(rows[2]) == (
        "onnx-int8-dynamic",
        "23.1",
        "0.8650 (0.842–0.885)",
        "27",
        "3.08",
        "2.04×",
        "onnx",
    )
    assert max(map(len, output().table(lines[0], lines[1:]).splitlines())) <= 80


def test_rows_without_timings_or_scores() -> None:
    rows = summary_rows(make_report(timings=None, scores=(), selection=None), make_recipe())
    assert {(row.value, row.p50_ms, row.speedup) for row in rows} == {(None, None, None)}
    assert summary_cells(rows[0])[2:6] == ("not measured", "–", "–", "–")
    assert summary_header(rows)[4] == "ms"
