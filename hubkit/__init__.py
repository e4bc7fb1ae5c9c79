"""hubkit: quantize, evaluate, benchmark and publish a fine-tuned Transformer on the Hub.

The public API is imported when it is first used, so that `import hubkit` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hubkit.pipeline import publish as publish
    from hubkit.recipe_file import load_recipe as load_recipe
    from hubkit.stages.card import render_card as render_card

__all__ = ["load_recipe", "publish", "render_card"]

_HOMES = {
    "load_recipe": "hubkit.recipe_file",
    "publish": "hubkit.pipeline",
    "render_card": "hubkit.stages.card",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'hubkit' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
