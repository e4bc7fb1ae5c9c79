"""What this machine lacks for an engine: the reason, and the exact command or hardware that cures
it."""

from __future__ import annotations

from dataclasses import dataclass

from hubkit.backends.gpu import Gpu, find_gpu
from hubkit.backends.torch_engines import compiler_missing
from hubkit.formats_records import Missing
from hubkit.lock import version_of
from hubkit.machine import Target, this_target
from hubkit.records import MachineInfo

# Flags of a CPU that multiplies in bfloat16, and in float16, by itself.
_BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}
_FLOAT16 = {"avx512_fp16", "amx_fp16", "asimdhp"}


@dataclass(frozen=True)
class Here:
    """What decides which engines can run: the CPU's flags, the GPU, and what the packages were
    built for."""

    target: Target
    gpu: Gpu | None = None
    torch_cuda: bool = False
    onnx_providers: frozenset[str] = frozenset()
    tensorrt: int | None = None  # its major version, where a package of it is installed

    @classmethod
    def found(cls, machine: MachineInfo) -> Here:
        """This machine. Nothing heavy is imported where there is no GPU."""
        target, gpu = this_target(machine), find_gpu()
        if gpu is None:
            return cls(target)
        return cls(target, gpu, _torch_has_cuda(), _onnx_providers(), _tensorrt_major())

    @property
    def typed_by_graph(self) -> bool:
        """Whether TensorRT computes in the precision that a graph is in, and no other: from 11 on
        it has no switches for FP16, BF16 and INT8 (its guide "Migrating from TensorRT 10.x")."""
        return (self.tensorrt or 0) >= 11

    def slow_bfloat16(self) -> str | None:
        """Why bfloat16 would be slower than FP32 on this CPU; None where it need not be."""
        if not self.target.flags or self.target.flags & _BFLOAT16:
            return None
        return (
            "this CPU has no bfloat16 products (avx512_bf16, amx_bf16, or bf16 of Arm): each is"
            " made of FP32 ones"
        )

    def openvino_lacks(self, precision: str) -> Missing | None:
        """Why OpenVINO would not compute in a precision on this CPU. It says nothing and takes
        another one (asked for f16, a CPU without it computes in bfloat16: seen with 2026.4)."""
        flags = self.target.flags
        if precision == "fp16" and not flags & _FLOAT16:
            return Missing(
                reason="This CPU has no float16 products, and OpenVINO would take another precision"
                " without a word.",
                cure="A CPU with avx512_fp16, amx_fp16, or asimdhp of Arm.",
            )
        if precision == "bf16" and not flags & (_BFLOAT16 | {"avx512f"}):
            return Missing(
                reason="This CPU has no bfloat16, and OpenVINO would compute in FP32 without a"
                " word.",
                cure="A CPU with avx512_bf16, amx_bf16, or bf16 of Arm.",
            )
        return None


def no_variant(what: str) -> Missing:
    """Of an engine whose model was not made. `what`: the precision and the format."""
    return Missing(
        reason=f"It runs a model that is not there: {what}.",
        cure="The failures of this report say why, or the recipe lacks such a variant.",
    )


def of_torch_compile() -> Missing | None:
    """What torch.compile lacks to make kernels for the CPU."""
    why = compiler_missing()
    if why is None:
        return None
    return Missing(
        reason=f"torch.compile makes C++ of the model, and {why}.",
        cure="Install a C++ compiler and Python's headers: apt-get install g++ python3-dev.",
    )


def of_inc() -> Missing | None:
    """What PyTorch INT8 lacks."""
    if version_of("neural-compressor") and version_of("optimum-intel"):
        return None
    return Missing(reason="Neural Compressor is not installed.", cure='pip install "hubkit[inc]"')


def of_openvino() -> Missing | None:
    """What OpenVINO lacks."""
    if version_of("openvino"):
        return None
    return Missing(reason="OpenVINO is not installed.", cure='pip install "hubkit[openvino]"')


def of_cuda(here: Here, what: str) -> Missing | None:
    """What `what` ("torch", or a provider of onnxruntime) lacks to run on a GPU."""
    cure = _install(what)
    if here.gpu is None:
        return Missing(
            reason="There is no NVIDIA GPU here, or no driver for it.",
            cure=f"A machine with an NVIDIA GPU and its driver, and there: {cure}",
        )
    if what == "torch":
        built = here.torch_cuda
        return None if built else Missing(reason="This PyTorch is built without CUDA.", cure=cure)
    if what in here.onnx_providers:
        return None
    return Missing(reason=f"This onnxruntime is built without {what}.", cure=cure)


def _install(what: str) -> str:
    """The command that brings it. The package onnxruntime-gpu takes the place of onnxruntime: both
    write the same folder, and the CPU's must go first."""
    if what == "torch":
        version = (version_of("torch") or "").partition("+")[0]
        # The same version for the CPU alone would be taken for it.
        return f"pip install --force-reinstall torch{_pinned(version)}"
    version = version_of("onnxruntime") or version_of("onnxruntime-gpu") or ""
    command = (
        "pip uninstall --yes onnxruntime && pip install"
        f' "onnxruntime-gpu[cuda,cudnn]{_pinned(version)}"'
    )
    # The provider links TensorRT 10 (as of 1.29: onnxruntime's issue 32278), pip's default is 11.
    return f'{command} "tensorrt-cu13<11"' if what == "TensorrtExecutionProvider" else command


def _pinned(version: str) -> str:
    return f"=={version}" if version else ""


def _torch_has_cuda() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def _tensorrt_major() -> int | None:
    found = (version_of(name) for name in ("tensorrt-cu13", "tensorrt-cu12", "tensorrt"))
    versions = [version for version in found if version]
    return int(versions[0].partition(".")[0]) if versions else None


def no_choice() -> Missing:
    """Of "best" with a TensorRT that makes no choice."""
    return Missing(
        reason="From version 11 on TensorRT computes in the precision of the graph, and chooses"
        " none by itself.",
        cure='pip install "tensorrt-cu13<11", and an onnxruntime-gpu built for it',
    )


def _onnx_providers() -> frozenset[str]:
    import onnxruntime

    return frozenset(onnxruntime.get_available_providers())
