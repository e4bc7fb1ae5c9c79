"""The table of the full and the pruned model: every number is a record's."""

from __future__ import annotations

import re

from hubkit.build_records import BaseBuild, Finetuned, Projected, Pruned
from hubkit.cli.show_full import full_table_of
from hubkit.records import Failed, Scores, Timings
from hubkit.sweep_records import FullModel, SweepReport
from hubkit.sweeps.report_full import full_and_pruned
from hubkit.sweeps.report_html import html
from hubkit.sweeps.report_markdown import markdown
from hubkit.sweeps.report_view import View
from tests.cards.markdown import tables
from tests.sweeps.examples import make_report

FULL = "full-"
TRAINED = Finetuned(
    split="train",
    rows=5990,
    rows_available=6000,
    overlapping=7,
    unusable=3,
    head="new",
    epochs=2,
    learning_rate=1e-4,
    batch_size=32,
    max_length=64,
    warmup_ratio=0.06,
    weight_decay=0.0,
    seed=13,
    steps=376,
    loss=0.3,
)
BUILT = BaseBuild(
    pruned=Pruned(layers_kept=(0, 2, 4), layers_before=6, num_parameters_before=90_000_000),
    finetuned=TRAINED,
)


def _against_full(one: Scores) -> Scores:
    paired = one.paired or make_report().scores[1].paired
    assert paired is not None
    return one.model_copy(
        update={"paired": paired.model_copy(update={"baseline": "full-pytorch-fp32"})}
    )


def both() -> SweepReport:
    """The example as a sweep of a pruned model: the full one is twice as slow."""
    plain = make_report()
    assert plain.timings is not None
    report = plain.model_copy(
        update={
            "rows": (
                *plain.rows[:3],
                plain.rows[3].model_copy(update={"same_as": plain.rows[2].name}),
            )
        }
    )
    slow = [
        timing.model_copy(
            update={
                "variant": FULL + timing.variant,
                "points": tuple(
                    point.model_copy(update={"mean_ms": 2 * point.mean_ms})
                    for point in timing.points
                ),
            }
        )
        for timing in plain.timings.timings
    ]
    named = [
        row.model_copy(
            update={
                "name": FULL + row.name,
                "variant": row.variant
                and row.variant.model_copy(
                    update={"name": FULL + row.name, "size_bytes": 200_000_000}
                ),
                "same_as": FULL + row.same_as if row.same_as else None,
            }
        )
        for row in report.rows
    ]
    failed = Failed(stage="quantize", subject=named[1].name, reason="no")
    named[1] = named[1].model_copy(update={"variant": None, "failed": failed})
    scores = [_against_full(one) for one in report.scores]
    scores += [one.model_copy(update={"variant": FULL + one.variant}) for one in scores]
    full = FullModel(
        base=report.base.model_copy(update={"num_parameters": 90_000_000}),
        built=BaseBuild(finetuned=TRAINED),
        baselines=tuple(v.model_copy(update={"name": FULL + v.name}) for v in report.baselines),
        rows=tuple(named),
        scores=tuple(
            one.model_copy(update={"paired": None}) if one.variant == "full-pytorch-fp32" else one
            for one in scores
        ),
    )
    timings = Timings(machine=plain.timings.machine, timings=(*plain.timings.timings, *slow))
    return report.model_copy(
        update={
            "full": full,
            "timings": timings,
            "lock": report.lock.model_copy(update={"built": BUILT}),
        }
    )


def test_a_sweep_of_one_model_has_no_such_table() -> None:
    assert full_and_pruned(View(make_report())) is None
    assert "Full and pruned" not in markdown(make_report())
    assert "full" not in make_report().model_dump()
    assert "built" not in make_report().lock.model_dump()


def test_a_projection_of_the_base_is_told_of() -> None:
    report = make_report()
    done = Projected(
        dimensions=96,
        width=768,
        pooling="mean",
        split="train",
        rows=5000,
        rows_available=5010,
        overlapping=7,
        unusable=3,
        max_length=64,
        seed=13,
        explained_variance=0.913,
    )
    lock = report.lock.model_copy(update={"built": BaseBuild(projected=done)})
    text = markdown(report.model_copy(update={"lock": lock}))
    said = "A linear layer makes 96 numbers of the 768 of an embedding (mean pooling)"
    assert said in text
    assert f"  {said}" not in text
    assert "5,000 rows of the split `train`, which hold 91.3% of their variance." in text
    assert "linear layer" not in markdown(report)


def test_fp32_and_int8_of_both_are_in_one_table() -> None:
    view = View(both())
    table = full_and_pruned(view)
    assert table is not None
    titles = [column.title for column in table.columns]
    assert titles[:5] == ["model", "layers", "size (MB)", "f1 (95% CI)", "flips"]
    assert not any("flop" in title.lower() for title in titles)
    lines = [dict(zip(titles, map("".join, row), strict=True)) for row in table.rows]
    kinds = [tuple(line["model"].split(" ")[:2]) for line in lines]
    # Two FP32 and, without the one that is another again, three configurations of each.
    assert kinds == [
        *[("full", "PyTorch"), ("full", "ONNX"), ("pruned", "PyTorch"), ("pruned", "ONNX")],
        *[("full", "INT8")] * 3,
        *[("pruned", "INT8")] * 3,
    ]
    assert {(line["model"].split()[0], line["layers"], line["parameters"]) for line in lines} == {
        ("full", "6", "90,000,000"),
        ("pruned", "3", "66,369,801"),
    }
    assert lines[5]["size (MB)"] == "failed"
    # PyTorch FP32 of the full model is what all others are tested against.
    assert lines[0]["McNemar's p"] == lines[5]["McNemar's p"]  # nothing to compare
    assert re.search(r"\d", lines[1]["McNemar's p"])
    # The pruned ONNX FP32 takes half the time of the full one, which is what speed goes by.
    point = f"ms at {view.grid[0][0]}×{view.grid[0][1]}"
    assert "(" not in lines[1][point]
    assert "2.00×" in lines[3][point]
    assert "1.00×" not in lines[3][point]


def test_both_reports_show_it() -> None:
    report = both()
    text, page = markdown(report), html(report)
    body = text.split("## Full and pruned\n")[1].split("\n## ")[0]
    (table,) = tables(body)
    assert len(table) >= 10
    assert '<h2 id="both-title">Full and pruned</h2>' in page
    for said in (
        "Of 6 layers these were kept, counted from 0: 0, 2, 4.",
        "Fine-tuned with a new head on 5,990 rows of the split",
        "(10 of the split were left out): 2 epochs, learning rate 0.0001, batches of 32",
        "seed 13. The full model was fine-tuned by the same settings.",
    ):
        assert said in text.replace("`", ""), said
        assert said in re.sub(r"<[^>]+>", "", page), said


def test_a_report_reads_back() -> None:
    report = both()
    assert SweepReport.model_validate_json(report.model_dump_json(by_alias=True)) == report


def test_the_table_of_the_terminal_is_narrow() -> None:
    report = both()
    assert full_table_of(make_report(), (1, 32), "f1") == ""
    lines = full_table_of(report, (1, 32), "f1").splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert len([line for line in lines if line.strip().startswith(("full", "pruned"))]) == 10
    (onnx,) = [line for line in lines if line.split()[:2] == ["pruned", "ONNX"]]
    assert onnx.rstrip().endswith("2.00×")
