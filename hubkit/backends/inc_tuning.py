"""Neural Compressor's own tuning loop, as one that proposes: which modules it leaves in float."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hubkit.backends.neural_compressor import (
    _INC,
    ALGORITHMS,
    MODEL_FILE,
    _able,
    _hushed,
    _quantized,
    _run_all,
    _workspace,
)
from hubkit.backends.quiet import quiet
from hubkit.backends.torch import TorchSession, head_of, input_names, load_model
from hubkit.backends.torch_projection import with_projection
from hubkit.deps import require
from hubkit.recipe_tune import AccuracyCriterion

if TYPE_CHECKING:
    from neural_compressor.config import PostTrainingQuantConfig
    from torch.nn import Module

    from hubkit.backends.base import Arrays

# A trial of its loop takes seconds, and it has thousands to make where none meets the criterion.
MOST_TRIALS = 20


@dataclass(frozen=True)
class Ended:
    """What its loop ended with: the modules that it left in float, and how it took the ranges of
    activations: a calibration.method, None where it tells of none that hubkit has."""

    float_modules: tuple[str, ...]
    method: Literal["minmax", "entropy"] | None = None


class _Enough(Exception):
    """Raised in the loop's own call: it catches all that is raised there, and ends."""


def own_loop(
    model: Path,
    scratch: Path,
    approach: Literal["dynamic", "static"],
    criterion: AccuracyCriterion,
    score: Callable[[TorchSession], float],
    *,
    calibration: Sequence[Arrays] = (),
    max_trials: int = MOST_TRIALS,
    seconds: float | None = None,
    seed: int = 0,
) -> Ended | None:
    """What its loop ends with, which by `score` meets the criterion; None where it ends with none,
    in whatever way: it raises, returns None or saves nothing, as its version and the failure will
    have it, or `seconds` have passed before a trial."""
    until = None if seconds is None else time.monotonic() + seconds
    with (
        quiet(),
        tempfile.TemporaryDirectory(dir=scratch, prefix="inc-") as folder,
        _workspace(Path(folder)),
    ):
        inc = require(_INC, extra="inc")
        import torch
        from neural_compressor import set_random_seed

        set_random_seed(seed)
        torch.manual_seed(seed)
        network = load_model(model, attention="eager")
        able = _able(network)
        # Counted here too, whatever it counts itself. FP32 is the first.
        evaluated, most = 0, min(max_trials, MOST_TRIALS)

        # Functions, not lambdas: it looks at their source before it calls them.
        def evaluate(tried: Module) -> float:
            nonlocal evaluated
            if evaluated > most or (until is not None and time.monotonic() > until):
                raise _Enough
            evaluated += 1
            whole = with_projection(tried.eval(), model)
            return score(TorchSession(whole, input_names(tried)))

        def calibrate(tried: Module) -> None:
            _run_all(tried, calibration)

        quantizer = inc.INCQuantizer(
            network,
            eval_fn=evaluate,
            calibration_fn=calibrate,
            task=head_of(model).task,
        )
        saved = Path(folder) / "saved"
        try:
            with _hushed():
                quantizer.quantize(_settings(approach, criterion, most), save_directory=saved)
        except Exception:
            return None
        done: Module | None = quantizer._quantized_model
        if done is None:
            return None
        quantized = _names_of(done, _quantized(done))
        if not quantized:
            return None
        chosen = _configuration(saved / MODEL_FILE)
    return Ended(tuple(name for name in able if name not in quantized), _method(chosen))


def _settings(
    approach: Literal["dynamic", "static"], criterion: AccuracyCriterion, most: int
) -> PostTrainingQuantConfig:
    from neural_compressor import config

    absolute = criterion.absolute is not None
    return config.PostTrainingQuantConfig(
        approach=approach,
        accuracy_criterion=config.AccuracyCriterion(
            criterion="absolute" if absolute else "relative",
            tolerable_loss=float((criterion.absolute if absolute else criterion.relative) or 0),
        ),
        # Its timeout interrupts the main thread, whatever that does by then: see _Enough.
        tuning_criterion=config.TuningCriterion(timeout=0, max_trials=most),
    )


def _names_of(network: Module, modules: Sequence[Module]) -> set[str]:
    """Their names in the float model: Neural Compressor wraps some of them as NAME.module."""
    wanted = {id(module) for module in modules}
    return {
        name.removesuffix(".module")
        for name, module in network.named_modules()
        if id(module) in wanted
    }


def _configuration(file: Path) -> Mapping[tuple[str, str], Mapping[str, Mapping[str, object]]]:
    """(module, its type) -> what was chosen for it, as saved; nothing where nothing was."""
    import torch

    if not file.is_file():
        return {}
    chosen: Mapping[tuple[str, str], Mapping[str, Mapping[str, object]]] = torch.load(
        file, weights_only=True
    )["best_configure"]["op"]
    return chosen


def _method(
    chosen: Mapping[tuple[str, str], Mapping[str, Mapping[str, object]]],
) -> Literal["minmax", "entropy"] | None:
    """How most of the linear modules that are INT8 got the ranges of their activations."""
    kinds = [
        str(one["activation"].get("algorithm"))
        for (_, kind), one in chosen.items()
        if kind == "Linear" and one["weight"].get("dtype") != "fp32"
    ]
    most = Counter(kinds).most_common(1)
    return next((ours for ours, its in ALGORITHMS.items() if most and its == most[0][0]), None)
