"""OpenVINO on the CPU: models read, written as IR (an .xml with the graph, a .bin with the weights)
and run. Needs no torch and no optimum."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from threading import local
from typing import TYPE_CHECKING, cast

from hubkit.backends import onnx_files
from hubkit.backends.onnx_first_token import keep_first_token
from hubkit.backends.onnx_sameness import TOLERANCE, difference
from hubkit.backends.quiet import quiet
from hubkit.deps import require
from hubkit.errors import ModelError
from hubkit.machine import default_threads

if TYPE_CHECKING:
    from openvino import CompiledModel, ConstOutput, InferRequest, Model, Node

    from hubkit.backends.base import Arrays, Outputs

# The names that optimum-intel's OVModel looks for.
MODEL_FILE, WEIGHTS_FILE = "openvino_model.xml", "openvino_model.bin"
_ONNX_FILE = "model.onnx"


class OpenVinoExporter:
    """ONNX FP32 folders to OpenVINO IR FP32."""

    def export(self, model: Path, output: Path, *, task: str, opset: int | None = None) -> str:
        """Write openvino_model.xml and .bin, config.json and the tokenizer files to `output`; gives
        "openvino_model.xml".

        `model`: what `hubkit.backends.optimum.exporter` wrote for `task`. Its graph is taken as it
        is, but for what it computes of tokens that nobody reads (`onnx_first_token`). Raises
        ModelError where OpenVINO cannot read the graph.
        """
        output.mkdir(parents=True)
        with tempfile.TemporaryDirectory(dir=output.parent) as scratch:
            graph = read_model(_narrowed(model / _ONNX_FILE, Path(scratch)))
            _name_apart(graph)
            write_model(graph, output)
        copy_beside(model, output)
        return MODEL_FILE


def _narrowed(source: Path, scratch: Path) -> Path:
    """The ONNX file without what is computed for tokens that nobody reads; the file itself where
    there is nothing of it, or it would answer otherwise, or is above 2 GB."""
    import onnx

    if onnx_files.weights_beside(source):
        return source
    graph, target = onnx.load(str(source)), scratch / _ONNX_FILE
    if not keep_first_token(graph):
        return source
    onnx.save(graph, str(target))
    same = difference(source, target, source.parent / "config.json") <= TOLERANCE
    return target if same else source


class OpenVinoSession:
    """A compiled model."""

    def __init__(self, compiled: CompiledModel) -> None:
        self._compiled: CompiledModel | None = compiled
        self._own = local()  # a request takes one call at a time
        self.input_names: tuple[str, ...] = tuple(map(_name_of, compiled.inputs))
        self._outputs = [_name_of(port) for port in compiled.outputs]

    def run(self, arrays: Arrays) -> Outputs:
        """All outputs as float32, by name. Arrays that the model has no input for are left out;
        ModelError where one that it has is missing."""
        if self._compiled is None:
            raise ModelError("the model was closed")
        try:
            feed = {name: arrays[name] for name in self.input_names}
        except KeyError as missing:
            raise ModelError(
                f"the model takes {', '.join(self.input_names)}, but {missing} was not given"
            ) from missing
        found = self._request(self._compiled).infer(feed, share_inputs=True)
        return {
            name: found[at].astype("float32", copy=False) for at, name in enumerate(self._outputs)
        }

    def _request(self, compiled: CompiledModel) -> InferRequest:
        if not hasattr(self._own, "request"):
            self._own.request = compiled.create_infer_request()
        return cast("InferRequest", self._own.request)

    def close(self) -> None:
        """Free the model."""
        self._compiled, self._own = None, local()


class OpenVinoRuntime:
    """Loads IR. `precision`: what is not INT8 is computed in; None: OpenVINO's own choice, which is
    bfloat16 where the CPU has it, and what a reader of the card gets."""

    def __init__(self, precision: str | None = None) -> None:
        self._precision = precision

    def load(self, folder: Path, model_file: str, *, threads: int) -> OpenVinoSession:
        """The model of `folder/model_file`, with `threads` threads in one call."""
        graph = read_model(folder / model_file)
        # As many calls at once as fill the machine: each has a stream of its own.
        streams = max(1, default_threads() // threads)
        options: dict[str, object] = {
            "PERFORMANCE_HINT": "LATENCY",  # as OVModel does it
            "INFERENCE_NUM_THREADS": streams * threads,
            "NUM_STREAMS": streams,
        }
        if streams > 1:
            options["ENABLE_CPU_PINNING"] = False  # other models run beside it
        if self._precision is not None:
            options["INFERENCE_PRECISION_HINT"] = self._precision
        openvino = require("openvino", extra="openvino")
        try:
            compiled = openvino.Core().compile_model(graph, "CPU", options)
        except RuntimeError as error:
            raise ModelError(f"OpenVINO cannot compile {model_file}: {error}") from error
        self._check(compiled)
        return OpenVinoSession(compiled)

    def _check(self, compiled: CompiledModel) -> None:
        # Asked for a precision that a CPU has not, OpenVINO takes another one without a word.
        taken = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        if self._precision not in (None, taken):
            raise ModelError(
                f"OpenVINO computes in {taken} here, and not in {self._precision}",
                hint=f"Take a CPU that has {self._precision}.",
            )


def read_model(path: Path) -> Model:
    """The graph of an .xml (with the .bin beside it) or .onnx file.

    Raises ModelError where there is none that OpenVINO can read, MissingDependencyError without
    OpenVINO.
    """
    if not path.is_file():
        raise ModelError(f"there is no {path.name} in {path.parent.name}")
    with quiet():
        openvino = require("openvino", extra="openvino")
        try:
            graph: Model = openvino.Core().read_model(str(path))
        except RuntimeError as error:
            raise ModelError(
                f"{path.name} cannot be read by OpenVINO {openvino.__version__}: {error}"
            ) from error
    return graph


def write_model(graph: Model, folder: Path) -> None:
    """openvino_model.xml and .bin in a folder, numbers as they are; equal models in equal bytes."""
    openvino = require("openvino", extra="openvino")
    _name_anew(graph)
    with quiet():
        openvino.save_model(graph, str(folder / MODEL_FILE), compress_to_fp16=False)


def copy_beside(source: Path, target: Path) -> None:
    """config.json and the tokenizer files of a model folder into another."""
    models = (_ONNX_FILE, MODEL_FILE, WEIGHTS_FILE)
    for path in sorted(source.iterdir()):
        if path.is_file() and not path.name.startswith(models):
            shutil.copyfile(path, target / path.name)


def count_quantized(graph: Model) -> int:
    """How many products and look-ups of a model work on INT8: 0 for an FP32 one."""
    return sum(_takes_integers(node) for node in graph.get_ops())


def _takes_integers(node: Node) -> bool:
    if node.get_type_name() not in {"MatMul", "Gather", "Convolution"}:
        return False
    number = 2 if node.get_type_name() != "Gather" else 1  # what is looked up is an integer anyway
    return any(_is_quantized(node.input_value(at).get_node()) for at in range(number))


# Between a product and the quantization of what it takes.
_PASSED = {"Convert", "Multiply", "Subtract", "Reshape", "Transpose"}


def _is_quantized(node: Node) -> bool:
    kind: str = node.get_type_name()
    if kind == "Constant":
        stored: str = node.get_output_element_type(0).to_string()
        return stored in {"i8", "u8"}
    if kind in _PASSED:
        return _is_quantized(node.input_value(0).get_node())
    return kind == "FakeQuantize"


def _name_anew(graph: Model) -> None:
    """Count the nodes that have no name of their own from 1: OpenVINO counts on through all that a
    process ever made."""
    counted: Counter[str] = Counter()
    anew: dict[str, str] = {}
    for node in graph.get_ordered_ops():
        name, kind = node.get_friendly_name(), node.get_type_name()
        owner, slash, rest = name.partition("/")
        if re.fullmatch(rf"{kind}_\d+", name):
            counted[kind] += 1
            anew[name] = f"{kind}_{counted[kind]}"
            node.set_friendly_name(anew[name])
        elif owner in anew:
            node.set_friendly_name(f"{anew[owner]}{slash}{rest}")


def _name_apart(graph: Model) -> None:
    """Give each node a name of its own, by which NNCF finds it."""
    seen: set[str] = set()
    for node in graph.get_ordered_ops():
        name = node.get_friendly_name()
        while name in seen:
            name += "_"
        seen.add(name)
        node.set_friendly_name(name)


def _name_of(port: ConstOutput) -> str:
    names: list[str] = sorted(port.get_names())
    # Of several the one that is not of the inside of the graph, as OVModel takes it.
    return next((name for name in names if "/" not in name), names[0])


exporter = OpenVinoExporter()
fp32 = OpenVinoRuntime("f32")
int8 = OpenVinoRuntime()
