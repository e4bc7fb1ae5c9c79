"""Energy counters: made-up ones, since few machines let a test read theirs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from hubkit.stages.benchmark import joules, timing_point
from hubkit.stages.benchmark_journal import read_journal
from hubkit.stages.benchmark_worker import Measure, Measured, TokenIds, measure
from hubkit.stages.energy import microjoules, read_energy

if TYPE_CHECKING:
    from hubkit.backends.base import Arrays, Outputs

RANGE = 262_143_328_850


def _zone(
    folder: Path, zone: str, name: str, energy: int | None, limit: int | None = RANGE
) -> Path:
    made = folder / zone
    made.mkdir(parents=True)
    (made / "name").write_text(f"{name}\n")
    if energy is not None:
        (made / "energy_uj").write_text(f"{energy}\n")
    if limit is not None:
        (made / "max_energy_range_uj").write_text(f"{limit}\n")
    return made / "energy_uj"


def test_packages_are_summed_and_their_parts_are_not(tmp_path: Path) -> None:
    one = _zone(tmp_path, "intel-rapl:0", "package-0", 1_000)
    two = _zone(tmp_path, "intel-rapl:1", "package-1", 5_000)
    others = [
        _zone(tmp_path, "intel-rapl:0:0", "core", 10),
        _zone(tmp_path, "intel-rapl:0:1", "dram", 10),
        _zone(tmp_path, "intel-rapl:2", "psys", 10),
        _zone(tmp_path, "intel-rapl-mmio:0", "package-0", 10),
    ]
    before = read_energy(tmp_path)
    one.write_text("1500")
    two.write_text("5250")
    for other in others:
        other.write_text("999999")
    assert microjoules(before, read_energy(tmp_path)) == 750


def test_a_counter_that_begins_again(tmp_path: Path) -> None:
    one = _zone(tmp_path, "intel-rapl:0", "package-0", RANGE - 100)
    before = read_energy(tmp_path)
    one.write_text("250")
    assert microjoules(before, read_energy(tmp_path)) == 350


@pytest.mark.parametrize("limit", [None, 1_000])
def test_without_a_believable_range_it_is_not_known(tmp_path: Path, limit: int | None) -> None:
    one = _zone(tmp_path, "intel-rapl:0", "package-0", 2_000, limit)
    before = read_energy(tmp_path)
    one.write_text("10")
    assert microjoules(before, read_energy(tmp_path)) is None


def test_nothing_is_known_where_there_is_no_counter(tmp_path: Path) -> None:
    assert read_energy(tmp_path / "none") == {}
    assert microjoules({}, {}) is None
    _zone(tmp_path, "intel-rapl:0", "package-0", 1)
    # The file of the second package may not be read: a folder in its place, since root reads all.
    (_zone(tmp_path, "intel-rapl:1", "package-1", None).parent / "energy_uj").mkdir()
    assert read_energy(tmp_path) == {}


def test_a_counter_that_goes_away_is_not_known(tmp_path: Path) -> None:
    one = _zone(tmp_path, "intel-rapl:0", "package-0", 1)
    before = read_energy(tmp_path)
    one.unlink()
    assert microjoules(before, read_energy(tmp_path)) is None


class _Session:
    """A session each call of which takes seven microjoules."""

    input_names: tuple[str, ...] = ("input_ids",)

    def __init__(self, counter: Path) -> None:
        self._counter = counter

    def run(self, arrays: Arrays) -> Outputs:
        self._counter.write_text(str(int(self._counter.read_text()) + 7))
        return {"logits": np.zeros((len(arrays["input_ids"]), 2), np.float32)}

    def close(self) -> None:
        """Nothing is held."""


def _call() -> Measure:
    return Measure(
        tokens=TokenIds(vocab_size=50, pad_token_id=0, seed=1),
        batch_size=1,
        input_length=4,
        warmup=3,
        min_iterations=5,
        min_seconds=0,
    )


def test_a_visit_measures_its_calls_without_the_warm_up(tmp_path: Path) -> None:
    counter = _zone(tmp_path, "intel-rapl:0", "package-0", RANGE - 22, RANGE)
    measured = measure(_Session(counter), _call(), tmp_path)
    assert measured.energy_uj == 7 * len(measured.latencies_ns)
    assert measure(_Session(counter), _call(), tmp_path / "none").energy_uj is None


def _visit(energy_uj: int | None) -> Measured:
    return Measured(
        latencies_ns=(10, 20), started_ns=0, ended_ns=40, peak_rss_mb=None, energy_uj=energy_uj
    )


def test_a_point_is_all_its_visits_or_nothing() -> None:
    assert joules([_visit(1_500_000), _visit(500_000)]) == 2.0
    assert joules([_visit(0), _visit(0)]) == 0.0
    assert joules([_visit(1), _visit(None)]) is None
    assert timing_point(1, 4, [(10, 20)], 2.0).energy_j == 2.0
    assert timing_point(1, 4, [(10, 20)]).energy_j is None


def test_a_journal_of_before_is_still_read(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    old = '{"kind":"measured","latencies_ns":[5],"started_ns":1,"ended_ns":9,"peak_rss_mb":null}\n'
    path.write_text(old)
    (visit,) = read_journal(path)
    assert (visit.latencies_ns, visit.energy_uj) == ((5,), None)
