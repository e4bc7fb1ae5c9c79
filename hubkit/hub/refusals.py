"""A Hub's refusals in the user's words, each with its cure."""

from __future__ import annotations

from dataclasses import dataclass

from hubkit.errors import HubError
from hubkit.hub.faults import (
    CUT,
    FULL,
    NOT_JSON,
    NOT_THE_HUB,
    Clash,
    Fault,
    Moved,
    NotThere,
    Unreachable,
)
from hubkit.hub.retry import GivenUp

LOG_IN = (
    "Run `hf auth login`, or set HF_TOKEN to a token with write access"
    " (HF_TOKEN wins over the stored login)."
)


@dataclass(frozen=True)
class Place:
    """Where a call went: a Hub, a repository on it, and who asked, as far as that is known."""

    endpoint: str
    repo_id: str
    account: str = ""


def unreachable(error: GivenUp, doing: str, place: Place) -> Unreachable:
    """The Hub was away at every try."""
    tries = "1 try" if error.tries == 1 else f"{error.tries} tries"
    hint = "Check the network and the Hub's address (HF_ENDPOINT), then run the same command again."
    if error.last.wait_s is not None:
        hint = f"It asks to wait {error.last.wait_s:.0f} s: run the same command again after that."
    if error.last.reason in (NOT_JSON, NOT_THE_HUB) or CUT in error.last.reason:
        hint = (
            "Something on the way answers in its place, or cuts it short, such as a proxy or a"
            f" log-in page: open {place.endpoint} in a browser, or go round it (NO_PROXY,"
            " HF_ENDPOINT), then run the same command again."
        )
    return Unreachable(
        f"the Hub at {place.endpoint} cannot be reached: {error.last.reason} ({doing}, {tries})",
        hint=hint,
        reason=error.last.reason,
    )


def no_write_access(place: Place) -> HubError:
    """The token may read and not write."""
    who = f"account {place.account}" if place.account else "this account"
    return HubError(
        f"the token of {who} has no write access to {place.repo_id} on {place.endpoint}",
        hint=f"Make a token with write access at {place.endpoint}/settings/tokens and run"
        " `hf auth login` with it (or set HF_TOKEN), or publish to a repository of your own"
        " with --repo-id.",
    )


def refusal(fault: Fault, doing: str, place: Place) -> HubError:
    """The error for a call that the Hub will never grant as it is."""
    where, repo, said = place.endpoint, place.repo_id, fault.detail
    if fault.kind == "forbidden":
        return no_write_access(place)
    if fault.kind == "unknown-user":
        return HubError(f"the Hub at {where} does not accept the token ({said})", hint=LOG_IN)
    if fault.kind == "missing":
        return NotThere(
            f"{repo or 'it'} is not on the Hub at {where}, or may not be seen ({said})",
            hint="Check the id and the revision; if it is private, run `hf auth login` or set"
            " HF_TOKEN.",
        )
    if fault.kind == "gated":
        return HubError(
            f"{repo} is gated or disabled ({said})",
            hint=f"Ask for access at {where}/{repo}, then run the same command again.",
        )
    if fault.kind == "moved":
        return Moved(f"{repo} has changed in the meantime ({said})")
    if fault.kind == "offline":
        return HubError(
            f"{doing}: {said}", hint="Unset HF_HUB_OFFLINE and run the same command again."
        )
    if fault.status == 413:
        return HubError(
            f"{doing}: more than the Hub takes at once ({said})",
            hint="One commit shows all of a publication or nothing, so it is not split. Publish"
            " fewer or smaller files.",
        )
    if fault.status == FULL:
        return HubError(
            f"the disk of the Hub at {where} is full ({said})",
            hint="Whoever runs it has to free some space; then run the same command again.",
        )
    if fault.status == 409:
        return Clash(f"{doing}: it is there already ({said})")
    return HubError(f"the Hub at {where} refused: {said} ({doing})")
