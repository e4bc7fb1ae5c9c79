"""Nothing is unpickled but tensors: neither by hubkit nor by what it hands a file to."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubkit.errors import ModelError
from hubkit.stages.torch_weights import save_as_safetensors
from tests.tiny import make_tiny_model

PACKAGE = Path(__file__).resolve().parent.parent / "hubkit"
# Modules that run what they read. pickletools reads without running; of pickle its errors are
# needed to catch them.
UNSAFE = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
HARMLESS = {"UnpicklingError", "PickleError"}
# Call -> the argument that makes it safe, as a constant.
GUARDED = {"torch.load": ("weights_only", True), "np.load": ("allow_pickle", False)}
FORBIDDEN = {
    "pd.read_pickle",
    "pandas.read_pickle",
    "torch.jit.load",
    "torch.package.PackageImporter",
    "yaml.unsafe_load",
    "yaml.full_load",
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def faults(source: str) -> Iterator[str]:
    """What of a module could run code that it reads from a file."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in UNSAFE and not _only_errors(tree, alias.name):
                    yield f"line {node.lineno}: import {alias.name}"
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in UNSAFE:
            yield f"line {node.lineno}: from {node.module} import"
        elif isinstance(node, ast.Call):
            yield from _call(node)
        elif (
            isinstance(node, ast.keyword)
            and node.arg == "trust_remote_code"
            and not (isinstance(node.value, ast.Constant) and node.value.value is False)
        ):
            yield f"line {node.value.lineno}: trust_remote_code"


def _only_errors(tree: ast.Module, module: str) -> bool:
    if module != "pickle":
        return False
    used = [
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == module
    ]
    return set(used) <= HARMLESS


def _call(node: ast.Call) -> Iterator[str]:
    name = ast.unparse(node.func)
    known = {"numpy.load": "np.load", "_np.load": "np.load"}.get(name, name)
    if known in FORBIDDEN or known.endswith((".Unpickler", ".load_pickle")):
        yield f"line {node.lineno}: {name}"
    if known in GUARDED:
        argument, wanted = GUARDED[known]
        given = next((k.value for k in node.keywords if k.arg == argument), None)
        if not (isinstance(given, ast.Constant) and given.value is wanted):
            yield f"line {node.lineno}: {name} without {argument}={wanted}"


def test_no_module_unpickles() -> None:
    found = {path.name: list(faults(path.read_text(encoding="utf-8"))) for path in MODULES}
    assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch.load('x')",
        "import torch\ntorch.load('x', weights_only=False)",
        "import torch\ntorch.load('x', weights_only=safe)",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import numpy as np\nnp.load('x')",
        "import pickle\npickle.load(f)",
        "from pickle import loads",
        "import joblib",
        "AutoModel.from_pretrained(x, trust_remote_code=True)",
    ],
)
def test_the_check_would_tell(source: str) -> None:
    assert list(faults(source))


def test_torch_is_read_somewhere() -> None:
    """Else the check of its calls would hold of nothing."""
    assert any("torch.load(" in path.read_text(encoding="utf-8") for path in MODULES)


class Evil:
    """Its pickle makes a file when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.mark,))


@pytest.fixture(name="evil")
def _evil(tmp_path: Path) -> tuple[Path, Path]:
    """A model folder whose pytorch_model.bin runs code, and the mark that it would leave."""
    import torch

    mark = tmp_path / "was-here"
    folder = make_tiny_model(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    torch.save({"weight": Evil(mark)}, folder / "pytorch_model.bin")
    return folder, mark


def test_the_evil_file_is_one(evil: tuple[Path, Path]) -> None:
    import torch

    folder, mark = evil
    torch.load(folder / "pytorch_model.bin", weights_only=False)
    assert mark.exists()


def test_weights_that_run_code_are_refused(evil: tuple[Path, Path]) -> None:
    folder, mark = evil
    with pytest.raises(ModelError):
        save_as_safetensors(folder, ["pytorch_model.bin"], "alice/evil")
    assert not mark.exists()


def test_neither_does_what_loads_int8(evil: tuple[Path, Path]) -> None:
    """INCModel reads the file by itself: with the torch that is pinned it takes tensors only."""
    pytest.importorskip("neural_compressor")
    from hubkit.backends.neural_compressor import load_quantized

    folder, mark = evil
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "torch_dtype": "int8"}))
    (folder / "inc_config.json").write_text('{"quantization": {"is_static": true}}')
    with pytest.raises(Exception, match=r"[Ww]eights.only"):
        load_quantized(folder)
    assert not mark.exists()


def test_the_process_of_verify_forbids_it_to_every_library() -> None:
    from hubkit.stages import verify

    assert verify._FOR_ALL["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] == "1"
    assert "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD" in verify._OF_THIS_USER
