"""The principal components of rows: by their definition, the same whoever computes them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hubkit.errors import DataError, ModelError
from hubkit.stages.project import principal_components, width_of


def _rows(count: int = 200, width: int = 12) -> NDArray[np.float64]:
    chance = np.random.default_rng(5)
    spread = np.linspace(3, 0.1, width)
    turned, _ = np.linalg.qr(chance.normal(size=(width, width)))
    return np.asarray(chance.normal(size=(count, width)) * spread @ turned + 4.0)


def test_they_are_those_of_the_singular_value_decomposition() -> None:
    rows = _rows()
    weight, bias, share = principal_components(rows, 5)
    _, sizes, directions = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    assert share == pytest.approx(float((sizes[:5] ** 2).sum() / (sizes**2).sum()), abs=1e-9)
    likeness = np.abs((weight * directions[:5]).sum(axis=1))
    assert likeness == pytest.approx(np.ones(5), abs=1e-6)
    assert weight.dtype == bias.dtype == np.dtype(np.float32)
    embedded = rows @ weight.T.astype(np.float64) + bias
    assert embedded.mean(axis=0) == pytest.approx(np.zeros(5), abs=1e-5)


def test_signs_are_fixed() -> None:
    rows = _rows()
    weight, _, _ = principal_components(rows, 12)
    largest = np.abs(weight).argmax(axis=1)
    assert (weight[np.arange(12), largest] > 0).all()
    # Mirrored rows have the mirrored directions, which are the same ones.
    mirrored, _, _ = principal_components(-rows, 12)
    assert mirrored == pytest.approx(weight, abs=1e-5)


def test_all_dimensions_hold_all_of_the_variance() -> None:
    rows = _rows()
    weight, bias, share = principal_components(rows, 12)
    assert share == pytest.approx(1)
    back = (rows @ weight.T + bias) @ weight + rows.mean(axis=0)
    assert back == pytest.approx(rows, abs=1e-4)


def test_rows_that_are_all_the_same_have_none() -> None:
    with pytest.raises(DataError, match="one and the same embedding"):
        principal_components(np.ones((9, 4)), 2)


@pytest.mark.parametrize("key", ["hidden_size", "dim", "d_model"])
def test_the_width_is_in_the_configuration(key: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({key: 24, "model_type": "any"}))
    assert width_of(tmp_path) == 24


def test_a_configuration_that_does_not_say_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="does not say how wide"):
        width_of(tmp_path)
