"""`hubkit publish` with OpenVINO beside ONNX, from the recipe to what a reader can do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import snapshot_download

from hubkit.hub.server.embedded import EmbeddedHub
from hubkit.records import Report
from tests.e2e_small.programs import blocks
from tests.e2e_small.worlds import Done, World, labelled, sentences, write_csv
from tests.hub_client.hubs import Switchboard
from tests.tiny import make_tiny_model

pytest.importorskip("nncf", reason="needs the openvino extra")
pytestmark = pytest.mark.conformance

ROWS = 60
_VARIANTS = [
    {"kind": "onnx-dynamic"},
    {"kind": "openvino-static", "calibration": {"num_samples": 20, "batch_size": 1}},
    {
        "kind": "openvino-static",
        "name": "openvino-plain",
        "smooth_quant_alpha": None,
        "preset": "performance",
        "calibration": {"num_samples": 20, "batch_size": 1},
    },
]
_PUBLICATION = {
    "formats": ["onnx", "openvino"],
    "license": "apache-2.0",
    "languages": ["en"],
    "card_languages": ["en", "zh", "de", "fr", "es", "ja", "ru", "ar"],
}
_BENCHMARK = {
    "batch_sizes": [8],
    "input_lengths": [64],
    "warmup": 3,
    "min_seconds": 0.3,
    "min_iterations": 10,
    "rounds": 2,
}


def _world(root: Path, server: EmbeddedHub, switch: Switchboard, repo: str) -> World:
    """A model wide enough for INT8 to be worth it."""
    model = make_tiny_model(root / "recipe" / "model", width=256)
    for split, seed in (("train", 1), ("validation", 2)):
        rows = labelled(model, sentences(3 * ROWS, seed), ROWS)
        write_csv(root / "recipe" / "data" / f"{split}.csv", rows)
    world = World(root, server, switch, repo=repo)
    world.write(
        variants=_VARIANTS,
        publication=_PUBLICATION,
        benchmark=_BENCHMARK,
        gates={"max_relative_loss": 0.9},
    )
    return world


@pytest.fixture(scope="module", name="world")
def _published_world(
    server: EmbeddedHub, switch: Switchboard, tmp_path_factory: pytest.TempPathFactory
) -> World:
    """Before it is published."""
    root = tmp_path_factory.mktemp("openvino") / "world"
    return _world(root, server, switch, "writer/openvino")


@pytest.fixture(scope="module", name="done")
def _done(world: World) -> Done:
    done = world.publish()
    assert done.code == 0, done.out + done.err
    return done


@pytest.fixture(scope="module", name="folder")
def _folder(world: World, done: Done, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(
        snapshot_download(
            world.repo,
            endpoint=world.server.endpoint,
            token=world.token,
            cache_dir=tmp_path_factory.mktemp("cache"),
        )
    )


def test_both_formats_are_published_and_verified(done: Done, folder: Path) -> None:
    published = json.loads(done.out)["verified"]["formats"]
    checks = {check["format"]: check for check in published}
    assert checks.keys() == {"onnx", "openvino"}
    assert all(check["checked"] for check in checks.values())
    assert checks["openvino"]["quantized_modules"] >= 12  # two layers of six products
    names = {path.name for path in (folder / "openvino").iterdir()}
    assert names == {"openvino_model.xml", "openvino_model.bin", "config.json"}
    sums = (folder / "SHA256SUMS").read_text()
    assert all(f"openvino/{name}" in sums for name in names)


def test_fp32_of_openvino_is_a_baseline_and_int8_is_compared_with_it(folder: Path) -> None:
    report = Report.model_validate_json((folder / "results.json").read_bytes())
    fp32, int8 = report.variant("openvino-fp32"), report.published()["openvino"]
    assert (fp32.format, fp32.precision) == ("openvino", "fp32")
    scores = report.scores_of(int8.name)
    assert scores is not None
    assert scores.paired is not None
    assert scores.paired.baseline == "openvino-fp32"
    assert int8.size_bytes < fp32.size_bytes / 2
    assert int8.calibration is not None
    assert int8.calibration.real_samples == 20
    assert report.openvino_selection is not None
    tried = [candidate.variant for candidate in report.openvino_selection.candidates]
    assert tried == ["openvino-int8-static", "openvino-plain"]
    assert report.timing_of("openvino-fp32") is not None
    lock = json.loads((folder / "lock.json").read_text())
    assert {"openvino", "nncf"} <= lock["tools"].keys()


def test_the_cards_have_its_row_in_all_languages(folder: Path) -> None:
    cards = sorted(folder.glob("README*.md"))
    assert len(cards) == 8
    taken = Report.model_validate_json((folder / "results.json").read_bytes()).published()
    smoothed = taken["openvino"].smoothing
    assert smoothed == (0.95 if taken["openvino"].name == "openvino-int8-static" else None)
    for card in cards:
        text = card.read_text(encoding="utf-8")
        assert "`openvino/openvino_model.xml`" in text, card.name
        assert "**openvino-" in text, card.name  # the candidate that was taken
        assert ("\n| SmoothQuant" in text) == (smoothed is not None), card.name
    others = [card for card in cards if card.name != "README.md"]
    english = "larger or slower than OpenVINO FP32 does not pass"
    assert english in (folder / "README.md").read_text(encoding="utf-8")
    assert not any(english in card.read_text(encoding="utf-8") for card in others)


def test_what_the_card_prints_runs_from_the_hub(world: World, folder: Path, tmp_path: Path) -> None:
    card = (folder / "README.md").read_text(encoding="utf-8")
    (program,) = [one for one in blocks(card, "python") if 'subfolder="openvino"' in one]
    environment = world.environment(HF_HOME=str(tmp_path), NNCF_CI="1")
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert "POSITIVE" in ran.stdout
    assert (tmp_path / "hub").is_dir(), "it was not loaded from the Hub"
    # Who only loads it needs no NNCF.
    hidden = "import sys; sys.modules['nncf'] = None\n"
    bare = subprocess.run(
        [sys.executable, "-c", hidden + program],
        env=environment | {"HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert bare.stdout == ran.stdout


def test_twice_is_once(world: World, done: Done) -> None:
    again = world.publish()
    assert again.code == 0, again.err
    assert "quantize" not in again.ran()
    assert world.titles() == ["Publish tiny: OpenVINO INT8 and ONNX INT8", "initial commit"]


def test_without_the_extra_it_says_what_to_install(
    server: EmbeddedHub, switch: Switchboard, tmp_path: Path
) -> None:
    hidden = tmp_path / "hidden" / "openvino"
    hidden.mkdir(parents=True)
    text = "raise ModuleNotFoundError('No module named openvino', name='openvino')\n"
    (hidden / "__init__.py").write_text(text, encoding="utf-8")
    world = _world(tmp_path / "world", server, switch, "writer/without")
    done = world.publish(style="human", PYTHONPATH=str(hidden.parent))
    assert done.code == 1
    said = " ".join(done.err.split())
    assert "openvino cannot be imported: openvino is not installed" in said
    assert 'pip install "hubkit[openvino]"' in said
    assert world.titles() == []
