"""The client against the embedded Hub: what each fault becomes, and what is tried again."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

import pytest
import requests
from huggingface_hub.utils.tqdm import are_progress_bars_disabled

from hubkit.errors import HubError, UsageError
from hubkit.hub import faults
from hubkit.hub.client import connect
from hubkit.hub.faults import NotThere, Unreachable, fault_of, outcome, scrub
from hubkit.hub.reading import reading
from hubkit.hub.retry import Retry
from hubkit.hub.server.injected import Trouble
from tests.hub_client.hubs import TOKENS, World


def test_account(world: World) -> None:
    assert world.hub("alice").account().name == "alice"
    assert world.hub("rita").account().role == "read"


def test_no_token(world: World) -> None:
    with pytest.raises(HubError, match="no token") as caught:
        world.hub(None).account()
    assert "hf auth login" in caught.value.hint
    assert "HF_TOKEN" in caught.value.hint
    assert world.server.requests == []


def test_token_from_the_environment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKENS["bob"])
    assert connect(world.server.endpoint, None).account().name == "bob"


def test_unknown_token_is_not_shown(world: World) -> None:
    hub = connect(world.server.endpoint, "hf_wrong_secret", retry=Retry(sleep=world.waits.append))
    with pytest.raises(HubError, match="does not accept the token") as caught:
        hub.account()
    assert "wrong_secret" not in str(caught.value) + caught.value.hint + repr(hub)
    assert world.waits == []


def test_a_token_is_never_looked_for_behind_our_back(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = connect(world.server.endpoint, None)
    monkeypatch.setenv("HF_TOKEN", TOKENS["alice"])
    world.hub().create_repo("alice/secret", private=True)
    assert hub.state("alice/secret") is None


def test_missing_repository_and_revision(world: World) -> None:
    hub = world.hub()
    assert hub.state("alice/none") is None
    with pytest.raises(NotThere, match="alice/none"):
        hub.head("alice/none")
    hub.create_repo("alice/some", private=False)
    with pytest.raises(NotThere):
        hub.head("alice/some", "v9")
    state = hub.state("alice/some", "v9")
    assert state is not None
    assert state.head is None


@pytest.mark.parametrize("fault", [500, 502, 503, 504, 429, "reset"])
def test_passing_faults_are_tried_again(world: World, fault: int | str) -> None:
    world.switch.fail_on("/api/whoami", fault, times=2)
    assert world.hub().account().name == "alice"
    assert len(world.waits) == 2


def test_retry_after_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    for headers, wait in (
        ({"Retry-After": "7"}, 7.0),
        ({"RateLimit": '"api";r=0;t=55'}, 55.0),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:00 -0000"}, 0.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "soon"}, None),
    ):
        answer = requests.Response()
        answer.status_code, answer.url = 429, "http://hub/api"
        answer.headers.update(headers)
        fault = fault_of(requests.HTTPError(response=answer), endpoint="http://hub", token=None)
        assert fault == faults.Fault("transient", "429", 429, wait)


def test_storage_that_forbids_is_asked_for_a_new_link() -> None:
    answer = requests.Response()
    answer.status_code, answer.url, answer.reason = 403, "https://s3.example/x?Signature=abc", "No"
    error = RuntimeError("Error while uploading")
    error.__cause__ = requests.HTTPError(response=answer)
    fault = fault_of(error, endpoint="https://hub", token=None)
    assert fault is not None
    assert fault.kind == "transient"


def test_local_trouble_is_not_the_hubs() -> None:
    assert fault_of(FileNotFoundError("x"), endpoint="http://hub", token=None) is None
    assert fault_of(KeyError("x"), endpoint="http://hub", token=None) is None


def test_a_hub_that_stays_down(world: World) -> None:
    world.switch.fail_on("/", 503)
    with pytest.raises(Unreachable) as caught:
        world.hub(tries=3).head("alice/some")
    assert world.server.endpoint in caught.value.message
    assert "3 tries" in caught.value.message
    assert "503" in caught.value.message
    assert len(world.waits) == 2


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
        hub = connect(endpoint, "hf_token_xyz", retry=Retry(tries=2, sleep=lambda _s: None))
        with pytest.raises(Unreachable, match="connection refused"):
            hub.account()


def test_a_hub_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubkit.hub.session.TIMEOUTS", (0.2, 0.2))
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        hub = connect(endpoint, "hf_token_xyz", retry=Retry(tries=2, sleep=lambda _s: None))
        with pytest.raises(Unreachable, match="no answer in time"):
            hub.create_repo("me/x", private=False)


def test_offline_mode_is_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.utils import _http

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    _http.reset_sessions()
    try:
        with pytest.raises(HubError) as caught:
            world.hub().account()
        assert "HF_HUB_OFFLINE" in caught.value.hint
        assert world.waits == []
    finally:
        monkeypatch.undo()
        _http.reset_sessions()


@pytest.mark.parametrize("endpoint", ["ftp://hub", "hub.example", "http://"])
def test_an_address_that_is_none(endpoint: str) -> None:
    with pytest.raises((UsageError, HubError), match="address"):
        connect(endpoint, "hf_token_xyz").account()


def test_an_address_with_a_password_is_not_taken() -> None:
    with pytest.raises(UsageError, match="name and a password") as caught:
        connect("https://me:hunter22@hub.example/x", None)
    assert "hunter22" not in f"{caught.value.message}{caught.value.hint}"


def test_an_id_that_is_none(world: World) -> None:
    with pytest.raises(HubError, match="refused"):
        world.hub().head("a/b/c")


def test_snapshot_says_so_when_a_file_does_not_come(world: World, tmp_path: Path) -> None:
    world.hub().create_repo("alice/some", private=False)
    sha = world.hub().head("alice/some")
    world.edit("alice/some", "config.json", b"{}")
    new = world.hub().head("alice/some")
    assert new != sha
    world.switch.fail_on("/resolve/", 503)
    with pytest.raises(Unreachable, match="alice/some"):
        world.hub(tries=2).snapshot("alice/some", new, cache=tmp_path / "cache")
    world.switch.heal()
    folder = world.hub().snapshot("alice/some", new, cache=tmp_path / "cache")
    assert sorted(p.name for p in folder.iterdir()) == [".gitattributes", "config.json"]


def test_the_callers_settings_come_back(world: World) -> None:
    before = (are_progress_bars_disabled(), logging.getLogger("huggingface_hub").level)
    world.switch.fail_on("/api/whoami", 404)
    with pytest.raises(HubError):
        world.hub().account()
    assert (are_progress_bars_disabled(), logging.getLogger("huggingface_hub").level) == before


def test_scrub() -> None:
    text = "Bearer abc.def https://me:pw@hub/x?X-Amz-Signature=00ff&y=1 hf_AbCdEf123 opaque"
    clean = scrub(text, "opaque", None)
    for secret in ("abc.def", "pw@", "00ff", "hf_AbC", "opaque"):
        assert secret not in clean
    assert "&y=1" in clean


def test_outcome_is_said_once() -> None:
    with pytest.raises(HubError) as caught, outcome("nothing was pushed"):  # noqa: SIM117
        with outcome("nothing was pushed"):
            raise HubError("away", hint="wait")
    assert str(caught.value) == caught.value.message == "away; nothing was pushed"
    assert caught.value.hint == "wait"


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_downloads_wait_as_they_are_asked(world: World, tmp_path: Path, method: str) -> None:
    """huggingface_hub's own tries of a download know no Retry-After."""
    world.hub().create_repo("alice/some", private=False)
    sha = world.edit("alice/some", "config.json", b"{}")
    left = [1]

    def rule(asked: str, path: str, phase: str) -> Trouble | None:
        if phase == "before" and asked == method and "/resolve/" in path and left[0]:
            left[0] -= 1
            return Trouble(429, retry_after="7")
        return None

    world.switch.rule = rule
    folder = world.hub().snapshot("alice/some", sha, cache=tmp_path / "cache")
    assert (folder / "config.json").read_bytes() == b"{}"
    assert [round(wait) for wait in world.waits] == [7]


def test_other_libraries_reads_are_tried_again_and_named(world: World, tmp_path: Path) -> None:
    from huggingface_hub import hf_hub_download

    world.hub().create_repo("alice/some", private=False)

    def fetch() -> str:
        return hf_hub_download(
            "alice/some",
            ".gitattributes",
            endpoint=world.server.endpoint,
            cache_dir=tmp_path,
            force_download=True,
        )

    world.switch.fail_on("/resolve/", 503, times=2)
    with reading(world.hub(), "loading alice/some", "alice/some"):
        assert fetch()
    assert len(world.waits) == 2
    world.switch.fail_on("/resolve/", 503)
    with (
        pytest.raises(Unreachable, match=r"503.*loading alice/some, 4 tries"),
        reading(world.hub(), "loading alice/some", "alice/some"),
    ):
        fetch()
