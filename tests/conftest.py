"""What every test may use: golden files, and the switch that rewrites them."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# Machines are shared: how long one example takes says nothing of the code.
settings.register_profile("hubkit", deadline=None)
settings.load_profile("hubkit")

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="rewrite the golden files from what is made"
    )


def pytest_configure() -> None:
    """A shell starts what it runs in its background with Ctrl-C ignored, and whatever that starts
    inherits it: the commands that the tests interrupt would not notice."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`golden(name, text)`: fails unless text is, byte for byte, the file tests/golden/<name>."""

    def check(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.write_bytes(text.encode())
        assert path.is_file(), f"no {path}: run pytest --update-golden and read what it wrote"
        assert text == path.read_bytes().decode(), (
            f"{name} differs; pytest --update-golden if meant"
        )

    return check
