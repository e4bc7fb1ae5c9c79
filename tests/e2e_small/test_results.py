"""What a publication prints and leaves behind, and what the second one does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from hubkit.recipe import OnnxDynamic, OnnxStatic
from tests.e2e_small.worlds import HEAVY, TOKENS, World

FILES = {
    ".gitattributes",
    "README.md",
    "SHA256SUMS",
    "config.json",
    "lock.json",
    "model.onnx",
    "results.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
}


def test_what_is_in_the_repository(published: World) -> None:
    found = set(published.api().list_repo_files(published.repo))
    assert found >= FILES
    assert not any(name.endswith((".safetensors", ".bin")) for name in found)
    sums = dict(
        reversed(line.split("  ")) for line in published.file("SHA256SUMS").decode().splitlines()
    )
    assert sums.keys() == found - {".gitattributes", "SHA256SUMS"}


def test_again_with_nothing_changed(published: World) -> None:
    before = published.titles()
    done = published.publish()
    assert done.code == 0
    assert done.err == ""
    assert done.ran().isdisjoint({*HEAVY, "benchmark", "sample", "verify"})
    assert done.json()["made_commit"] is False
    assert published.titles() == before


def test_a_checkout_that_was_moved_is_the_same_recipe(warm: World) -> None:
    """Neither the folder that a recipe lies in nor how it is spelled makes work."""
    moved = warm.folder.rename(warm.root / "elsewhere")
    done = warm.hubkit("publish", str(moved), "--repo-id", warm.repo, "--dry-run")
    assert done.code == 0
    assert "Would run: push, verify" in done.out


def test_a_dry_run_tells_and_does_nothing(warm: World) -> None:
    done = warm.publish("--dry-run", style="human")
    assert done.code == 0
    assert "Would run: push, verify" in done.out
    assert f"On the Hub: one commit to {warm.repo} (main):" in done.out
    assert "  add " in done.out
    assert "model.onnx" in done.out
    assert warm.titles() == []


def test_a_dry_run_of_a_recipe_that_was_changed(warm: World) -> None:
    warm.write(variants=[{"kind": "onnx-dynamic", "per_channel": False}])
    before = sorted(path.name for path in (warm.store / "records").iterdir())
    found = warm.publish("--dry-run").json()
    assert "export" in str(found["kept"])
    assert "quantize onnx-int8-dynamic" in str(found["would_run"])
    assert found["plan"] is None
    assert sorted(path.name for path in (warm.store / "records").iterdir()) == before


def test_a_dry_run_of_what_is_published(published: World) -> None:
    done = published.publish("--dry-run", style="human")
    assert "Would run: nothing" in done.out
    assert f"{published.repo} has all of it; no commit" in done.out


def test_quiet_and_human(published: World) -> None:
    quiet = published.publish(style="quiet")
    assert quiet.out == f"{published.server.endpoint}/{published.repo}\n"
    assert quiet.err == ""
    human = published.publish(style="human")
    assert human.err.count("kept") >= len(HEAVY)
    table = human.out[: human.out.index("\n\n")]
    assert "onnx-int8-dynamic" in table
    assert max(map(len, table.splitlines())) <= 80
    assert "Nothing had changed, no commit; verified before." in human.out
    assert "ORTModelForSequenceClassification.from_pretrained(repo_id)" in human.out


def test_tokens_are_nowhere(published: World) -> None:
    """Neither in the store nor in the repository; `World.end` looks at all that is printed."""
    files = [path for path in published.root.rglob("*") if path.is_file()]
    assert len(files) > 50
    contents = {str(path): path.read_bytes() for path in files}
    contents |= {
        path: published.file(path) for path in published.api().list_repo_files(published.repo)
    }
    for name, content in contents.items():
        for token in TOKENS.values():
            assert token.encode() not in content, name


def test_no_path_of_this_machine_is_published(published: World) -> None:
    for path in published.api().list_repo_files(published.repo):
        assert str(published.root).encode() not in published.file(path), path


def test_scratch_is_left_empty(published: World) -> None:
    assert list((published.store / "scratch").iterdir()) == []
    for record in (published.store / "records").iterdir():
        json.loads(record.read_bytes())


def _record(world: World, key: str, value: object = None) -> Path:
    """The record with that key, and with that value where one is given."""
    for path in (world.store / "records").iterdir():
        found = json.loads(path.read_bytes())
        if key in found and value in (None, found[key]):
            return path
    raise AssertionError(f"no record has {key} {value}")


def test_a_damaged_store_is_mended(warm: World) -> None:
    """A record that was cut, one that is noise, and an artifact that was cut are made anew."""
    quantized = _record(warm, "name", "onnx-int8-dynamic")
    variant = json.loads(quantized.read_bytes())
    folder = warm.store / "artifacts" / variant["artifact"]["digest"]
    model = folder / "model.onnx"
    whole = model.read_bytes()
    model.chmod(0o644)
    model.write_bytes(whole[:1000])
    encoded = _record(warm, "mean_tokens")
    encoded.write_bytes(encoded.read_bytes()[:100])
    fetched = _record(warm, "eval_rows")
    fetched.write_bytes(b"\xff\xfe\x00noise")

    done = warm.hubkit("quantize", str(warm.folder), "--format", "json")
    assert done.code == 0, done.err
    assert done.json()["failures"] == []
    assert model.read_bytes() == whole
    assert warm.lacks() == []


def test_a_lost_artifact_is_made_again(warm: World) -> None:
    variant = json.loads(_record(warm, "name", "onnx-int8-dynamic").read_bytes())
    folder = warm.store / "artifacts" / variant["artifact"]["digest"]
    shutil.rmtree(folder)
    assert warm.lacks()[0] == "quantize onnx-int8-dynamic"
    assert warm.hubkit("quantize", str(warm.folder)).code == 0
    assert (folder / "model.onnx").is_file()
    assert warm.lacks() == []


def test_quantizing_writes_nothing_beside_its_input(published: World, tmp_path: Path) -> None:
    """onnxruntime leaves files beside the model that it reads, and here that is the store's."""
    import numpy as np

    from hubkit.backends.onnx_quantizers import dynamic, static

    variant = json.loads(_record(published, "name", "onnx-fp32").read_bytes())
    model = published.store / "artifacts" / variant["artifact"]["digest"]
    before = model.stat().st_mtime_ns  # of a folder: when a file in it came or went
    dynamic.quantize(model, tmp_path / "dynamic", OnnxDynamic(kind="onnx-dynamic"))
    ones = np.ones((2, 8), dtype=np.int64)
    batch = {"input_ids": ones, "attention_mask": ones}
    static.quantize(model, tmp_path / "static", OnnxStatic(kind="onnx-static"), [batch])
    assert model.stat().st_mtime_ns == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dynamic", "static"]
