"""`hubkit publish` of half precision, on a processor that is taken for one of Arm.

ONNX Runtime computes such a model on x86 too, by converting to FP32 and back: all but its speed can
be seen here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
import yaml
from huggingface_hub import snapshot_download

from hubkit.records import Report
from tests.e2e_small.programs import blocks
from tests.e2e_small.worlds import Done, World

pytestmark = pytest.mark.conformance

# hubkit, told that /proc/cpuinfo has the flags of an Arm processor.
_ON_ARM = """
import hubkit.machine
from hubkit.cli.app import main

own = hubkit.machine._linux_cpu
hubkit.machine._linux_cpu = lambda root: (own(root)[0], {"asimd", "asimdhp", "asimddp"})
main()
"""
_LANGUAGES = ["en", "zh", "de", "fr", "es", "ja", "ru", "ar"]
_PUBLICATION = {
    "formats": ["onnx"],
    "license": "apache-2.0",
    "languages": ["en"],
    "card_languages": _LANGUAGES,
}
_HALF = [{"kind": "onnx-float16"}]


def on_arm(world: World, *words: str) -> Done:
    process = subprocess.Popen(
        [sys.executable, "-c", _ON_ARM, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=world.environment(),
        text=True,
        encoding="utf-8",
        start_new_session=True,
    )
    return world.end(process)


def test_half_precision_is_published_and_said_to_be_that(fresh: World, tmp_path: Path) -> None:
    fresh.write(variants=_HALF, publication=_PUBLICATION)
    done = on_arm(fresh, *fresh.publishing())
    assert done.code == 0, done.out + done.err

    report = Report.model_validate_json(fresh.file("results.json"))
    (published,) = report.published().values()
    assert (published.name, published.precision) == ("onnx-float16", "fp16")
    assert report.samples
    assert fresh.titles()[0] == "Publish tiny: ONNX FP16"
    folder = Path(
        snapshot_download(
            fresh.repo, endpoint=fresh.server.endpoint, token=fresh.token, local_dir=tmp_path / "it"
        )
    )
    graph = onnx.load(str(folder / "model.onnx")).graph
    types = {one.data_type for one in graph.initializer if len(one.dims) == 2}
    assert types == {onnx.TensorProto.FLOAT16}
    full = report.variant("onnx-fp32")
    assert published.size_bytes < full.size_bytes  # the tiny model is half graph

    for code in _LANGUAGES:
        name = "README.md" if code == "en" else f"README.{code}.md"
        card = (folder / name).read_text(encoding="utf-8")
        assert "ONNX FP16" in card
        # The name that the test gave the repository has none of it either.
        assert "int8" not in card.lower(), name
    front = yaml.safe_load((folder / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    assert {"fp16", "onnx", "onnxruntime"} <= set(front["tags"])
    results = front["model-index"][0]["results"]
    assert all(m["name"].endswith("(ONNX FP16)") for one in results for m in one["metrics"])
    bom = json.loads((folder / "bom.cdx.json").read_text(encoding="utf-8"))
    assert bom["metadata"]["component"]["description"].endswith("converted to FP16")

    verified = fresh.hubkit("verify", fresh.repo)
    assert verified.code == 0, verified.out + verified.err


def test_the_card_s_program_loads_it(fresh: World, tmp_path: Path) -> None:
    fresh.write(variants=_HALF)
    assert on_arm(fresh, *fresh.publishing()).code == 0
    card = fresh.file("README.md").decode()
    program = next(one for one in blocks(card, "python") if "ORTModel" in one)
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, str(tmp_path / "program.py")],
        env=fresh.environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "POSITIVE" in ran.stdout


def test_both_compete_and_the_smaller_is_taken(fresh: World) -> None:
    """By the rule of the gate, as between variants of INT8."""
    gates = {"max_relative_loss": 0.9, "must_pay": False, "prefer": "smallest"}
    fresh.write(variants=[*_HALF, {"kind": "onnx-dynamic"}], gates=gates)
    assert on_arm(fresh, *fresh.publishing()).code == 0
    report = Report.model_validate_json(fresh.file("results.json"))
    assert report.selection is not None
    assert {c.variant for c in report.selection.candidates} == {"onnx-float16", "onnx-int8-dynamic"}
    assert report.selection.selected == "onnx-int8-dynamic"
    assert "| onnx-float16 |" in fresh.file("README.md").decode()


def test_where_the_processor_has_none_nothing_is_made(fresh: World) -> None:
    fresh.write(variants=_HALF)
    script = _ON_ARM.replace('{"asimd", "asimdhp", "asimddp"}', '{"avx2", "fma"}')
    process = subprocess.run(
        [sys.executable, "-c", script, *fresh.publishing(style="human")],
        env=fresh.environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == 1, process.stderr
    said = " ".join(process.stderr.split())
    assert "no variant could be made in the format onnx" in said
    assert "not tried on avx2: onnxruntime's CPU kernels compute with float16 on Arm" in said
    assert "Run the recipe on an Arm processor, or take an INT8 variant." in said
    assert not fresh.titles()
