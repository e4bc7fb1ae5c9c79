"""What bites with Neural Compressor: each measured trap, held shut."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("neural_compressor", reason="needs the inc extra")

from hubkit.backends import neural_compressor as backend
from hubkit.backends.base import Quantized
from hubkit.errors import ModelError, RecipeError
from hubkit.recipe import Calibration, IncDynamic, IncStatic
from tests.backends.conftest import ARCHITECTURES, Make
from tests.tiny import make_tiny_model

if TYPE_CHECKING:
    from hubkit.backends.base import Arrays

STATIC = IncStatic(kind="inc-static")


def test_fp32_weights_beside_it_are_refused(quantized: Make, tmp_path: Path) -> None:
    """INCModel takes model.safetensors first, and says nothing."""
    folder, _ = quantized("inc-static", "distilbert")
    both = tmp_path / "both"
    shutil.copytree(folder, both)
    weights = make_tiny_model(tmp_path / "fp32") / "model.safetensors"
    shutil.copyfile(weights, both / "model.safetensors")
    with pytest.raises(ModelError, match="not quantized") as caught:
        backend.runtime.load(both, "pytorch_model.bin", threads=1)
    assert "Remove model.safetensors" in caught.value.hint


def test_an_ordinary_pytorch_model_bin_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    shutil.copytree(models["distilbert"], tmp_path / "plain")
    weights = tmp_path / "plain" / "model.safetensors"
    torch.save(load_file(weights), tmp_path / "plain" / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(ModelError, match="not quantized"):
        backend.runtime.load(tmp_path / "plain", "pytorch_model.bin", threads=1)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kind", ["inc-static", "inc-dynamic"])
def test_the_weights_file_loads_without_unpickling_code(
    kind: str, architecture: str, quantized: Make
) -> None:
    import torch

    folder, done = quantized(kind, architecture)
    state = torch.load(folder / done.model_file, weights_only=True)
    assert "best_configure" in state
    configs = [file.read_text() for file in sorted(folder.glob("*config.json"))]
    text = "".join((repr(state["best_configure"]), *configs))
    assert str(folder) not in text
    assert str(Path.cwd()) not in text
    assert "nc_workspace" not in text


def test_calibration_on_disk_is_what_was_fed(quantized: Make) -> None:
    import torch

    folder, done = quantized("inc-static", "distilbert")
    state = torch.load(folder / done.model_file, weights_only=True)
    assert state["best_configure"]["calib_sampling_size"] == 10
    config = json.loads((folder / "inc_config.json").read_text())
    assert config["quantization"] == {"dataset_num_samples": 10, "is_static": True}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_incmodel_loads_it_as_users_do_with_equal_logits(
    architecture: str, quantized: Make, batches: dict[str, list[Arrays]]
) -> None:
    import torch
    from optimum.intel.neural_compressor import INCModelForSequenceClassification

    folder, done = quantized("inc-static", architecture)
    loaded = INCModelForSequenceClassification.from_pretrained(folder)
    assert loaded.model.config._attn_implementation == "eager"
    assert backend.count_quantized_modules(loaded.model) == done.nodes_quantized
    ours = backend.runtime.load(folder, done.model_file, threads=1)
    for batch in batches[architecture]:
        with torch.no_grad():
            theirs = loaded(**{name: torch.from_numpy(a) for name, a in batch.items()}).logits
        assert np.array_equal(theirs.numpy(), ours.run(batch)["logits"])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_was_quantized_is_what_is_loaded(
    architecture: str,
    models: dict[str, Path],
    batches: dict[str, list[Arrays]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Eager attention on both sides: quantized with sdpa, the reload differs by 0.06."""
    import torch
    from optimum.intel.neural_compressor import INCQuantizer

    in_memory: list[torch.nn.Module] = []
    really = INCQuantizer.quantize

    def quantize(self: INCQuantizer, *given: object, **more: object) -> None:
        really(self, *given, **more)
        in_memory.append(self._quantized_model)

    monkeypatch.setattr(INCQuantizer, "quantize", quantize)
    rows = batches[architecture]
    backend.static.quantize(models[architecture], tmp_path / "out", STATIC, rows)
    session = backend.runtime.load(tmp_path / "out", "pytorch_model.bin", threads=1)
    for batch in rows:
        with torch.no_grad():
            made = in_memory[0](**{n: torch.from_numpy(a) for n, a in batch.items()})["logits"]
        assert np.array_equal(made.numpy(), session.run(batch)["logits"])
    # At this size both attentions round alike; at that of a real model they do not.
    loaded = backend.load_quantized(tmp_path / "out")
    attention = [
        [type(m).__name__ for m in model.modules() if "ttention" in type(m).__name__]
        for model in (in_memory[0], loaded)
    ]
    assert attention[0] == attention[1] != []


def test_fp32_has_no_quantized_module(models: dict[str, Path]) -> None:
    from hubkit.backends.torch import load_model

    assert backend.count_quantized_modules(load_model(models["bert"])) == 0


@pytest.mark.parametrize(
    ("pattern", "modules"), [("classifier", 1), (r".*layer\.0\.attention\..*_lin", 4)]
)
def test_excluded_modules_stay_fp32(
    pattern: str,
    modules: int,
    quantized: Make,
    models: dict[str, Path],
    batches: dict[str, list[Arrays]],
    tmp_path: Path,
) -> None:
    _, every = quantized("inc-static", "distilbert")
    spec = STATIC.model_copy(update={"node_exclusion": (pattern,)})
    done = backend.static.quantize(
        models["distilbert"], tmp_path / "out", spec, batches["distilbert"]
    )
    assert done.nodes_excluded == {pattern: modules}
    assert done.nodes_quantized == (every.nodes_quantized or 0) - modules
    loaded = backend.load_quantized(tmp_path / "out")
    names = {n for n, m in loaded.named_modules() if ".quantized." in type(m).__module__}
    classifier_is_int8 = any(name.startswith("classifier") for name in names)
    assert classifier_is_int8 is (pattern != "classifier")


def test_a_model_left_wholly_fp32_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    spec = IncDynamic(kind="inc-dynamic", node_exclusion=(".*",))
    with pytest.raises(ModelError):
        backend.dynamic.quantize(models["distilbert"], tmp_path / "out", spec)


def test_a_calibration_method_that_it_has_not_is_an_error(
    models: dict[str, Path], batches: dict[str, list[Arrays]], tmp_path: Path
) -> None:
    spec = STATIC.model_copy(update={"calibration": Calibration(method="percentile")})
    with pytest.raises(RecipeError, match="percentile") as caught:
        backend.static.quantize(models["distilbert"], tmp_path / "o", spec, batches["distilbert"])
    assert "minmax" in caught.value.hint


def test_the_calibration_method_makes_a_difference(
    quantized: Make,
    models: dict[str, Path],
    batches: dict[str, list[Arrays]],
    tmp_path: Path,
) -> None:
    minmax, _ = quantized("inc-static", "distilbert")
    spec = STATIC.model_copy(update={"calibration": Calibration(method="entropy")})
    backend.static.quantize(models["distilbert"], tmp_path / "o", spec, batches["distilbert"])
    weights = [folder / "pytorch_model.bin" for folder in (minmax, tmp_path / "o")]
    assert weights[0].read_bytes() != weights[1].read_bytes()


def dynamic(models: dict[str, Path], output: Path, *, reduce_range: bool | None) -> Quantized:
    spec = IncDynamic(kind="inc-dynamic", reduce_range=reduce_range)
    return backend.dynamic.quantize(models["bert"], output, spec)


def test_dynamic_activations_have_eight_bits_where_the_target_adds_them_up_right(
    models: dict[str, Path], batches: dict[str, list[Arrays]], tmp_path: Path
) -> None:
    """PyTorch takes 7 of itself. Users load it with INCModel, and so does the runtime."""
    from hubkit.backends.torch import runtime

    fp32 = runtime.load(models["bert"], "model.safetensors", threads=1)
    distance = {}
    for narrow in (True, False):
        output = tmp_path / str(narrow)
        assert dynamic(models, output, reduce_range=narrow).reduce_range is narrow
        int8 = backend.runtime.load(output, "pytorch_model.bin", threads=1)
        distance[narrow] = sum(
            float(np.abs(int8.run(batch)["logits"] - fp32.run(batch)["logits"]).mean())
            for batch in batches["bert"]
        )
    assert 0 < distance[False] < 0.8 * distance[True]


def test_how_many_bits_goes_by_this_machine_where_the_spec_is_silent(
    models: dict[str, Path], tmp_path: Path
) -> None:
    from hubkit.machine import this_target

    done = dynamic(models, tmp_path / "out", reduce_range=None)
    assert done.reduce_range is this_target().reduce_range


def test_why_it_failed_is_said_and_nothing_is_printed(
    models: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """It prints a traceback, returns None, and optimum-intel raises something else of it."""
    from neural_compressor.adaptor.pytorch import PyTorch_FXAdaptor

    def quantize(*given: object) -> None:
        raise ValueError("no such kernel")

    monkeypatch.delenv("HUBKIT_DEBUG", raising=False)
    monkeypatch.setattr(PyTorch_FXAdaptor, "quantize", quantize)
    capfd.readouterr()
    with pytest.raises(ModelError, match="no such kernel"):
        backend.dynamic.quantize(models["bert"], tmp_path / "out", IncDynamic(kind="inc-dynamic"))
    assert capfd.readouterr() == ("", "")


def test_onnx_and_pytorch_folders_have_the_same_tokenizer(quantized: Make) -> None:
    """They go into one repository."""
    onnx, _ = quantized("onnx-dynamic", "bert")
    inc, _ = quantized("inc-static", "bert")
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        assert (onnx / name).read_bytes() == (inc / name).read_bytes(), name


def test_the_working_folder_setting_is_given_back(quantized: Make) -> None:
    from neural_compressor.config import options

    quantized("inc-static", "distilbert")
    assert options.workspace.startswith("./nc_workspace")
    assert not (Path.cwd() / "nc_workspace").exists()
