"""`hubkit sweep` from declaration to published report: a tiny model, the command line."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from hubkit.sweep_records import SweepReport
from tests.e2e_small.worlds import World

SWEEP = {
    "quantization_approach": ["dynamic", "static"],
    "operators_to_quantize": [["Add"], ["Add", "MatMul"]],
    "node_exclusion": [[], ["layernorm", "gelu", "residual", "gather", "softmax"]],
    "per_channel": False,
    "guards": [True, False],
    "calibration": {"method": "minmax", "num_calibration_samples": 16},
    "time_benchmark_args": {"duration": 0.05, "warmup_runs": 1},
    "batch_sizes": [1, 2],
    "input_lengths": [8],
}
FILES = {
    *("README.md", "report.html", "plot.png", "plot.svg"),
    *("results.json", "lock.json", "recipe.json", "SHA256SUMS"),
}


def declare(world: World, **changes: object) -> None:
    world.write(sweep={**SWEEP, **changes})


def swept(world: World, *options: str) -> SweepReport:
    done = world.hubkit("sweep", str(world.folder), "--format", "json", *options)
    assert done.code == 0, done.err
    return SweepReport.model_validate(done.json()["results"])


def test_a_sweep(warm: World, tmp_path: Path) -> None:
    declare(warm)
    folder = tmp_path / "report"
    done = warm.hubkit(
        "sweep", str(warm.folder), "-o", str(folder), "--publish", "--repo-id", warm.repo
    )
    assert done.code == 0, done.err
    assert all(
        len(line) <= 80 for line in done.out.splitlines() if not line.startswith("The report")
    )
    assert {p.name for p in folder.iterdir()} == FILES
    report = SweepReport.model_validate_json((folder / "results.json").read_bytes())

    # Eight of the reference, and the static ones without guards.
    assert len(report.rows) == report.combinations == 12
    assert not report.failures
    assert not report.partial
    by_kind = {
        (
            r.spec.kind,
            r.spec.operators_to_quantize,
            bool(r.spec.node_exclusion),
            getattr(r.spec, "guards", None),
        ): r
        for r in report.rows
    }
    # onnxruntime has no dynamic Add: the graph is FP32's, and exclusions change nothing.
    dynamic = [by_kind["onnx-dynamic", ("Add",), excluded, None] for excluded in (False, True)]
    assert [row.same_as for row in dynamic] == ["onnx-fp32"] * 2
    matmul = [
        by_kind["onnx-dynamic", ("Add", "MatMul"), excluded, None] for excluded in (False, True)
    ]
    assert matmul[0].same_as is None
    assert matmul[1].same_as == matmul[0].name
    # Where softmax is excluded by name the guard changes nothing, elsewhere it does.
    for operators in (("Add",), ("Add", "MatMul")):
        excluded = [by_kind["onnx-static", operators, True, guards] for guards in (True, False)]
        assert excluded[1].same_as == excluded[0].name
        plain = [by_kind["onnx-static", operators, False, guards] for guards in (True, False)]
        assert plain[0].same_as is plain[1].same_as is None
        kept, lost = (row.variant for row in plain)
        assert kept is not None
        assert lost is not None
        assert kept.nodes_quantized
        assert lost.nodes_quantized
        assert lost.nodes_quantized - kept.nodes_quantized == 2  # a mask Add in each layer
    # Everything that differs is scored and timed once, beside the baselines.
    distinct = {row.name for row in report.rows if row.same_as is None}
    assert {s.variant for s in report.scores} == {"pytorch-fp32", "onnx-fp32", *distinct}
    assert report.timings is not None
    assert {t.variant for t in report.timings.timings} == {
        *("pytorch-fp32", "onnx-fp32", "onnx-fp32-again"),
        *distinct,
    }
    assert len(report.noise) == 2

    # Published as it is, whole, and verified.
    assert set(warm.api().list_repo_files(warm.repo)) >= FILES
    assert warm.file("results.json") == (folder / "results.json").read_bytes()
    again = warm.hubkit("verify", warm.repo)
    assert again.code == 0, again.err
    head = (folder / "README.md").read_text().split("\n---\n")[1]
    assert head.lstrip().startswith("**task**: `text-classification`")

    # The same again is a look-up: nothing is computed and nothing is pushed.
    once_more = warm.hubkit(
        "sweep",
        str(warm.folder),
        "-o",
        str(folder),
        "--publish",
        "--repo-id",
        warm.repo,
        "--format",
        "json",
    )
    assert once_more.code == 0, once_more.err
    assert once_more.ran() <= {"resolve", "select", "sweep-report", "push"}
    assert warm.titles() == ["Publish the sweep of tiny", "initial commit"]
    assert SweepReport.model_validate(once_more.json()["results"]) == report


def test_publish_takes_its_variant_from_the_sweep(warm: World) -> None:
    declare(warm, guards=True, operators_to_quantize=[["MatMul"], ["Add", "MatMul"]])
    done = warm.publish("--select-from-sweep")
    assert done.code == 0, done.err
    results = json.loads(warm.file("results.json"))
    sweep = SweepReport.model_validate_json(warm.file("sweep.json"))
    assert results["sweep"]["configurations"] == len(sweep.rows) == 8
    selected = results["selection"]["selected"]
    assert selected == results["sweep"]["selected"]
    assert selected in {row.name for row in sweep.rows if row.same_as is None}
    assert "from a sweep of 8 configurations" in warm.file("README.md").decode()
    # recipe.json is the recipe as it was used, and lock.json has its digest.
    from hubkit.recipe_file import load_recipe

    folder = warm.root / "again"
    folder.mkdir()
    (folder / "recipe.json").write_bytes(warm.file("recipe.json"))
    for name in ("model", "data"):
        (folder / name).symlink_to(warm.folder / name)
    loaded = load_recipe(str(folder / "recipe.json"))
    assert loaded.recipe.variants[0].name == selected
    assert loaded.digest == json.loads(warm.file("lock.json"))["recipe_digest"]


@pytest.mark.conformance  # a publication that is killed is in test_interrupted.py
def test_a_killed_sweep_goes_on(warm: World, tmp_path: Path) -> None:
    declare(warm, time_benchmark_args={"duration": 0.5, "warmup_runs": 1})
    process = warm.start("sweep", str(warm.folder), "-o", str(tmp_path / "report"))
    journals = warm.home / "store" / "journals"
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        found = list(journals.glob("*.jsonl"))
        if found and len(found[0].read_bytes().splitlines()) > 4:
            break
        time.sleep(0.05)
    assert process.poll() is None, "it ended before it could be killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before = next(journals.glob("*.jsonl")).read_bytes().splitlines()[:5]
    first = [json.loads(line)["latencies_ns"] for line in before]
    done = warm.hubkit(
        "sweep", str(warm.folder), "-o", str(tmp_path / "report"), "--format", "json"
    )
    assert done.code == 0, done.err
    assert done.ran() <= {"resolve", "benchmark", "sweep-report"}
    assert not list(journals.iterdir())
    report = SweepReport.model_validate(done.json()["results"])
    assert report.timings is not None
    # What was measured before the kill is in the result: the means of the rounds tell.
    means = {
        round(mean, 9)
        for timing in report.timings.timings
        for point in timing.points
        for mean in point.round_means_ms
    }
    assert {round(sum(one) / len(one) / 1e6, 9) for one in first} <= means


def test_a_limit_is_loud_and_partial_results_stay_here(warm: World, tmp_path: Path) -> None:
    declare(warm, quantization_approach="dynamic", operators_to_quantize=["MatMul"])
    folder = tmp_path / "report"
    refused = warm.hubkit(
        "sweep", str(warm.folder), "--limit", "9", "--publish", "--repo-id", warm.repo
    )
    assert refused.code == 2
    assert "not published" in refused.err
    done = warm.hubkit("sweep", str(warm.folder), "--limit", "9", "-o", str(folder))
    assert done.code == 0, done.err
    assert "--limit 9" in done.err
    assert "PARTIAL" in done.out
    report = SweepReport.model_validate_json((folder / "results.json").read_bytes())
    assert report.partial == ("9 of 60 rows were scored (--limit)",)
    assert "partial" in (folder / "README.md").read_text()[:1500].lower()
    pushed = warm.hubkit("push", str(folder), "--repo-id", warm.repo)
    assert pushed.code != 0
    assert "partial" in pushed.err
    assert not warm.api().repo_exists(warm.repo)


def test_a_configuration_that_fails_is_a_row(warm: World) -> None:
    declare(
        warm,
        guards=True,
        operators_to_quantize=["MatMul"],
        node_exclusion=[],
        framework_args={"opset": [None, 999]},
    )
    report = swept(warm, "-o", str(warm.root / "report"))
    failed = [row for row in report.rows if row.failed]
    assert len(report.rows) == 4
    assert [row.spec.framework_args.opset for row in failed] == [999, 999]
    assert all(row.failed and "999" in row.failed.reason for row in failed)
    assert all(report.scores_of(row.name) for row in report.rows if not row.failed)


@pytest.mark.parametrize(
    ("changes", "options", "said"),
    [
        ({"node_exclusion": ["layernrm"]}, (), "layernrm"),
        ({}, ("--where", "sttic"), "did you mean static"),
        ({}, ("--limit", "0"), "at least one row"),
        ({"aware_training": True}, (), "aware_training"),
        ({"quantization_approach": ["dinamic"]}, (), "dinamic"),
        ({"per_chanel": True}, (), "per_channel"),
    ],
)
def test_faults_of_a_declaration(
    fresh: World, changes: dict[str, object], options: tuple[str, ...], said: str
) -> None:
    declare(fresh, **changes)
    done = fresh.hubkit("sweep", str(fresh.folder), "-o", str(fresh.root / "report"), *options)
    assert done.code in (1, 2)
    assert said in done.err
    assert not (fresh.root / "report").exists()


def test_files_of_others_are_not_touched(fresh: World, tmp_path: Path) -> None:
    declare(fresh)
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("do not lose me")
    done = fresh.hubkit("sweep", str(fresh.folder), "-o", str(folder))
    assert done.code == 2
    assert "--output" in done.err
    assert (folder / "thesis.txt").read_text() == "do not lose me"


def test_without_a_sweep_in_the_recipe(fresh: World) -> None:
    done = fresh.hubkit("sweep", str(fresh.folder))
    assert done.code == 2
    assert "declares no sweep" in done.err
