"""One config.json for a folder that INCModel, ORTModel and OVModel load."""

from __future__ import annotations

import json
from pathlib import Path

from hubkit.cards.layout import FORMAT_NAMES
from hubkit.errors import ModelError
from hubkit.records import Format

# What Neural Compressor changes in a config, and what saving it stamps: no part of the model.
_OF_THE_SAVER = frozenset(
    {
        "backend",
        "torch_dtype",
        "torchscript",
        "transformers_version",
        "_attn_implementation_autoset",
    }
)
_MACHINE = "_name_or_path"  # the folder or repository it was loaded from


def merged_config(folders: dict[Format, Path], base_id: str | None) -> str:
    """The text of config.json for those formats' folders; `base_id`: its base on a Hub.

    Neural Compressor's values win: `_attn_implementation_autoset: true` is what makes INCModel
    build the eager attention that was calibrated, and not sdpa; ORTModel reads none of what
    differs. Raises ModelError where the folders describe different models.
    """
    order: list[Format] = [kind for kind in ("openvino", "onnx", "pytorch") if kind in folders]
    merged: dict[str, object] = {}
    said_by: dict[str, Format] = {}
    for kind in order:
        for key, value in _read(folders[kind]).items():
            if key in merged and merged[key] != value and key not in _OF_THE_SAVER:
                raise ModelError(
                    f"config.json of the {FORMAT_NAMES[kind]} and of the"
                    f" {FORMAT_NAMES[said_by[key]]} variant differ in {key}: {value!r}"
                    f" and {merged[key]!r}",
                    hint="Export and quantize both from the same model.",
                )
            merged[key] = value
            said_by[key] = kind
    if base_id:
        merged[_MACHINE] = base_id
    return json.dumps(merged, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _read(folder: Path) -> dict[str, object]:
    value = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise ModelError(
            "config.json of a variant is not a JSON object",
            hint="Remove the store's record of it and run the same command again.",
        )
    value.pop(_MACHINE, None)
    return value
