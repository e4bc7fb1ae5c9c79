"""ONNX Runtime on the CPU. Loading and running needs numpy and onnxruntime alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.errors import ModelError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from hubkit.backends.base import Arrays, Outputs

# Fatal and error only: ORT warns on stderr about every node that it cannot place better.
_ERRORS_ONLY = 3


class OnnxSession:
    """A loaded ONNX model."""

    def __init__(self, session: InferenceSession) -> None:
        self._session: InferenceSession | None = session
        self.input_names: tuple[str, ...] = tuple(i.name for i in session.get_inputs())
        self._outputs = [output.name for output in session.get_outputs()]

    def run(self, arrays: Arrays) -> Outputs:
        """All outputs as float32, by name. Arrays that the graph has no input for are left out;
        ModelError where one that it has is missing."""
        if self._session is None:
            raise ModelError("the model was closed")
        try:
            feed = {name: arrays[name] for name in self.input_names}
        except KeyError as missing:
            raise ModelError(
                f"the model takes {', '.join(self.input_names)}, but {missing} was not given"
            ) from missing
        found = self._session.run(self._outputs, feed)
        return {
            name: array.astype("float32", copy=False)
            for name, array in zip(self._outputs, found, strict=True)
        }

    def close(self) -> None:
        """Free the model."""
        self._session = None


class OnnxRuntime:
    """Loads ONNX files."""

    def load(self, folder: Path, model_file: str, *, threads: int) -> OnnxSession:
        """The model of `folder/model_file`, with `threads` threads in one call."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        path = folder / model_file
        if not path.is_file():
            raise ModelError(f"there is no {model_file} in {folder.name}")
        try:
            session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except load_errors() as error:
            raise ModelError(
                f"{model_file} cannot be loaded by onnxruntime {onnxruntime.__version__}: {error}"
            ) from error
        return OnnxSession(session)


def load_errors() -> tuple[type[Exception], ...]:
    """What onnxruntime raises for a file that it cannot load."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return (state.InvalidProtobuf, state.InvalidGraph, state.NotImplemented, state.Fail)


runtime = OnnxRuntime()
