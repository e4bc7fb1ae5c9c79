"""plot: the files of the figures in the store, under a key of what is drawn alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubkit.cards.figures import figures_of
from hubkit.executors.local import LocalExecutor
from hubkit.runner import Runner
from hubkit.stage import Context, find_stage
from hubkit.stages.plot import PlotInput, plot
from hubkit.store import Store
from tests.cards.examples import RECIPE, make_recipe, make_report
from tests.cards.figure_examples import analysed_report


class _Deaf:
    def update(self, name: str, what: str = "", done: int = 0, total: int = 0) -> None: ...

    def done(self, name: str, seconds: float | None) -> None: ...

    def failed(self, name: str) -> None: ...


EVERY = ("accuracy-latency", "latency", "reliability", "size", "slices")


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_two_files_for_each_figure(store: Store) -> None:
    given = PlotInput(figures=figures_of(analysed_report(), make_recipe()))
    heard: list[tuple[str, int, int]] = []
    with store.scratch() as scratch:
        context = Context(store, scratch, progress=lambda *said: heard.append(said))
        made = plot(given, context)
    wanted = [f"assets/{key}.{kind}" for key in EVERY for kind in ("png", "svg")]
    assert [file.path for file in made.artifact.files] == wanted
    folder = store.path(made.artifact)
    for figure in given.figures:
        assert (folder / figure.svg).read_bytes().startswith(b"<?xml")
        assert (folder / figure.png).read_bytes().startswith(b"\x89PNG")
    assert heard[-1] == ("drawing", 5, 5)


def test_nothing_to_draw_is_an_empty_folder(store: Store) -> None:
    with store.scratch() as scratch:
        made = plot(PlotInput(figures=()), Context(store, scratch))
    assert made.artifact.files == ()
    assert list(store.path(made.artifact).rglob("*.*")) == []


def test_nothing_is_written_beside_the_folder(store: Store) -> None:
    (size,) = (f for f in figures_of(make_report(), make_recipe()) if f.key == "size")
    value = PlotInput(figures=(size,)).model_dump()
    value["figures"][0]["svg"] = "../../../elsewhere.svg"
    with store.scratch() as scratch:
        made = plot(PlotInput.model_validate(value), Context(store, scratch))
    assert [file.path for file in made.artifact.files] == [
        "assets/elsewhere.svg",
        "assets/size.png",
    ]


def test_other_words_in_the_recipe_find_the_same_figures_again(tmp_path: Path) -> None:
    """In a worker process, as the runner calls it, and looked up the second time."""
    runner = Runner(Store(tmp_path / "store"), LocalExecutor(), _Deaf())
    other = make_recipe(card={**RECIPE["card"], "caveats": "Others."})  # type: ignore[dict-item]
    try:
        made = [
            runner.run(plot, PlotInput(figures=figures_of(make_report(), recipe)))
            for recipe in (make_recipe(), other)
        ]
    finally:
        runner.close()
    assert made[0] == made[1]
    assert [one.seconds is None for one in runner.ran] == [False, True]


def test_the_stage_is_found_by_its_name() -> None:
    assert find_stage("plot") is plot
