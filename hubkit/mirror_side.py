"""One of the two Hubs of a mirror, asked safely: each call tried again, each failure told apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from hubkit.errors import HubError, UsageError
from hubkit.hub.client import PUBLIC_ENDPOINT
from hubkit.hub.faults import fault_of, scrub
from hubkit.hub.refusals import Place, refusal, unreachable
from hubkit.hub.remote import RemoteFile
from hubkit.hub.retry import GivenUp, Retry, Transient
from hubkit.hub.session import quiet, with_timeouts

if TYPE_CHECKING:
    from huggingface_hub import HfApi

T = TypeVar("T")
MirrorKind = Literal["model", "dataset", "space"]
_WHO = "mirror"  # commits on a mirror that is served only while it is written


@dataclass(frozen=True)
class Side:
    """A Hub and an account on it. Raises HubError and nothing else of the network."""

    endpoint: str
    token: str | None = field(repr=False)
    retry: Retry
    api: HfApi = field(repr=False)

    def ask(self, doing: str, repo_id: str, call: Callable[[HfApi], T]) -> T:
        """What a call of huggingface_hub gives. Raises NotThere, Clash, Moved, Unreachable or
        another HubError."""
        place = Place(self.endpoint, repo_id)

        def once() -> T:
            try:
                with quiet():
                    return call(self.api)
            except (HubError, Transient):
                raise
            except Exception as error:
                fault = fault_of(error, endpoint=self.endpoint, token=self.token)
                if fault is None:
                    raise
                if fault.kind == "transient":
                    raise Transient(fault.detail, fault.wait_s) from error
                raise refusal(fault, doing, place) from error

        try:
            return self.retry.run(once)
        except GivenUp as error:
            raise unreachable(error, doing, place) from error

    def files(self, repo_id: str, kind: MirrorKind, revision: str) -> dict[str, RemoteFile]:
        """Every file at a revision by path, folders walked."""
        from huggingface_hub.hf_api import RepoFile

        entries = self.ask(
            f"listing the files of {repo_id}",
            repo_id,
            lambda api: list(
                api.list_repo_tree(repo_id, recursive=True, revision=revision, repo_type=kind)
            ),
        )
        return {
            e.path: RemoteFile(e.size, e.blob_id, e.lfs.sha256 if e.lfs else None)
            for e in entries
            if isinstance(e, RepoFile)
        }


def _address(endpoint: str) -> str:
    where = endpoint.rstrip("/")
    if not where.startswith(("http://", "https://")):
        raise UsageError(
            f"{scrub(where)} is not the address of a Hub",
            hint="Give it as http://host:port or https://host.",
        )
    return where


def origin_at(endpoint: str | None, *, retry: Retry | None = None) -> Side:
    """The Hub to copy from (None: the public one), with HF_TOKEN or the stored login."""
    from huggingface_hub import HfApi, get_token

    where, token = _address(endpoint or PUBLIC_ENDPOINT), get_token()
    with_timeouts()
    api = HfApi(endpoint=where, token=token or False, library_name="hubkit")
    return Side(where, token, retry or Retry(), api)


def _mirror_at(endpoint: str, token: str, retry: Retry | None) -> Side:
    from huggingface_hub import HfApi

    where = _address(endpoint)
    with_timeouts()
    # The embedded Hub takes what it is told so as it is: see hubkit.hub.server.call.is_mirror.
    api = HfApi(
        endpoint=where, token=token, library_name="hubkit", headers={"X-Hubkit-Mirror": "1"}
    )
    return Side(where, token, retry or Retry(), api)


@contextmanager
def mirror_at(
    root: Path | None, endpoint: str | None, token: str | None, *, retry: Retry | None = None
) -> Iterator[Side]:
    """The embedded Hub to copy to: one that runs at `endpoint`, or that of a root, which is served
    inside the block where it is not served already.

    Raises UsageError unless one of the two is given, and a token where it is needed. The login of
    the public Hub is never sent there.
    """
    with ExitStack() as stack:
        if root is not None and endpoint is None:
            endpoint, token = _of_root(root, token, stack)
        if endpoint is None:
            raise UsageError(
                "a mirror needs a Hub to copy to",
                hint="Give --root DIR of an embedded Hub, or --endpoint and --token of one that"
                " runs (`hubkit hub serve --root DIR`).",
            )
        if token is None:
            raise UsageError(
                f"no token for the Hub at {scrub(endpoint)}",
                hint="Set HUBKIT_HUB_TOKEN (or give --token) to a token of it that may write; of a"
                " Hub with one user it is in ROOT/token.",
            )
        yield _mirror_at(endpoint, token, retry)


def _of_root(root: Path, token: str | None, stack: ExitStack) -> tuple[str, str | None]:
    """Address and token of the Hub of a root, which is started for as long as it is needed."""
    import secrets

    from hubkit.hub.server.embedded import EmbeddedHub, find_running
    from hubkit.hub.server.users import EVERY

    running = find_running(root)
    if running is not None:
        path = root / "token"
        own = path.read_text(encoding="ascii").strip() if path.is_file() else None
        return running, token or own
    one = "hf_" + secrets.token_urlsafe(24)
    users: dict[str, dict[str, object]] = {_WHO: {"token": one, "orgs": [EVERY]}}
    return stack.enter_context(EmbeddedHub(root, users)).endpoint, one
