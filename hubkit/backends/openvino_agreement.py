"""How far a model answers as FP32 does, from its outputs alone: what accuracy control holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubkit.backends.projection import EMBEDDING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hubkit.backends.base import Arrays, Outputs

    Floats = NDArray[np.float32]


def agreement(batch: Arrays, ours: Outputs, theirs: Outputs) -> float:
    """Mean over the rows of a batch of how alike two models answer, at most 1.

    Of a classifier: whether the largest logits are of one label, for token classification the
    share of the row's tokens for which they are; of question answering: whether start and end are
    the same; of embeddings: the cosine, of the mean over the tokens where the model pools none.
    """
    import numpy as np

    mask = batch["attention_mask"].astype(bool)
    # The tokens of an embedding are no answer of their own.
    names = [EMBEDDING] if EMBEDDING in ours else [name for name in theirs if name in ours]
    shares = [_alike(name, ours[name], theirs[name], mask) for name in names]
    answered = [share for share in shares if share is not None]
    # Start and end make one answer, which is right where both are.
    return float(np.min(np.stack(answered), axis=0).mean())


def _alike(name: str, ours: Floats, theirs: Floats, mask: NDArray[np.bool_]) -> Floats | None:
    """A number for each row; None for an output that is no answer."""
    import numpy as np

    if name == "logits" and ours.ndim == 2:
        return _equal(ours.argmax(-1), theirs.argmax(-1))
    if name == "logits":
        same = (ours.argmax(-1) == theirs.argmax(-1)) & mask
        shares: Floats = (same.sum(-1) / mask.sum(-1)).astype(np.float32)
        return shares
    if name in ("start_logits", "end_logits"):
        masked = [np.where(mask, logits, -np.inf).argmax(-1) for logits in (ours, theirs)]
        return _equal(*masked)
    if name == EMBEDDING:
        return _cosine(ours, theirs)
    if name == "last_hidden_state":
        one, other = ((states * mask[..., None]).sum(1) for states in (ours, theirs))
        return _cosine(one, other)
    return None


def _cosine(one: Floats, other: Floats) -> Floats:
    import numpy as np

    lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    cosines: Floats = ((one * other).sum(-1) / lengths).astype(np.float32)
    return cosines


def _equal(ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> Floats:
    import numpy as np

    same: Floats = (ours == theirs).astype(np.float32)
    return same
