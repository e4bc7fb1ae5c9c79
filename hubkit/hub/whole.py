"""Downloads that are whole, or are begun anew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hubkit.hub.faults import CUT
from hubkit.hub.remote import RepoKind
from hubkit.hub.retry import Transient

# How huggingface_hub says that a file has another size than the Hub told.
_TOLD = "Consistency check failed"


@contextmanager
def whole_downloads(cache: Path | None, repo_id: str, kind: RepoKind) -> Iterator[None]:
    """Inside, a file that came cut, or as a proxy's page, is worth another try, from its beginning.

    huggingface_hub leaves what came of it in its cache (None: the usual one), and would add the
    rest of the right file to it.
    """
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    try:
        yield
    except OSError as error:
        if _TOLD not in str(error):
            raise
        root = Path(cache or constants.HF_HUB_CACHE)
        blobs = root / repo_folder_name(repo_id=repo_id, repo_type=kind) / "blobs"
        for part in blobs.glob("*.incomplete"):
            part.unlink(missing_ok=True)
        raise Transient(f"a file {CUT}") from error
