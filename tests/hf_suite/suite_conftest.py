"""The conftest.py of huggingface_hub's own test suite while it runs against this project's server.

The source distributions lack the suite's own one. This one runs in the client's environment: it
gives the fixtures that the tests ask for, applies the skip list in HUBKIT_SUITE_SKIPS, and writes
one JSON line a test to HUBKIT_SUITE_RESULTS. The server is the one in HUBKIT_SUITE_ENDPOINT.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ENDPOINT = os.environ["HUBKIT_SUITE_ENDPOINT"]
RESULTS = Path(os.environ["HUBKIT_SUITE_RESULTS"])
SKIPS = Path(os.environ["HUBKIT_SUITE_SKIPS"])
_LOCAL = ("127.0.0.1", "localhost", "::1", "testserver", "")
# What the test that is running has asked, to know which tests concern the server at all.
_asked: set[str] = set()
_guard = threading.Lock()


def parse_skips(text: str) -> list[tuple[str, re.Pattern[str], str]]:
    """(pattern, its expression, reason) of each line `PATTERN  # REASON`; `*` stands for any text.

    ValueError for a line that gives no reason.
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        pattern, mark, reason = line.partition("  # ")
        if not mark or len(reason.strip()) < 10:
            raise ValueError(f"line {number} gives no reason: {line}")
        parts = [re.escape(part) for part in pattern.strip().split("*")]
        found.append((pattern.strip(), re.compile(".*".join(parts), re.DOTALL), reason.strip()))
    return found


def _watch(owner: type, name: str, host_of: Callable[..., str]) -> None:
    original = getattr(owner, name)

    def sending(self: object, request: object, *more: object, **named: object) -> object:
        host = host_of(request)
        with _guard:
            _asked.add(host)
        return original(self, request, *more, **named)

    setattr(owner, name, sending)


def _watch_clients() -> None:
    with contextlib.suppress(ImportError):
        from requests.adapters import HTTPAdapter

        _watch(HTTPAdapter, "send", lambda request: request.url.split("/")[2])
    for package in ("httpx", "httpx2"):
        with contextlib.suppress(ImportError):
            transport = __import__(package).HTTPTransport
            _watch(transport, "handle_request", lambda request: request.url.netloc.decode())


def _stay_here() -> None:
    """No test may reach the Internet: what it would find there says nothing of this server."""
    original = socket.getaddrinfo

    def looked_up(host: object, *more: object, **named: object) -> object:
        name = host.decode() if isinstance(host, bytes) else str(host or "")
        if name not in _LOCAL and not name.startswith("127."):
            raise socket.gaierror(socket.EAI_NONAME, f"{name}: no Internet in this suite")
        return original(host, *more, **named)  # type: ignore[arg-type]

    socket.getaddrinfo = looked_up  # type: ignore[assignment]


def pytest_configure(config: pytest.Config) -> None:
    """Watch and fence the client, and point it at the server, before a test module is imported."""
    _stay_here()
    _watch_clients()
    import huggingface_hub.constants as constants

    constants._HF_DEFAULT_STAGING_ENDPOINT = ENDPOINT
    for name in ("api", "transfer", "inference", "xet", "no_xet", "production", "git_lfs"):
        config.addinivalue_line("markers", f"{name}: one of the suite's own")
    config.addinivalue_line("markers", "deprecated(*names): warns that these are going away")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what the skip list names; a line that names no test is an error in the list."""
    skips = parse_skips(SKIPS.read_text(encoding="utf-8"))
    used: set[str] = set()
    files = {item.nodeid.partition("::")[0].rpartition("/")[2] for item in items}
    for item in items:
        name = item.nodeid.rpartition("tests/")[2]
        on_internet = item.get_closest_marker("production") is not None
        for pattern, expression, reason in skips:
            if (pattern == "@production" and on_internet) or expression.fullmatch(name):
                item.add_marker(pytest.mark.skip(reason=f"hubkit: {reason}"))
                used.add(pattern)
                break
    stale = [p for p, _, _ in skips if p not in used and p.partition("::")[0] in files]
    _write({"stale": stale})


def _write(value: dict[str, object]) -> None:
    with RESULTS.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(value) + "\n")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Forget what the test before asked."""
    with _guard:
        _asked.clear()
    yield


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """One line for what was decided of a test; teardown counts only when it fails."""
    if report.when == "call" or report.outcome != "passed":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        with _guard:
            asked = sorted(_asked)
        _write(
            {
                "test": report.nodeid.rpartition("tests/")[2],
                "outcome": report.outcome if report.when != "teardown" else "error",
                "reason": reason.removeprefix("Skipped: "),
                "asked": asked,
                "seconds": round(report.duration, 3),
            }
        )


# What the suite's own conftest gives; its tests import the name for their annotations.
RepoFactory = Callable[..., object]


@pytest.fixture(autouse=True)
def _own_caches(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    home = tmp_path_factory.mktemp("hf")
    places = {
        "HF_HOME": home,
        "HF_HUB_CACHE": home / "hub",
        "HUGGINGFACE_HUB_CACHE": home / "hub",
        "HF_XET_CACHE": home / "xet",
        "HF_ASSETS_CACHE": home / "assets",
        "HF_TOKEN_PATH": home / "token",
        "HF_STORED_TOKENS_PATH": home / "stored_tokens",
    }
    for name, place in places.items():
        if hasattr(constants, name):
            monkeypatch.setattr(constants, name, str(place))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_EXPERIMENTAL_WARNING", True)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture(autouse=True)
def _plain_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    # 2.x remembers the output mode of the last command, and asks the Hub for a list of agents.
    with contextlib.suppress(ImportError):
        from huggingface_hub.cli._output import out

        out.set_mode()
        if hasattr(out, "set_no_truncate"):
            out.set_no_truncate(False)
    with contextlib.suppress(ImportError, AttributeError):
        from huggingface_hub.utils import _detect_agent

        monkeypatch.setattr(_detect_agent, "_registry", _detect_agent._EMPTY_REGISTRY)


@pytest.fixture(autouse=True)
def _xet_as_marked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    installed = True
    try:
        import hf_xet
    except ImportError:
        installed = False
    else:
        del hf_xet
    by_name = request.node.path.name.startswith("test_xet_")  # 0.36 has no such mark
    if by_name or request.node.get_closest_marker("xet") is not None:
        if not installed:
            pytest.skip("needs hf_xet")
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
        monkeypatch.delenv("HF_HUB_DISABLE_XET", raising=False)
    elif installed and request.node.get_closest_marker("no_xet") is not None:
        pytest.skip("must run without hf_xet")


@pytest.fixture(autouse=True)
def _warned_as_marked(request: pytest.FixtureRequest) -> Iterator[None]:
    names = [name for mark in request.node.iter_markers("deprecated") for name in mark.args]
    if not names or any(request.node.iter_markers("skip")):
        yield
        return
    with contextlib.ExitStack() as stack:
        for name in names:
            stack.enter_context(pytest.warns(FutureWarning, match=f"'{name}'"))
        yield


@pytest.fixture
def fx_cache_dir(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A temporary folder as the class's attribute `cache_dir`."""
    request.cls.cache_dir = tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def api() -> object:
    """A client of the server, signed in."""
    from huggingface_hub import HfApi

    from tests.testing_constants import TOKEN

    return HfApi(endpoint=ENDPOINT, token=TOKEN)


@pytest.fixture(scope="session")
def api_prod() -> object:
    """A client of the real Hub; what asks for it is in the skip list."""
    from huggingface_hub import HfApi

    from tests.testing_constants import ENDPOINT_PRODUCTION

    return HfApi(endpoint=ENDPOINT_PRODUCTION)


@pytest.fixture
def repo_factory(api: object) -> Iterator[Callable[..., object]]:
    """Makes repositories that are gone when the test ends."""
    from huggingface_hub.errors import HfHubHTTPError

    from tests.testing_utils import repo_name

    made: list[dict[str, object]] = []

    def make(repo_type: str = "model", **options: object) -> object:
        if repo_type == "space":
            options.setdefault("space_sdk", "gradio")
        options.setdefault("repo_id", repo_name(prefix=repo_type))
        url = api.create_repo(repo_type=repo_type, **options)  # type: ignore[attr-defined]
        who = {"token": options["token"]} if "token" in options else {}
        made.append({"repo_id": url.repo_id, "repo_type": repo_type, **who})
        return url

    yield make
    for repo in made:
        with contextlib.suppress(HfHubHTTPError):
            api.delete_repo(**repo)  # type: ignore[attr-defined]


@pytest.fixture
def new_repo_id(api: object) -> Iterator[str]:
    """Name of a repository that the test makes; gone when it ends."""
    from huggingface_hub.errors import HfHubHTTPError

    from tests.testing_constants import USER
    from tests.testing_utils import repo_name

    repo_id = f"{USER}/{repo_name()}"
    yield repo_id
    with contextlib.suppress(HfHubHTTPError):
        api.delete_repo(repo_id=repo_id)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def vcr_config() -> dict[str, object]:
    """Recorded answers are of no use here, but the plugin asks for this."""
    return {"ignore_localhost": True}
