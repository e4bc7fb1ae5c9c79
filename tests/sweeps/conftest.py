"""Golden files of the reports, beside the tests of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def report_golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`report_golden(name, text)`: fails unless text is, byte for byte, the file golden/<name>."""

    def check(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.write_bytes(text.encode())
        assert path.is_file(), f"no {path}: run pytest --update-golden and read what it wrote"
        assert text == path.read_bytes().decode(), (
            f"{name} differs; pytest --update-golden if meant"
        )

    return check
