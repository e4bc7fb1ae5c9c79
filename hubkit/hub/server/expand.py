"""Which properties `expand` may ask for, a type of repository each."""

from __future__ import annotations

from hubkit.hub.server.problems import bad_request

_ALL = "author createdAt disabled lastModified likes private resourceGroup sha siblings tags"
_CARD = "cardData trendingScore usedStorage"
_USED = "downloads downloadsAllTime gated"
_MODEL = (
    "baseModels childrenModelCount config evalResults gguf inference inferenceProviderMapping "
    "library_name mask_token model-index pipeline_tag safetensors spaces transformersInfo "
    "widgetData"
)
_DATASET = "citation description mainSize paperswithcode_id"
_SPACE = "datasets models region runtime sdk subdomain"
_NAMES = {
    "model": frozenset(f"{_ALL} {_CARD} {_USED} {_MODEL}".split()),
    "dataset": frozenset(f"{_ALL} {_CARD} {_USED} {_DATASET}".split()),
    "space": frozenset(f"{_ALL} {_CARD} {_SPACE}".split()),
}
# Asked for by 0.x clients; the Hub answers it and no longer tells of it.
_UNTOLD = frozenset({"xetEnabled"})


def checked_expand(repo_type: str, names: list[str]) -> list[str]:
    """The names, all of which may be asked for; 400 with the list of those that may else."""
    allowed = _NAMES[repo_type]
    for name in names:
        if name not in allowed and name not in _UNTOLD:
            raise bad_request(f'"expand" must be one of [{", ".join(sorted(allowed))}]')
    return names
