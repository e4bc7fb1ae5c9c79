"""What an attacker sends is refused or shown: never an internal error, and never a secret told."""

from __future__ import annotations

import base64
import gzip
import json
import logging
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from huggingface_hub import HfApi

from hubkit.hub.server.card_yaml import InvalidYaml, parsed_yaml
from hubkit.hub.server.embedded import EmbeddedHub
from hubkit.hub.server.markdown import render
from tests.hub_server.conftest import OWNER, USERS

HEADERS = {"Authorization": f"Bearer {OWNER}"}


@pytest.fixture(scope="module", name="attacked")
def _attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedHub]:
    with EmbeddedHub(tmp_path_factory.mktemp("attacks") / "root", users=USERS) as hub:
        api = HfApi(endpoint=hub.endpoint, token=OWNER)
        api.create_repo("ana/model")
        api.upload_file(
            repo_id="ana/model", path_in_repo="a.bin", path_or_fileobj=b"\0ab" * 900_000
        )
        api.upload_file(repo_id="ana/model", path_in_repo="a.txt", path_or_fileobj=b"abc")
        yield hub


def raw(hub: EmbeddedHub, sent: bytes) -> bytes:
    """All that is answered on one connection to bytes as they are."""
    parts = urlsplit(hub.endpoint)
    said = b""
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20) as client:
        client.sendall(sent)
        while got := client.recv(65536):
            said += got
    return said


def laughs(levels: int, form: str, deeper: str) -> str:
    lines = ["a0: &a0 " + form.replace("%", "x")]
    lines += [
        f"a{n}: &a{n} " + deeper.replace("%", ",".join([f"*a{n - 1}"] * 9))
        for n in range(1, levels)
    ]
    return "\n".join(lines)


REFUSED = {
    "python objects": "x: !!python/object/apply:os.system ['id']",
    "an unknown tag": "x: !mine y",
    "a date that is none": "x: !!timestamp nope",
    "no number": "x: !!int ''",
    "no fraction": "x: !!float ''",
    "no truth": "x: !!bool maybe",
    "a list as a mapping": "x: !!map [1]",
    "bytes that are none": "x: !!binary é",
    "bytes as a key of a key": "x: {!!binary aGVsbG8=: 1}",
    "a list as a key": "? [a]\n: 1",
    "half a character": r'x: "\ud800"',
    "itself": "a: &a [*a]",
    "itself by way of a merge": "a: &a {<<: *a}",
    "a billion laughs": laughs(30, "[%]", "[%]"),
    "a billion merged": laughs(30, "{k: %}", "{<<: [%]}"),
    "many brackets": "x: " + "[" * 200_000,
    "many dashes": "x:\n  " + "- " * 200_000 + "1",
    "a chain of aliases": "a0: &a0 [x]\n"
    + "\n".join(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 500)),
    "a number in base 60": "x: 1" + ":59" * 200_000,
    "a number in base 16": "x: 0x" + "f" * 200_000,
    "many values": "x: [" + "a," * 300_000 + "]",
}  # fmt: skip
READ = {
    "bytes": ("x: !!binary aGVsbG8=", "b'hello'"),
    "a date": ("x: 2026-11-22", "2026-11-22"),
    "not a number": ("x: .nan", "NaN"),
    "infinity": ("x: -.inf", "-Infinity"),
    "an anchor": ("a: &a [1]\nx: [*a, *a]", [[1], [1]]),
    "a merge": ("a: &a {k: 1}\nx: {<<: *a, m: 2}", {"k": 1, "m": 2}),
    "Norwegian": ("x: no", False),
    "an emoji": (r'x: "\U0001F917"', "🤗"),
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_yaml_that_means_harm_is_refused_at_once(text: str) -> None:
    started = time.process_time()
    with pytest.raises(InvalidYaml):
        parsed_yaml(text)
    assert time.process_time() - started < 3


@pytest.mark.parametrize(("text", "value"), READ.values(), ids=READ)
def test_yaml_that_json_has_other_words_for_is_read(text: str, value: object) -> None:
    found = parsed_yaml(text)
    assert isinstance(found, dict)
    assert found["x"] == value


def _commit(hub: EmbeddedHub, card: str, **headers: str) -> int:
    content = base64.b64encode(card.encode()).decode()
    lines: list[dict[str, object]] = [
        {"key": "header", "value": {"summary": "s"}},
        {"key": "file", "value": {"path": "README.md", "content": content, "encoding": "base64"}},
    ]
    url = f"{hub.endpoint}/api/models/ana/model/commit/main"
    data = "\n".join(json.dumps(line) for line in lines)
    return requests.post(url, data=data, headers={**HEADERS, **headers}, timeout=60).status_code


@pytest.mark.parametrize("name", ["no truth", "half a character", "a billion laughs"])
def test_a_card_that_means_harm_does_not_hide_the_others(attacked: EmbeddedHub, name: str) -> None:
    card = f"---\n{REFUSED[name]}\n---\n# A title"
    validate = f"{attacked.endpoint}/api/validate-yaml"
    said = requests.post(validate, json={"content": card}, headers=HEADERS, timeout=60)
    assert said.status_code == 400
    assert _commit(attacked, card) == 400
    # A mirror copies it as it is, so it may be there all the same.
    assert _commit(attacked, card, **{"X-Hubkit-Mirror": "1"}) == 200
    for path in ("/", "/ana/model", "/ana/model/blob/main/README.md", "/api/models/ana/model",
                 "/api/models?full=true&cardData=true"):  # fmt: skip
        found = requests.get(attacked.endpoint + path, headers=HEADERS, timeout=60)
        assert found.status_code == 200, path
        assert ("A title" in found.text) == (path.startswith("/ana"))


def test_a_number_that_json_lacks_is_told(attacked: EmbeddedHub) -> None:
    assert _commit(attacked, "---\nx: .nan\n---\n") == 200
    found = requests.get(f"{attacked.endpoint}/api/models/ana/model", headers=HEADERS, timeout=20)
    assert found.json()["cardData"] == {"x": "NaN"}


def test_a_text_that_takes_long_to_render_is_shown_as_it_is() -> None:
    started = time.process_time()
    shown = render("[<script>" * 200_000, folder="", page_url="/", file_url="/")
    assert shown.startswith("<pre>[&lt;script&gt;[")
    assert time.process_time() - started < 2


_POST = b"POST /api/validate-yaml HTTP/1.1\r\nHost: x\r\n"
_NEXT = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "head",
    [
        _POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        _POST + b"Transfer-Encoding: chunked\r\nContent-Length: 2000000\r\n",
        _POST + b"Content-Length: 4\r\nContent-Length: 5\r\n",
        _POST + b"Content-Length: +4\r\n",
        _POST + b"Content-Length: 99999999999999999999999\r\n",
        _POST + b"Transfer-Encoding: xchunked\r\n",
        _POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        _POST + b"Transfer-Encoding : chunked\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n",
    ],
)
def test_a_request_of_two_lengths_is_the_last_of_its_connection(
    attacked: EmbeddedHub, head: bytes
) -> None:
    said = raw(attacked, head + b"\r\n4\r\nabcd\r\n0\r\n\r\n" + _NEXT)
    assert said.startswith(b"HTTP/1.1 400 ")
    assert said.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("target", [b"*", b"/?" + b"a&" * 3000, b"http://[::1/x", b"/%", b"//x"])
def test_a_target_that_is_none_is_refused(attacked: EmbeddedHub, target: bytes) -> None:
    said = raw(attacked, b"GET " + target + b" HTTP/1.1\r\nHost: [\r\nConnection: close\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 4")


def test_thousands_of_ranges_are_one_file(attacked: EmbeddedHub) -> None:
    url = f"{attacked.endpoint}/ana/model/resolve/main/a.bin"
    for wanted in ("0-1," * 3000 + "5-6", "0-,0-,0-", "-", "5-1", "0-1;x", "٣-"):
        header = f"bytes={wanted}".encode()
        found = requests.get(url, headers={**HEADERS, "Range": header}, timeout=20)
        assert (found.status_code, len(found.content)) == (200, 2_700_000)
    for wanted in ("-0", "2700000-", "9" * 40 + "-"):
        found = requests.get(url, headers={**HEADERS, "Range": f"bytes={wanted}"}, timeout=20)
        assert (found.status_code, found.headers["Content-Range"]) == (416, "bytes */2700000")


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"garbage", ""),
        (b"", ""),
        (b"0032want " + b"0" * 40 + b"\n00000009done\n", ""),
        (b"0050want zz no-progress side-band-64k thin-pack ofs-delta".ljust(80), ""),
        (b"not gzip", "gzip"),
        (gzip.compress(bytes(40 << 20), mtime=0), "gzip"),
        (gzip.compress(b"0032want", mtime=0)[:12], "gzip"),
    ],
)
def test_git_requests_that_are_none_are_refused(
    attacked: EmbeddedHub, body: bytes, encoding: str
) -> None:
    url = f"{attacked.endpoint}/ana/model.git/git-upload-pack"
    headers = {**HEADERS, **({"Content-Encoding": encoding} if encoding else {})}
    assert requests.post(url, data=body, headers=headers, timeout=20).status_code == 400


def test_what_only_git_can_make_is_shown_and_not_followed(
    attacked: EmbeddedHub, tmp_path: Path
) -> None:
    repository = attacked.root / "repos/models/ana/model.git"
    git = ["git", "-C", str(repository)]

    def made(*command: str, sent: bytes = b"") -> str:
        done = subprocess.run([*git, *command], input=sent, capture_output=True, check=True)
        return done.stdout.decode().strip()

    (attacked.root / "outside.txt").write_text("what nobody may read")
    link = made("hash-object", "-w", "--stdin", sent=b"../../../../outside.txt")
    plain = made("hash-object", "-w", "--stdin", sent=b"text")
    head = made("rev-parse", "main")
    rows = [
        b"120000 blob " + link.encode() + b"\tREADME.md",
        b"120000 blob " + link.encode() + b"\tlink",
        b"160000 commit " + head.encode() + b"\tmodule",
        b"100644 blob " + plain.encode() + b"\tnot \xff text",
    ]
    tree = made("mktree", "-z", sent=b"".join(row + b"\0" for row in rows))
    env = ("-c", "user.name=t", "-c", "user.email=t@localhost")
    commit = made(*env, "commit-tree", tree, "-m", "odd", "-p", head)
    made("update-ref", "refs/heads/odd", commit)
    paths = ["tree/odd", "blob/odd/link", "blob/odd/module", "blob/odd/README.md", "commits/odd",
             f"commit/{commit}", "resolve/odd/link", "resolve/odd/module", "branches"]  # fmt: skip
    for path in paths:
        found = requests.get(f"{attacked.endpoint}/ana/model/{path}", headers=HEADERS, timeout=20)
        assert found.status_code in (200, 404), path
        assert "what nobody may read" not in found.text
    for path in ("tree/odd?expand=1", "revision/odd?blobs=1", "commits/odd"):
        url = f"{attacked.endpoint}/api/models/ana/model/{path}"
        assert requests.get(url, headers=HEADERS, timeout=20).status_code == 200, path


def test_no_token_is_in_a_log(
    attacked: EmbeddedHub,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from hubkit.hub.server import app

    def fails(*_: object) -> None:
        raise RuntimeError("a fault of the server's own")

    monkeypatch.setattr(app, "admit", fails)
    caplog.set_level(logging.DEBUG)
    parts = urlsplit(attacked.endpoint)
    for url in (
        f"http://ana:{OWNER}@{parts.netloc}/ana/model/resolve/main/a.txt",
        f"{attacked.endpoint}/ana/model?token={OWNER}&signature=secret-signature",
        f"{attacked.endpoint}/api/models/ana/model?access_token={OWNER}",
    ):
        assert requests.get(url, headers={"X-Token": OWNER}, timeout=20).status_code == 500
    raw(attacked, b"GET /?token=" + OWNER.encode() + b" nonsense\r\n\r\n")
    said = [r.getMessage() for r in caplog.records if r.name.startswith(("hubkit", "uvicorn"))]
    assert sum("/ana/model" in line for line in said) == 3
    tracebacks = [r.exc_text or "" for r in caplog.records if r.name.startswith("hubkit")]
    for text in (*said, *tracebacks, *capfd.readouterr()):
        assert OWNER not in text
        assert "secret-signature" not in text
