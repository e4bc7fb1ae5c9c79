"""The modules of sentence-transformers, against its own formulas: the folder is laid out by hand as
its versions 3 to 5 save it, and computed as their source does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from safetensors.torch import save_file

from hubkit.backends.embedding_modules import read_projection
from hubkit.backends.onnx_head import PREFIX, write_head
from hubkit.backends.projection import projection_of, write_projection
from hubkit.backends.torch_projection import with_projection
from hubkit.errors import ModelError

WIDTH, OUT = 6, 4
ACTIVATIONS = {
    "Identity": "torch.nn.modules.linear.Identity",
    **{name: f"torch.nn.modules.activation.{name}" for name in ("Tanh", "ReLU", "Sigmoid", "GELU")},
}


def layout(
    folder: Path,
    kinds: Sequence[str] = ("Transformer", "Pooling", "Dense", "Normalize"),
    *,
    activation: str = "Tanh",
    pooling: str = "cls_token",
    bias: bool = True,
    pickled: bool = False,
    width: int = WIDTH,
) -> torch.nn.Linear:
    """Write the files of those modules; gives the layer of Dense."""
    torch.manual_seed(3)
    layer = torch.nn.Linear(width, OUT, bias=bias)
    paths = ["" if kind == "Transformer" else f"{at}_{kind}" for at, kind in enumerate(kinds)]
    modules = [
        {
            "idx": at,
            "name": str(at),
            "path": path,
            "type": f"sentence_transformers.models.{kind}" if "." not in kind else kind,
        }
        for at, (kind, path) in enumerate(zip(kinds, paths, strict=True))
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    for kind, path in zip(kinds, paths, strict=True):
        config: dict[str, object] = {}
        if kind == "Pooling":
            modes = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")
            config = {f"pooling_mode_{one}": one == pooling for one in modes}
            config["word_embedding_dimension"] = width
        elif kind == "Dense":
            config = {"in_features": width, "out_features": OUT, "bias": bias}
            config["activation_function"] = ACTIVATIONS.get(activation, activation)
        else:
            continue
        (folder / path).mkdir()
        (folder / path / "config.json").write_text(json.dumps(config))
        if kind == "Dense":
            state = {f"linear.{name}": one.detach() for name, one in layer.named_parameters()}
            if pickled:
                torch.save(state, folder / path / "pytorch_model.bin")
            else:
                save_file(state, folder / path / "model.safetensors")
    return layer


def expected(
    states: torch.Tensor, mask: torch.Tensor, layer: torch.nn.Linear, activation: str, pooling: str
) -> torch.Tensor:
    """Pooling.forward, Dense.forward and Normalize.forward, one after the other."""
    if pooling == "cls_token":
        pooled = states[:, 0]
    else:
        wide = mask.unsqueeze(-1).expand(states.size()).float()
        pooled = torch.sum(states * wide, 1) / torch.clamp(wide.sum(1), min=1e-9)
    function = getattr(torch.nn, activation)()
    with torch.no_grad():
        return torch.nn.functional.normalize(function(layer(pooled)), p=2, dim=1)


def on_onnx(
    folder: Path, states: torch.Tensor, mask: torch.Tensor, opset: int
) -> NDArray[np.float32]:
    """The head of a folder on a graph whose hidden states are its input."""
    shape = ["batch", "tokens", WIDTH]
    given = [
        helper.make_tensor_value_info("states", TensorProto.FLOAT, shape),
        helper.make_tensor_value_info("attention_mask", TensorProto.INT64, shape[:2]),
    ]
    out = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, shape)
    node = helper.make_node("Identity", ["states"], ["last_hidden_state"], name="/Identity")
    graph = helper.make_graph([node], "encoder", given, [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    projection = projection_of(folder)
    assert projection is not None
    write_head(model, projection)
    onnx.checker.check_model(model, full_check=True)
    names = [one.name for one in model.graph.node]
    assert all(one.startswith(PREFIX) for one in names if one != "/Identity")
    assert len(set(names)) == len(names)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    feed = {"states": states.numpy(), "attention_mask": mask.numpy()}
    return np.asarray(session.run(["sentence_embedding"], feed)[0], dtype=np.float32)


class Encoder(torch.nn.Module):  # type: ignore[misc] # torch is not typed here
    """Gives the states that it is made with."""

    def __init__(self, states: torch.Tensor) -> None:
        super().__init__()
        self.states = states

    def forward(self, **_: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"last_hidden_state": self.states}


@pytest.mark.parametrize("pooling", ["cls_token", "mean_tokens"])
@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_every_runtime_computes_what_sentence_transformers_does(
    activation: str, pooling: str, tmp_path: Path
) -> None:
    layer = layout(tmp_path, activation=activation, pooling=pooling)
    states = torch.randn(2, 5, WIDTH)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    wanted = expected(states, mask, layer, activation, pooling).numpy()

    # As hubkit keeps it, in its own files.
    kept = tmp_path / "kept"
    kept.mkdir()
    write_projection(read_projection(tmp_path, "it"), kept)
    projection = projection_of(kept)
    assert projection is not None
    assert projection.normalized
    found = [
        projection.applied(states.numpy(), mask.numpy()),
        with_projection(Encoder(states), kept)(attention_mask=mask)["sentence_embedding"]
        .detach()
        .numpy(),
        on_onnx(kept, states, mask, 11),
        on_onnx(kept, states, mask, 18),
    ]
    for one in found:
        np.testing.assert_allclose(one, wanted, atol=1e-6)


@pytest.mark.parametrize("bias", [True, False])
def test_weights_may_be_pickled_and_without_a_bias(bias: bool, tmp_path: Path) -> None:
    layer = layout(tmp_path, bias=bias, pickled=True)
    found = read_projection(tmp_path, "it")
    assert found.weight is not None
    assert found.bias is not None
    np.testing.assert_array_equal(found.weight, layer.weight.detach().numpy())
    assert (found.bias == 0).all() == (not bias)


def test_a_pickle_runs_no_code(tmp_path: Path) -> None:
    layout(tmp_path, pickled=True)
    path = tmp_path / "2_Dense" / "pytorch_model.bin"
    torch.save({"linear.weight": Path("of a class")}, path)
    with pytest.raises(ModelError, match="holds more than weights"):
        read_projection(tmp_path, "it")


def test_without_dense_the_pooled_state_is_the_embedding(tmp_path: Path) -> None:
    layout(tmp_path, ("Transformer", "Pooling", "Normalize"))
    states, mask = torch.randn(2, 3, WIDTH), torch.ones(2, 3, dtype=torch.int64)
    wanted = torch.nn.functional.normalize(states[:, 0]).numpy()
    np.testing.assert_allclose(on_onnx(tmp_path, states, mask, 18), wanted, atol=1e-6)
    kept = tmp_path / "kept"
    kept.mkdir()
    write_projection(read_projection(tmp_path, "it"), kept)
    assert json.loads((kept / "modules.json").read_text())[2]["path"] == "2_Normalize"
    assert read_projection(kept, "it") == read_projection(tmp_path, "it")


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        (("Transformer", "Pooling", "Dense", "Dense"), "Transformer, Pooling, Dense, Dense"),
        (("Transformer", "Pooling", "LayerNorm"), "the module LayerNorm"),
        (("Transformer", "WordWeights", "Pooling"), "the module WordWeights"),
        (("Transformer", "LSTM", "Pooling"), "the module LSTM"),
        (("Transformer", "CNN", "Pooling"), "the module CNN"),
        (("Transformer", "Pooling", "custom.Own"), "the module custom.Own"),
        (("Transformer", "Pooling", "Normalize", "Dense"), "the modules Transformer, Pooling, Nor"),
        (("StaticEmbedding",), "the module StaticEmbedding"),
    ],
)
def test_other_modules_are_refused(kinds: tuple[str, ...], said: str, tmp_path: Path) -> None:
    layout(tmp_path, kinds)
    with pytest.raises(ModelError, match=said) as caught:
        read_projection(tmp_path, "me/it")
    assert "without modules.json" in caught.value.hint


@pytest.mark.parametrize("pooling", ["max_tokens", "mean_sqrt_len_tokens", "none at all"])
def test_other_pooling_is_refused(pooling: str, tmp_path: Path) -> None:
    layout(tmp_path, pooling=pooling)
    with pytest.raises(ModelError, match="pools its tokens in a way that is not known"):
        read_projection(tmp_path, "me/it")


@pytest.mark.parametrize("path", ["../2_Dense", "/etc"])
def test_modules_lie_in_the_model_s_own_folder(path: str, tmp_path: Path) -> None:
    layout(tmp_path)
    file = tmp_path / "modules.json"
    file.write_text(file.read_text().replace('"2_Dense"', json.dumps(path)))
    with pytest.raises(ModelError, match="is no folder beside it"):
        read_projection(tmp_path, "me/it")
