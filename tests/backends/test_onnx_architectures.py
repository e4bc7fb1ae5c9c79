"""Level 3 on architectures that it was not made for: the same answers, or the graph as it was."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from hubkit.backends import exporter_for, quantizer_for
from hubkit.backends.onnx_optimizer import optimize, rewritten
from hubkit.recipe import FrameworkArgs, OnnxDynamic
from tests.tiny import make_tiny_model

if TYPE_CHECKING:
    from hubkit.backends.base import Arrays, Outputs

Sizes = dict[str, object]
Exported = Callable[[str, str], Path]

_BERT: Sizes = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 66,
    "initializer_range": 0.4,
}
_ROBERTA: Sizes = {**_BERT, "type_vocab_size": 1, "pad_token_id": 1, "bos_token_id": 0}
_DEBERTA: Sizes = {
    **_BERT,
    "relative_attention": True,
    "pos_att_type": ["p2c", "c2p"],
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "position_buckets": 16,
    "position_biased_input": False,
    "type_vocab_size": 0,
}
_MODERN: Sizes = {
    **_BERT,
    "num_hidden_layers": 4,
    "local_attention": 8,
    "global_attn_every_n_layers": 2,
    "pad_token_id": 0,
    "cls_token_id": 2,
    "sep_token_id": 3,
}
ARCHITECTURES: dict[str, Sizes] = {
    "DistilBert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64},
    "Bert": _BERT,
    "Roberta": _ROBERTA,
    "XLMRoberta": _ROBERTA,
    "Camembert": _ROBERTA,
    "Albert": {**_BERT, "embedding_size": 16},
    "Electra": {**_BERT, "embedding_size": 16},
    "DebertaV2": _DEBERTA,
    "MPNet": {**_BERT, "pad_token_id": 1},
    "MobileBert": {**_BERT, "embedding_size": 16, "intra_bottleneck_size": 16},
    "GPT2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 66, "pad_token_id": 0},
    "ModernBert": _MODERN,
}
HEADS = {
    "text-classification": "ForSequenceClassification",
    "token-classification": "ForTokenClassification",
    "question-answering": "ForQuestionAnswering",
    "feature-extraction": "Model",
}
# Each of them in the default run; the rest, which cost a second each, with the conformance tests.
_USUAL = [("Roberta", "text-classification"), ("Bert", "feature-extraction")]
# transformers 4.50 has no such class; optimum does not export it.
_ABSENT = {("ModernBert", "question-answering"), ("GPT2", "question-answering")}
CASES = [
    pytest.param(name, task, marks=() if (name, task) in _USUAL else pytest.mark.conformance)
    for name in ARCHITECTURES
    for task in HEADS
    if (name, task) not in _ABSENT
]


@pytest.fixture(scope="session", name="exported")
def _exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """(architecture, task) -> FP32 ONNX folder; made once."""
    made: dict[tuple[str, str], Path] = {}

    def export(name: str, task: str) -> Path:
        import torch
        import transformers

        if (name, task) not in made:
            folder = make_tiny_model(tmp_path_factory.mktemp("source") / "model")
            size = len((folder / "vocab.txt").read_text(encoding="utf-8").split())
            torch.manual_seed(3)
            labels = {"num_labels": 3} if "classification" in task else {}
            sizes = {"vocab_size": size, **labels, **ARCHITECTURES[name]}
            config = getattr(transformers, f"{name}Config")(**sizes)
            model = getattr(transformers, f"{name}{HEADS[task]}")(config).eval()
            with torch.no_grad():
                for weight in model.parameters():
                    if weight.ndim == 1:  # zeros and ones would hide a bias that is mislaid
                        weight.add_(torch.randn_like(weight) * 0.2)
            model.save_pretrained(folder)
            output = folder.parent / "onnx"
            exporter_for("onnx").export(folder, output, task=task)
            made[name, task] = output
        return made[name, task]

    return export


def _batches(size: int, pad: int, *, types: int) -> list[tuple[Arrays, np.ndarray]]:
    """Batches of one and of eight rows, of one token to as many as there are positions, and which
    tokens are real: rows with padding on either side, and in the larger ones a row of nothing
    else."""
    random = np.random.default_rng(1)
    found = []
    for rows, length in ((1, 1), (1, 7), (8, 1), (8, 7), (8, 64)):
        mask = np.ones((rows, length), np.int64)
        if rows > 1 and length > 1:
            for row in range(1, rows):
                count = int(random.integers(1, length))
                mask[row] = np.arange(length) < count
                mask[row] = mask[row][:: (-1) ** row]
            mask[-1] = 0
        ids = np.where(mask == 1, random.integers(7, size, mask.shape), pad)
        kinds = np.zeros_like(ids)
        kinds[:, length // 2 :] = min(1, types - 1)
        places = np.arange(length) + np.zeros_like(ids)
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": kinds}
        feed["position_ids"] = places  # what GPT-2 has without a head
        found.append((feed, mask.astype(bool)))
    return found


def _run(folder: Path, batch: Arrays) -> Outputs:
    from hubkit.backends.onnxruntime import runtime

    return runtime.load(folder, "model.onnx", threads=1).run(batch)


def _furthest(one: Outputs, other: Outputs, mask: np.ndarray) -> float:
    """Of rows that have a token, and of outputs for each token those of real ones."""
    assert one.keys() == other.keys()
    found = []
    for name, expected in one.items():
        by_token = expected.shape[:2] == mask.shape and expected.ndim > 1 and mask.shape[1] > 3
        kept = mask if by_token else mask.any(axis=1)
        found.append(float(np.abs(other[name][kept] - expected[kept]).max()))
    return max(found)


def _settings(folder: Path) -> dict[str, int]:
    found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return {
        "size": found["vocab_size"],
        "pad": found.get("pad_token_id") or 0,
        "types": found.get("type_vocab_size") or 1,
    }


@pytest.mark.parametrize(("name", "task"), CASES)
def test_it_answers_as_before(name: str, task: str, exported: Exported, tmp_path: Path) -> None:
    plain = exported(name, task)
    optimize(plain, tmp_path, level=3)
    assert not rewritten(tmp_path / "model.onnx").startswith("nothing"), "some of it is known"
    for batch, mask in _batches(**_settings(plain)):
        assert _furthest(_run(plain, batch), _run(tmp_path, batch), mask) < 1e-4


@pytest.mark.parametrize("level", [0, 3])
def test_weights_that_layers_share_are_quantized_for_all_of_them_and_kept_once(
    level: int, exported: Exported, tmp_path: Path
) -> None:
    """ALBERT has one layer, which it goes through again and again."""
    import onnx

    plain = exported("Albert", "text-classification")
    source = tmp_path / "source"
    spec = OnnxDynamic(kind="onnx-dynamic", framework_args=FrameworkArgs(optimization_level=level))
    if level:
        optimize(plain, source, level=3)
    output = tmp_path / "int8"
    done = quantizer_for(spec).quantize(source if level else plain, output, spec, [])
    assert done.nodes_quantized == 3 + 1 + 2 * 6 + 2, "look-ups, embeddings, layers, head"
    weights = onnx.load(str(output / "model.onnx")).graph.initializer
    matrices = Counter(tuple(one.dims) for one in weights if len(one.dims) == 2 and one.dims[1] > 1)
    # Level 3 has the scale of the scores in the weights of queries, of layers that it knows.
    queries = 2 if level else 1
    assert matrices[32, 32] == queries + 3 + 1, "with keys, values and results; and the pooler"
    assert matrices[32, 64] == matrices[64, 32] == 1
