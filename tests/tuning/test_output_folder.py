"""The folder of a tuning run: refused before the search, and whole after a kill."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubkit.errors import StoreError, UsageError
from hubkit.recipe_file import load_recipe
from hubkit.tune_records import TuneReport
from hubkit.tuning_pipeline import RESULTS, Wanted, refuse_foreign, write_folder
from tests.tuning.test_report import told
from tests.tuning.test_strategy import BAD, all_dynamic


@pytest.fixture(name="found")
def _found(monkeypatch: pytest.MonkeyPatch) -> TuneReport:
    """A search that took nothing."""
    report = told(monkeypatch, all_dynamic(BAD))
    monkeypatch.undo()
    return report


def test_what_cannot_be_written_is_refused_before_the_search(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match="cannot write to"):
            refuse_foreign(folder)
    refuse_foreign(tmp_path / "new" / "below")
    assert not (tmp_path / "new").exists()


def test_what_a_kill_left_is_ours(tmp_path: Path, found: TuneReport) -> None:
    (tmp_path / f"{RESULTS}.unfinished").write_text('{"schema": 1,', encoding="utf-8")
    refuse_foreign(tmp_path)
    write_folder(found, None, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", RESULTS]
    refuse_foreign(tmp_path)


def test_a_disk_that_does_not_take_it_is_named(tmp_path: Path, found: TuneReport) -> None:
    folder = tmp_path / "out"
    (folder / "README.md").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"cannot write to .*out"):
        write_folder(found, None, folder)


@pytest.mark.parametrize("seconds", [float("nan"), float("inf")])
def test_a_timeout_is_a_number(seconds: float) -> None:
    with pytest.raises(UsageError, match="--timeout"):
        Wanted(timeout=seconds).over(load_recipe("distilbert-sst2").recipe)
