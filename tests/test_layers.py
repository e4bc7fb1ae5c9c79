"""Imports point up the layers of docs/architecture.md; adapters do not import one another."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "hubkit"

# Lowest first. A module may import from its own layer and from those before it.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "nearest", "paths", "hub_terms"),
    (
        *("keys", "recipe", "recipe_card", "recipe_check", "recipe_errors", "recipe_file"),
        *("recipe_new", "recipe_schema", "recipe_skeleton", "recipe_yaml", "records", "lock"),
        *("record_base", "build_records", "analysis_records", "recipe_analyses", "recipe_notes"),
        *("i18n", "recipe_bibtex", "recipe_publication"),
        *("recipe_inc", "recipe_inc_python", "recipe_inc_words", "recipe_tune", "tune_records"),
        *("recipe_onnx", "formats_records", "formats_summary", "encoder_formula", "roofline"),
        *(
            "recipe_build",
            "recipe_sweep",
            "recipe_tasks",
            "sweep_plan",
            "sweep_records",
            "sweep_where",
        ),
    ),
    ("deps", "registry", "store", "machine", "statistics", "output", "stage"),
    ("backends", "tasks", "hub", "executors", "cards", "demo", "serving"),
    ("sweeps", "formats", "provenance", "secrets_scan"),  # on the adapters' tools
    ("stages", "benchmark_worker", "verify_worker"),
    ("runner", "report_folder"),
    (
        *(
            "gate",
            "local_hub",
            "building",
            "preparing",
            "quantizing",
            "analysing",
            "measuring",
            "sweeping",
        ),
        *("sweep_rows", "full_model"),
        *("tune_candidates", "tune_groups", "tune_judge", "tune_ranking", "tune_steps"),
        "tune_strategy",
        *("tuned", "tuning", "tuning_measures", "tuning_pipeline", "tuning_trials"),
        *(
            "choosing",
            "assembling",
            "recorded",
            "pushing",
            "pipeline",
            "sweep_pipeline",
            "rollback",
        ),
        *("formats_assembling", "formats_measuring", "formats_pipeline", "formats_published"),
        "formats_variants",
    ),
    (
        *("preview", "folder", "card_check", "card_diff", "card_preview", "push_diff", "ci"),
        "serving_hub",
        "serving_target",
        *("mirror", "mirror_copy", "mirror_origin", "mirror_plan", "mirror_side", "mirror_write"),
    ),
    ("cli", "__main__", "__init__"),
)
ADAPTERS = LAYERS[3]


def _layer(module: str) -> int:
    part = module.split(".")[1] if "." in module else "__init__"
    return next(number for number, names in enumerate(LAYERS) if part in names)


def _modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


def _imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "hubkit":
                found += [f"hubkit.{alias.name}" for alias in node.names]
            else:
                found.append(node.module)
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return [name for name in found if name.startswith("hubkit.")]


@pytest.mark.parametrize("path", _modules(), ids=_name)
def test_imports_point_up(path: Path) -> None:
    module = _name(path)
    if module == "hubkit.__init__":
        return
    here = _layer(module)
    for imported in _imports(path):
        assert _layer(imported) <= here, f"{module} imports {imported}, which is below it"
        one, other = module.split(".")[1], imported.split(".")[1]
        if one in ADAPTERS and other in ADAPTERS:
            assert one == other, f"adapter {one} imports adapter {other}"


@pytest.mark.parametrize("path", _modules(), ids=_name)
def test_modules_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
