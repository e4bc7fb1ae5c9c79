"""What a publication reads, by hubkit and by the libraries that it uses: a Hub that fails for a
moment at each single request changes nothing of what comes of it, and one that is gone is named."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hubkit.errors import HubError
from hubkit.hub.retry import Retry
from hubkit.recipe import DatasetSpec, HubModel
from hubkit.records import Record, Source
from hubkit.stage import Context
from hubkit.stages.fetch_dataset import FetchDatasetInput, fetch_dataset
from hubkit.stages.fetch_model import FetchModelInput, fetch_model
from hubkit.stages.push import push_to
from hubkit.stages.resolve import ResolveInput, resolve
from tests.hub_client.hubs import TOKENS, World
from tests.publishing.test_faults import FAULTS, LASTS, TIME_OUT_S, Point
from tests.stages.test_verify import onnx_files, publish, samples
from tests.tiny import make_tiny_model

pytestmark = pytest.mark.conformance

Read = Callable[[], Record]
_log = logging.getLogger(__name__)


NAMES = ("NEGATIVE", "POSITIVE")
LABELS = {name: name for name in NAMES}
SPEC = DatasetSpec(
    path="alice/rows",
    data_keys={"primary": "sentence"},
    ref_keys=("label",),
    eval_split="validation",
)


def rows(folder: Path) -> Path:
    """A dataset's folder."""
    (folder / "data").mkdir(parents=True)
    table = pa.table({"sentence": ["good", "bad"], "label": ["POSITIVE", "NEGATIVE"]})
    pq.write_table(table, folder / "data" / "validation-00000-of-00001.parquet")
    return folder


def put(world: World, repo_id: str, folder: Path, **more: object) -> str:
    """The folder as a repository; gives the commit."""
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    with world.ctx() as ctx:
        given = world.given(world.bundle(files), repo_id=repo_id, **more)
        return push_to(world.hub(), given, ctx).commit


@pytest.fixture(name="fresh")
def _fresh(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Context]:
    """Contexts for one reading each, with empty caches; waits cost nothing."""
    retry = Retry(tries=3, sleep=world.waits.append)
    for name in ("PATIENCE", "DOWNLOADS"):
        monkeypatch.setattr(f"hubkit.stages.hub_source.{name}", retry)
    count = [0]

    def make() -> Context:
        count[0] += 1
        scratch = tmp_path / f"reading-{count[0]}"
        scratch.mkdir()
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(scratch / "cache"))
        return Context(world.store, scratch, endpoint=world.server.endpoint, token=TOKENS["alice"])

    return make


def tried(read: Read) -> Record | HubError:
    """What comes of a reading."""
    try:
        return read()
    except HubError as error:
        return error


def suffer(world: World, read: Read) -> int:
    """Every request of a reading with every fault and every length in turn; how many faults were
    met."""
    world.switch.heal()
    right = read()
    count, met, kinds = len(world.switch.seen), 0, list(FAULTS)
    assert count
    for number in range(1, count + 1):
        for at, lasts in enumerate(LASTS):
            point = Point(number, kinds[(number + at) % len(kinds)], lasts)
            with pytest.MonkeyPatch.context() as patch:
                point.arm(world, patch)
                found = tried(read)
            if isinstance(found, HubError):
                assert lasts != "once", (point, found.message)
                assert world.server.endpoint in found.message, (point, found.message)
                assert found.hint
            else:
                assert found == right, point
            met += point.met
    world.switch.heal()
    assert read() == right
    _log.info("%d fault points", met)
    return met


def test_a_lock(world: World, fresh: Callable[[], Context], tmp_path: Path) -> None:
    put(world, "alice/base", make_tiny_model(tmp_path / "base"))
    put(world, "alice/rows", rows(tmp_path / "rows"), kind="dataset")
    given = ResolveInput(
        base=HubModel(id="alice/base"), dataset=SPEC, recipe_digest="0" * 64, folder="."
    )
    assert suffer(world, lambda: resolve(given, fresh())) >= 5


def test_a_model(world: World, fresh: Callable[[], Context], tmp_path: Path) -> None:
    sha = put(world, "alice/base", make_tiny_model(tmp_path / "base"))
    source = Source(kind="model", source="hub", id="alice/base", revision="main", sha=sha)
    given = FetchModelInput(source=source)
    assert suffer(world, lambda: fetch_model(given, fresh())) >= 15


def test_a_dataset(world: World, fresh: Callable[[], Context], tmp_path: Path) -> None:
    sha = put(world, "alice/rows", rows(tmp_path / "rows"), kind="dataset")
    source = Source(kind="dataset", source="hub", id="alice/rows", revision="main", sha=sha)
    given = FetchDatasetInput(source=source, spec=SPEC, model_labels=NAMES, labels=LABELS)
    assert suffer(world, lambda: fetch_dataset(given, fresh())) >= 15


def test_a_verification(world: World, tmp_path: Path) -> None:
    """In a process of its own, as always: what optimum and transformers read is tried again too."""
    publish(world, onnx_files(world.store, samples()))
    arguments = [world.server.endpoint, TOKENS["alice"], "alice/model", str(tmp_path / "home")]
    command = [sys.executable, "-m", "tests.publishing.programs", "verify", *arguments]
    met, kinds = 0, list(FAULTS)
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) as process:

        def verified(time_out_s: float | None = None) -> dict[str, object]:
            assert process.stdin
            assert process.stdout
            process.stdin.write(json.dumps({"time_out": time_out_s}) + "\n")
            process.stdin.flush()
            found: dict[str, object] = json.loads(process.stdout.readline())
            return found

        world.switch.heal()
        right = verified()
        assert "verified" in right, right
        count = len(world.switch.seen)
        assert count >= 15
        for number in range(1, count + 1):
            for at, lasts in enumerate(LASTS):
                point = Point(number, kinds[(number + at) % len(kinds)], lasts)
                with pytest.MonkeyPatch.context() as patch:
                    point.arm(world, patch)
                found = verified(TIME_OUT_S if "slow" in point.fault else None)
                if "error" in found:
                    assert lasts != "once", (point, found)
                    assert found["kind"] == "Unreachable", (point, found)
                else:
                    assert found == right, point
                met += point.met
        world.switch.heal()
        assert verified() == right
        process.kill()
    _log.info("%d fault points", met)
