"""Each stage as a command of its own: on the recipe, on a model folder, on a bundle, on a call."""

from __future__ import annotations

import json

from hubkit.executors.base import Call
from hubkit.folder import benchmark_plan
from hubkit.stages.fetch_model import FetchModelInput
from hubkit.stages.model_files import digest_of_model
from tests.e2e_small.worlds import World


def test_the_stages_on_a_recipe(warm: World) -> None:
    """All is kept, so each only prints: one JSON object, or a table of at most 80 columns."""
    recipe = str(warm.folder)
    names = ["pytorch-fp32", "onnx-fp32", "onnx-int8-dynamic"]
    quantized = warm.hubkit("quantize", recipe, "--format", "json").json()
    assert [one["name"] for one in quantized["variants"]] == names
    scored = warm.hubkit("evaluate", recipe, "--format", "json").json()
    assert [one["variant"] for one in scored["scores"]] == names
    timed = warm.hubkit("benchmark", recipe, "--format", "json").json()
    assert [one["variant"] for one in timed["timings"]] == names
    for command in ("quantize", "evaluate", "benchmark"):
        done = warm.hubkit(command, recipe, "--format", "quiet")
        assert done.code == 0
        assert done.err == ""
        table = [line for line in done.out.splitlines() if "/" not in line]
        assert max(map(len, table)) <= 80
        assert all(name in done.out for name in names)


def test_a_bundle_that_is_written_pushed_and_verified(warm: World) -> None:
    bundle = warm.root / "bundle"
    options = ("--repo-id", warm.repo, "--format", "json")
    written = warm.hubkit("card", str(warm.folder), "--output", str(bundle), *options)
    assert written.code == 0
    assert written.json()["card"] == (bundle / "README.md").read_text(encoding="utf-8")
    assert warm.titles() == []

    pushed = warm.hubkit("push", str(bundle), "--tag", "v1", *options)
    assert pushed.code == 0
    assert pushed.json()["tag"] == "v1"
    assert warm.file("model.onnx") == (bundle / "model.onnx").read_bytes()
    again = warm.hubkit("push", str(bundle), "--tag", "v1", *options)
    assert again.json()["verified"] == "before"

    published = warm.publish()  # it is the very bundle that publish would push
    assert published.json()["made_commit"] is False
    assert len(warm.titles()) == 2
    verified = warm.hubkit("verify", warm.repo, "--revision", "v1", "--format", "json")
    assert verified.json()["revision"] == published.json()["commit"]

    (bundle / "README.md").write_text("edited", encoding="utf-8")
    edited = warm.hubkit("push", str(bundle), "--repo-id", warm.repo)
    assert edited.code == 2
    assert "README.md" in edited.err
    assert "hubkit card RECIPE --output" in edited.err
    assert len(warm.titles()) == 2
    of_recipe = warm.hubkit("push", str(warm.folder), *options)
    assert of_recipe.json()["made_commit"] is False
    (warm.root / "empty").mkdir()
    nothing = warm.hubkit("push", str(warm.root / "empty"), *options[:2])
    assert nothing.code == 2
    assert "holds no recipe.yaml" in nothing.err


def test_verify_finds_what_somebody_changed(published: World) -> None:
    world = World(published.root, published.server, published.switch, repo="writer/tampered")
    bundle = published.root / "tampered"
    published.hubkit("card", str(published.folder), "--repo-id", world.repo, "-o", str(bundle))
    world.api().create_repo(world.repo)
    world.api().upload_folder(repo_id=world.repo, folder_path=bundle)
    world.intrude("pytorch_model.bin")  # a model that its author keeps there beside hubkit's
    assert world.hubkit("verify", world.repo).code == 0
    world.intrude("config.json")
    done = world.hubkit("verify", world.repo)
    assert done.code == 1
    assert "config.json differs from SHA256SUMS" in done.err
    assert "publish again" in done.err
    missing = world.hubkit("verify", "writer/no-such-repository")
    assert missing.code == 1
    assert "writer/no-such-repository is not on the Hub" in missing.err


def test_a_model_folder(warm: World) -> None:
    """Quantized and scored without a recipe: the model has 64 positions, fewer than the default."""
    model, output = str(warm.model), warm.root / "output"
    done = warm.hubkit("quantize", model, "--output", str(output), "--format", "json")
    assert done.code == 0
    assert (output / "onnx-int8-dynamic" / "model.onnx").stat().st_size > 50_000
    assert (output / "onnx-int8-dynamic" / "model.onnx").stat().st_mode & 0o200  # not the store's
    taken = warm.hubkit("quantize", model, "--output", str(output))
    assert taken.code == 2
    assert "is not empty" in taken.err

    rows = ("--dataset", str(warm.evaluation), "--text-column", "sentence")
    scored = warm.hubkit("evaluate", model, *rows, "--label-column", "label", "--format", "json")
    assert scored.code == 0, scored.err
    accuracy = {s["variant"]: s["metrics"][0]["value"] for s in scored.json()["scores"]}
    assert accuracy["onnx-fp32"] == 1
    assert 0 < accuracy["onnx-int8-dynamic"] <= 1
    assert benchmark_plan(64).input_lengths == (32, 64)
    assert benchmark_plan(16).input_lengths == (16,)


def test_a_model_folder_with_rows_that_do_not_fit(warm: World) -> None:
    model = str(warm.model)
    for options, said in (
        ((), "needs labelled rows too"),
        (("--dataset", "no/such/rows.csv"), "no/such/rows.csv: no such file or folder"),
        (("--dataset", "rows.csv"), "rows.csv: no such file or folder"),
        (("--dataset", str(warm.evaluation)), "has no column text"),
    ):
        done = warm.hubkit("evaluate", model, *options)
        assert done.code in (1, 2)
        assert said in done.err
        assert "hint: " in done.err


def test_a_call_that_is_json(fresh: World) -> None:
    """`hubkit exec` computes what an executor elsewhere would: the record is in the store."""
    (fresh.root / "call.json").write_text('{"stage": "fetch-model"}', encoding="utf-8")
    wrong = fresh.hubkit("exec", str(fresh.root / "call.json"))
    assert wrong.code == 2
    assert "call.json holds no call" in wrong.err

    given = FetchModelInput.model_validate(
        {
            "source": {
                "kind": "model",
                "source": "local",
                "id": "model",
                "revision": "local",
                "sha": digest_of_model(fresh.model),
            },
            "path": str(fresh.model),
        }
    )
    call = Call(
        stage="fetch-model",
        given=given.model_dump(mode="json", by_alias=True),
        key="0" * 64,
        store=str(fresh.store),
    )
    (fresh.root / "call.json").write_text(call.model_dump_json(), encoding="utf-8")
    done = fresh.hubkit("exec", str(fresh.root / "call.json"))
    assert (done.code, done.out, done.err) == (0, f"{call.key}\n", "")
    record = json.loads((fresh.store / "records" / f"{call.key}.json").read_bytes())
    assert record["labels"] == ["NEGATIVE", "POSITIVE"]
