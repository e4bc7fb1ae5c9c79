"""`hubkit publish` of a model with a projection: what is on the Hub gives its embedding."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import snapshot_download

from hubkit.backends.projection import DENSE_WEIGHTS, FILES, projection_of, write_projection
from hubkit.cards import javascript
from hubkit.errors import VerifyError
from hubkit.hub.server.embedded import EmbeddedHub
from hubkit.records import Report
from hubkit.verify_worker import Place, check_onnx, check_pytorch
from tests.e2e_small.programs import CLOSE, blocks, run_python
from tests.e2e_small.worlds import World, sentences, tiny_recipe
from tests.hub_client.hubs import Switchboard
from tests.javascript.node import run as run_javascript
from tests.tiny import make_tiny_model

# Half a minute: the parts are in tests/backends, tests/cards, tests/stages and tests/test_building.
pytestmark = pytest.mark.conformance
pytest.importorskip("neural_compressor", reason="needs the inc extra")

TASK, DIMENSIONS = "feature-extraction", 6


@dataclass(frozen=True)
class Publication:
    world: World
    folder: Path  # a snapshot of the repository
    said: dict[str, object]  # by `hubkit publish`

    @property
    def card(self) -> str:
        return (self.folder / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module", name="made")
def _made(
    server: EmbeddedHub, switch: Switchboard, tmp_path_factory: pytest.TempPathFactory
) -> Publication:
    root = tmp_path_factory.mktemp("embeddings")
    switch.heal()
    world = World(root, server, switch, repo="writer/embeddings")
    make_tiny_model(world.model, task=TASK)
    for split, seed in (("train", 1), ("validation", 2)):
        path = world.folder / "data" / f"{split}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [json.dumps({"text": text}) + "\n" for text in sentences(40, seed)]
        path.write_text("".join(rows), encoding="utf-8")
    publication = tiny_recipe()["publication"]
    assert isinstance(publication, dict)
    world.write(
        name="embeddings",
        base={"source": "local", "path": "model", "project": {"dimensions": DIMENSIONS}},
        task=TASK,
        dataset={"source": "local", "path": "data", "data_keys": {"primary": "text"}},
        labels={},
        variants=[{"kind": "onnx-dynamic"}, {"kind": "inc-dynamic"}],
        evaluation={"max_length": 48},
        gates={"max_relative_loss": 0.5, "must_pay": False},
        publication={**publication, "formats": ["pytorch", "onnx"], "include_fp32_onnx": True},
    )
    done = world.publish()
    assert done.code == 0, done.out + done.err
    folder = snapshot_download(
        world.repo, endpoint=server.endpoint, token=world.token, cache_dir=root / "cache"
    )
    return Publication(world, Path(folder), done.json())


def test_it_is_published_and_verified_whole(made: Publication) -> None:
    files = {path.relative_to(made.folder).as_posix() for path in made.folder.rglob("*.*")}
    assert files >= {"model.onnx", "pytorch_model.bin", "sentence_bert_config.json", *FILES}
    assert {name for name in files if name.endswith(".safetensors")} == {DENSE_WEIGHTS}
    cut = json.loads((made.folder / "sentence_bert_config.json").read_text())
    assert cut["max_seq_length"] == 48
    projection = projection_of(made.folder)
    assert projection is not None
    assert (projection.dimensions, projection.width) == (DIMENSIONS, 32)
    verified = made.said["verified"]
    assert isinstance(verified, dict)
    assert {check["format"] for check in verified["formats"]} == {"onnx", "pytorch"}
    for check in verified["formats"]:
        assert check["checked"]
        assert check["max_abs_logit_diff"] <= check["tolerance"]
    report = Report.model_validate_json((made.folder / "results.json").read_bytes())
    recorded = {len(values) for sample in report.samples for values in sample.logits.values()}
    assert recorded == {DIMENSIONS}


def test_what_the_card_prints_runs(made: Publication, tmp_path: Path) -> None:
    torch, onnx, transformers, fp32 = blocks(made.card, "python")
    ran = [run_python(one, made.world.repo, made.folder) for one in (torch, onnx)]
    printed = [float(one.printed) for one in ran]
    assert printed[0] == pytest.approx(printed[1], abs=0.1)
    assert np.shape(ran[1].names["one"]) == (DIMENSIONS,)
    assert "SentenceTransformer(" in transformers
    assert run_python(fp32, made.world.repo, made.folder).printed == ""
    (program,) = blocks(made.card, "javascript")
    (said,) = run_javascript(program, tmp_path, hub=made.world.server.endpoint)
    assert said == pytest.approx(printed[1], abs=CLOSE)
    pair = javascript.javascript_example(TASK, made.world.repo, pair=True, projected=True)
    dims = run_javascript(pair, tmp_path, hub=made.world.server.endpoint)
    assert dims == [[1, DIMENSIONS]]


def test_sentence_transformers_loads_it(made: Publication) -> None:
    pytest.importorskip("sentence_transformers")
    _, onnx, program, _ = blocks(made.card, "python")
    here = run_python(onnx, made.world.repo, made.folder).printed
    theirs = run_python(program, made.world.repo, made.folder).printed
    assert float(theirs) == pytest.approx(float(here), abs=CLOSE)


def test_verify_compares_the_embeddings(made: Publication, tmp_path: Path) -> None:
    report = Report.model_validate_json((made.folder / "results.json").read_bytes())
    right = projection_of(made.folder)
    assert right is not None
    assert right.bias is not None
    here = Place(repo_id=str(made.folder), revision="main", folder=str(made.folder))
    assert check_pytorch(here, report).checked
    assert check_onnx(here, report).checked
    write_projection(replace(right, bias=right.bias + np.float32(0.01)), tmp_path)
    with pytest.raises(VerifyError, match=r"does not predict what was recorded.*differ by 0\.01"):
        check_pytorch(here.model_copy(update={"folder": str(tmp_path)}), report)
