"""PyTorch in other ways than the FP32 baseline: half precisions, torch.compile, CUDA."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hubkit.backends.quiet import quiet
from hubkit.backends.torch import input_names, load_network
from hubkit.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor
    from torch.nn import Module

    from hubkit.backends.base import Arrays, Outputs

TorchPrecision = Literal["fp32", "fp16", "bf16"]
# A batch of one and a length of one are compiled apart from all others.
_TRIAL_SHAPES = ((2, 8), (1, 8))
_COMPILERS = ("c++", "g++", "clang++", "g++-13", "g++-12", "g++-11")


class TorchEngineSession:
    """A PyTorch model on a device, called from any thread."""

    def __init__(self, model: Module, names: tuple[str, ...], device: str) -> None:
        self._model: Module | None = model
        self._device = device
        self.input_names = names

    def run(self, arrays: Arrays) -> Outputs:
        """All outputs as float32, by name; arrays that the model does not take are left out."""
        import torch

        if self._model is None:
            raise ModelError("the model was closed")
        try:
            inputs = {
                name: torch.from_numpy(arrays[name]).to(self._device) for name in self.input_names
            }
        except KeyError as missing:
            raise ModelError(
                f"the model takes {', '.join(self.input_names)}, but {missing} was not given"
            ) from missing
        with torch.inference_mode():
            found = self._model(**inputs)
            return {
                name: _on_host(tensor)
                for name, tensor in found.items()
                if isinstance(tensor, torch.Tensor)
            }

    def close(self) -> None:
        """Free the model."""
        self._model = None


def _on_host(tensor: Tensor) -> NDArray[np.float32]:
    # Half precision goes over the bus, and is made float32 here.
    array: NDArray[np.float32] = tensor.cpu().float().numpy()
    return array


def load_torch(
    folder: Path, *, precision: TorchPrecision, device: str, compiled: bool, threads: int
) -> TorchEngineSession:
    """The model of a folder's config.json and model.safetensors in a precision on a device.

    `threads` holds for this process. compiled: by torch.compile with dynamic shapes; it is compiled
    here, not in the first call. Raises ModelError where that fails.
    """
    import torch

    torch.set_num_threads(threads)
    dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]
    model = load_network(folder)
    names = input_names(model)
    try:
        module: Module = model.to(dtype).to(device)
    except (RuntimeError, AssertionError) as error:  # no kernels, no memory; built without CUDA
        raise ModelError(f"PyTorch cannot put the model on {device}: {error}") from error
    if not compiled:
        return TorchEngineSession(module, names, device)
    with quiet():
        session = _Compiled(module, names, device)
        session.compile()
    return session


class _Compiled(TorchEngineSession):
    """A model that torch.compile made faster."""

    def __init__(self, model: Module, names: tuple[str, ...], device: str) -> None:
        import torch

        super().__init__(torch.compile(model, dynamic=True), names, device)
        self._turn = threading.Lock()

    def compile(self) -> None:
        """Run it in the shapes that are compiled apart. Raises ModelError where it fails."""
        import numpy as np
        import torch

        try:
            for shape in _TRIAL_SHAPES:
                ones = np.ones(shape, np.int64)
                super().run({name: ones for name in self.input_names})
        except (RuntimeError, torch._dynamo.exc.TorchDynamoException) as error:
            first = next((line for line in str(error).splitlines() if line.strip()), "")
            raise ModelError(
                f"torch.compile cannot compile the model: {first}",
                hint="HUBKIT_DEBUG=1 shows what the compiler says.",
            ) from error

    def run(self, arrays: Arrays) -> Outputs:
        """As above; one call at a time, since a new shape may be compiled in it."""
        with self._turn:
            return super().run(arrays)


def compiler_missing() -> str | None:
    """Why torch.compile cannot make kernels for this CPU; None where nothing is known to lack.

    Source: torch._inductor.cpp_builder, which calls $CXX, else a g++ or clang++ (cl on Windows),
    and includes Python.h.
    """
    named = os.environ.get("CXX")
    if sys.platform == "win32":
        return None if shutil.which(named or "cl") else "there is no Visual C++ (cl) on PATH"
    if named and not shutil.which(named.split()[0]):
        return f"the C++ compiler that CXX names, {Path(named.split()[0]).name}, is not there"
    if not named and not any(map(shutil.which, _COMPILERS)):
        return "there is no C++ compiler"
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        return "Python's header files (Python.h) are not there"
    return None
