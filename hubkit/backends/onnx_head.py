"""A projection in an ONNX graph: pooling over the tokens, then one Gemm and what follows it, once a
text.

Its nodes are named /hubkit_projection/…, by which costs are told apart and quantizers let it alone:
it is 96 by 768 numbers where the Transformer has 65 million, and rounding them would save nothing.

    mean: Unsqueeze(attention_mask) -> Cast -> Mul with last_hidden_state -> ReduceSum -> Div by
          ReduceSum of the mask, at least 1 (Clip) -> Gemm
    cls:  Gather of the first token -> Gemm
    then, where the model has them: Tanh, Relu, Sigmoid or what GELU is made of (Erf), and the
    vector divided by its length

A padded token is multiplied by 0, so that padding changes nothing. The mean is a product and a sum,
not a MatMul, which quantizers would take for one of the attention.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.backends import onnx_files
from hubkit.backends.projection import EMBEDDING, LEAST_LENGTH, Projection
from hubkit.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto

    from hubkit.backends.projection import Activation, Matrix

# No exporter gives such a name: a model may have a module called head, as ModernBERT has.
PREFIX = "/hubkit_projection/"
_STATES, _MASK = "last_hidden_state", "attention_mask"
_AXES_ARE_INPUTS = 13  # the opset from which on Unsqueeze and ReduceSum take them so


def is_head(name: str) -> bool:
    """Whether a node of that name is of a projection."""
    return name.startswith(PREFIX)


def add_head(path: Path, projection: Projection) -> None:
    """Append a projection to an exported encoder, in place: the output `sentence_embedding`
    float32[batch, dimensions] beside `last_hidden_state`.

    Raises ModelError where the graph has no attention mask or no such output.
    """
    import onnx

    model = onnx.load(str(path))
    onnx_files.remove(path)
    write_head(model, projection)
    onnx.checker.check_model(model)
    onnx_files.save(model, path)


def write_head(model: ModelProto, projection: Projection) -> None:
    """The same of a graph in memory."""
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    inputs, outputs = ({one.name for one in some} for some in (graph.input, graph.output))
    if _STATES not in outputs or (projection.pooling == "mean" and _MASK not in inputs):
        raise ModelError(
            f"the exported graph has no {_STATES} or no {_MASK}: a projection cannot be put on it",
            hint="Leave base.project out, or name a base of another architecture.",
        )
    head = _Head(max(one.version for one in model.opset_import if one.domain in ("", "ai.onnx")))
    vector = head.mean() if projection.pooling == "mean" else head.first()
    if projection.weight is not None and projection.bias is not None:
        vector = head.linear(vector, projection.weight, projection.bias)
        vector = head.activated(vector, projection.activation)
    if projection.normalized:
        vector = head.normalized(vector)
    head.nodes[-1].output[0] = EMBEDDING
    graph.node.extend(head.nodes)
    for name, array in head.constants.items():
        graph.initializer.append(numpy_helper.from_array(array, name))
    batch = next(one for one in graph.output if one.name == _STATES).type.tensor_type.shape.dim[0]
    graph.output.append(
        helper.make_tensor_value_info(
            EMBEDDING,
            TensorProto.FLOAT,
            [batch.dim_param or "batch_size", projection.dimensions],
        )
    )


class _Head:
    """The nodes and constants of a projection, as they are made."""

    def __init__(self, opset: int) -> None:
        self._opset = opset
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, NDArray[np.generic]] = {}

    def constant(self, name: str, array: NDArray[np.generic]) -> str:
        self.constants[f"hubkit_projection.{name}"] = array
        return f"hubkit_projection.{name}"

    def mean(self) -> str:
        """The mean of the states over the tokens that are no padding."""
        import numpy as np
        from onnx import TensorProto

        wide = self._over("Unsqueeze", "Unsqueeze", _MASK, -1)
        mask = self._node("Cast", "Cast", [wide], to=TensorProto.FLOAT)
        kept = self._node("Mul", "Mul", [_STATES, mask])
        total = self._over("ReduceSum", "ReduceSum", kept, 1, keepdims=0)
        counted = self._over("ReduceSum", "ReduceSum_1", mask, 1, keepdims=0)
        least = self.constant("least_tokens", np.asarray(1, dtype=np.float32))
        tokens = self._node("Clip", "Clip", [counted, least])
        return self._node("Div", "Div", [total, tokens])

    def first(self) -> str:
        """The state of the first token."""
        import numpy as np

        at = self.constant("first_token", np.asarray(0, dtype=np.int64))
        return self._node("Gather", "Gather", [_STATES, at], axis=1)

    def linear(self, vector: str, weight: Matrix, bias: Matrix) -> str:
        given = [vector, self.constant("weight", weight), self.constant("bias", bias)]
        return self._node("Gemm", "Gemm", given, transB=1)

    def activated(self, vector: str, activation: Activation) -> str:
        """The activation as torch has it by default: GELU by the error function."""
        import numpy as np

        if activation == "Identity":
            return vector
        if activation != "GELU":
            name = {"Tanh": "Tanh", "ReLU": "Relu", "Sigmoid": "Sigmoid"}[activation]
            return self._node(name, name, [vector])
        root = self.constant("root_of_half", np.asarray(0.5**0.5, dtype=np.float32))
        one = self.constant("one", np.asarray(1, dtype=np.float32))
        half = self.constant("half", np.asarray(0.5, dtype=np.float32))
        inside = self._node("Mul", "GELU_Mul", [vector, root])
        error = self._node("Add", "GELU_Add", [self._node("Erf", "GELU_Erf", [inside]), one])
        twice = self._node("Mul", "GELU_Mul_1", [vector, error])
        return self._node("Mul", "GELU_Mul_2", [twice, half])

    def normalized(self, vector: str) -> str:
        """The vector of length 1."""
        import numpy as np

        square = self._node("Mul", "Normalize_Mul", [vector, vector])
        total = self._over("ReduceSum", "Normalize_ReduceSum", square, -1, keepdims=1)
        length = self._node("Sqrt", "Normalize_Sqrt", [total])
        least = self.constant("least_length", np.asarray(LEAST_LENGTH, dtype=np.float32))
        clipped = self._node("Clip", "Normalize_Clip", [length, least])
        return self._node("Div", "Normalize_Div", [vector, clipped])

    def _over(self, op: str, name: str, given: str, axis: int, **options: int) -> str:
        """An operator over one axis, which opsets write in two ways."""
        import numpy as np

        if self._opset < _AXES_ARE_INPUTS:
            # Unsqueeze of opset 11 takes negative axes, too.
            return self._node(op, name, [given], axes=[axis], **options)
        where = self.constant(f"axis_{axis}".replace("-", "last_"), np.asarray([axis], np.int64))
        return self._node(op, name, [given, where], **options)

    def _node(self, op: str, name: str, inputs: Iterable[str], **options: int | list[int]) -> str:
        from onnx import helper

        output = f"{PREFIX}{name}_output_0"
        node = helper.make_node(op, list(inputs), [output], name=f"{PREFIX}{name}", **options)
        self.nodes.append(node)
        return output
