"""Which engines a report measures, and what it makes of noise."""

from __future__ import annotations

import pytest

from hubkit.backends.engines import engines_of
from hubkit.backends.engines_missing import Here
from hubkit.errors import UsageError
from hubkit.formats_measuring import _judged, chosen_engines
from hubkit.formats_records import Distance, Invariance
from hubkit.machine import Target, machine_info
from hubkit.record_base import Interval

ENGINES = engines_of((), machine_info(), Here(Target(None, frozenset({"avx2"}))))


def test_engines_are_chosen_by_patterns_in_the_order_of_the_report() -> None:
    found = [one.name for one in chosen_engines(ENGINES, ["torch-cpu-*", "onnxruntime-cpu-fp32"])]
    assert found == ["onnxruntime-cpu-fp32", "torch-cpu-fp32", "torch-cpu-bf16", "torch-cpu-int8"]
    assert chosen_engines(ENGINES, []) == ENGINES


def test_a_pattern_that_fits_no_engine_is_refused() -> None:
    with pytest.raises(UsageError, match="torch-cpu-fp33") as refused:
        chosen_engines(ENGINES, ["torch-cpu-fp33"])
    assert "torch-cpu-fp32" in f"{refused.value.message} {refused.value.hint}"


def _distance(relative: float) -> Distance:
    return Distance(
        rows=1,
        max_abs=relative,
        mean_abs=relative,
        mean_abs_interval=Interval(low=0, high=1),
        max_relative=relative,
        mean_relative=relative,
        mean_cosine=1,
        min_cosine=1,
    )


@pytest.mark.parametrize(
    ("batched", "padded", "limit", "holds"),
    [
        (1e-7, 1e-7, 1e-6, True),
        (1e-7, 1e-3, 1e-6, False),
        (1e-3, 1e-7, 1e-6, False),
        (1e-3, 1e-3, None, None),
    ],
)
def test_an_engine_holds_still_within_the_noise(
    batched: float, padded: float, limit: float | None, holds: bool | None
) -> None:
    found = Invariance(
        engine="one",
        batched=_distance(batched),
        padded=_distance(padded),
        batch_size=8,
        padded_length=32,
    )
    assert _judged(found, limit).holds is holds
