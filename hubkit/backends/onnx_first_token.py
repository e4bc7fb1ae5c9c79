"""What a graph computes for tokens that nobody reads, taken out of it.

A classifier of whole texts reads the last layer at its first token alone; the projection behind the
attention and the feed-forward part of that layer treat each token by itself, so they need not be
computed for the others, nor the attention's queries. The numbers that come out are the same: it is
the same graph with `x[:, :1]` taken before these operators and not after them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

# Operators that treat each token by itself, and which of their inputs are tokens: "all" that are
# no weights, where a weight may be no more than one value a channel.
_BY_TOKEN = {
    **dict.fromkeys(("LayerNormalization", "SimplifiedLayerNormalization"), (0,)),
    **dict.fromkeys(("SkipLayerNormalization", "SkipSimplifiedLayerNormalization"), (0, 1)),
    **dict.fromkeys(("BiasGelu", "FastGelu", "Gelu", "Relu", "Tanh", "Erf", "Sigmoid"), (0,)),
    **dict.fromkeys(("MatMul", "Identity"), (0,)),
    **dict.fromkeys(("Add", "Mul", "Sub", "Div", "Sum"), (0, 1)),
    "MultiHeadAttention": (0,),  # of a query's result no other query is part
}
_NORMALIZATIONS = {"LayerNormalization", "SimplifiedLayerNormalization"}
_SLICE = "first_token"
_RANK = 3  # rows, tokens, channels


def keep_first_token(model: ModelProto) -> int:
    """Compute for the first token alone what only it is read of, in place; gives how many operators
    of the graph then do.

    Nothing is done where another token is read, or the tensor itself is an output of the model.
    """
    graph = model.graph
    found = _Search.of(graph)
    for node in graph.node:
        if _reads_first(node, found.constants):
            found.demand(node.input[0])
    if not found.narrow:
        return 0
    _write(graph, found)
    return len(found.narrow)


@dataclass
class _Search:
    """Which nodes need no more than the first token."""

    ranks: Mapping[str, int]  # of the weights
    constants: Mapping[str, list[int]]  # the integers of small ones
    producers: Mapping[str, NodeProto]
    readers: Mapping[str, list[NodeProto]]
    outputs: frozenset[str]
    flat: frozenset[str]  # tensors that are known to have no axis of tokens
    narrow: dict[int, NodeProto] = field(default_factory=dict)  # by id

    @classmethod
    def of(cls, graph: GraphProto) -> _Search:
        readers: dict[str, list[NodeProto]] = {}
        for node in graph.node:
            for name in dict.fromkeys(filter(None, node.input)):
                readers.setdefault(name, []).append(node)
        return cls(
            ranks={name: len(one.dims) for name, one in _weights(graph).items()},
            constants=_small_integers(graph),
            producers={name: node for node in graph.node for name in node.output if name},
            readers=readers,
            outputs=frozenset(one.name for one in graph.output),
            flat=frozenset(
                one.name
                for one in graph.value_info
                if one.type.tensor_type.HasField("shape")
                and len(one.type.tensor_type.shape.dim) != _RANK
            ),
        )

    def demand(self, tensor: str) -> None:
        """Mark what makes a tensor, as far as all who read it need no more than its first token."""
        node = self.producers.get(tensor)
        done = node is None or id(node) in self.narrow or tensor in self.flat
        if node is None or done or not self._is_narrow(node):
            return
        self.narrow[id(node)] = node
        for name in self.tokens_of(node):
            self.demand(name)

    def _is_narrow(self, node: NodeProto) -> bool:
        written = [name for name in node.output if name]
        if node.op_type not in _BY_TOKEN or set(written) & self.outputs:
            return False
        if not self._by_token(node) or any(self.readers.get(name) for name in written[1:]):
            return False
        return all(self._needs_first_only(one, written[0]) for one in self.readers[written[0]])

    def _needs_first_only(self, reader: NodeProto, tensor: str) -> bool:
        if _reads_first(reader, self.constants):
            return True
        return id(reader) in self.narrow and tensor in self.tokens_of(reader)

    def _by_token(self, node: NodeProto) -> bool:
        if node.op_type == "MatMul":  # by a matrix of weights
            return self.ranks.get(node.input[1]) == 2 and node.input[0] not in self.ranks
        if node.op_type in _NORMALIZATIONS:
            return _integer(node, "axis", -1) == -1
        if node.op_type == "MultiHeadAttention":
            # Own keys and values, and nothing that has a value for each query.
            plain = not any([*node.input, *[""] * 10][5:10]) and len(node.input) > 2
            own = all(node.input[1:3]) and node.input[0] not in node.input[1:3]
            return plain and own and not _integer(node, "unidirectional", 0)
        if node.op_type in {"Add", "Mul", "Sub", "Div", "Sum"}:
            return all(self.ranks.get(name, 0) <= 1 for name in node.input) and self._same_rank(
                node
            )
        return True

    def _same_rank(self, node: NodeProto) -> bool:
        """Whether both operands are tokens: one that is neither those nor a weight may be shaped
        in any way."""
        computed = [name for name in node.input if name not in self.ranks]
        return len(computed) == 1 or all(
            getattr(self.producers.get(name), "op_type", "") in _BY_TOKEN for name in computed
        )

    def tokens_of(self, node: NodeProto) -> list[str]:
        """The inputs of a node that hold a row for each token."""
        places = _BY_TOKEN[node.op_type]
        names = [node.input[place] for place in places if place < len(node.input)]
        return list(dict.fromkeys(name for name in names if name and name not in self.ranks))


def _weights(graph: GraphProto) -> dict[str, TensorProto]:
    tensors = {one.name: one for one in graph.initializer}
    for node in graph.node:
        values = [one.t for one in node.attribute if one.name == "value"]
        if node.op_type == "Constant" and values:
            tensors[node.output[0]] = values[0]
    return tensors


def _small_integers(graph: GraphProto) -> dict[str, list[int]]:
    from onnx import TensorProto, numpy_helper

    return {
        name: [int(value) for value in numpy_helper.to_array(one).ravel()]
        for name, one in _weights(graph).items()
        if one.data_type == TensorProto.INT64 and len(one.dims) == 0
    }


def _reads_first(node: NodeProto, constants: Mapping[str, list[int]]) -> bool:
    """Whether a node is `x[:, 0]`."""
    if node.op_type != "Gather" or _integer(node, "axis", 0) != 1:
        return False
    return constants.get(node.input[1]) == [0]


def _integer(node: NodeProto, name: str, default: int) -> int:
    found: list[AttributeProto] = [one for one in node.attribute if one.name == name]
    return int(found[0].i) if found else default


def _write(graph: GraphProto, found: _Search) -> None:
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    made = {name for node in found.narrow.values() for name in node.output}
    bounds = {"start": 0, "stop": 1, "axis": 1}
    for name, value in bounds.items():
        array = np.array([value], np.int64)
        graph.initializer.append(numpy_helper.from_array(array, f"{_SLICE}_{name}"))
    nodes: list[NodeProto] = []
    cut: dict[str, str] = {}
    for node in graph.node:
        if id(node) in found.narrow:
            tokens = set(found.tokens_of(node)) - made
            for name in sorted(tokens - set(cut)):
                cut[name] = f"{name}_{_SLICE}"
                inputs = [name, *(f"{_SLICE}_{bound}" for bound in bounds)]
                nodes.append(helper.make_node("Slice", inputs, [cut[name]], name=cut[name]))
            for place in _BY_TOKEN[node.op_type]:
                if place < len(node.input) and node.input[place] in tokens:
                    node.input[place] = cut[node.input[place]]
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    kept = [one for one in graph.value_info if one.name not in made]  # their shapes have changed
    kept += [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in sorted(made) if n]
    del graph.value_info[:]
    graph.value_info.extend(kept)
