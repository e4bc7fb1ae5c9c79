"""The small protocols that backends fulfil, one for each ability. Arrays at the seam are numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from hubkit.recipe import Part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[np.int64]]  # input name -> int64[batch, length]
    Outputs = Mapping[str, NDArray[np.float32]]  # output name -> float32[batch, ...]

SpecT_contra = TypeVar("SpecT_contra", bound=Part, contravariant=True)


@dataclass(frozen=True)
class Quantized:
    """What a quantizer did, beside the files it wrote."""

    model_file: str
    nodes_quantized: int | None = None
    # pattern -> nodes that would be quantized without it
    nodes_excluded: Mapping[str, int] = field(default_factory=dict)
    operators: tuple[str, ...] = ()  # types of what was quantized, where the spec names none
    per_channel: bool | None = None  # where the spec leaves it to the quantizer
    reduce_range: bool | None = None
    real_samples: int = 0
    smoothing: float | None = None  # SmoothQuant's alpha, where the quantizer itself applied it


class Exporter(Protocol):
    """Turns a model folder into another format."""

    def export(self, model: Path, output: Path, *, task: str, opset: int | None = None) -> str:
        """Write a loadable folder to `output`; gives the model file's name."""


class Quantizer(Protocol, Generic[SpecT_contra]):
    """Makes an INT8 model folder from an FP32 one."""

    def quantize(
        self, model: Path, output: Path, spec: SpecT_contra, calibration: Sequence[Arrays]
    ) -> Quantized:
        """`calibration`: padded batches of model inputs; empty for dynamic quantization."""


class Session(Protocol):
    """A loaded model."""

    input_names: tuple[str, ...]

    def run(self, arrays: Arrays) -> Outputs:
        """All outputs of the model, by the names that transformers gives them ("logits",
        "last_hidden_state", …), for padded int64[batch, length] inputs."""

    def close(self) -> None:
        """Free the model."""


class Runtime(Protocol):
    """Loads a model folder on this machine."""

    def load(self, folder: Path, model_file: str, *, threads: int) -> Session:
        """`threads`: intra-op threads of one call."""
