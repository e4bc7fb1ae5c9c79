"""`hubkit publish distilbert-sst2 --demo`, and what a user does with what comes out."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from huggingface_hub import HfApi, ModelCard, hf_hub_download

from hubkit.records import Lock, Report
from tests.demo_home import environment, hub_of
from tests.e2e.conftest import PUBLISH, Publication
from tests.javascript.node import run as run_javascript
from tests.javascript.node import run_tool

# The first test to ask for it waits for a whole publication, and on a new machine for the base.
pytestmark = pytest.mark.timeout(1500)

LANGUAGES = ("ar", "de", "es", "fr", "ja", "ru", "zh")
FIGURES = ("accuracy-latency", "latency", "reliability", "size", "slices")
FILES = {
    ".gitattributes",
    "CITATION.cff",
    "README.md",
    *(f"README.{code}.md" for code in LANGUAGES),
    *(f"notes.{code}.md" for code in LANGUAGES),
    *(f"assets/{figure}.{kind}" for figure in FIGURES for kind in ("png", "svg")),
    "notes.md",
    "SHA256SUMS",
    "bom.cdx.json",
    "config.json",
    "inc_config.json",
    "lock.json",
    "model.onnx",
    "pytorch_model.bin",
    "recipe.json",
    "results.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
}


@pytest.fixture(scope="module")
def api(published: Publication) -> HfApi:
    return HfApi(endpoint=published.endpoint, token=False)


def _file(published: Publication, tmp_path: Path, name: str) -> str:
    path = hf_hub_download(
        published.repo_id, name, endpoint=published.endpoint, cache_dir=tmp_path, token=False
    )
    return Path(path).read_text(encoding="utf-8")


def test_one_commit_holds_both_formats_and_the_records(published: Publication, api: HfApi) -> None:
    assert set(api.list_repo_files(published.repo_id)) == FILES
    titles = [commit.title for commit in api.list_repo_commits(published.repo_id)]
    assert titles[:-1] == ["Publish distilbert-sst2: PyTorch INT8 and ONNX INT8"]
    assert api.model_info(published.repo_id).sha == published.said["commit"]


def test_every_variant_was_measured(published: Publication) -> None:
    rows = {row["variant"]: row for row in published.said["variants"]}  # type: ignore[attr-defined]
    assert set(rows) == {
        "pytorch-fp32",
        "onnx-fp32",
        "onnx-int8-dynamic",
        "onnx-int8-static",
        "pytorch-int8-static",
    }
    assert all(row["value"] > 0.8 and row["p50_ms"] > 0 for row in rows.values())
    assert rows["onnx-fp32"]["flips"] == 0
    assert rows["onnx-int8-dynamic"]["size_mb"] < rows["onnx-fp32"]["size_mb"] / 3
    assert rows[str(published.said["selected"])]["published_as"] == "model.onnx"
    assert published.said["failures"] == []
    stages = [one["stage"] for one in published.said["stages"]]  # type: ignore[attr-defined]
    assert {"export", "quantize", "predict", "evaluate", "benchmark", "push", "verify"} <= {*stages}


def test_verify_loaded_both_formats(published: Publication) -> None:
    verified = published.said["verified"]
    assert isinstance(verified, dict)
    checks = {check["format"]: check for check in verified["formats"]}
    assert set(checks) == {"pytorch", "onnx"}
    assert all(check["checked"] and check["samples"] == 16 for check in checks.values())
    assert checks["onnx"]["max_abs_logit_diff"] <= 1e-4
    assert checks["pytorch"]["max_abs_logit_diff"] <= 1e-3
    assert checks["pytorch"]["quantized_modules"] > 0


def test_the_records_say_what_was_used(published: Publication, tmp_path: Path) -> None:
    lock = Lock.model_validate_json(_file(published, tmp_path, "lock.json"))
    assert lock.demo
    assert lock.base.id == "demo/minilm-l6-distilbert-movie-sentiment"
    assert re.fullmatch("[0-9a-f]{40}", lock.base.sha)
    report = Report.model_validate_json(_file(published, tmp_path, "results.json"))
    assert report.dataset.eval_rows == report.dataset.eval_rows_available == 1000
    assert {s.variant for s in report.scores} == {v.name for v in report.variants}
    assert all(v.calibration is None or v.calibration.split == "train" for v in report.variants)


def test_the_card_is_true_to_the_demo(published: Publication, tmp_path: Path) -> None:
    text = _file(published, tmp_path, "README.md")
    assert "MiniLM-L6 weights in the DistilBERT architecture" in text
    body = text.split("---\n", 2)[2]
    assert "distilbert-base" not in body
    assert "SST-2" not in body
    data = ModelCard(text).data
    assert data.base_model == "demo/minilm-l6-distilbert-movie-sentiment"
    assert data["base_model_relation"] == "quantized"
    report = Report.model_validate_json(_file(published, tmp_path, "results.json"))
    for row in published.said["variants"]:  # type: ignore[attr-defined]
        scores = report.scores_of(row["variant"])
        assert scores is not None
        assert f"{scores.metrics[0].value:.4f}" in body


def test_sums_cover_every_file(published: Publication, api: HfApi, tmp_path: Path) -> None:
    folder = Path(api.snapshot_download(published.repo_id, local_dir=tmp_path / "all", token=False))
    listed = dict(
        reversed(line.split("  ", 1)) for line in (folder / "SHA256SUMS").read_text().splitlines()
    )
    assert set(listed) == FILES - {".gitattributes", "SHA256SUMS"}
    for name, sha in listed.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == sha


def test_again_runs_nothing_and_commits_nothing(published: Publication) -> None:
    again = json.loads(
        published.run("publish", "distilbert-sst2", "--demo", "--format", "json").stdout
    )
    assert again["made_commit"] is False
    assert again["commit"] == published.said["commit"]
    ran = {one["stage"] for one in again["stages"] if one["seconds"] is not None}
    assert ran == {"resolve", "select", "report", "card", "bundle", "push"}


def test_the_printed_snippets_load_and_predict(published: Publication, tmp_path: Path) -> None:
    printed = published.run("publish", "distilbert-sst2", "--demo").stdout
    snippets = re.findall(r"^HF_ENDPOINT=.*?^EOF$", printed, re.MULTILINE | re.DOTALL)
    assert len(snippets) == 2
    for snippet, name in zip(snippets, ("INCModel", "ORTModel"), strict=True):
        assert f"{name}ForSequenceClassification.from_pretrained" in snippet
        done = subprocess.run(
            ["bash", "-c", snippet],
            env={**environment(tmp_path), "HF_HOME": str(tmp_path / "empty")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        scores = json.loads(done.stdout.strip().splitlines()[-1].replace("'", '"'))
        assert set(scores) == {"NEGATIVE", "POSITIVE"}
        assert scores["POSITIVE"] > 0.5


def test_the_pipeline_and_the_javascript_on_the_card_agree(
    published: Publication, tmp_path: Path
) -> None:
    """As printed, from an empty cache, on the Hub that HF_ENDPOINT names."""
    card = _file(published, tmp_path, "README.md")
    *_, pipeline = re.findall(r"^```python\n(.*?)^```", card, re.MULTILINE | re.DOTALL)
    (javascript,) = re.findall(r"^```javascript\n(.*?)^```", card, re.MULTILINE | re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-"],
        input=pipeline,
        env={**environment(tmp_path), "HF_ENDPOINT": published.endpoint},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "pipeline(" in pipeline
    said = re.findall(r"'label': '(\w+)', 'score': (?:np\.float32\()?([\d.e-]+)", done.stdout)
    scores = {label: float(score) for label, score in said}
    assert set(scores) == {"NEGATIVE", "POSITIVE"}
    assert scores["POSITIVE"] > 0.5
    (found,) = run_javascript(javascript, tmp_path, hf_endpoint=published.endpoint)
    assert isinstance(found, list)
    assert {one["label"]: one["score"] for one in found} == pytest.approx(scores, abs=1e-3)
    model = hf_hub_download(
        published.repo_id, "model.onnx", endpoint=published.endpoint, cache_dir=tmp_path
    )
    (difference,) = run_tool("web.mjs", tmp_path, model)
    assert isinstance(difference, int | float)
    assert difference < 0.2  # of a logit; of each, numbers may round to the other side


def test_a_dry_run_changes_nothing(published: Publication) -> None:
    said = json.loads(
        published.run(
            "publish", "distilbert-sst2", "--demo", "--dry-run", "--format", "json"
        ).stdout
    )
    assert said["would_run"] == []
    assert said["plan"]["changes"] == []


def test_a_tag_is_made_once_and_not_moved(published: Publication, api: HfApi) -> None:
    for _ in range(2):
        published.run("publish", "distilbert-sst2", "--demo", "--tag", "v1.0", "--format", "json")
    tags = api.list_repo_refs(published.repo_id).tags
    assert [tag.name for tag in tags] == ["v1.0"]


def test_verify_works_by_name_alone(published: Publication) -> None:
    done = published.run("verify", published.repo_id, "--endpoint", published.endpoint)
    assert "pytorch: 16 recorded rows" in done.stdout
    assert "onnx: 16 recorded rows" in done.stdout


def test_the_card_command_prints_what_was_pushed(published: Publication, tmp_path: Path) -> None:
    done = published.run("card", "distilbert-sst2", "--demo")
    assert done.stdout == _file(published, tmp_path, "README.md")


# Kill so many seconds after the line that ends the stage before: in the middle of the named one.
KILLS = (
    ("quantize", "export", 2.0),
    ("evaluate", "quantize pytorch-int8-static", 2.0),
    ("benchmark", "sample pytorch-int8-static", 6.0),
    ("push", "benchmark", 0.15),
)
_TIMES = re.compile(r"\bms\b|milliseconds|latency|times as fast")


def _files(endpoint: str, repo_id: str, folder: Path) -> dict[str, bytes]:
    api = HfApi(endpoint=endpoint, token=False)
    root = Path(api.snapshot_download(repo_id, local_dir=folder))
    names = [p for p in root.rglob("*") if p.is_file() and ".cache" not in p.parts]
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in names}


def _check_equal(mine: dict[str, bytes], theirs: dict[str, bytes]) -> None:
    """Equal but for what was timed: in results.json, in the figures of it, and in those sections of
    the card that tell it. The bill of materials and SHA256SUMS hold the digests of these."""
    assert mine.keys() == theirs.keys()
    timed = {name for name in mine if name.startswith("README.") or "latency" in name}
    timed |= {"results.json", "bom.cdx.json", "SHA256SUMS"}
    assert {n: mine[n] for n in mine.keys() - timed} == {n: theirs[n] for n in mine.keys() - timed}
    assert _without_times(mine["results.json"]) == _without_times(theirs["results.json"])
    one, other = (_sections(files["README.md"].decode()) for files in (mine, theirs))
    assert one.keys() == other.keys()
    alike = {name for name in one if not _TIMES.search(one[name] + other[name])}
    assert len(alike) > 10  # most of the card says nothing of time
    assert {n: one[n] for n in alike} == {n: other[n] for n in alike}


def _without_times(results: bytes) -> object:
    report = json.loads(results)
    del report["timings"]
    for candidate in report["selection"]["candidates"]:
        del candidate["mean_ms"]
    return report


def _sections(card: str) -> dict[str, str]:
    """Heading with its place -> the text under it; the front matter has none."""
    parts = re.split(r"^(#+ .*)$", card, flags=re.MULTILINE)
    found = {"": parts[0]}
    for at in range(1, len(parts), 2):
        found[f"{at} {parts[at]}"] = parts[at + 1]
    return found


def _publish_and_kill(home: Path, after: str, delay: float) -> None:
    process = subprocess.Popen(
        PUBLISH,
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip().startswith(after + " "):
            break
    else:
        pytest.fail(f"it ended before {after}")
    time.sleep(delay)
    assert process.poll() is None, "it ended before it could be killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


# Two whole publications, one of them killed four times; tests/e2e_small kills a small one.
@pytest.mark.conformance
def test_killed_runs_go_on(published: Publication, warm: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(warm, home)
    with hub_of(home):
        for _, after, delay in KILLS:
            _publish_and_kill(home, after, delay)
        done = subprocess.run(
            [*PUBLISH, "--format", "json"],
            env=environment(home),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        # Nothing that was finished before the last kill ran again.
        ran = {one["stage"] for one in said["stages"] if one["seconds"] is not None}
        assert not ran & {"export", "quantize", "predict", "evaluate", "benchmark", "sample"}
        mine = _files(said["endpoint"], said["repo_id"], tmp_path / "mine")
        theirs = _files(published.endpoint, published.repo_id, tmp_path / "theirs")
        commits = HfApi(endpoint=said["endpoint"], token=False).list_repo_commits(said["repo_id"])
    assert len([c for c in commits if c.title.startswith("Publish")]) == 1
    _check_equal(mine, theirs)
