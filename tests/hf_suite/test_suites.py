"""huggingface_hub's own tests against `hubkit hub serve`: see README.md beside this."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from tests.hf_suite.run import HERE, SUITES, Suite, run


@pytest.fixture
def conftest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    for name in ("ENDPOINT", "RESULTS", "SKIPS"):
        monkeypatch.setenv(f"HUBKIT_SUITE_{name}", str(tmp_path / name))
    spec = importlib.util.spec_from_file_location("suite_conftest", HERE / "suite_conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
def test_each_line_of_a_skip_list_names_a_file_of_the_suite(
    suite: Suite, conftest: ModuleType
) -> None:
    skips = conftest.parse_skips(suite.skips.read_text(encoding="utf-8"))

    files = {pattern.partition(".py::")[0] for pattern, _, _ in skips if pattern != "@production"}
    assert files <= set(suite.files)
    assert len({pattern for pattern, _, _ in skips}) == len(skips)


@pytest.mark.parametrize("line", ["test_a.py::test_b", "test_a.py::*  # slow", "test_a.py::* # no"])
def test_a_line_without_a_reason_is_refused(line: str, conftest: ModuleType) -> None:
    with pytest.raises(ValueError, match=re.escape(f"line 2 gives no reason: {line}")):
        conftest.parse_skips(f"# a list\n{line}\n")


@pytest.mark.conformance
@pytest.mark.parametrize("xet", [False, True], ids=["xet-off", "xet-on"])
@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
def test_the_suite_passes(suite: Suite, xet: bool) -> None:
    found = run(suite, list(suite.files), [], xet=xet)

    assert found.failed == []
    assert found.stale == []
    assert found.outcomes["passed"] >= suite.least
    assert found.spoke >= suite.least_spoke
