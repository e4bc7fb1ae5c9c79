"""Whether a rewritten float graph still computes the same: it is run beside the one it came of.

Pattern matching finds what it was shown; a model of tomorrow may look like one of today's, and mean
something else. A few small inputs tell: short and longer rows, padded on either side or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnxruntime import InferenceSession, NodeArg

    from hubkit.backends.base import Arrays

# Largest difference that is taken for rounding, as a share of the largest output (of 1 where all
# are smaller). Other orders of the same additions differ by some 1e-6; a wrong graph by far more.
TOLERANCE = 1e-4
_LENGTHS = (2, 7, 19)
_SEED = 13


def difference(before: Path, after: Path, config: Path) -> float:
    """The largest difference of any output of two ONNX files, as a share of the largest value of
    that output (of 1 where all are smaller); infinite where a number has become none, a shape is
    another, or the second cannot be run.

    `config`: the config.json, for what the inputs may hold. What comes out for padding is no
    part of it: a model promises nothing there. Raises ModelError where the first cannot be run.
    """
    sizes = _Sizes.of(config)
    # One after the other: two sessions of a large model would take twice its memory.
    expected = _answers(before, sizes)
    try:
        found = _answers(after, sizes)
    except ModelError:
        return float("inf")
    if [len(one) for one in expected] != [len(one) for one in found]:
        return float("inf")
    return max(
        _furthest(one, other)
        for ours, theirs in zip(expected, found, strict=True)
        for one, other in zip(ours, theirs, strict=True)
    )


@dataclass(frozen=True)
class _Sizes:
    """What the inputs of a model may hold."""

    tokens: int
    types: int
    positions: int
    padding: int
    first: int | None
    last: int | None

    @classmethod
    def of(cls, config: Path) -> _Sizes:
        found = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}

        def number(*names: str) -> int | None:
            values = (found.get(name) for name in names)
            return next((value for value in values if isinstance(value, int)), None)

        padding = number("pad_token_id", "pad_index") or 0
        positions = number("max_position_embeddings", "n_positions") or max(_LENGTHS)
        types = number("type_vocab_size")
        return cls(
            tokens=number("vocab_size", "n_words") or 2,
            types=1 if types is None else max(1, types),
            positions=positions - padding - 1,  # RoBERTa counts them from its padding on
            padding=padding,
            first=number("cls_token_id", "bos_token_id"),
            last=number("sep_token_id", "eos_token_id"),
        )


def _answers(path: Path, sizes: _Sizes) -> list[list[NDArray[np.float32]]]:
    """The outputs for each feed; of outputs for each token, those of tokens that are no padding."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4  # what fails is told by the error
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        feeds = list(_feeds(session, sizes))
        return [[_of_tokens(a, mask) for a in session.run(None, feed)] for feed, mask in feeds]
    except Exception as error:  # onnxruntime's have no base class of their own
        raise ModelError(
            f"{path.name} cannot be run on made-up inputs, to see whether optimizing its graph"
            f" changes what it answers: {error}",
            hint="Set framework_args.optimization_level to 0.",
        ) from error


def _of_tokens(array: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    return array[mask] if array.shape[:2] == mask.shape else array


def _feeds(
    session: InferenceSession, sizes: _Sizes
) -> Iterator[tuple[dict[str, NDArray[np.generic]], NDArray[np.bool_]]]:
    """Inputs of three rows for each length, and which of their tokens are no padding: a whole row,
    one with padding at its end, one with padding at its start."""
    import numpy as np

    random = np.random.default_rng(_SEED)
    special = {sizes.padding, sizes.first, sizes.last}
    plain = np.array([t for t in range(min(sizes.tokens, 4096)) if t not in special] or [0])
    for length in dict.fromkeys(max(1, min(length, sizes.positions)) for length in _LENGTHS):
        whole, part = np.ones(length, bool), np.arange(length) < -(-length // 2)
        mask = np.stack([whole, part, part[::-1]])
        ids = np.full(mask.shape, sizes.padding)
        for row, kept in zip(ids, mask, strict=True):
            tokens = random.choice(plain, kept.sum())
            ends = (0, sizes.first), (len(tokens) - 1, sizes.last)
            for place, token in ends:
                if token is not None and token < sizes.tokens:
                    tokens[place] = token
            row[kept] = tokens
        known = {
            "input_ids": ids,
            "attention_mask": mask.astype(np.int64),
            "token_type_ids": np.arange(length) * sizes.types // length + np.zeros_like(ids),
            "position_ids": np.arange(length) + np.zeros_like(ids),
        }
        yield {one.name: _input(one, known, mask.shape) for one in session.get_inputs()}, mask


def _input(one: NodeArg, known: Arrays, shape: tuple[int, ...]) -> NDArray[np.generic]:
    """What an input is given: what is known by its name, else zeros of its own shape."""
    import numpy as np

    kinds = {"int64": np.int64, "int32": np.int32, "bool": np.bool_, "float16": np.float16}
    kind = kinds.get(one.type.removeprefix("tensor(").removesuffix(")"), np.float32)
    if one.name in known:
        found: NDArray[np.generic] = known[one.name].astype(kind)
        return found
    sizes = [*shape, *[1] * len(one.shape)]
    dims = [d if isinstance(d, int) else n for d, n in zip(one.shape, sizes, strict=False)]
    return np.zeros(dims, kind)


def _furthest(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    import numpy as np

    if one.shape != other.shape:
        return float("inf")
    one, other = (array.astype(np.float32) for array in (one, other))
    known = np.isfinite(one)
    if not np.isfinite(other[known]).all():
        return float("inf")
    if not known.any():
        return 0.0
    largest = max(1.0, float(np.abs(one[known]).max()))
    return float(np.abs(one - other)[known].max()) / largest
