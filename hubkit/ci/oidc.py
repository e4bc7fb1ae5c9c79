"""Trusted publishing: a job's identity exchanged for a token of the Hub, with nothing stored.

huggingface.co/docs/hub/trusted-publishers: the job's OpenID Connect token, made out to the Hub, is
sent to its /oauth/token (RFC 8693) and answered with a token that may write to one repository for
an hour.
"""

from __future__ import annotations

import json
import os
import urllib.parse
import urllib.request
from collections.abc import Mapping

from hubkit.ci.github import Passing, Refused, read_json, safe_url
from hubkit.errors import HubError, UsageError

_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
_ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"
URL, SECRET = "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"


def has_identity(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this job may ask for an identity: it has `permissions: id-token: write`."""
    return bool(environ.get(URL) and environ.get(SECRET))


def exchange(endpoint: str, repo_id: str, environ: Mapping[str, str] = os.environ) -> str:
    """A token of the Hub at `endpoint` that may write to one repository for an hour.

    Raises HubError where the Hub knows no publisher that this job fits, UsageError where the job
    has no identity.
    """
    if not has_identity(environ):
        raise UsageError(
            "this job has no identity to exchange",
            hint="Give it `permissions: id-token: write`, or the secret HF_TOKEN.",
        )
    body = {
        "grant_type": _GRANT,
        "subject_token_type": _ID_TOKEN,
        "subject_token": _identity(endpoint, environ),
        "resource": repo_id,
    }
    request = urllib.request.Request(
        safe_url(f"{endpoint}/oauth/token"), data=json.dumps(body).encode(), method="POST"
    )
    request.add_header("Content-Type", "application/json")
    try:
        answer = read_json(request, "the exchange of this job's identity")
    except Refused as error:
        said = error.message.partition(": ")[2]
        raise HubError(
            f"the Hub gives this job no token for {repo_id}: {said}",
            hint=f"Add a trusted publisher at {endpoint}/{repo_id}/settings whose claims are this"
            " repository and workflow.",
        ) from None
    except Passing as error:
        raise HubError(error.message, hint="Run the job again.") from None
    token = answer.get("access_token") if isinstance(answer, dict) else None
    if not isinstance(token, str) or not token:
        raise HubError(f"the Hub at {endpoint} answered the exchange with no token")
    return token


def _identity(endpoint: str, environ: Mapping[str, str]) -> str:
    """The job's own token, made out to the Hub."""
    url = environ[URL]
    sign = "&" if urllib.parse.urlsplit(url).query else "?"
    request = urllib.request.Request(
        safe_url(f"{url}{sign}audience={urllib.parse.quote(endpoint, safe='')}")
    )
    request.add_header("Authorization", f"Bearer {environ[SECRET]}")
    try:
        answer = read_json(request, "asking for this job's identity")
    except Refused as error:
        raise HubError(error.message, hint="Give the job `permissions: id-token: write`.") from None
    except Passing as error:
        raise HubError(error.message, hint="Run the job again.") from None
    value = answer.get("value") if isinstance(answer, dict) else None
    if not isinstance(value, str) or not value:
        raise HubError("GitHub gave this job no identity")
    return value
