"""Secrets that nobody has, put together here so that no file of hubkit holds one whole."""

from __future__ import annotations

_MIXED = "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA5cD7fG9h"
_BIG = "QWERTZUIOPASDFGHJKLYXCVBNM234567"


def mixed(length: int) -> str:
    """Letters and digits without an order."""
    return (_MIXED * (length // len(_MIXED) + 1))[:length]


# (what the scan calls it, a text that holds it, the secret in it)
PLANTED: tuple[tuple[str, str, str], ...] = tuple(
    (kind, text.format(s=secret), secret)
    for kind, text, secret in (
        ("Hugging Face token", "login with {s} now", "hf_" + mixed(34)),
        ("Hugging Face token", "{s}", "api_org_" + mixed(34)),
        ("Hugging Face token", "{s}", "hf_oauth_" + mixed(60)),
        ("GitHub token", "git clone x:{s}", "gh" + "p_" + mixed(36)),
        ("GitHub token", "({s})", "gh" + "s_" + mixed(36)),
        ("GitHub token", "'{s}'", "github_" + "pat_" + mixed(22) + "_" + mixed(59)),
        ("GitLab token", "{s}", "glp" + "at-" + mixed(20)),
        ("AWS access key", "id = {s};", "AK" + "IA" + _BIG[:16]),
        ("AWS access key", "{s}", "AS" + "IA" + _BIG[4:20]),
        ("AWS secret key", "aws_secret_access_key = {s}", mixed(40)),
        ("Google key", "?key={s}&x", "AI" + "za" + mixed(35)),
        ("Google key", "{s}", "ya" + "29." + mixed(60)),
        ("API key", "{s}", "s" + "k-" + mixed(48)),
        ("API key", "{s}", "s" + "k-proj-" + mixed(60) + "_" + mixed(20)),
        ("API key", "{s}", "s" + "k-ant-api03-" + mixed(90)),
        ("Slack token", "{s}", "xo" + "xb-" + mixed(40)),
        ("Stripe key", "{s}", "s" + "k_live_" + mixed(24)),
        ("PyPI token", "{s}", "py" + "pi-AgEIcHlwaS5vcmc" + mixed(60)),
        ("npm token", "{s}", "np" + "m_" + mixed(36)),
        ("SendGrid key", "{s}", "S" + "G." + mixed(22) + "." + mixed(43)),
        ("Azure storage key", "X;AccountKey={s};Y", mixed(86) + "=="),
        (
            "JSON web token",
            "{s}",
            "e" + "yJhbGciOiJIUzI1" + ".e" + "yJzdWIiOiIxMjM0" + "." + mixed(30),
        ),
        ("bearer token", "curl -H 'Authorization: Bearer {s}'", mixed(40)),
        ("bearer token", "Authorization: Basic {s}", mixed(24)),
        ("password in an address", "https://me:{s}@example.org/x", "hunter22"),
        ("password in an address", "redis://:{s}@db:6379/0", "s3cr3tpw"),
        ("password", 'api_key: "{s}"', mixed(32)),
        ("password", "MY_API_KEY={s}", mixed(32)),
        ("password", 'client_secret = "{s}"', mixed(24)),
        ("private key", "x\n{s}\nMII", "-----BEGIN " + "PRIVATE KEY-----"),
        ("private key", "{s}", "-----BEGIN " + "RSA PRIVATE KEY-----"),
        ("private key", "{s}", "-----BEGIN " + "OPENSSH PRIVATE KEY-----"),
        ("private key", "{s}", "-----BEGIN " + "ENCRYPTED PRIVATE KEY-----"),
        ("private key", "{s}", "-----BEGIN " + "PGP PRIVATE KEY BLOCK-----"),
        ("home folder", "loaded from {s}/model", "/home/" + "alice"),
        ("home folder", "'{s}/.cache'", "/Users/" + "alice"),
        ("home folder", "file://{s}/x", "/home/" + "alice"),
        ("home folder", "in {s}/x", "/home/" + "ärger"),
        ("home folder", "--output={s}/x", "/home/" + "b.o-b"),
        ("home folder", "{s}/huggingface", "/root/" + ".cache"),
        ("home folder", "in {s}\\Desktop", "C:\\Users\\" + "alice"),
        ("home folder", "in {s}/Desktop", "d:/Users/" + "alice"),
    )
)
