"""Neural Compressor's own tuning loop: what it ends with, and that none of its failures is seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("neural_compressor", reason="needs the inc extra")

from hubkit.backends import inc_tuning
from hubkit.backends.inc_tuning import Ended, own_loop
from hubkit.backends.neural_compressor import _able, count_quantized_modules
from hubkit.backends.torch import TorchSession
from hubkit.errors import ModelError
from hubkit.recipe_tune import AccuracyCriterion

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch.nn import Module

    from hubkit.backends.base import Arrays

    Score = Callable[[TorchSession], float]

STRICT = AccuracyCriterion(relative=0.01)


class Loop:
    """The loop on the tiny model, in a current folder that has to stay empty."""

    def __init__(self, model: Path, rows: list[Arrays], root: Path) -> None:
        self.model, self.rows, self.scratch = model, rows, root / "scratch"
        self.scratch.mkdir()
        self.asked = 0

    def run(self, score: Score, approach: str = "static", **more: object) -> Ended | None:
        def counted(session: TorchSession) -> float:
            self.asked += 1
            return score(session)

        given = {"calibration": self.rows, **more}
        return own_loop(self.model, self.scratch, approach, STRICT, counted, **given)  # type: ignore[arg-type]


@pytest.fixture(name="loop")
def _loop(
    models: dict[str, Path],
    batches: dict[str, list[Arrays]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> object:
    import optimum.intel.neural_compressor  # noqa: F401  (once: it asks a process for the CPU's name)

    monkeypatch.delenv("HUBKIT_DEBUG", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    loop = Loop(models["distilbert"], batches["distilbert"], tmp_path)
    capfd.readouterr()
    yield loop
    assert list((tmp_path / "here").iterdir()) == []
    assert list(loop.scratch.iterdir()) == []
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def network_of(session: TorchSession) -> Module:
    assert session._model is not None
    return session._model


def always(session: TorchSession) -> float:
    return 1.0


def only_float(session: TorchSession) -> float:
    return 0.0 if count_quantized_modules(network_of(session)) else 1.0


SLOW = pytest.mark.conformance


@pytest.mark.parametrize(
    ("approach", "method"),
    [pytest.param("static", "entropy", marks=SLOW), ("dynamic", "minmax")],
)
def test_its_default_is_what_it_ends_with_where_that_holds(
    loop: Loop, approach: str, method: str
) -> None:
    """Its default for static INT8 is what it calls kl."""
    assert loop.run(always, approach) == Ended((), method)  # type: ignore[arg-type]
    assert loop.asked == 2


@pytest.mark.parametrize("approach", [pytest.param("static", marks=SLOW), "dynamic"])
def test_what_it_gives_back_to_float_is_named_as_in_the_float_model(
    loop: Loop, approach: str
) -> None:
    def without_embeddings(session: TorchSession) -> float:
        kinds = {type(m).__name__ for m in network_of(session).modules() if is_int8(m)}
        return 0.0 if "Embedding" in kinds else 1.0

    ended = loop.run(without_embeddings, approach)
    assert ended is not None
    # The classifiers' modules too, where it came to them on the way.
    names = {"distilbert.embeddings.word_embeddings", "distilbert.embeddings.position_embeddings"}
    assert names <= set(ended.float_modules)
    assert not any(name.endswith(".module") for name in ended.float_modules)
    assert any(".q_lin" in name for name in int8_names(loop, ended))


def is_int8(module: Module) -> bool:
    return ".quantized." in type(module).__module__ and hasattr(module, "weight")


def int8_names(loop: Loop, ended: Ended) -> list[str]:
    from hubkit.backends.torch import load_model

    able = _able(load_model(loop.model))
    return [name for name in able if name not in ended.float_modules]


@SLOW
def test_a_criterion_that_no_int8_meets_ends_with_none(loop: Loop) -> None:
    assert loop.run(only_float, "dynamic", max_trials=3) is None
    assert 2 <= loop.asked <= 4  # FP32, and three trials


@SLOW
def test_it_makes_no_more_trials_than_it_may(loop: Loop) -> None:
    """It would make thousands where none meets the criterion."""
    assert loop.run(only_float, "dynamic", max_trials=1000) is None
    assert 10 < loop.asked <= 1 + inc_tuning.MOST_TRIALS


def test_when_the_time_is_up_it_ends_with_none(loop: Loop) -> None:
    assert loop.run(always, "dynamic", seconds=0) is None
    assert loop.asked == 0


@SLOW
def test_what_raises_within_it_ends_with_none(loop: Loop) -> None:
    def broken(session: TorchSession) -> float:
        if count_quantized_modules(network_of(session)):
            raise ModelError("a kernel that is not there")
        return 1.0

    assert loop.run(broken) is None
    assert loop.asked >= 2


def _raises(*given: object, **more: object) -> None:
    raise ZeroDivisionError("its own")


def _returns_none(*given: object, **more: object) -> None:
    return None


@pytest.mark.parametrize("fit", [_raises, _returns_none])
def test_whatever_its_entry_point_does_ends_with_none(
    loop: Loop, fit: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    from optimum.intel.neural_compressor import quantization

    monkeypatch.setattr(quantization, "fit", fit)
    assert loop.run(always) is None


@SLOW
def test_a_loop_that_saves_nothing_says_what_is_float_all_the_same(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    from optimum.intel.neural_compressor import INCQuantizer

    monkeypatch.setattr(INCQuantizer, "_save_pretrained", staticmethod(_returns_none))
    assert loop.run(always) == Ended((), None)
