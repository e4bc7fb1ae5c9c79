"""What is taken for a secret, and what looks like one and is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubkit.secrets_scan.rules import PASSWORDS, SECRET_FILES, entropy, find
from tests.secrets_scan.planted import PLANTED, mixed


@pytest.mark.parametrize(("kind", "text", "secret"), PLANTED)
def test_each_kind_is_found(kind: str, text: str, secret: str) -> None:
    found = list(find(text))
    assert (kind, secret) in [(one.kind, one.secret) for one in found]
    for one in found:
        assert text[one.start :].lstrip().startswith(one.secret) or one.secret in text[one.start :]
        assert one.secret not in one.shown
        if one.kind in PASSWORDS:
            assert one.shown == f"({len(one.secret)} characters)"
        else:
            assert len(one.shown.split("…")[0]) <= 10


@given(
    planted=st.sampled_from([one for one in PLANTED if one[0] != "password"]),
    before=st.text(alphabet=" \n\t,;:()[]{}<>\"'|äöü中", max_size=30),
    after=st.text(alphabet=" \n\t,;()[]{}<>\"'|äöü中", max_size=30),
)
def test_wherever_it_is(planted: tuple[str, str, str], before: str, after: str) -> None:
    kind, text, _ = planted
    assert kind in {one.kind for one in find(before + text + after)}


@pytest.mark.parametrize(
    "text",
    [
        "sha256 81f258f95936429ff3e77b94b96d8517cb550f0454532dd28541960fb05ee497",
        '"sha": "4d2db1e9241a4bd2b3d8ccd3ad77ef2fa0aef78b"',
        '"token_type_ids": [0, 0], "pad_token": "[PAD]", "mask_token": "[MASK]"',
        '"unk_token": "<unk>", "tokenizer_class": "PreTrainedTokenizerFast"',
        "hf_hub_download hf_transfer hf_xet HF_TOKEN=hf_... export HF_TOKEN=hf_your_token_here",
        "hf_" + "x" * 34,
        "token=hf_" + "X" * 40,
        "AKIAIOSFODNN7" + "EXAMPLE",
        "Authorization: Bearer $HF_TOKEN, or Bearer ${{ secrets.HF_TOKEN }}, or Bearer <token>",
        "-H 'Authorization: Bearer your_token_goes_here_please'",
        "https://example.org:8443/@scope/name and https://user:password@example.org",
        "postgres://user:${PASSWORD}@host, https://me:<token>@example.org",
        "git@github.com:owner/name.git, mailto:someone@example.org",
        "api_key = os.environ['OPENAI_API_KEY']; token = tokenizer.convert_tokens_to_ids(words2)",
        "password: required, secret: none, api_key: str | None = None",
        "sk-learn-contrib sk-" + "-" * 40 + " task-specific-fine-tuning-of-transformers-models",
        "-----BEGIN PUBLIC KEY----- -----BEGIN CERTIFICATE-----",
        "/home, /home/, ~/model, /home/user/app, /Users/Shared/x, /home/<name>, /home/$USER",
        "https://example.org/home/page and docs/home/start.md and ./home/x and ../home/x",
        "/distilbert/transformer/layer.0/attention/q_lin/MatMul /usr/share/x /opt/hubkit",
        "C:\\Users\\Public\\x and C:\\Program Files\\x, HKEY_USERS\\alice",
        "e" + "yJhbGciOiJIUzI1",
        "pass the key: secret of a good film 2024",
        mixed(64),
    ],
)
def test_what_looks_like_a_secret_and_is_none(text: str) -> None:
    assert [(one.kind, one.shown) for one in find(text)] == []


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        (".env", True),
        (".env.local", True),
        (".env.example", False),
        ("prod.env", True),
        ("id_ed25519", True),
        (".netrc", True),
        ("keys.p12", True),
        ("environment.yml", False),
        ("tokenizer.json", False),
        ("idea_rsa", False),
    ],
)
def test_files_that_hold_secrets_by_name(name: str, is_one: bool) -> None:
    assert (SECRET_FILES.fullmatch(name) is not None) is is_one


def test_entropy() -> None:
    assert entropy("aaaa") == 0
    assert entropy("abcd") == 2
    assert entropy("aabb") == 1
