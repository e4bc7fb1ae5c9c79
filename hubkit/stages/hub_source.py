"""Reading a model or a dataset that a recipe names from the Hub: each failure with its cure."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from hubkit.errors import HubError
from hubkit.hub.client import connect
from hubkit.hub.faults import Fault, Unreachable, fault_of, given_up_in
from hubkit.hub.refusals import Place, refusal
from hubkit.hub.remote import RepoKind
from hubkit.hub.retry import GivenUp, Retry, Transient
from hubkit.hub.session import patience, quiet
from hubkit.nearest import did_you_mean

if TYPE_CHECKING:
    from huggingface_hub import HfApi

T = TypeVar("T")

# The first reading happens while somebody waits for a word: a Hub that is away gets about 4 s.
PATIENCE = Retry(tries=4, total_s=90)
# Later, when much is read and nobody sits before it, as long as anything else.
DOWNLOADS = Retry()


@dataclass(frozen=True)
class Wanted:
    """A repository that is read, at a revision."""

    kind: RepoKind
    id: str
    revision: str

    def __str__(self) -> str:
        return f"the {self.kind} {self.id}"


@dataclass(frozen=True)
class HubReader:
    """A Hub to read from, as a stage's Context names it: endpoint and token None are defaults."""

    endpoint: str
    token: str | None
    retry: Retry
    _api: HfApi

    def read(self, wanted: Wanted, call: Callable[[HfApi], T]) -> T:
        """What `call` gives, tried again while the Hub is away.

        Raises HubError: no such repository or revision, gated, or the Hub is away.
        """

        def once() -> T:
            try:
                with quiet(), patience(self.retry):
                    return call(self._api)
            except Exception as error:
                if given_up := given_up_in(error, self.token):
                    raise given_up from error
                raise self._told(wanted, error) from error

        try:
            return self.retry.run(once)
        except GivenUp as error:
            raise Unreachable(
                f"{wanted} cannot be read: the Hub at {self.endpoint} does not answer"
                f" ({error.last.reason}, {error.tries} tries)",
                hint="Check the network and the Hub's address (--endpoint, or HF_ENDPOINT), then"
                " run the same command again: what is finished is kept.",
                reason=error.last.reason,
            ) from error

    def _told(self, wanted: Wanted, error: Exception) -> Exception:
        from huggingface_hub.errors import HFValidationError, RevisionNotFoundError

        if isinstance(error, RevisionNotFoundError):
            return self._no_revision(wanted)
        if isinstance(error, HFValidationError):
            return HubError(
                f"{wanted.id} is no id of a repository",
                hint=f"Give the {wanted.kind} as OWNER/NAME in the recipe.",
            )
        fault = fault_of(error, endpoint=self.endpoint, token=self.token)
        if fault is None:
            return error
        if fault.kind == "transient":
            return Transient(fault.detail, fault.wait_s)
        if fault.kind == "missing":
            return self._no_repository(wanted)
        if fault.kind == "gated":
            return self._gated(wanted, fault)
        return refusal(fault, f"reading {wanted}", Place(self.endpoint, wanted.id))

    def _no_repository(self, wanted: Wanted) -> HubError:
        login = (
            "if it is private, use a token of an account that may read it (`hf auth login`)"
            if self.token
            else "if it is private, run `hf auth login` first, or set HF_TOKEN"
        )
        return HubError(
            f"{wanted} is not on the Hub at {self.endpoint}, or may not be seen",
            hint=f"Check the spelling of its id in the recipe; {login}; if it is on another Hub,"
            " give that one's address with --endpoint.",
        )

    def _no_revision(self, wanted: Wanted) -> HubError:
        names: list[str] = []
        # Only to help: where the names cannot be had, the error does without.
        with suppress(Exception), quiet():
            refs = self._api.list_repo_refs(wanted.id, repo_type=wanted.kind)
            names = [ref.name for ref in (*refs.branches, *refs.tags)]
        known = f" It has {', '.join(names)}." if names else ""
        return HubError(
            f"{wanted} has no revision {wanted.revision}{did_you_mean(wanted.revision, names)}",
            hint=f"Set the revision in the recipe to a branch, a tag or a commit of it.{known}",
        )

    def _gated(self, wanted: Wanted, fault: Fault) -> HubError:
        path = f"datasets/{wanted.id}" if wanted.kind == "dataset" else wanted.id
        login = "" if self.token else ", run `hf auth login`"
        return HubError(
            f"{wanted} is gated: its owner decides who may read it ({fault.detail})",
            hint=f"Ask for access at {self.endpoint}/{path}{login}, then run the same command"
            " again.",
        )


def hub_reader(endpoint: str | None, token: str | None, *, downloads: bool = False) -> HubReader:
    """A reader of that Hub; None: huggingface_hub's own endpoint and token. Nothing is sent yet.

    `downloads`: it waits longer for a Hub that is away.
    """
    from huggingface_hub import HfApi

    hub = connect(endpoint, token)
    api = HfApi(endpoint=hub.endpoint, token=hub.token or False, library_name="hubkit")
    return HubReader(hub.endpoint, hub.token, DOWNLOADS if downloads else PATIENCE, api)
