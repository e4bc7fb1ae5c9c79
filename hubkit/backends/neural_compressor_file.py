"""The weights file of Neural Compressor's models, after it wrote it: what INCModel loads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.nn import Module

# Of a saved torch.ao.nn.quantized.dynamic.Linear: from version 4 on it takes activations in 7 bits.
_EIGHT_BITS = 3


def use_eight_bits(model: Module) -> None:
    """Let dynamic linear modules take activations in 8 bits, not in PyTorch's 7: those keep sums of
    products in 16 bits where the CPU has no instruction for 32, and lose half of the precision.

    How many it is goes by the version that a module was saved with, so that it is the same in the
    model that is loaded from the file.
    """
    from torch.ao.nn.quantized import dynamic

    for module in model.modules():
        if isinstance(module, dynamic.Linear):
            module.version = module._version = _EIGHT_BITS


def takes_eight_bits(model: Module) -> bool:
    """Whether all dynamic linear modules take activations in 8 bits; True where there are none."""
    from torch.ao.nn.quantized import dynamic

    modules = [module for module in model.modules() if isinstance(module, dynamic.Linear)]
    return all(module.version is None or module.version <= _EIGHT_BITS for module in modules)


def write_again(model: Module, file: Path) -> None:
    """Write the model as it is now, under the configuration that the file has."""
    import torch

    configuration = torch.load(file, weights_only=True)["best_configure"]
    state = model.state_dict()
    state["best_configure"] = configuration
    torch.save(state, file)
