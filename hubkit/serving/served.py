"""A model as it is served: its name, what it takes and gives, and which requests fit it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubkit.serving.codec import Asked, Inference
from hubkit.serving.refusal import Refusal
from hubkit.serving.tensors import datatype_of

if TYPE_CHECKING:
    from hubkit.serving.batching import Inputs
    from hubkit.serving.tensors import Array

TEXT = "text"


@dataclass(frozen=True)
class Served:
    """`outputs`: name -> shape, -1 where it depends on the request. `tokenize`: texts to the inputs
    of one request, padded; None: it takes token ids only."""

    name: str
    platform: str  # onnxruntime_onnx, openvino
    inputs: tuple[str, ...]
    outputs: Mapping[str, tuple[int, ...]]
    vocabulary: int
    max_length: int
    token_types: int = 2  # how many kinds of segment there are
    max_rows: int = 32
    tokenize: Callable[[Sequence[str]], Inputs] | None = None
    version: str = "1"

    def metadata(self) -> dict[str, object]:
        """The model metadata of the protocol."""
        return {
            "name": self.name,
            "versions": [self.version],
            "platform": self.platform,
            "inputs": [_tensor(name, "INT64", (-1, -1)) for name in self.inputs],
            "outputs": [_tensor(name, "FP32", shape) for name, shape in self.outputs.items()],
        }

    def configuration(self) -> dict[str, object]:
        """Triton's model configuration (its extension model_configuration), which its clients look
        at, perf_analyzer among them: dimensions are those of one row."""
        return {
            "name": self.name,
            "platform": self.platform,
            "backend": self.platform.removesuffix("_onnx"),
            "max_batch_size": self.max_rows,
            "input": [
                {"name": name, "data_type": "TYPE_INT64", "dims": [-1]} for name in self.inputs
            ],
            "output": [
                {"name": name, "data_type": "TYPE_FP32", "dims": list(shape[1:])}
                for name, shape in self.outputs.items()
            ],
        }

    def inputs_of(self, asked: Inference) -> Inputs:
        """What the model is run with. Raises Refusal (400), which names what does not fit."""
        if set(asked.inputs) == {TEXT} and TEXT not in self.inputs:
            return self._read(asked.inputs[TEXT])
        if missing := [name for name in self.inputs if name not in asked.inputs]:
            raise Refusal(
                400, f"input {missing[0]} is missing; {self.name} takes {', '.join(self.inputs)}"
            )
        if more := [name for name in asked.inputs if name not in self.inputs]:
            raise Refusal(
                400, f"{self.name} has no input {more[0]}; it takes {', '.join(self.inputs)}"
            )
        shape = asked.inputs[self.inputs[0]].shape
        for name in self.inputs:
            self._check(name, asked.inputs[name], shape)
        return {name: asked.inputs[name] for name in self.inputs}  # type: ignore[misc]

    def outputs_of(self, asked: Inference) -> tuple[Asked, ...]:
        """The outputs that are wanted, in their order. Raises Refusal (400) for one that the model
        does not have."""
        if asked.outputs is None:
            return tuple(Asked(name, asked.binary) for name in self.outputs)
        seen = set()
        for one in asked.outputs:
            if one.name not in self.outputs:
                raise Refusal(
                    400, f"{self.name} has no output {one.name}; it gives {', '.join(self.outputs)}"
                )
            if one.name in seen:
                raise Refusal(400, f"output {one.name} is asked for twice")
            seen.add(one.name)
        return asked.outputs

    def _check(self, name: str, array: Array, shape: tuple[int, ...]) -> None:
        if (given := datatype_of(array)) != "INT64":
            raise Refusal(400, f"input {name} is {given}, and must be INT64")
        if array.ndim != 2:
            raise Refusal(
                400, f"input {name} has the shape {list(array.shape)}, and must be [batch, length]"
            )
        if array.shape != shape:
            raise Refusal(
                400,
                f"input {name} has the shape {list(array.shape)}, and {self.inputs[0]}"
                f" {list(shape)}",
            )
        self._check_size(*shape)
        least, most = int(array.min()), int(array.max())
        limit = self._limits().get(name)
        if limit is not None and (least < 0 or most >= limit):
            wrong = least if least < 0 else most
            raise Refusal(400, f"input {name} has {wrong}, and must be from 0 to {limit - 1}")

    def _check_size(self, rows: int, length: int) -> None:
        if not rows or not length:
            raise Refusal(400, f"the shape [{rows}, {length}] has nothing in it")
        if rows > self.max_rows:
            raise Refusal(400, f"a request of {rows} rows; {self.max_rows} are the most")
        if length > self.max_length:
            raise Refusal(
                400, f"a sequence of {length} tokens; {self.name} takes at most {self.max_length}"
            )

    def _limits(self) -> dict[str, int]:
        return {
            "input_ids": self.vocabulary,
            "attention_mask": 2,
            "token_type_ids": self.token_types,
        }

    def _read(self, array: Array) -> Inputs:
        if self.tokenize is None:
            raise Refusal(400, f"{self.name} has no tokenizer here: send its token ids")
        if datatype_of(array) != "BYTES" or array.ndim not in (1, 2):
            raise Refusal(400, f"input {TEXT} must be BYTES of the shape [batch] or [batch, 1]")
        if array.ndim == 2 and array.shape[1] != 1:
            raise Refusal(400, f"input {TEXT} must have one text a row")
        self._check_size(len(array), 1)
        try:
            texts = [one.decode("utf-8") for one in array.ravel().tolist()]
        except UnicodeDecodeError:
            raise Refusal(400, f"input {TEXT} is not UTF-8") from None
        return self.tokenize(texts)


def _tensor(name: str, datatype: str, shape: tuple[int, ...]) -> dict[str, object]:
    return {"name": name, "datatype": datatype, "shape": list(shape)}
