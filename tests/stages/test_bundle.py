"""The bundle: one folder that both loaders take, with nothing in it that should not be there."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from hubkit.errors import HubkitError, ModelError, RecipeError, StoreError
from hubkit.pushing import push_input, recorded_private
from hubkit.recipe_file import load_recipe
from hubkit.records import (
    Artifact,
    BaseModelInfo,
    Bundle,
    CardSet,
    CardText,
    Failed,
    Lock,
    Report,
    Source,
    Variant,
)
from hubkit.stage import Context
from hubkit.stages.bundle import BundleInput, bundle, recipe_json
from hubkit.store import Store
from tests.cards.examples import REPO_ID, make_base, make_lock, make_recipe, make_report
from tests.tiny import SENTENCES, make_tiny_model

CONFIG = {
    "architectures": ["DistilBertForSequenceClassification"],
    "id2label": {"0": "NEGATIVE", "1": "POSITIVE"},
    "model_type": "distilbert",
    "torch_dtype": "float32",
    "_attn_implementation_autoset": False,
    "_name_or_path": "/home/someone/model",
}
INC_CONFIG = CONFIG | {
    "torch_dtype": "int8",
    "backend": "default",
    "_attn_implementation_autoset": True,
    "_name_or_path": "/srv/models/xyz",
}
TOKENIZER = {
    "tokenizer.json": '{"model": {"vocab": {"/home/x/": 0}}}',
    "vocab.txt": "a\n",
    "README.md": "not ours",
}


@dataclass
class Workshop:
    """A store and the stage's scratch folders, made anew for each call."""

    root: Path
    store: Store

    def adopt(self, files: dict[str, str]) -> Artifact:
        with self.store.scratch() as scratch:
            folder = scratch / "made"
            for name, text in files.items():
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return self.store.adopt(folder)

    def base(self, files: dict[str, str] = TOKENIZER) -> BaseModelInfo:
        own = {"config.json": json.dumps(CONFIG), "model.safetensors": "fp32"}
        return make_base(artifact=self.adopt({**own, **files}))

    def onnx(self, config: dict[str, object] = CONFIG, **changes: object) -> Variant:
        files = {"model_quantized.onnx": "int8 graph", "config.json": json.dumps(config)}
        return self._variant("onnx-int8-dynamic", files, changes)

    def inc(self, config: dict[str, object] = INC_CONFIG, **changes: object) -> Variant:
        files = {
            "pytorch_model.bin": "int8 weights",
            "model.safetensors": "never to be published",
            "config.json": json.dumps(config),
            "inc_config.json": '{"quantization": {"is_static": true}}',
        }
        return self._variant("pytorch-int8-static", files, changes)

    def openvino(self) -> Variant:
        files = {
            "openvino_model.xml": "<net/>",
            "openvino_model.bin": "int8 weights of OpenVINO",
            "config.json": json.dumps(CONFIG),
        }
        changes: dict[str, object] = {
            "name": "openvino-int8-static",
            "format": "openvino",
            "model_file": "openvino_model.xml",
        }
        return self._variant("onnx-int8-static", files, changes)

    def fp32_onnx(self) -> Variant:
        files = {"model.onnx": "graph", "model.onnx_data": "w", "config.json": json.dumps(CONFIG)}
        return self._variant("onnx-fp32", files, {})

    def _variant(self, name: str, files: dict[str, str], changes: dict[str, object]) -> Variant:
        variant = make_report().variant(name)
        return variant.model_copy(update={"artifact": self.adopt(files), **changes})

    def given(self, **changes: object) -> BundleInput:
        parts: dict[str, object] = {
            "repo_id": REPO_ID,
            "recipe": make_recipe(),
            "lock": make_lock(),
            "report": make_report(),
            "cards": CardSet(cards=(CardText(text="---\nlicense: mit\n---\n# Card\n"),)),
            "base": self.base(),
            "published": {"onnx": self.onnx(), "pytorch": self.inc()},
        }
        return BundleInput.model_validate({**parts, **changes})

    def run(self, **changes: object) -> tuple[Bundle, Path]:
        with self.store.scratch() as scratch:
            made = bundle(self.given(**changes), Context(store=self.store, scratch=scratch))
        return made, self.store.path(made.artifact)


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path, Store(tmp_path / "store"))


def test_openvino_lies_in_a_folder_of_its_own_with_its_weights_and_config(shop: Workshop) -> None:
    publication = {"formats": ["onnx", "openvino"], "license": "apache-2.0"}
    recipe = make_recipe(publication=publication)
    variant = shop.openvino()
    published = {"onnx": shop.onnx(), "openvino": variant}
    _, root = shop.run(recipe=recipe, published=published)
    assert (root / "openvino" / "openvino_model.xml").read_text() == "<net/>"
    assert (root / "openvino" / "openvino_model.bin").read_text() == "int8 weights of OpenVINO"
    config = json.loads((root / "openvino" / "config.json").read_text())
    assert config["id2label"] == CONFIG["id2label"]
    assert config["_name_or_path"] == make_lock().base.id
    sums = (root / "SHA256SUMS").read_text()
    assert "openvino/openvino_model.bin" in sums
    # Weights that changed in the store since they were measured are as bad as a graph that did.
    path = shop.store.path(variant.artifact) / "openvino_model.bin"
    path.chmod(0o644)
    path.write_text("int8 weights of OpenVINo", encoding="utf-8")
    with pytest.raises(StoreError, match=r"openvino_model\.bin of openvino-int8-static is not the"):
        shop.run(recipe=recipe, published=published)


def test_openvino_that_the_onnx_model_outdoes_is_left_out(shop: Workshop) -> None:
    recipe = make_recipe(publication={"formats": ["onnx", "openvino"], "license": "apache-2.0"})
    like = make_report().selection
    assert like
    refused = {"passes": False, "worse": "slower-than-rival"}
    candidates = tuple(one.model_copy(update=refused) for one in like.candidates)
    outdone = like.model_copy(update={"candidates": candidates, "selected": None})
    report = make_report(openvino_selection=outdone)
    bundle, root = shop.run(recipe=recipe, report=report, published={"onnx": shop.onnx()})
    assert not (root / "openvino").exists()
    assert push_input(recipe, bundle).message == "Publish tiny-sentiment: ONNX INT8"
    # Where it failed on its own, that is another matter.
    larger = tuple(one.model_copy(update={"worse": "larger"}) for one in candidates)
    alone = outdone.model_copy(update={"candidates": larger})
    with pytest.raises(ModelError, match="the recipe publishes openvino, but no variant"):
        shop.run(
            recipe=recipe,
            report=make_report(openvino_selection=alone),
            published={"onnx": shop.onnx()},
        )


def test_what_is_in_it(shop: Workshop) -> None:
    made, root = shop.run()
    assert made.repo_id == REPO_ID
    assert [ref.path for ref in made.artifact.files] == [
        "README.md",
        "SHA256SUMS",
        "bom.cdx.json",
        "config.json",
        "inc_config.json",
        "lock.json",
        "model.onnx",
        "pytorch_model.bin",
        "recipe.json",
        "results.json",
        "tokenizer.json",
        "vocab.txt",
    ]
    assert (root / "model.onnx").read_text() == "int8 graph"
    assert (root / "pytorch_model.bin").read_text() == "int8 weights"
    assert (root / "README.md").read_text().endswith("# Card\n")
    assert Report.model_validate_json((root / "results.json").read_text()) == make_report()
    assert Lock.model_validate_json((root / "lock.json").read_text()) == make_lock()


@pytest.mark.parametrize("demo", [False, True])
def test_the_published_recipe_is_the_one_that_was_used(shop: Workshop, demo: bool) -> None:
    used = load_recipe("distilbert-sst2", demo=demo)
    _, root = shop.run(recipe=used.recipe)
    again = load_recipe(str(root / "recipe.json"))
    assert again.digest == used.digest
    assert again.recipe == used.recipe.model_copy(update={"demo": None})
    assert (root / "recipe.json").read_text() == recipe_json(again.recipe, make_lock())


@pytest.mark.parametrize("allowed", [0, 1e-05, 1.5e-07, 0.01])
def test_numbers_of_the_published_recipe_are_numbers_in_yaml_too(
    shop: Workshop, allowed: float
) -> None:
    _, root = shop.run(recipe=make_recipe(gates={"max_relative_loss": allowed}))
    assert load_recipe(str(root / "recipe.json")).recipe.gates.max_relative_loss == allowed


def test_of_what_was_local_only_the_name_is_published(shop: Workshop) -> None:
    lock = make_lock()
    lock = lock.model_copy(
        update={
            "base": lock.base.model_copy(update={"source": "local", "id": "model", "url": None}),
            "dataset": lock.dataset.model_copy(update={"source": "local", "id": "rows.csv"}),
        }
    )
    data = {
        "source": "local",
        "path": "/home/me/rows.csv",
        "data_keys": {"primary": "text"},
        "ref_keys": ["label"],
    }
    recipe = make_recipe(base={"source": "local", "path": "../../me/model"}, dataset=data)
    _, root = shop.run(recipe=recipe, lock=lock)
    text = (root / "recipe.json").read_text()
    assert "me/" not in text
    value = json.loads(text)
    assert (value["base"]["path"], value["dataset"]["path"]) == ("model", "rows.csv")
    with pytest.raises(RecipeError, match=r"model: no folder with a config\.json"):
        load_recipe(str(root / "recipe.json"))


def test_names_of_nodes_and_prose_are_no_paths_of_this_machine(shop: Workshop) -> None:
    variants = [{"kind": "onnx-dynamic", "node_exclusion": ["/distilbert/layer.0/MatMul"]}]
    recipe = make_recipe(
        variants=[*variants, {"kind": "inc-static"}], card={"caveats": "/r/movies is rougher."}
    )
    shop.run(recipe=recipe)


def test_never_safetensors_beside_the_int8_state_dict(shop: Workshop) -> None:
    made, _ = shop.run()
    assert not [ref.path for ref in made.artifact.files if ref.path.endswith(".safetensors")]


def test_safetensors_that_found_a_way_in_are_refused(shop: Workshop) -> None:
    # Not reachable through the list of tokenizer files: the guard stands behind that list.
    with pytest.raises(ModelError, match="INCModel would load FP32"):
        shop.run(cards=CardSet(cards=(CardText(path="model.safetensors", text="x"),)))


def test_int8_weights_that_inc_would_not_load_are_refused(shop: Workshop) -> None:
    wrong = shop.inc(model_file="model.safetensors")
    with pytest.raises(ModelError, match="not load as INT8"):
        shop.run(published={"onnx": shop.onnx(), "pytorch": wrong})


def test_weights_that_changed_in_the_store_are_not_published(shop: Workshop) -> None:
    variant = shop.onnx()
    stored = shop.store.path(variant.artifact) / variant.model_file
    stored.chmod(0o644)
    stored.write_text("int9 graph", encoding="utf-8")  # of the same size
    with pytest.raises(StoreError, match="not the one that was measured"):
        shop.run(published={"onnx": variant, "pytorch": shop.inc()})


def test_sums_are_those_that_sha256sum_checks(shop: Workshop) -> None:
    made, root = shop.run()
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    listed = [line.split("  ")[1] for line in (root / "SHA256SUMS").read_text().splitlines()]
    assert listed == sorted(listed)
    assert {*listed, "SHA256SUMS"} == {ref.path for ref in made.artifact.files}


def test_the_same_input_gives_the_same_bytes(shop: Workshop, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = Workshop(elsewhere, Store(elsewhere / "store"))
    assert shop.run()[0] == shop.run()[0] == other.run()[0]


def test_big_files_are_not_copied_and_artifacts_not_touched(shop: Workshop) -> None:
    onnx = shop.onnx()
    source = shop.store.path(onnx.artifact) / "model_quantized.onnx"
    before = source.read_bytes()
    _, root = shop.run(published={"onnx": onnx, "pytorch": shop.inc()})
    assert (root / "model.onnx").samefile(source)
    assert source.read_bytes() == before


def test_without_links_files_are_copied(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise OSError("no links here")

    expected, _ = shop.run()
    with monkeypatch.context() as patched:
        patched.setattr(os, "link", refuse)
        made, _ = Workshop(shop.root, Store(shop.root / "other")).run()
    assert made == expected


def test_one_config_serves_both(shop: Workshop) -> None:
    _, root = shop.run()
    config = json.loads((root / "config.json").read_text())
    # Without this INCModel would build the attention that was not calibrated.
    assert config["_attn_implementation_autoset"] is True
    assert config["torch_dtype"] == "int8"
    assert config["id2label"] == CONFIG["id2label"]
    assert config["_name_or_path"] == "example/tiny-sentiment"


def test_a_local_base_leaves_no_name_behind(shop: Workshop) -> None:
    lock = make_lock()
    local = lock.base.model_copy(update={"source": "local", "url": None})
    _, root = shop.run(lock=lock.model_copy(update={"base": local}))
    assert "_name_or_path" not in json.loads((root / "config.json").read_text())


def test_configs_of_two_models_do_not_merge(shop: Workshop) -> None:
    other = INC_CONFIG | {"id2label": {"0": "POSITIVE", "1": "NEGATIVE"}}
    with pytest.raises(ModelError, match="differ in id2label"):
        shop.run(published={"onnx": shop.onnx(), "pytorch": shop.inc(other)})


def test_onnx_alone(shop: Workshop) -> None:
    publication = {"license": "mit", "formats": ["onnx"]}
    made, root = shop.run(recipe=make_recipe(publication=publication))
    names = {ref.path for ref in made.artifact.files}
    assert not names & {"pytorch_model.bin", "inc_config.json"}
    assert json.loads((root / "config.json").read_text())["torch_dtype"] == "float32"


def test_fp32_onnx_where_the_recipe_says_so(shop: Workshop) -> None:
    recipe = make_recipe(publication={"license": "mit", "include_fp32_onnx": True})
    _, root = shop.run(recipe=recipe, fp32_onnx=shop.fp32_onnx())
    assert (root / "onnx" / "model_fp32.onnx").read_text() == "graph"
    assert (root / "onnx" / "model.onnx_data").read_text() == "w"  # the graph names it so
    assert (root / "model.onnx").read_text() == "int8 graph"
    made, _ = shop.run(fp32_onnx=shop.fp32_onnx())
    assert not [ref for ref in made.artifact.files if ref.path.startswith("onnx/")]
    with pytest.raises(ModelError, match="there is none") as caught:
        shop.run(recipe=recipe)
    assert "include_fp32_onnx: false" in caught.value.hint


def test_a_format_that_failed_is_not_passed_over(shop: Workshop) -> None:
    failed = Failed(stage="quantize", subject="pytorch-int8-static", reason="no memory")
    report = make_report(failures=(failed,))
    with pytest.raises(ModelError, match=r"publishes pytorch.*no memory") as caught:
        shop.run(published={"onnx": shop.onnx()}, report=report)
    assert "publication.formats" in caught.value.hint


def test_the_base_models_licence_goes_with_it(shop: Workshop) -> None:
    base = shop.base({**TOKENIZER, "LICENSE": "text", "notice.txt": "n", "licensing.py": "x"})
    made, _ = shop.run(base=base)
    names = {ref.path for ref in made.artifact.files}
    assert {"LICENSE", "notice.txt"} <= names
    assert "licensing.py" not in names


@pytest.mark.parametrize(
    ("name", "text", "key"),
    [
        ("tokenizer_config.json", '{"a": {"name_or_path": "/home/me/model"}}', "a.name_or_path"),
        ("special_tokens_map.json", '{"x": ["[PAD]", "C:\\\\Users\\\\me"]}', r"x\[1\]"),
    ],
)
def test_paths_of_this_machine_are_refused(shop: Workshop, name: str, text: str, key: str) -> None:
    with pytest.raises(HubkitError, match=f"{name} names a path of this machine at {key}"):
        shop.run(base=shop.base({**TOKENIZER, name: text}))


def test_where_a_tokenizer_was_on_its_makers_machine_is_left_out(shop: Workshop) -> None:
    said = {"name_or_path": "/home/me/model", "special_tokens_map_file": "/home/me/.cache/x.json"}
    text = json.dumps({**said, "tokenizer_file": None, "do_lower_case": True})
    base = shop.base({**TOKENIZER, "tokenizer_config.json": text})
    _, root = shop.run(base=base)
    kept = json.loads((root / "tokenizer_config.json").read_text())
    assert kept == {"tokenizer_file": None, "do_lower_case": True}


@pytest.mark.parametrize("private", [True, False])
def test_a_bundle_says_whether_its_repository_is_private(shop: Workshop, private: bool) -> None:
    recipe = shop.given().recipe
    wanted = recipe.publication.model_copy(update={"private": private})
    _, root = shop.run(recipe=recipe.model_copy(update={"publication": wanted}))
    assert recorded_private(root) is private


def test_addresses_on_a_hub_and_sentences_are_not_paths_of_this_machine(shop: Workshop) -> None:
    def on_this_hub(source: Source) -> Source:
        return source.model_copy(update={"url": "/home/x"})

    lock = make_lock()
    lock = lock.model_copy(update={"base": on_this_hub(lock.base)})
    sample = make_report().samples[0].model_copy(update={"primary": "/home/run is a film"})
    shop.run(lock=lock, report=make_report(samples=(sample,)))


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], tuple[Path, dict[str, Path]]]:
    """A bundle of a tiny model made by the real exporter and quantizers, and their own folders."""
    pytest.importorskip("optimum.intel", reason="needs the inc extra")

    def make() -> tuple[Path, dict[str, Path]]:
        import numpy as np
        from transformers import AutoTokenizer

        from hubkit.backends.neural_compressor import static
        from hubkit.backends.onnx_quantizers import DynamicQuantizer
        from hubkit.backends.optimum import OnnxExporter
        from hubkit.recipe import IncStatic, OnnxDynamic

        root = tmp_path_factory.mktemp("real")
        store = Store(root / "store")
        shop = Workshop(root, store)
        model = make_tiny_model(root / "model")
        OnnxExporter().export(model, root / "fp32", task="text-classification")
        spec = OnnxDynamic(kind="onnx-dynamic")
        done = DynamicQuantizer().quantize(root / "fp32", root / "int8", spec, ())
        tokens = AutoTokenizer.from_pretrained(model)(
            list(SENTENCES), padding=True, return_tensors="np"
        )
        batch = {name: np.asarray(ids) for name, ids in tokens.items()}
        static.quantize(model, root / "inc", IncStatic(kind="inc-static"), [batch])
        names = {"base": model, "fp32": root / "fp32", "onnx": root / "int8", "inc": root / "inc"}
        kept = {name: store.adopt(folder) for name, folder in names.items()}
        report = make_report()
        onnx = report.variant("onnx-int8-dynamic").model_copy(
            update={"artifact": kept["onnx"], "model_file": done.model_file}
        )
        inc = report.variant("pytorch-int8-static").model_copy(update={"artifact": kept["inc"]})
        fp32 = report.variant("onnx-fp32").model_copy(update={"artifact": kept["fp32"]})
        _, made = shop.run(
            recipe=make_recipe(publication={"license": "mit", "include_fp32_onnx": True}),
            base=make_base(artifact=kept["base"]),
            published={"onnx": onnx, "pytorch": inc},
            fp32_onnx=fp32,
        )
        return made, {name: store.path(artifact) for name, artifact in kept.items()}

    return make


def test_both_loaders_take_the_bundle_as_it_is(
    real: Callable[[], tuple[Path, dict[str, Path]]],
) -> None:
    import torch
    from optimum.intel.neural_compressor import INCModelForSequenceClassification
    from optimum.onnxruntime import ORTModelForSequenceClassification
    from transformers import AutoTokenizer

    from hubkit.backends.neural_compressor import count_quantized_modules

    made, folders = real()
    tokenizer = AutoTokenizer.from_pretrained(made)
    inputs = tokenizer(list(SENTENCES), padding=True, return_tensors="pt")

    def logits(loader: type, folder: Path, **where: str) -> torch.Tensor:
        with torch.no_grad():
            return loader.from_pretrained(folder, **where)(**inputs).logits  # type: ignore[attr-defined]

    ort, inc = ORTModelForSequenceClassification, INCModelForSequenceClassification
    onnx = logits(ort, made)
    assert torch.equal(onnx, logits(ort, folders["onnx"]))
    assert torch.equal(logits(inc, made), logits(inc, folders["inc"]))
    assert count_quantized_modules(inc.from_pretrained(made).model) > 0
    fp32 = logits(ort, made, subfolder="onnx", file_name="model_fp32.onnx")
    assert torch.equal(fp32, logits(ort, folders["fp32"]))
    assert not torch.equal(fp32, onnx)
