"""Thousands of requests, a third of them bad: the server of the tiny model lives through it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks.serving_soak import Given, Soak, given
from tests.serving.conftest import Running, served
from tests.serving.tiny_onnx import NAME, VOCABULARY, inputs_of


def _requests(count: int) -> list[Given]:
    draw = np.random.default_rng(5)
    rows = [draw.integers(4, VOCABULARY, draw.integers(1, 60)).tolist() for _ in range(count)]
    references = [
        {
            "logits": np.array([[sum(row), -sum(row)]], np.float32),
            "tokens": np.array(row, np.float32)[None, :, None],
        }
        for row in rows
    ]
    return given([inputs_of(row) for row in rows], references)


def _soak(server: Running) -> Soak:
    return Soak(server.port, NAME, _requests(64), exact=True, body_bytes=1_000_000)


@pytest.mark.parametrize(
    # Holes in the heap that grow with requests are seen only after tens of thousands.
    "total",
    [300, pytest.param(40_000, marks=pytest.mark.conformance)],
    ids=["short", "whole"],
)
def test_good_requests_are_answered_rightly_and_bad_ones_refused(
    tiny_folder: Path, total: int
) -> None:
    options = ("--instances", "2", "--max-batch", "8", "--max-body-mb", "1", "--max-queue", "64")
    with served(tiny_folder, *options) as server:
        soak = _soak(server)
        soak.run(total, 32, server.process.pid)
        seen = soak.terminate(server.process, 32)
        stopped = re.search(r"stopped after (\d+) requests in (\d+) calls", server.said())
    assert stopped is not None
    assert int(stopped[1]) > int(stopped[2])  # there were batches
    assert seen.good == total * 7 // 10
    assert sum(seen.statuses.values()) == total // 5
    assert seen.cancelled == total // 10
    assert {key.split()[1] for key in seen.statuses if key.startswith("huge")} == {"413"}
    seen.check()
