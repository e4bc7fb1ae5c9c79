"""Fine-tuning of a classifier of sequences or of tokens on a CPU: a plain torch loop, seeded."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubkit.records import Record
from hubkit.stage import Progress

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer
    from transformers import PreTrainedModel


class Hyperparameters(Record):
    """Training with AdamW on `rows` rows: over `warmup` of the steps the rate rises to
    `learning_rate`, then it falls to 0, both in a line."""

    rows: int = 6000
    epochs: int = 1
    learning_rate: float = 1.5e-4
    batch_size: int = 32
    max_length: int = 48
    warmup: float = 0.06
    max_gradient_norm: float = 1.0
    seed: int = 13


NO_LABEL = -100  # of a token that no loss and no score looks at; torch's cross entropy skips it


@dataclass(frozen=True)
class Rows:
    """Token ids of each row, and its label id or a label id for each of its tokens."""

    input_ids: Sequence[Sequence[int]]
    labels: Sequence[int] | Sequence[Sequence[int]]


def finetune(model: PreTrainedModel, rows: Rows, how: Hyperparameters, progress: Progress) -> None:
    """Train every weight of the model in place; equal arguments and threads give equal weights."""
    import torch

    batches = [b for e in range(how.epochs) for b in batches_of(rows, how.batch_size, how.seed + e)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(how.seed)
        optimizer = torch.optim.AdamW(model.parameters(), lr=how.learning_rate, fused=True)
        rate = _schedule(optimizer, len(batches), how.warmup)
        model.train()
        for step, batch in enumerate(batches):
            progress("fine-tuning", step, len(batches))
            optimizer.zero_grad(set_to_none=True)
            ids, mask = padded([rows.input_ids[i] for i in batch])
            labels = targets([rows.labels[i] for i in batch])
            model(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), how.max_gradient_norm)
            optimizer.step()
            rate()
        model.eval()
    progress("fine-tuning", len(batches), len(batches))


def accuracy(model: PreTrainedModel, rows: Rows, *, batch_size: int = 32) -> float:
    """Share of the rows' labels that have the largest logit, 0 to 1."""
    return share_right(predictions(model, rows, batch_size=batch_size), known_labels(rows))


def predictions(
    model: PreTrainedModel, rows: Rows, *, batch_size: int = 32
) -> list[tuple[int, ...]]:
    """Label ids with the largest logit, for what `known_labels` gives the labels of."""
    import torch

    found: dict[int, tuple[int, ...]] = {}
    with torch.inference_mode():
        for batch in batches_of(rows, batch_size, seed=0):
            ids, mask = padded([rows.input_ids[i] for i in batch])
            best = model(input_ids=ids, attention_mask=mask).logits.argmax(dim=-1)
            seen = targets([rows.labels[i] for i in batch]) != NO_LABEL
            found |= {row: tuple(best[at][seen[at]].tolist()) for at, row in enumerate(batch)}
    return [found[row] for row in range(len(rows.labels))]


def known_labels(rows: Rows) -> list[tuple[int, ...]]:
    """The one label of each row, or those of its tokens that have one."""
    return [
        (label,) if isinstance(label, int) else tuple(one for one in label if one != NO_LABEL)
        for label in rows.labels
    ]


def share_right(found: Sequence[tuple[int, ...]], known: Sequence[tuple[int, ...]]) -> float:
    """Share of equal labels, 0 to 1, over the labels of all rows."""
    pairs = [pair for two in zip(found, known, strict=True) for pair in zip(*two, strict=True)]
    return sum(ours == theirs for ours, theirs in pairs) / len(pairs)


def batches_of(rows: Rows, size: int, seed: int) -> list[list[int]]:
    """Row numbers in batches of rows of like length, so that little is padded; order seeded."""
    chance = random.Random(seed)
    order = list(range(len(rows.labels)))
    chance.shuffle(order)
    order.sort(key=lambda row: len(rows.input_ids[row]))
    batches = [order[i : i + size] for i in range(0, len(order), size)]
    chance.shuffle(batches)
    return batches


def padded(token_ids: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """input_ids and attention_mask, int64[batch, longest], padded with 0."""
    import torch

    longest = max(len(ids) for ids in token_ids)
    ids = torch.zeros(len(token_ids), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, tokens in enumerate(token_ids):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = 1
    return ids, mask


def targets(labels: Sequence[int | Sequence[int]]) -> Tensor:
    """The labels of a batch: int64[batch], or of tokens int64[batch, longest], filled up with
    NO_LABEL."""
    import torch

    rows = [[one] if isinstance(one, int) else one for one in labels]
    found = torch.full((len(rows), max(map(len, rows))), NO_LABEL, dtype=torch.long)
    for row, values in enumerate(rows):
        found[row, : len(values)] = torch.tensor(values)
    return found.squeeze(1) if isinstance(labels[0], int) else found


def _schedule(optimizer: Optimizer, steps: int, warmup: float) -> Callable[[], None]:
    from torch.optim.lr_scheduler import LambdaLR

    rising = max(1, int(steps * warmup))

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        return (steps - step) / max(1, steps - rising)

    scheduler = LambdaLR(optimizer, factor)
    return lambda: scheduler.step()
