"""The stages that put engines and servers under load."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hubkit.errors import HubkitError, ModelError
from hubkit.formats_records import ServingConfig, ServingPlan
from hubkit.machine import machine_info
from hubkit.records import Encoded, Variant
from hubkit.stage import Context
from hubkit.stages.search_serving import SearchServingInput, search_serving, splits
from hubkit.stages.serve_load import ServeLoadInput, serve_load
from hubkit.stages.serve_url import ServeUrlInput, serve_url
from hubkit.stages.serving_journal import kept_levels
from hubkit.stages.serving_recommendation import (
    command_of,
    pbtxt_of,
    python_of,
    recommendations,
)
from hubkit.store import Store
from tests.serving.conftest import Running
from tests.serving.tiny_onnx import ENGINE, NAME, PAD, VOCABULARY, make_model

PLAN = ServingPlan(
    concurrency=(1, 4),
    open_rates=(0.5,),
    window_s=0.05,
    min_requests=10,
    max_windows=4,
    warmup_requests=3,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def _variant(store: Store) -> Variant:
    with store.scratch() as scratch:
        artifact = store.adopt(make_model(scratch / "model"))
    return Variant(
        name="tiny",
        format="onnx",
        precision="fp32",
        artifact=artifact,
        model_file="model.onnx",
        size_bytes=1,
    )


def _encoded(store: Store) -> Encoded:
    draw = np.random.default_rng(0)
    lengths = draw.integers(2, 30, 40)
    with store.scratch() as scratch:
        folder = scratch / "encoded"
        folder.mkdir()
        np.savez(
            folder / "encoded.npz",
            offsets=np.concatenate([[0], np.cumsum(lengths)]),
            input_ids=draw.integers(4, VOCABULARY, lengths.sum()).astype(np.int32),
        )
        artifact = store.adopt(folder)
    return Encoded(
        artifact=artifact,
        rows=40,
        truncated=0,
        max_length=64,
        mean_tokens=float(lengths.mean()),
        input_names=("input_ids", "attention_mask"),
        pad_id=PAD,
    )


def _given(store: Store, **changes: object) -> ServeLoadInput:
    given = {
        "engine": ENGINE,
        "variant": _variant(store),
        "encoded": _encoded(store),
        "plan": PLAN,
        "config": ServingConfig(instances=2, threads=1, max_batch=4),
        "machine": machine_info(),
        **changes,
    }
    return ServeLoadInput.model_validate(given)


def test_a_curve_has_every_level_of_the_plan(store: Store, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    context = Context(store, tmp_path / "s", lambda *args: told.append(args))
    given = _given(store)
    curve = serve_load(given, context)
    assert [level.concurrency for level in curve.levels] == [1, 4, None]
    assert curve.mean_tokens == pytest.approx(given.encoded.mean_tokens)
    assert (curve.engine, curve.where, curve.config) == (ENGINE.name, "in-process", given.config)
    for level in curve.levels:
        assert level.errors == 0
        assert 0 < level.p50_ms <= level.p90_ms <= level.p95_ms <= level.p99_ms
        assert level.peak_rss_mb is not None
        assert level.cpu_cores is not None
        assert level.requests == sum(
            window.requests for window in level.windows[-3 if level.stable else 0 :]
        )
    best = curve.best
    assert best is not None
    assert curve.levels[2].rate_per_s == pytest.approx(best.throughput_per_s / 2)
    # A closed loop has as many under way as there are clients (Little's law).
    for level in curve.levels[:2]:
        under_way = level.throughput_per_s * level.mean_ms / 1e3
        assert under_way == pytest.approx(level.concurrency, rel=0.3)
    assert told[-1] == ("measuring", 3, 3)


def test_a_killed_run_goes_on_after_its_last_level(store: Store, tmp_path: Path) -> None:
    given = _given(store, plan=PLAN.model_copy(update={"open_rates": ()}))
    journal = tmp_path / "journal"
    first = serve_load(given, Context(store, tmp_path / "a", journal=journal))
    lines = journal.read_bytes().splitlines(keepends=True)
    assert len(lines) == 2
    journal.write_bytes(lines[0] + lines[1][:40])  # killed while it wrote
    second = serve_load(given, Context(store, tmp_path / "b", journal=journal))
    assert second.levels[0] == first.levels[0]
    assert second.levels[1] != first.levels[1]
    assert kept_levels(journal) == list(second.levels)


def test_a_client_may_send_several_sentences_of_a_fixed_length(
    store: Store, tmp_path: Path
) -> None:
    plan = PLAN.model_copy(
        update={"batch_size": 3, "input_length": 16, "concurrency": (2,), "open_rates": ()}
    )
    curve = serve_load(_given(store, plan=plan), Context(store, tmp_path / "s"))
    assert (curve.batch_size, curve.mean_tokens) == (3, 16)
    (level,) = curve.levels
    assert level.throughput_per_s == pytest.approx(level.requests * 3 / level.seconds)


def test_a_model_that_cannot_be_loaded_is_told_with_the_engine(
    store: Store, tmp_path: Path
) -> None:
    variant = _variant(store).model_copy(update={"model_file": "config.json"})
    with pytest.raises(ModelError, match=ENGINE.name):
        serve_load(_given(store, variant=variant), Context(store, tmp_path / "s"))


def test_the_search_recommends_what_it_measured(store: Store, tmp_path: Path) -> None:
    given = SearchServingInput(
        engine=ENGINE,
        variant=_variant(store),
        encoded=_encoded(store),
        plan=PLAN,
        machine=machine_info(),
        p99_bound_ms=1e-6,
        target="tiny-recipe",
        budget_s=0.5,
    )
    found = search_serving(given, Context(store, tmp_path / "s"))
    assert {point.concurrency for point in found.points} >= {1, 32}
    busy, alone = found.recommendations
    assert (busy.aim, alone.aim) == ("throughput", "latency")
    assert busy.point in found.points
    assert not busy.met  # nothing answers in a nanosecond
    assert busy.point.p99_ms == min(point.p99_ms for point in found.points)
    assert alone.point.concurrency == 1
    assert busy.command.startswith("hubkit serve tiny-recipe --engine onnxruntime --variant tiny")


def test_the_best_within_a_bound(store: Store) -> None:
    from hubkit.formats_records import SearchPoint

    def point(clients: int, throughput: float, p99: float, batch: int = 1) -> SearchPoint:
        return SearchPoint(
            config=ServingConfig(max_batch=batch),
            concurrency=clients,
            throughput_per_s=throughput,
            mean_ms=p99 / 2,
            p99_ms=p99,
            stable=True,
        )

    points = [
        point(1, 50, 20),
        point(32, 100, 300),
        point(32, 200, 250, batch=8),
        point(32, 198, 200, batch=16),
        point(16, 150, 90, batch=8),
    ]

    def best(bound: float | None) -> tuple[SearchPoint, bool]:
        found = recommendations(
            ENGINE, _variant(store), points, clients=32, p99_bound_ms=bound, target="x"
        )
        assert found[1].point == points[0]
        return found[0].point, found[0].met

    assert best(None) == (points[3], True)  # as good as the best, and sooner
    assert best(100) == (points[4], True)
    assert best(10) == (points[0], False)


def test_the_python_of_a_recommendation_runs(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model")
    config = ServingConfig(instances=2, threads=1, max_batch=8, max_delay_us=500)
    variant = Variant.model_construct(model_file=str(folder / "model.onnx"), name="tiny")
    for runtime, name in (("onnxruntime", "sessions"), ("openvino", "requests")):
        if runtime == "openvino":
            pytest.importorskip("openvino")
        engine = ENGINE.model_copy(update={"runtime": runtime})
        scope: dict[str, object] = {}
        exec(python_of(engine, variant, config), scope)
        made = scope[name]
        assert isinstance(made, list)
        assert len(made) == 2


def test_the_configuration_of_triton() -> None:
    config = ServingConfig(instances=2, threads=3, max_batch=8, max_delay_us=500)
    assert pbtxt_of(ENGINE, config) == (
        'backend: "onnxruntime"\n'
        "max_batch_size: 8\n"
        "instance_group [ { count: 2 kind: KIND_CPU } ]\n"
        "dynamic_batching { max_queue_delay_microseconds: 500 }\n"
        'parameters { key: "intra_op_thread_count" value: { string_value: "3" } }\n'
        'parameters { key: "inter_op_thread_count" value: { string_value: "1" } }\n'
    )
    openvino = pbtxt_of(ENGINE.model_copy(update={"runtime": "openvino"}), config)
    assert openvino is not None
    assert 'key: "NUM_STREAMS" value: { string_value: "2" }' in openvino
    assert 'key: "INFERENCE_NUM_THREADS" value: { string_value: "6" }' in openvino
    alone = pbtxt_of(ENGINE, ServingConfig())
    assert alone is not None
    assert "dynamic_batching" not in alone
    assert pbtxt_of(ENGINE.model_copy(update={"runtime": "torch"}), config) is None


def test_hubkit_serve_is_recommended_for_what_it_runs() -> None:
    variant = Variant.model_construct(model_file="model.onnx", name="tiny")
    said = command_of(ENGINE, variant, ServingConfig(max_delay_us=500), "mine --demo")
    assert said.startswith("hubkit serve mine --demo --engine onnxruntime --variant tiny ")
    assert said.endswith("--max-delay-ms 0.5")
    gpu = ENGINE.model_copy(update={"device": "cuda"})
    assert command_of(gpu, variant, ServingConfig(), "mine").startswith("# ")


@pytest.mark.parametrize(
    ("cores", "expected"),
    [(1, [(1, 1), (2, 1)]), (2, [(1, 2), (2, 1)]), (6, [(1, 6), (2, 3), (4, 1), (6, 1)])],
)
def test_ways_of_sharing_out_cores(cores: int, expected: list[tuple[int, int]]) -> None:
    assert list(splits(cores)) == expected


def test_a_server_is_measured_over_http(store: Store, tmp_path: Path, server: Running) -> None:
    (tmp_path / "s").mkdir()
    given = ServeUrlInput(
        url=server.url, model=NAME, encoded=_encoded(store), plan=PLAN, pid=server.process.pid
    )
    curve = serve_url(given, Context(store, tmp_path / "s"))
    assert (curve.where, curve.config) == ("kserve-v2", None)
    assert curve.server is not None
    assert curve.server.startswith("hubkit ")
    assert "127.0.0.1" not in curve.model_dump_json()
    assert [level.errors for level in curve.levels] == [0, 0, 0]
    assert all(level.peak_rss_mb for level in curve.levels)
    with pytest.raises(HubkitError, match="404"):
        serve_url(given.model_copy(update={"model": "other"}), Context(store, tmp_path / "s"))


def test_a_journal_without_a_file_is_empty(tmp_path: Path) -> None:
    assert kept_levels(None) == []
    assert kept_levels(tmp_path / "none") == []
