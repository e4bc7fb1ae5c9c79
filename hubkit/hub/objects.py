"""Which large files a Hub has already, so that they need not be sent."""

from __future__ import annotations

from collections.abc import Mapping

from hubkit.errors import HubError
from hubkit.hub.client import Hub
from hubkit.hub.faults import Unreachable
from hubkit.hub.remote import RepoKind

_IN_ONE_QUESTION = 256


def known_objects(
    hub: Hub, repo_id: str, sizes: Mapping[str, int], *, kind: RepoKind = "model"
) -> set[str]:
    """Those of these (SHA-256 -> bytes) that the Hub has as large files, whatever their path.

    Nothing is sent but the question. It is for those who may write: others learn of none.
    """
    from huggingface_hub.lfs import UploadInfo, post_lfs_batch_info

    def ask(part: list[UploadInfo]) -> set[str]:
        found, _, _ = hub.call(
            f"asking {repo_id} what it has",
            lambda: post_lfs_batch_info(part, hub.token, kind, repo_id, endpoint=hub.endpoint),
            repo_id,
        )
        return {item["oid"] for item in found if not item.get("actions")}

    wanted = [UploadInfo(bytes.fromhex(sha), size, b"") for sha, size in sizes.items() if size]
    known: set[str] = set()
    for start in range(0, len(wanted) if hub.token else 0, _IN_ONE_QUESTION):
        try:
            known |= ask(wanted[start : start + _IN_ONE_QUESTION])
        except Unreachable:
            raise
        except HubError:
            return set()
    return known
