"""Registries, optional packages, and silence."""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path

import pytest

from hubkit.backends import QUANTIZERS, RUNTIMES
from hubkit.backends.quiet import quiet
from hubkit.deps import require
from hubkit.errors import MissingDependencyError, UsageError
from hubkit.registry import Registry


def test_a_registry_imports_late_and_gives_the_object() -> None:
    registry = Registry("thing", {"pi": "math:pi", "broken": "no_such_module:x"})
    assert registry.get("pi") == pytest.approx(3.14159, abs=1e-5)
    assert registry.names() == ("broken", "pi")
    with pytest.raises(ModuleNotFoundError):
        registry.get("broken")


def test_an_unknown_name_is_a_usage_error_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean onnx-static") as caught:
        QUANTIZERS.get("onnx-statc")
    assert "inc-dynamic" in caught.value.hint
    assert caught.value.exit_code == 2
    with pytest.raises(UsageError):
        RUNTIMES.get("tensorrt")


def test_entry_points_stand_beside_the_shipped_names() -> None:
    registry = Registry("script", {}, group="console_scripts")
    assert "pytest" in registry.names()
    assert callable(registry.get("pytest"))


def test_a_missing_package_names_the_pip_command() -> None:
    assert require("math", extra="inc").pi > 3
    with pytest.raises(MissingDependencyError, match="no_such_package") as caught:
        require("no_such_package.inner", extra="inc")
    assert caught.value.hint == 'pip install "hubkit[inc]"'


def test_a_missing_neural_compressor_names_the_pip_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from hubkit.backends.neural_compressor import load_quantized

    for name in [n for n in sys.modules if n.startswith("optimum.intel")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "optimum.intel", None)
    with pytest.raises(MissingDependencyError) as caught:
        load_quantized(Path())
    assert caught.value.hint == 'pip install "hubkit[inc]"'


def test_quiet_hushes_and_gives_back(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HUBKIT_DEBUG", raising=False)
    log = logging.getLogger("a library")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with quiet():
            print("noise")  # noqa: T201
            log.warning("noise")
            warnings.warn("noise", stacklevel=1)
    assert capsys.readouterr() == ("", "")
    print("data")  # noqa: T201
    assert capsys.readouterr().out == "data\n"
    assert log.isEnabledFor(logging.WARNING)


def test_quiet_in_debug_lets_noise_through_to_stderr(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBKIT_DEBUG", "1")
    with quiet():
        print("noise")  # noqa: T201
    assert capsys.readouterr() == ("", "noise\n")
