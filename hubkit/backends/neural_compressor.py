"""PyTorch INT8 by Intel Neural Compressor, through optimum-intel's INCQuantizer and INCModel."""

from __future__ import annotations

import io
import logging
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from hubkit.backends.base import Quantized
from hubkit.backends.calibration import real_samples
from hubkit.backends.neural_compressor_file import takes_eight_bits, use_eight_bits, write_again
from hubkit.backends.node_patterns import matching_names, nothing_matches
from hubkit.backends.projection import copy_projection
from hubkit.backends.quiet import quiet
from hubkit.backends.torch import TorchSession, head_of, input_names, load_model
from hubkit.backends.torch_projection import with_projection
from hubkit.deps import require
from hubkit.errors import DataError, ModelError, RecipeError
from hubkit.machine import has_exact_products, machine_info
from hubkit.recipe import IncDynamic, IncStatic

if TYPE_CHECKING:
    from neural_compressor.config import PostTrainingQuantConfig
    from torch.nn import Module
    from transformers import PreTrainedModel

    from hubkit.backends.base import Arrays

MODEL_FILE = "pytorch_model.bin"
_INC = "optimum.intel.neural_compressor"
# Neural Compressor's names. "kl" is its own default; percentile it does not have.
ALGORITHMS: dict[Literal["minmax", "entropy"], str] = {"minmax": "minmax", "entropy": "kl"}
_FLOAT = {"activation": {"dtype": ["fp32"]}, "weight": {"dtype": ["fp32"]}}


def count_quantized_modules(model: Module) -> int:
    """How many modules of a PyTorch model hold INT8 weights: 0 for an FP32 model."""
    return len(_quantized(model))


def _quantized(model: Module) -> list[Module]:
    return [
        module
        for module in model.modules()
        if ".quantized." in type(module).__module__ and hasattr(module, "weight")
    ]


def load_quantized(folder: Path) -> PreTrainedModel:
    """The INT8 model of a folder, as INCModelFor… of its config.json's class loads it.

    Raises ModelError where what comes out is not quantized: INCModel loads FP32 weights without a
    word when model.safetensors lies beside pytorch_model.bin, or the latter is an ordinary one.
    """
    with quiet():
        inc = require(_INC, extra="inc")
        try:
            loader = getattr(inc, f"INCModel{head_of(folder).suffix}")
            loaded = loader.from_pretrained(folder, local_files_only=True)
        except (OSError, RuntimeError, ValueError, AttributeError) as error:
            raise ModelError(f"INCModel cannot load {folder.name}: {error}") from error
    model: PreTrainedModel = loaded.model.eval()
    if not count_quantized_modules(model):
        beside = (folder / "model.safetensors").exists()
        raise ModelError(
            "INCModel loaded a model that is not quantized"
            + (": it takes model.safetensors before pytorch_model.bin" if beside else ""),
            hint="Remove model.safetensors from that folder." if beside else "",
        )
    return model


class IncRuntime:
    """Loads folders that the quantizers below wrote."""

    def load(self, folder: Path, model_file: str, *, threads: int) -> TorchSession:
        """The INT8 model. `threads` holds for this process."""
        require(_INC.partition(".")[0], extra="inc")
        import torch

        torch.set_num_threads(threads)
        if model_file != MODEL_FILE:
            raise ModelError(f"INCModel reads {MODEL_FILE}, not {model_file}")
        model = with_projection(load_quantized(folder), folder)
        return TorchSession(model, input_names(model))


class IncStaticQuantizer:
    """Linear and Embedding modules to INT8, activations with ranges learned from batches."""

    def quantize(
        self, model: Path, output: Path, spec: IncStatic, calibration: Sequence[Arrays]
    ) -> Quantized:
        """Write a folder for INCModel; `model` is the FP32 PyTorch folder.

        Raises DataError without calibration batches, RecipeError where the spec does not fit.
        """
        if not calibration:
            raise DataError(
                "static quantization learns ranges from rows, and was given none",
                hint="Name a dataset.calibration_split with rows in the recipe.",
            )
        if spec.calibration.method == "percentile":
            raise RecipeError(
                f"calibration.method {spec.calibration.method}: Neural Compressor has none such",
                hint=f"It has {' and '.join(ALGORITHMS)}.",
            )
        algorithm = {"activation": {"algorithm": [ALGORITHMS[spec.calibration.method]]}}

        def calibrate(network: Module) -> None:
            _run_all(network, calibration)

        return _quantize(
            model,
            output,
            spec.node_exclusion,
            approach="static",
            op_types={"Linear": algorithm},
            calibrate=calibrate,
            samples=real_samples(calibration),
        )


class IncDynamicQuantizer:
    """Linear and Embedding modules to INT8, activations with a new range in each call."""

    def quantize(
        self, model: Path, output: Path, spec: IncDynamic, calibration: Sequence[Arrays] = ()
    ) -> Quantized:
        """Write a folder for INCModel; `model` is the FP32 PyTorch folder."""
        narrow = spec.reduce_range
        if narrow is None:
            narrow = not has_exact_products(machine_info().flags)

        def widen(network: Module) -> None:
            if not narrow:
                use_eight_bits(network)

        return _quantize(model, output, spec.node_exclusion, approach="dynamic", finish=widen)


def _quantize(
    model: Path,
    output: Path,
    exclusions: Sequence[str],
    *,
    approach: str,
    op_types: dict[str, dict[str, dict[str, list[str]]]] | None = None,
    calibrate: Callable[[Module], None] | None = None,
    samples: int = 0,
    finish: Callable[[Module], None] | None = None,
) -> Quantized:
    with quiet(), tempfile.TemporaryDirectory(dir=output.parent, prefix="inc-") as scratch:
        inc = require(_INC, extra="inc")
        from neural_compressor.config import PostTrainingQuantConfig
        from optimum.utils.save_utils import maybe_save_preprocessors

        # eager: INCModel reloads with eager attention, and what was calibrated on another one
        # answers otherwise after the reload (by 0.06 in a logit, measured).
        network = load_model(model, attention="eager")
        out = _excluded(network, exclusions)
        settings = PostTrainingQuantConfig(
            approach=approach,
            op_type_dict=op_types,
            # Neural Compressor takes names as regular expressions, of its wrapped modules too.
            op_name_dict={
                f"{re.escape(name)}(\\.module)?": _FLOAT for names in out.values() for name in names
            },
            # calibrate() runs once, over everything: this is what the saved files say of it.
            calibration_sampling_size=[samples] if samples else [100],
        )
        quantizer = inc.INCQuantizer(network, task=head_of(model).task, calibration_fn=calibrate)
        done = _fit(quantizer, settings, output, Path(scratch))
        if finish:
            finish(done)
            write_again(done, output / MODEL_FILE)
        maybe_save_preprocessors(model, output)
        copy_projection(model, output)  # it stays FP32
    modules = _quantized(done)
    if not modules:
        raise ModelError("Neural Compressor gave back a model without one quantized module")
    return Quantized(
        model_file=MODEL_FILE,
        nodes_quantized=len(modules),
        nodes_excluded={pattern: len(names) for pattern, names in out.items()},
        operators=tuple(sorted({type(module).__name__ for module in modules})),
        per_channel=all(_is_per_channel(module) for module in modules),
        reduce_range=_reduces_range() if samples else not takes_eight_bits(done),
        real_samples=samples,
    )


class _IncQuantizer(Protocol):
    """The part of optimum-intel's INCQuantizer that is used here."""

    _quantized_model: Module

    def quantize(
        self, quantization_config: PostTrainingQuantConfig, save_directory: Path
    ) -> None: ...


def _fit(
    work: _IncQuantizer, settings: PostTrainingQuantConfig, output: Path, scratch: Path
) -> Module:
    with _workspace(scratch), _hushed() as said:
        try:
            work.quantize(settings, save_directory=output)
        except (RuntimeError, AttributeError) as error:
            # It gives None, or raises, where its tuning found nothing to save: what was raised
            # within it is in the traceback that it prints, no more.
            lines = [line for line in said.getvalue().splitlines() if _RAISED.match(line)]
            reason = lines[-1] if lines else str(error)
            raise ModelError(f"Neural Compressor cannot quantize this model: {reason}") from error
    return work._quantized_model


# The last line of a traceback.
_RAISED = re.compile(r"[\w.]*(Error|Exception|Exit|Interrupt)\b.*")


@contextmanager
def _hushed() -> Iterator[io.StringIO]:
    """What Neural Compressor prints to stderr, tracebacks of all that it catches, comes here, and
    its log of errors nowhere. With HUBKIT_DEBUG set it stays where it is."""
    said = io.StringIO()
    if os.environ.get("HUBKIT_DEBUG"):
        yield said
        return
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stderr(said):
            yield said
    finally:
        logging.disable(before)


@contextmanager
def _workspace(folder: Path) -> Iterator[None]:
    """Neural Compressor's files go below `folder` instead of into the current one."""
    from neural_compressor.config import options

    before = options.workspace
    options.workspace = str(folder)
    try:
        yield
    finally:
        options.workspace = before


def _run_all(network: Module, batches: Sequence[Arrays]) -> None:
    import torch

    names = set(input_names(network)) or set(batches[0])
    with torch.no_grad():
        for batch in batches:
            network(**{n: torch.from_numpy(a) for n, a in batch.items() if n in names})


def _excluded(network: Module, patterns: Sequence[str]) -> dict[str, list[str]]:
    """Pattern -> names of the modules that it keeps in FP32: a name, or a regular expression."""
    able = _able(network)
    found = {pattern: sorted(matching_names(pattern, able)) for pattern in patterns}
    for pattern, names in found.items():
        if not names:
            raise nothing_matches(pattern, able, f"Modules here: {', '.join(able)}.")
    return found


def _able(network: Module) -> list[str]:
    """Names of the modules that can be INT8."""
    from torch import nn

    return [n for n, m in network.named_modules() if isinstance(m, (nn.Linear, nn.Embedding))]


def _is_per_channel(module: Module) -> bool:
    weight = module.weight() if callable(module.weight) else module.weight
    return "per_channel" in str(weight.qscheme())


def _reduces_range() -> bool:
    from neural_compressor.adaptor.pytorch import REDUCE_RANGE

    return bool(REDUCE_RANGE)


static = IncStaticQuantizer()
dynamic = IncDynamicQuantizer()
runtime = IncRuntime()
