"""Layers taken out: by the names of every architecture, bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file

from hubkit.errors import ModelError
from hubkit.recipe import Prune
from hubkit.records import BaseModelInfo
from hubkit.stage import Context
from hubkit.stages.prune import PrunedModel, PruneInput, prune
from hubkit.store import Store

SIZES: dict[str, object] = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 6,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
}
DISTILBERT = {"dim": 16, "n_layers": 6, "n_heads": 2, "hidden_dim": 24}
KINDS: dict[str, tuple[str, dict[str, object], str]] = {
    "bert": ("Bert", SIZES, "num_hidden_layers"),
    "distilbert": ("DistilBert", {"vocab_size": 40, **DISTILBERT}, "n_layers"),
    "roberta": ("Roberta", SIZES, "num_hidden_layers"),
    "xlm-roberta": ("XLMRoberta", SIZES, "num_hidden_layers"),
    "camembert": ("Camembert", SIZES, "num_hidden_layers"),
    "electra": ("Electra", {**SIZES, "embedding_size": 8}, "num_hidden_layers"),
    "mpnet": ("MPNet", SIZES, "num_hidden_layers"),
    "deberta-v2": (
        "DebertaV2",
        {**SIZES, "relative_attention": True, "conv_kernel_size": 3},
        "num_hidden_layers",
    ),
}


def _make(kind: str, folder: Path, suffix: str = "ForSequenceClassification") -> None:
    name, sizes, _ = KINDS[kind]
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**sizes)
    getattr(transformers, f"{name}{suffix}")(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("[PAD]\n")


def _info(store: Store, folder: Path, kind: str) -> BaseModelInfo:
    with store.scratch() as scratch:
        artifact = store.adopt(folder.rename(scratch / "model"))
    return BaseModelInfo(
        artifact=artifact,
        architecture="any",
        model_type=kind,
        labels=("NEGATIVE", "POSITIVE"),
        num_parameters=12345,
        max_positions=40,
        weights_bytes=1,
    )


def _prune(store: Store, base: BaseModelInfo, layers: object) -> PrunedModel:
    plan = Prune.model_validate({"layers": layers})
    with store.scratch() as scratch:
        return prune(PruneInput(base=base, plan=plan), Context(store, scratch))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("layers", "kept"), [("every_second", (0, 2, 4)), ((1, 5), (1, 5))])
def test_layers_that_stay_are_the_bases_bit_for_bit(
    tmp_path: Path, kind: str, layers: object, kept: tuple[int, ...]
) -> None:
    _make(kind, tmp_path / "model")
    store = Store(tmp_path / "store")
    base = _info(store, tmp_path / "model", kind)
    made = _prune(store, base, layers)
    assert made.done.layers_kept == kept
    assert (made.done.layers_before, made.done.num_parameters_before) == (6, 12345)
    folder, count = store.path(made.base.artifact), KINDS[kind][2]
    assert json.loads((folder / "config.json").read_text())[count] == len(kept)
    assert (folder / "vocab.txt").read_text() == "[PAD]\n"
    # As transformers takes layers out of a model in memory.
    auto = transformers.AutoModelForSequenceClassification
    whole = auto.from_pretrained(store.path(base.artifact))
    below = whole.base_model
    stack = below.transformer if kind == "distilbert" else below.encoder
    stack.layer = torch.nn.ModuleList([stack.layer[at] for at in kept])
    loaded, told = auto.from_pretrained(folder, output_loading_info=True)
    assert not any(told[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    wanted, found = whole.state_dict(), loaded.state_dict()
    assert wanted.keys() == found.keys()
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)
    assert made.base.num_parameters == sum(
        tensor.numel() for tensor in load_file(folder / "model.safetensors").values()
    )
    assert made.base.weights_bytes == (folder / "model.safetensors").stat().st_size
    # The same again is the same bytes.
    assert _prune(store, base, layers) == made


def test_an_encoder_without_a_head(tmp_path: Path) -> None:
    _make("bert", tmp_path / "model", suffix="Model")
    store = Store(tmp_path / "store")
    made = _prune(store, _info(store, tmp_path / "model", "bert"), (5,))
    names = load_file(store.path(made.base.artifact) / "model.safetensors")
    assert {n.split(".")[2] for n in names if n.startswith("encoder.")} == {"0"}
    assert "pooler.dense.weight" in names


def test_a_layer_that_is_not_there(tmp_path: Path) -> None:
    _make("distilbert", tmp_path / "model")
    store = Store(tmp_path / "store")
    base = _info(store, tmp_path / "model", "distilbert")
    with pytest.raises(ModelError, match="there is no layer 6: the model has 6, 0 to 5"):
        _prune(store, base, (0, 6))


def test_nothing_to_take_out(tmp_path: Path) -> None:
    _make("bert", tmp_path / "model")
    store = Store(tmp_path / "store")
    base = _info(store, tmp_path / "model", "bert")
    with pytest.raises(ModelError, match="nothing is taken out: the model has 6 layers"):
        _prune(store, base, tuple(range(6)))


def test_heads_that_a_layer_lacks_go_with_it(tmp_path: Path) -> None:
    model = transformers.BertForSequenceClassification(transformers.BertConfig(**SIZES))
    model.prune_heads({1: [0], 4: [1]})
    model.save_pretrained(tmp_path / "model")
    store = Store(tmp_path / "store")
    base = _info(store, tmp_path / "model", "bert")
    made = _prune(store, base, (0, 2, 4))
    folder = store.path(made.base.artifact)
    assert json.loads((folder / "config.json").read_text())["pruned_heads"] == {"2": [1]}
    auto = transformers.AutoModelForSequenceClassification
    _, told = auto.from_pretrained(folder, output_loading_info=True)
    assert not any(told[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("gpt2", "architecture gpt2"),
        ("robreta", "did you mean roberta"),
        ("albert", "architecture albert cannot be taken out: its layers are one and the same set"),
    ],
)
def test_an_unknown_architecture_is_refused_by_name(tmp_path: Path, kind: str, said: str) -> None:
    _make("roberta", tmp_path / "model")
    store = Store(tmp_path / "store")
    base = _info(store, tmp_path / "model", kind)
    with pytest.raises(ModelError, match=said):
        _prune(store, base, "every_second")


def test_weights_that_lack_a_layer(tmp_path: Path) -> None:
    _make("bert", tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    config.write_text(config.read_text().replace('layers": 6', 'layers": 8'))
    store = Store(tmp_path / "store")
    base = _info(store, tmp_path / "model", "bert")
    with pytest.raises(ModelError, match="weights of layer 6"):
        _prune(store, base, "every_second")
