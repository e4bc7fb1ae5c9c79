"""Training of a classifier of sequences or tokens with transformers' Trainer, on the CPU.

The batches of all epochs are laid out before the first step, so that nothing but the seed decides
their order, and a run that goes on from a checkpoint sees the same ones as an undisturbed run.
"""

from __future__ import annotations

import json
import math
import random
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.backends.quiet import quiet
from hubkit.errors import ModelError
from hubkit.keys import digest_of_file
from hubkit.recipe import Finetune
from hubkit.stage import Progress

if TYPE_CHECKING:
    from torch import Tensor
    from torch.utils.data import DataLoader
    from transformers import PreTrainedModel

NO_LABEL = -100  # of a token that no loss looks at; torch's cross entropy skips it
CHECKPOINT_SECONDS = 60.0
_SEAL = "seal.json"  # written when all else is in a checkpoint's folder: file -> SHA-256
_MAX_GRADIENT_NORM = 1.0
_SAID = {False: "fine-tuning", True: "redoing lost steps"}


@dataclass(frozen=True)
class TrainingSet:
    """Token ids of each row and its label id, or a label id (or NO_LABEL) for each of its tokens.

    `token_types`: beside the ids, None where the model has none.
    """

    input_ids: Sequence[Sequence[int]]
    token_types: Sequence[Sequence[int]] | None
    labels: Sequence[int] | Sequence[Sequence[int]]
    pad_id: int


@dataclass(frozen=True)
class Trained:
    """`loss`: mean over the last epoch."""

    steps: int
    loss: float


def batches_of(lengths: Sequence[int], size: int, epochs: int, seed: int) -> list[list[int]]:
    """Row numbers in batches of rows of like length, so that little is padded; each epoch has every
    row once, and an order of its own."""
    found = []
    for epoch in range(epochs):
        chance = random.Random(f"{seed}:{epoch}")
        order = list(range(len(lengths)))
        chance.shuffle(order)
        order.sort(key=lambda row: lengths[row])
        batches = [order[i : i + size] for i in range(0, len(order), size)]
        chance.shuffle(batches)
        found += batches
    return found


def train(
    model: PreTrainedModel, rows: TrainingSet, how: Finetune, folder: Path, progress: Progress
) -> Trained:
    """Train every weight of the model in place; equal arguments and threads give equal weights.

    Checkpoints are written to `folder` once a minute. Where it holds one of the same run, training
    goes on from it, to the same weights. Raises ModelError in the first step whose loss is no
    number.
    """
    import torch
    from torch.utils.data import DataLoader
    from transformers import Trainer, TrainerCallback, TrainingArguments

    begin, lost = _last_checkpoint(folder)
    lengths = [len(ids) for ids in rows.input_ids]
    batches = batches_of(lengths, how.batch_size, how.epochs, how.seed)
    last_epoch = len(batches) - len(batches) // how.epochs

    class OwnBatches(Trainer):  # type: ignore[misc]
        """Takes the batches as they are laid out, and keeps each step's loss."""

        def get_train_dataloader(self) -> DataLoader[int]:
            return DataLoader(
                range(len(rows.input_ids)),
                batch_sampler=batches,
                collate_fn=lambda numbers: collated(rows, numbers),
            )

    class Watch(TrainerCallback):  # type: ignore[misc]
        """Tells of progress, and asks for a checkpoint once a minute."""

        saved = time.monotonic()

        def on_step_end(self, args: object, state: object, control: object, **_: object) -> None:
            step = state.global_step  # type: ignore[attr-defined]
            progress(_SAID[step <= lost], step, len(batches))
            if step < len(batches) and time.monotonic() - self.saved >= CHECKPOINT_SECONDS:
                control.should_save = True  # type: ignore[attr-defined]

        def on_save(self, args: object, state: object, control: object, **_: object) -> None:
            step = state.global_step  # type: ignore[attr-defined]
            _seal(folder / f"checkpoint-{step}")
            self.saved = time.monotonic()

        def on_log(
            self, args: object, state: object, control: object, logs: dict[str, float], **_: object
        ) -> None:
            if not math.isfinite(logs.get("loss", 0.0)):
                raise diverged(f"in step {state.global_step}")  # type: ignore[attr-defined]

    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=1,  # of the loader, which has all epochs
        per_device_train_batch_size=how.batch_size,
        learning_rate=how.learning_rate,
        weight_decay=how.weight_decay,
        warmup_ratio=how.warmup_ratio,
        lr_scheduler_type="linear",
        max_grad_norm=_MAX_GRADIENT_NORM,
        optim="adamw_torch_fused",
        seed=how.seed,
        use_cpu=True,
        save_strategy="no",  # the callback asks
        save_total_limit=2,
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to=[],
        remove_unused_columns=False,
    )
    progress(_SAID[lost > 0], 0, len(batches))
    with quiet(), torch.random.fork_rng(devices=[]):
        trainer = OwnBatches(
            model=model, args=arguments, train_dataset=range(len(lengths)), callbacks=[Watch()]
        )
        trainer.train(resume_from_checkpoint=str(begin) if begin else None)
    model.eval()
    logged = [one for one in trainer.state.log_history if "loss" in one]
    last = [float(one["loss"]) for one in logged if int(one["step"]) > last_epoch]
    return Trained(len(batches), sum(last) / len(last))


def diverged(when: str) -> ModelError:
    """What a training that came to nothing is told with."""
    return ModelError(
        f"fine-tuning diverged {when}: what it computes is no number any more",
        hint="Lower base.finetune.learning_rate.",
    )


def _last_checkpoint(folder: Path) -> tuple[Path | None, int]:
    """The newest checkpoint that is whole, and the step of the newest that is not: those after the
    first are cut off or damaged, and are removed."""
    found = {int(path.name.split("-")[1]): path for path in folder.glob("checkpoint-*")}
    lost = 0
    for step in sorted(found, reverse=True):
        if _is_whole(found[step]):
            return found[step], lost
        lost = lost or step
        shutil.rmtree(found[step])
    return None, lost


def _seal(checkpoint: Path) -> None:
    (checkpoint / _SEAL).write_text(json.dumps(_digests(checkpoint)), encoding="utf-8")


def _is_whole(checkpoint: Path) -> bool:
    try:
        sealed = json.loads((checkpoint / _SEAL).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(sealed == _digests(checkpoint))


def _digests(checkpoint: Path) -> dict[str, str]:
    return {p.name: digest_of_file(p) for p in checkpoint.iterdir() if p.name != _SEAL}


def collated(rows: TrainingSet, numbers: Sequence[int]) -> dict[str, Tensor]:
    """A batch as the model takes it: int64[batch, longest], padded on the right; labels
    int64[batch], or of tokens int64[batch, longest]."""
    import torch

    batch = {"input_ids": _padded([rows.input_ids[n] for n in numbers], rows.pad_id)}
    batch["attention_mask"] = _padded([[1] * len(rows.input_ids[n]) for n in numbers], 0)
    if rows.token_types is not None:
        batch["token_type_ids"] = _padded([rows.token_types[n] for n in numbers], 0)
    labels = [rows.labels[n] for n in numbers]
    lists = [label for label in labels if not isinstance(label, int)]
    batch["labels"] = _padded(lists, NO_LABEL) if lists else torch.tensor(labels)
    return batch


def _padded(lists: Sequence[Sequence[int]], filling: int) -> Tensor:
    import torch

    longest = max(map(len, lists))
    return torch.tensor([[*one, *[filling] * (longest - len(one))] for one in lists])
