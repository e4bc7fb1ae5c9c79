"""Graph optimization before quantizing: another graph, the same numbers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from hubkit.backends.node_patterns import read_graph
from hubkit.backends.onnx_optimizer import optimize, rewritten
from hubkit.errors import ModelError
from hubkit.keys import digest_of_file, files_of
from tests.backends.conftest import ARCHITECTURES, GraphAt

if TYPE_CHECKING:
    from hubkit.backends.base import Arrays

FUSED = {"Attention": 2, "SkipLayerNormalization": 4, "BiasGelu": 2}


def _run(folder: Path, batch: Arrays) -> np.ndarray:
    """The logits of the graph as it is in the file: onnxruntime optimizes nothing."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
    logits: np.ndarray = session.run(None, {i.name: batch[i.name] for i in session.get_inputs()})[0]
    return logits


def _left_padded(batch: Arrays) -> Arrays:
    lengths = batch["attention_mask"].sum(axis=1)
    return {
        name: np.stack([np.roll(row, -int(n)) for row, n in zip(array, lengths, strict=True)])
        for name, array in batch.items()
    }


def _counts(folder: Path) -> Counter[str]:
    return Counter(node.op for node in read_graph(folder / "model.onnx").nodes)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("level", [1, 2, 3, 99])
@pytest.mark.parametrize("opset", [11, 14, None, 20, 23])
def test_the_same_numbers_come_of_a_graph_of_fewer_nodes(
    architecture: str,
    opset: int | None,
    level: int,
    graph_at: GraphAt,
    batches: dict[str, list[Arrays]],
) -> None:
    before, after = (graph_at(architecture, opset, one) for one in (0, level))
    assert sum(_counts(after).values()) < sum(_counts(before).values())
    assert read_graph(after / "model.onnx").opset == (opset or 18)
    for batch in batches[architecture]:
        assert not batch["attention_mask"].all(), "nothing is padded"
        for padded in (batch, _left_padded(batch)):
            assert np.abs(_run(after, padded) - _run(before, padded)).max() < 1e-4


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("opset", [14, None, 20, 23])
def test_each_level_does_what_it_says(
    architecture: str, opset: int | None, graph_at: GraphAt
) -> None:
    plain, basic, fused, every = (
        _counts(graph_at(architecture, opset, level)) for level in (0, 1, 2, 99)
    )
    for op in ("MatMul", "Gemm", "Softmax", "Erf", "Gelu", "LayerNormalization"):
        assert basic[op] == plain[op], "only constants are folded"
    assert not basic["Constant"]
    assert not basic["Identity"]
    assert {op: fused[op] for op in FUSED} == FUSED
    assert fused["MatMul"] == 6, "of each layer the attention's output and two more"
    # Embedding tables stay look-ups, which dynamic quantization makes a quarter the size.
    assert (fused["Gather"] >= 2, fused["LayerNormalization"]) == (True, 1)
    assert {op: every[op] for op in FUSED} == FUSED
    assert (every["EmbedLayerNormalization"], every["LayerNormalization"]) == (1, 0)


def test_eager_attention_below_opset_14_is_fused_where_onnxruntime_knows_its_form(
    graph_at: GraphAt,
) -> None:
    bert, distilbert = (_counts(graph_at(name, 11, 2)) for name in ("bert", "distilbert"))
    assert {op: bert[op] for op in FUSED} == FUSED
    assert {op: distilbert[op] for op in FUSED} == {**FUSED, "Attention": 0}


@pytest.mark.parametrize("level", [1, 2, 3, 99])
def test_every_node_has_a_name_of_its_own_and_the_other_files_are_there(
    level: int, graph_at: GraphAt
) -> None:
    before, after = (graph_at("bert", None, one) for one in (0, level))
    names = [node.name for node in read_graph(after / "model.onnx").nodes]
    assert all(names)
    assert len(names) == len(set(names))
    ours, theirs = files_of(after), files_of(before)
    assert ours.pop("model.onnx") != theirs.pop("model.onnx")
    assert ours == theirs


_IN_A_PROCESS = """
import sys
from pathlib import Path
from hubkit.backends.onnx_optimizer import optimize, rewritten
for level in (1, 2, 3, 99):
    optimize(Path(sys.argv[1]), Path(sys.argv[2]) / str(level), level=level)
"""


def test_another_process_makes_the_same_bytes_and_says_nothing(
    graph_at: GraphAt, tmp_path: Path
) -> None:
    source = shutil.copytree(graph_at("distilbert", None, 0), tmp_path / "elsewhere")
    before = files_of(source)
    ran = subprocess.run(
        [sys.executable, "-c", _IN_A_PROCESS, str(source), str(tmp_path / "made")],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert files_of(source) == before
    for level in (1, 2, 3, 99):
        made = graph_at("distilbert", None, level)
        assert files_of(tmp_path / "made" / str(level)) == files_of(made), level


def test_dynamic_quantization_takes_what_is_fused(graph_at: GraphAt, tmp_path: Path) -> None:
    """onnx cannot infer the types of fused operators, and the quantizer asks for them."""
    from onnxruntime.quantization import quantize_dynamic

    for level, look_up in ((2, "Gather"), (99, "EmbedLayerNormalization")):
        output = tmp_path / str(level)
        output.mkdir()
        quantize_dynamic(
            graph_at("bert", None, level) / "model.onnx",
            output / "model.onnx",
            op_types_to_quantize=["MatMul", "Attention", look_up],
        )
        counts = _counts(output)
        assert counts["QAttention"] == 2
        assert counts["MatMulInteger"] == 8
        assert counts["QEmbedLayerNormalization"] == (level == 99)


def _renamed(source: Path, folder: Path, **changes: object) -> Path:
    shutil.copytree(source, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    return folder


def test_an_architecture_that_the_optimizer_does_not_know_is_an_error(
    graph_at: GraphAt, tmp_path: Path
) -> None:
    strange = _renamed(graph_at("bert", None, 0), tmp_path / "squeezed", model_type="squeezebert")
    with pytest.raises(ModelError, match=r"squeezebert.*does not know") as caught:
        optimize(strange, tmp_path / "two", level=2)
    assert "optimization_level to 0 or 1" in caught.value.hint
    optimize(strange, tmp_path / "one", level=1)  # which asks for no architecture
    plain = digest_of_file(graph_at("bert", None, 1) / "model.onnx")
    assert digest_of_file(tmp_path / "one" / "model.onnx") == plain


def test_a_graph_in_which_nothing_can_be_fused_is_an_error(
    graph_at: GraphAt, tmp_path: Path
) -> None:
    from onnx import TensorProto, helper, save

    folder = shutil.copytree(graph_at("bert", None, 0), tmp_path / "other")
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["a", 2]) for n in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ends[:1], ends[1:])
    opset = helper.make_opsetid("", 17)
    save(helper.make_model(graph, opset_imports=[opset], ir_version=8), str(folder / "model.onnx"))
    with pytest.raises(ModelError, match="finds nothing to fuse"):
        optimize(folder, tmp_path / "out", level=2)


def _with_other_scale(source: Path, folder: Path) -> Path:
    """The model with the scores of its attention divided by three times what is usual: a pattern
    that onnxruntime's optimizer takes for the usual one."""
    import onnx
    from onnx import numpy_helper

    shutil.copytree(source, folder)
    model = onnx.load(str(folder / "model.onnx"))
    makers = {name: node for node in model.graph.node for name in node.output}
    weights = {one.name: one for one in model.graph.initializer}
    changed = 0
    for node in model.graph.node:
        if node.op_type != "Div" or makers[node.input[0]].op_type != "MatMul":
            continue
        by = node.input[1]
        tensor = weights[by] if by in weights else makers[by].attribute[0].t
        tensor.CopyFrom(
            numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(3), tensor.name)
        )
        changed += 1
    assert changed
    onnx.save(model, str(folder / "model.onnx"))
    return folder


def test_what_would_answer_otherwise_is_left_out_or_refused(
    graph_at: GraphAt, batches: dict[str, list[Arrays]], tmp_path: Path
) -> None:
    odd = _with_other_scale(graph_at("bert", 11, 0), tmp_path / "odd")
    for level in (2, 99):
        with pytest.raises(ModelError, match="it would answer otherwise, by") as caught:
            optimize(odd, tmp_path / str(level), level=level)
        assert "optimization_level" in caught.value.hint
    optimize(odd, tmp_path / "3", level=3)
    done = rewritten(tmp_path / "3" / "model.onnx")
    assert "Attention" not in done
    assert "BiasGelu 2" in done, "the rest is rewritten all the same"
    for batch in batches["bert"]:
        assert np.abs(_run(tmp_path / "3", batch) - _run(odd, batch)).max() < 1e-4


def test_level_3_takes_any_architecture_and_says_what_it_found(
    graph_at: GraphAt, tmp_path: Path
) -> None:
    plain = graph_at("bert", None, 0)
    known = rewritten(graph_at("bert", None, 3) / "model.onnx")
    assert known.startswith("Attention 2, BiasGelu 2, SkipLayerNormalization 4, first token ")
    strange = _renamed(plain, tmp_path / "strange", model_type="squeezebert")
    optimize(strange, tmp_path / "three", level=3)
    assert rewritten(tmp_path / "three" / "model.onnx") == known
    assert not rewritten(graph_at("bert", None, 1) / "model.onnx")


def test_weights_beside_the_file_are_refused(graph_at: GraphAt, tmp_path: Path) -> None:
    folder = shutil.copytree(graph_at("bert", None, 0), tmp_path / "large")
    (folder / "model.onnx_data").write_bytes(b"")
    with pytest.raises(ModelError, match="above 2 GB"):
        optimize(folder, tmp_path / "out", level=1)
