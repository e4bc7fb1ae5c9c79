"""What a secret looks like.

Tokens are told by the prefixes that their makers gave them so that scanners find them; a password
has none, and is told by the name that it is given to and by looking random.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

VERSION = 2  # raise it whenever a file that was clean may now not be
HOME = "home folder"
# A few letters of one, or its digest, may be all that it takes.
PASSWORDS = ("password", "password in an address")
_SHOWN = 4  # characters of a secret that a message may show: its kind, and not what opens a door

_PLACEHOLDER = re.compile(
    r"example|sample|dummy|placeholder|change.?me|redacted|your|x{4}|\*{3}|\.{3}|1234567|abcdef",
    re.IGNORECASE,
)
_PATH_PLACEHOLDERS = r"(?:user(?:name)?|you|your[-_]?name|name|example|someone|shared|public)\b"


@dataclass(frozen=True)
class Found:
    """Where in a text a secret is. `secret` is never shown whole."""

    kind: str
    start: int
    secret: str
    shown: str


@dataclass(frozen=True)
class Rule:
    """`marks`: lower-case parts, one of which every match has: a text without them is passed over.
    The secret is the group of that name, or all of the match. `anywhere`: its marks do not turn up
    by chance, so that it is looked for in weights and pictures too."""

    kind: str
    pattern: re.Pattern[str]
    marks: tuple[str, ...]
    accept: Callable[[str], bool] = lambda _secret: True
    anywhere: bool = True

    def find(self, text: str) -> Iterator[Found]:
        """Every match in a text."""
        for match in self.pattern.finditer(text):
            secret = match["secret"] if "secret" in self.pattern.groupindex else match[0]
            if self.accept(secret):
                shown = f"({len(secret)} characters)" if self.kind in PASSWORDS else masked(secret)
                yield Found(self.kind, match.start(), secret, shown)


def masked(secret: str) -> str:
    """The beginning of a secret, and how long it is; of a path the folder that it is in."""
    if (end := max(secret.rfind("/"), secret.rfind("\\")) + 1) and secret[0] in "/CDE" and end < 12:
        return f"{secret[:end]}…"
    return f"{secret[:_SHOWN]}… ({len(secret)} characters)"


def entropy(text: str) -> float:
    """Shannon's entropy of a text's characters, in bits a character (Shannon 1948)."""
    counts = Counter(text).values()
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts)


def _token(secret: str) -> bool:
    """No row of x, and not one of the examples in their makers' documentation."""
    return len(set(secret)) >= 8 and not _PLACEHOLDER.search(secret)


def _random(secret: str) -> bool:
    """Letters and digits without an order, as no word, name or path has them."""
    mixed = re.search(r"[A-Za-z]", secret) and re.search(r"\d", secret)
    return bool(mixed) and _token(secret) and entropy(secret) >= 3.5


def _password(secret: str) -> bool:
    spelled = re.fullmatch(r"(?i)pass(word|wd)?|pw|secret|token|key|[<{$%].*", secret)
    return not spelled and not _PLACEHOLDER.search(secret)


def _rule(
    kind: str,
    pattern: str,
    *marks: str,
    accept: Callable[[str], bool] = _token,
    anywhere: bool = True,
) -> Rule:
    # ASCII: a token may follow upon a letter of another script without a space.
    return Rule(kind, re.compile(pattern, re.ASCII), marks, accept, anywhere)


def _any(_secret: str) -> bool:
    return True


_NAMES = (
    r"(?:api|access|secret|private|auth|client|account|encryption|signing|hf|bearer)"
    r"[_-]?(?:access[_-]?)?(?:key|token|secret)|apikey|passwd|password|pwd|secret"
)

_AWS = ("akia", "asia", "abia", "acca")
_GITLAB = ("glpat-", "gldt-", "glrt-", "glptt-", "glcbt-")

RULES: tuple[Rule, ...] = (
    _rule(
        "Hugging Face token",
        r"\b(?:hf_(?:oauth_|jwt_)?|api_org_)[A-Za-z0-9]{30,}",
        "hf_",
        "api_org_",
    ),
    _rule(
        "GitHub token",
        r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{40,})",
        *("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
    ),
    _rule("GitLab token", r"\bgl(?:pat|dt|rt|ptt|cbt)-[\w-]{20,}", *_GITLAB),
    _rule("AWS access key", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b", *_AWS),
    _rule(
        "AWS secret key",
        r"(?i:aws.{0,20}secret.{0,20}?[\"'=: ]{1,5})(?P<secret>[A-Za-z0-9/+]{40})"
        r"(?![A-Za-z0-9/+=])",
        "aws",
        accept=_random,
        anywhere=False,
    ),
    _rule(
        "Google key",
        r"\bAIza[\w-]{35}(?![\w-])|\bya29\.[\w-]{30,}|\bGOCSPX-[\w-]{28}(?![\w-])",
        *("aiza", "ya29.", "gocspx-"),
    ),
    # OpenAI's, and of the many that took their form: DeepSeek, OpenRouter, Anthropic.
    _rule(
        "API key",
        r"\bsk-(?:[a-z]+[0-9]*-)*[A-Za-z0-9_-]{32,}",
        "sk-",
        accept=_random,
        anywhere=False,
    ),
    _rule(
        "Slack token",
        r"\bxox[abeoprs]-[\w-]{20,}|hooks\.slack\.com/services/[\w/]{30,}",
        "xox",
        "hooks.slack",
    ),
    _rule("Stripe key", r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{20,}", "k_live_", "k_test_"),
    _rule("PyPI token", r"\bpypi-AgE[\w-]{50,}", "pypi-age"),
    _rule("npm token", r"\bnpm_[A-Za-z0-9]{36}\b", "npm_"),
    _rule("SendGrid key", r"\bSG\.[\w-]{20,24}\.[\w-]{40,46}", "sg."),
    _rule("Azure storage key", r"AccountKey=(?P<secret>[A-Za-z0-9/+]{80,}={0,2})", "accountkey="),
    _rule("JSON web token", r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}", "eyj"),
    _rule(
        "bearer token",
        r"(?i)\b(?:bearer|authorization[\"']?\s*[:=]\s*[\"']?(?:basic|token))\s+"
        r"(?P<secret>[A-Za-z0-9._~+/-]{20,}=*)",
        *("bearer", "authorization"),
        accept=_random,
        anywhere=False,
    ),
    _rule(
        "password in an address",
        r"(?i)\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@\"'<>]{0,60}:(?P<secret>[^\s/@\"'<>]{3,100})@[\w\[]",
        "://",
        accept=_password,
        anywhere=False,
    ),
    _rule(
        "password",
        rf"(?i)(?<![A-Za-z])(?:{_NAMES})[\"']?\s*[:=]\s*"
        r"(?:[\"'](?P<secret>[\w./+=~!@#$%^&*-]{12,200})[\"'])",
        *("key", "token", "secret", "passw", "pwd"),
        accept=_random,
        anywhere=False,
    ),
    _rule(
        "password",
        rf"(?im)^[ \t]*(?:export[ \t]+)?(?:\w+[_-])?(?:{_NAMES})[ \t]*[:=][ \t]*"
        r"(?P<secret>[\w/+=-]{16,200})[ \t]*$",
        *("key", "token", "secret", "passw", "pwd"),
        accept=_random,
        anywhere=False,
    ),
    _rule(
        "private key",
        r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|\bPuTTY-User-Key-File-\d"
        r"|\bAGE-SECRET-KEY-1[0-9A-Z]{50,}",
        *("private key", "putty-user-key-file", "age-secret-key"),
        accept=_any,
    ),
    _rule(
        HOME,
        # After /home/ a letter or digit of any script, then what a folder's name may go on with.
        r"(?:(?<=file://)|(?<![\w./~\\-]))/(?:home|Users)/"
        rf"(?!(?i:{_PATH_PLACEHOLDERS}))(?:\w|[^\x00-\x7f])"
        r"[^\s/\\:*?\"<>|'`()\[\]{},;]*|(?<![\w./~\\-])/root/\.\w[\w-]*",
        *("/home/", "/users/", "/root/."),
        accept=_any,
    ),
    _rule(
        HOME,
        r"(?<![A-Za-z0-9])[A-Za-z]:(?:\\{1,4}|/)Users(?:\\{1,4}|/)"
        rf"(?!(?i:{_PATH_PLACEHOLDERS}|default\b|all\b))[^\\/:*?\"<>|\s]+",
        *(":\\users", ":\\\\users", ":/users"),
        accept=_any,
    ),
)

# Files that are there to hold secrets, by name.
SECRET_FILES = re.compile(
    r"\.env(?!\.(?:example|sample|template|dist)$)(?:\..+)?|.+\.env|\.envrc|\.netrc|_netrc|\.pypirc"
    r"|\.npmrc|\.git-credentials|\.htpasswd|id_(?:rsa|dsa|ecdsa|ed25519)|.+\.(?:p12|pfx|kdbx|jks)"
    r"|stored_tokens",
    re.IGNORECASE,
)


def find(text: str, *, anywhere: bool = False) -> Iterator[Found]:
    """Every secret in a text, in no order. `anywhere`: it is of a file that is no text."""
    low = text.lower()
    for rule in RULES:
        if (rule.anywhere or not anywhere) and any(mark in low for mark in rule.marks):
            yield from rule.find(text)
