"""SmoothQuant on an ONNX graph: outliers of activations moved into the weights that read them.

A product X·W is the same with X/s and s·W, whatever s is, one value a channel. Activations have one
scale for all channels, so that a channel of large values takes the steps of all others; weights
have one for each output. s_j = max|X_j|^a / max|W_j|^(1-a) shares the difficulty out; a of 0 leaves
it all to the activations, of 1 to the weights.
Source: Xiao et al. 2023, "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large
Language Models", equation 4. onnxruntime's own needs a package that no longer has it.

Where the division goes: into a LayerNormalization that nothing else reads; into the values of the
attention whose result it is, for shares of values keep their channels; else it is one
multiplication in the graph. The last costs time, so it is made only where the rounding that it
saves is worth it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubkit.backends.onnx_head import is_head

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto, TensorProto

    from hubkit.backends.activation_statistics import Channels

# A multiplication is made where at most this part of the rounding noise is left.
WORTH_A_PRODUCT = 0.7
_GRID = tuple(step / 20 for step in range(21))
_NORMALIZATIONS = {"LayerNormalization", "SkipLayerNormalization"}


@dataclass(frozen=True)
class Smoothed:
    """What was done about one tensor. `kept_noise`: of the variance that rounding puts into the
    products, the part that is left, as the statistics foretell it."""

    tensor: str
    place: str  # "normalization", "values" or "product"
    alpha: float
    kept_noise: float


def product_inputs(model: ModelProto) -> tuple[str, ...]:
    """The tensors that products with weights read: those to have statistics of."""
    return tuple(_Graph.of(model).readers)


def smooth(
    model: ModelProto, channels: Mapping[str, Channels], alpha: float | None
) -> tuple[Smoothed, ...]:
    """Rewrite a float graph, in place, so that it quantizes better; its numbers stay the same.

    `alpha` None: of each tensor the one with the least rounding noise, by the statistics. A tensor
    that has none, or of which nothing is gained, stays as it is.
    """
    graph = _Graph.of(model)
    done = []
    for tensor, readers in graph.readers.items():
        seen = channels.get(tensor)
        weights = [graph.matrix(node) for node in readers]
        if seen is None or any(len(weight) != len(seen.most) for weight in weights):
            continue
        found = _best(seen, weights, alpha)
        place = graph.place_of(tensor)
        least = 1.0 if place != "product" else WORTH_A_PRODUCT
        if found is None or found.kept >= least:
            continue
        graph.divide(tensor, place, found.scale)
        for node in readers:
            graph.multiply(node, found.scale)
        done.append(Smoothed(tensor, place, found.alpha, found.kept))
    graph.write()
    return tuple(done)


@dataclass(frozen=True)
class _Scale:
    alpha: float
    scale: NDArray[np.float32]
    kept: float


def _best(
    seen: Channels, weights: Sequence[NDArray[np.float32]], alpha: float | None
) -> _Scale | None:
    import numpy as np

    weight = np.concatenate(weights, axis=1)
    before = _noise(seen, weight, np.ones(len(weight), np.float32))
    if not before > 0:
        return None
    found = []
    for one in (alpha,) if alpha is not None else _GRID:
        scale = _scale(seen.most, np.abs(weight).max(axis=1), one)
        found.append(_Scale(one, scale, _noise(seen, weight, scale) / before))
    return min(found, key=lambda one: one.kept)


def _scale(
    most: NDArray[np.float32], weight: NDArray[np.float32], alpha: float
) -> NDArray[np.float32]:
    """What the activations are divided by; their geometric mean is 1, and a channel that is always
    zero, on either side, keeps its own."""
    import numpy as np

    alive = (most > 0) & (weight > 0)
    if not alive.any():
        return np.ones_like(most)
    logs = alpha * np.log(most, where=alive, out=np.zeros(len(most)))
    logs -= (1 - alpha) * np.log(weight, where=alive, out=np.zeros(len(most)))
    logs -= logs[alive].mean()
    scale: NDArray[np.float32] = np.where(alive, np.exp(logs), 1).astype(np.float32)
    return scale


def _noise(seen: Channels, weight: NDArray[np.float32], scale: NDArray[np.float32]) -> float:
    """Variance of the rounding errors in all outputs of one product, in its own units: those of
    activations with 8 bits over their range, and those of weights with 8 bits a column.

    Of a uniform error in a step d the variance is d²/12.
    """
    import numpy as np

    scaled = weight * scale[:, None]
    low, high = (seen.low / scale).min(), (seen.high / scale).max()
    step = (max(float(high), 0.0) - min(float(low), 0.0)) / 255
    of_activations = step**2 / 12 * float(np.square(scaled).sum())
    steps = np.abs(scaled).max(axis=0) / 127
    power = float((seen.mean_square / np.square(scale)).sum())
    return of_activations + float(np.square(steps).sum()) / 12 * power


class _Graph:
    """A model with its weights at hand; what is changed is written by `write`."""

    def __init__(self, model: ModelProto) -> None:
        self._model = model
        self._weights: dict[str, TensorProto] = {one.name: one for one in model.graph.initializer}
        self._changed: dict[str, NDArray[np.float32]] = {}
        self._products: dict[str, NDArray[np.float32]] = {}
        self._made: dict[str, NDArray[np.float32]] = {}
        self._producers = {name: node for node in model.graph.node for name in node.output if name}
        self._users: dict[str, list[NodeProto]] = {}
        for node in model.graph.node:
            for name in dict.fromkeys(filter(None, node.input)):
                self._users.setdefault(name, []).append(node)
        self._outputs = {one.name for one in model.graph.output}
        self.readers: dict[str, list[NodeProto]] = {}
        for node in model.graph.node:
            if self._multiplies_weights(node):
                self.readers.setdefault(node.input[0], []).append(node)

    @classmethod
    def of(cls, model: ModelProto) -> _Graph:
        return cls(model)

    def _multiplies_weights(self, node: NodeProto) -> bool:
        weight = self._weights.get(node.input[1]) if len(node.input) > 1 else None
        if weight is None or len(weight.dims) != 2 or not _is_float(weight):
            return False
        alone = len(self._users.get(node.input[1], ())) == 1  # shared weights stay as they are
        plain = node.op_type == "MatMul" or (
            node.op_type == "Gemm" and not _attribute(node, "transA")
        )
        own = not is_head(node.name)  # of a projection, which is not quantized
        return plain and alone and own and node.input[0] not in self._weights

    def matrix(self, node: NodeProto) -> NDArray[np.float32]:
        """float32[inputs, outputs]: the weights that a product reads."""
        found = self._array(node.input[1])
        return found.T if _attribute(node, "transB") else found

    def multiply(self, node: NodeProto, scale: NDArray[np.float32]) -> None:
        """Put a factor for each input into the weights of a product."""
        factor = scale[None, :] if _attribute(node, "transB") else scale[:, None]
        self._changed[node.input[1]] = self._array(node.input[1]) * factor

    def place_of(self, tensor: str) -> str:
        """Where the tensor can be divided."""
        if self._only_products(tensor) and self._normalization(tensor):
            return "normalization"
        if self._only_products(tensor) and self._values(tensor):
            return "values"
        return "product"

    def divide(self, tensor: str, place: str, scale: NDArray[np.float32]) -> None:
        """Divide the tensor as its readers see it."""
        node = self._normalization(tensor)
        if place == "normalization" and node is not None:
            first = 2 if node.op_type == "SkipLayerNormalization" else 1
            for name in filter(None, list(node.input)[first : first + 2]):
                self._changed[name] = self._array(name) / scale
        elif place == "values":
            product, bias = self._values(tensor) or (None, "")
            assert product is not None
            self._changed[product.input[1]] = self._array(product.input[1]) / scale
            if bias:
                self._changed[bias] = self._array(bias) / scale
        else:
            self._products[tensor] = (1 / scale).astype(scale.dtype)

    def _only_products(self, tensor: str) -> bool:
        products = {id(node) for node in self.readers.get(tensor, ())}
        users = self._users.get(tensor, [])
        return tensor not in self._outputs and all(id(node) in products for node in users)

    def _normalization(self, tensor: str) -> NodeProto | None:
        node = self._producers.get(tensor)
        if node is None or node.op_type not in _NORMALIZATIONS or node.output[0] != tensor:
            return None
        if node.op_type == "LayerNormalization" and _attribute(node, "axis", -1) != -1:
            return None
        first = 2 if node.op_type == "SkipLayerNormalization" else 1
        names = [name for name in list(node.input)[first : first + 2] if name]
        own = all(n in self._weights and len(self._users[n]) == 1 for n in names)
        return node if own and names else None

    def _values(self, tensor: str) -> tuple[NodeProto, str] | None:
        """The product that makes the values of the attention whose result the tensor is, and its
        bias: back through the heads, each step of which keeps the channels and is read once."""
        node = self._back(tensor, "Reshape")
        node = self._back(node.input[0], "Transpose") if node else None
        node = self._back(node.input[0], "MatMul") if node else None
        if node is None or node.input[1] in self._weights:
            return None
        node = self._back(node.input[1], "Transpose")
        node = self._back(node.input[0], "Reshape") if node else None
        if node is None:
            return None
        added = self._back(node.input[0], "Add")
        bias = ""
        inputs = [node.input[0]]
        if added is not None:
            bias = next((n for n in added.input if n in self._weights), "")
            inputs = [n for n in added.input if n not in self._weights]
        product = self._back(inputs[0], "MatMul") if len(inputs) == 1 else None
        if product is None or not self._multiplies_weights(product):
            return None
        if added is not None and (not bias or len(self._weights[bias].dims) != 1):
            return None
        return (product, bias) if not bias or len(self._users[bias]) == 1 else None

    def _back(self, tensor: str, op: str) -> NodeProto | None:
        node = self._producers.get(tensor)
        once = len(self._users.get(tensor, ())) == 1 and tensor not in self._outputs
        if node is None or node.op_type != op or not (once or tensor in self.readers):
            return None
        if op != "Transpose":
            return node
        order = next((list(one.ints) for one in node.attribute if one.name == "perm"), [])
        return node if order == [0, 2, 1, 3] else None

    def _array(self, name: str) -> NDArray[np.float32]:
        from onnx import numpy_helper

        if name not in self._changed:
            found: NDArray[np.float32] = numpy_helper.to_array(self._weights[name])
            return found
        return self._changed[name]

    def write(self) -> None:
        """Put the changed weights and the multiplications into the model."""
        from onnx import helper, numpy_helper

        for name, array in self._changed.items():
            self._weights[name].CopyFrom(numpy_helper.from_array(array.astype("float32"), name))
        if not self._products:
            return
        graph = self._model.graph
        nodes: list[NodeProto] = []
        made: set[str] = set()
        for node in graph.node:
            tensor = node.input[0] if node.input else ""
            reads = any(node is one for one in self.readers.get(tensor, ()))
            if tensor in self._products and reads:
                smoothed = f"{tensor}_smoothed"
                if tensor not in made:
                    made.add(tensor)
                    factor = f"{smoothed}_by"
                    array = self._products[tensor]
                    graph.initializer.append(numpy_helper.from_array(array, factor))
                    nodes.append(
                        helper.make_node("Mul", [tensor, factor], [smoothed], name=smoothed)
                    )
                node.input[0] = smoothed
            nodes.append(node)
        del graph.node[:]
        graph.node.extend(nodes)


def _is_float(tensor: TensorProto) -> bool:
    from onnx import TensorProto

    return bool(tensor.data_type == TensorProto.FLOAT)


def _attribute(node: NodeProto, name: str, default: int = 0) -> int:
    return int(next((one.i for one in node.attribute if one.name == name), default))
