"""Every task through the stages, from files on disk to scores, and to what `verify` repeats."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from hubkit.backends import neural_compressor
from hubkit.errors import DataError, ModelError, VerifyError
from hubkit.formats_records import Engine
from hubkit.recipe import DatasetSpec, IncStatic
from hubkit.recipe_analyses import LengthRange, Slice
from hubkit.records import (
    Analyses,
    BaseModelInfo,
    Dataset,
    Encoded,
    Record,
    Report,
    SampleTable,
    Scores,
    Source,
    Variant,
)
from hubkit.stage import Context, Stage
from hubkit.stages.analyse import AnalyseInput, analyse
from hubkit.stages.diverge import DivergeInput, diverge
from hubkit.stages.encode import EncodeInput, encode
from hubkit.stages.evaluate import EvaluateInput, evaluate
from hubkit.stages.export import ExportInput, export, pytorch_baseline
from hubkit.stages.fetch_dataset import FetchDatasetInput, fetch_dataset
from hubkit.stages.fetch_model import FetchModelInput, fetch_model
from hubkit.stages.model_files import digest_of_model
from hubkit.stages.predict import PredictInput, predict
from hubkit.stages.resolve import digest_of_data
from hubkit.stages.sample import SampleInput, sample
from hubkit.stages.vectors import Vectors, VectorsInput, vectors
from hubkit.store import Store
from hubkit.tasks import task_for
from hubkit.verify_worker import Place, check_onnx, check_pytorch
from tests.tiny import ENTITIES, SENTENCES, make_tiny_model

LONG = " ".join(SENTENCES)  # 80 words and more
WORDS = [sentence.split() for sentence in (*SENTENCES, LONG)]
ROWS: dict[str, list[dict[str, object]]] = {
    "text-classification": [{"text": t, "label": i % 2} for i, t in enumerate((*SENTENCES, LONG))],
    "token-classification": [
        {"tokens": words, "tags": [ENTITIES[(i + 2 * at) % 5] for at in range(len(words))]}
        for i, words in enumerate(WORDS)
    ],
    "question-answering": [
        {"q": text, "c": LONG[: 30 + 25 * i], "answers": [LONG[2:20]]}
        for i, text in enumerate(SENTENCES)
    ],
    "feature-extraction": [{"text": text} for text in (*SENTENCES, LONG)],
}
DATA_KEYS = {
    "text-classification": {"primary": "text"},
    "token-classification": {"primary": "tokens"},
    "question-answering": {"question": "q", "context": "c"},
    "feature-extraction": {"primary": "text"},
}
REF_KEYS = {
    "text-classification": ("label",),
    "token-classification": ("tags",),
    "question-answering": ("answers",),
    "feature-extraction": (),
}
LABELS = {
    "text-classification": {"0": "NEGATIVE", "1": "POSITIVE"},
    "token-classification": {name: name for name in ENTITIES},
}
MAX_LENGTH = 32


@dataclass(frozen=True)
class Flow:
    """One task and all that its stages gave."""

    task: str
    store: Store
    base: BaseModelInfo
    dataset: Dataset
    encoded: Encoded
    variants: tuple[Variant, ...]
    scores: tuple[Scores, ...]
    samples: SampleTable
    folders: dict[str, Path]  # of what can be published: format -> model folder


@pytest.fixture(
    scope="module", params=[(task, kind) for task in ROWS for kind in ("distilbert", "bert")],
    ids="-".join,
)  # fmt: skip
def flow(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Flow:
    pytest.importorskip("neural_compressor", reason="needs the inc extra")
    (task, kind), root = request.param, tmp_path_factory.mktemp("flow")
    store = Store(root / "store")
    model = make_tiny_model(root / "model", task=task, model_type=kind)
    base = _run(
        store, fetch_model, FetchModelInput(source=_model(model), task=task, path=str(model))
    )
    file = root / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS[task]))
    dataset = _run(store, fetch_dataset, _dataset(task, file, base))
    encoded = _encode(store, task, dataset, base)
    variants = (
        pytorch_baseline(base),
        _run(store, export, ExportInput(base=base, task=task)),
        _int8(store, root, base, encoded),
    )
    predictions = tuple(
        _run(store, predict, PredictInput(variant=variant, encoded=encoded, batch_size=4))
        for variant in variants
    )
    given = EvaluateInput(
        predictions=predictions,
        encoded=encoded,
        dataset=dataset,
        task=task,
        labels=base.labels,
        metrics=task_for(task).default_metrics,
        gate_metric=task_for(task).default_metrics[0],
        baselines={"onnx-fp32": "pytorch-fp32", "int8": "pytorch-fp32"},
    )
    scores = _run(store, evaluate, given).scores
    published = {"onnx": variants[1], "pytorch": variants[2]}
    samples = _run(
        store,
        sample,
        SampleInput(dataset=dataset, encoded=encoded, published=published, count=6),
    )
    folders = {name: root / "published" / name for name in published}
    for name, variant in published.items():
        shutil.copytree(store.path(variant.artifact), folders[name])
    return Flow(task, store, base, dataset, encoded, variants, scores, samples, folders)


def _run(store: Store, stage: Stage, given: Record):  # type: ignore[no-untyped-def,type-arg]
    with store.scratch() as scratch:
        return stage(given, Context(store, scratch))


def _model(folder: Path) -> Source:
    return Source(
        kind="model", source="local", id="m", revision="local", sha=digest_of_model(folder)
    )


def _dataset(task: str, file: Path, base: BaseModelInfo) -> FetchDatasetInput:
    sha = digest_of_data(file)
    return FetchDatasetInput.model_validate(
        {
            "source": Source(kind="dataset", source="local", id="d", revision="local", sha=sha),
            "spec": DatasetSpec.model_validate(
                {
                    "source": "local",
                    "path": file.name,
                    "eval_split": "train",
                    "data_keys": DATA_KEYS[task],
                    "ref_keys": REF_KEYS[task],
                }
            ),
            "task": task,
            "labels": LABELS.get(task, {}),
            "model_labels": base.labels,
            "path": str(file),
        }
    )


def _encode(store: Store, task: str, dataset: Dataset, base: BaseModelInfo) -> Encoded:
    given = EncodeInput(dataset=dataset, base=base, split="eval", max_length=MAX_LENGTH, task=task)
    made: Encoded = _run(store, encode, given)
    return made


def _int8(store: Store, root: Path, base: BaseModelInfo, encoded: Encoded) -> Variant:
    tokenizer = AutoTokenizer.from_pretrained(store.path(base.artifact))
    batch = {
        name: array.astype(np.int64)
        for name, array in tokenizer(list(SENTENCES), padding=True, return_tensors="np").items()
    }
    folder = root / "int8"
    neural_compressor.static.quantize(
        store.path(base.artifact), folder, IncStatic(kind="inc-static"), [batch]
    )
    with store.scratch() as scratch:
        shutil.copytree(folder, scratch / "int8")
        artifact = store.adopt(scratch / "int8")
    return Variant(
        name="int8",
        format="pytorch",
        precision="int8",
        artifact=artifact,
        model_file="pytorch_model.bin",
        size_bytes=1,
    )


def test_the_rows_are_counted(flow: Flow) -> None:
    encoded, rows = flow.encoded, len(ROWS[flow.task])
    assert (flow.dataset.eval_rows, encoded.rows, encoded.task) == (rows, rows, flow.task)
    assert encoded.max_length == MAX_LENGTH
    if flow.task == "question-answering":  # a long context has windows, and loses nothing
        assert encoded.truncated == 0
        assert encoded.inputs is not None
        assert encoded.inputs > rows
    else:
        assert (encoded.truncated, encoded.inputs) == (1, None)
    assert (encoded.lost_units > 0) == (flow.task == "token-classification")
    assert sum(flow.dataset.label_counts.values()) == {
        "text-classification": rows,
        "token-classification": sum(map(len, WORDS)),
    }.get(flow.task, 0)


def test_onnx_is_scored_like_pytorch_and_int8_nearly_so(flow: Flow) -> None:
    torch, onnx, int8 = flow.scores
    assert torch.paired is None
    assert [m.name for m in torch.metrics] == list(task_for(flow.task).default_metrics)
    assert onnx.paired is not None
    assert int8.paired is not None
    assert onnx.paired.flips == 0
    assert onnx.paired.max_abs_logit_diff < 1e-4
    assert int8.paired.max_abs_logit_diff > 1e-4
    for one, other in zip(torch.metrics, onnx.metrics, strict=True):
        assert one.value == pytest.approx(other.value, abs=1e-6)
    is_words = flow.task == "token-classification"
    units = sum(map(len, WORDS)) - flow.encoded.lost_units if is_words else None
    assert (int8.paired.unit, int8.paired.units) == ("word" if is_words else "row", units)
    for scores in flow.scores:
        for metric in scores.metrics:
            assert metric.interval.low <= metric.value <= metric.interval.high


def test_samples_are_of_whole_rows_and_can_be_repeated(flow: Flow) -> None:
    assert len(flow.samples.samples) == 6
    for one in flow.samples.samples:
        keys, row = list(DATA_KEYS[flow.task].values()), ROWS[flow.task][one.row]
        if flow.task == "token-classification":
            assert one.words == tuple(row["tokens"])  # type: ignore[arg-type]
            assert one.primary == " ".join(one.words)
        else:
            assert one.words is None
            assert [one.primary, one.secondary] == [*(row[key] for key in keys), None][:2]
        assert set(one.logits) == {"onnx", "pytorch"}
    assert LONG not in {one.primary for one in flow.samples.samples}
    for check, format_ in ((check_onnx, "onnx"), (check_pytorch, "pytorch")):
        place = Place(repo_id=str(flow.folders[format_]), revision="main")
        done = check(place, _report(flow))
        assert done.checked
        assert done.samples == 6
        assert done.max_abs_logit_diff is not None
        assert done.max_abs_logit_diff <= 1e-5


def test_other_logits_are_found_out(flow: Flow) -> None:
    report = _report(flow)
    first, *rest = report.samples
    logits = {**first.logits, "onnx": tuple(value + 0.01 for value in first.logits["onnx"])}
    changed = report.model_copy(
        update={"samples": (first.model_copy(update={"logits": logits}), *rest)}
    )
    place = Place(repo_id=str(flow.folders["onnx"]), revision="main")
    with pytest.raises(VerifyError, match=r"differ by 0\.01") as caught:
        check_onnx(place, changed)
    is_predicted = "predictions differ" in caught.value.message
    assert is_predicted == (flow.task == "text-classification")


def _report(flow: Flow) -> Report:
    return Report(
        recipe="tiny",
        task=flow.task,
        base=flow.base,
        dataset=flow.dataset,
        encoded=flow.encoded,
        variants=flow.variants,
        scores=flow.scores,
        samples=flow.samples.samples,
    )


def test_a_model_that_lacks_the_task_s_outputs_says_so(flow: Flow) -> None:
    other = "text-classification" if flow.task == "question-answering" else "question-answering"
    encoded = flow.encoded.model_copy(update={"task": other})
    given = PredictInput(variant=flow.variants[0], encoded=encoded, batch_size=4)
    with pytest.raises(ModelError, match=r"pytorch-fp32 gives .*, and no ") as caught:
        _run(flow.store, predict, given)
    assert other in caught.value.hint


def test_slices_of_every_task(flow: Flow) -> None:
    names = [variant.name for variant in flow.variants]
    predictions = tuple(
        _run(
            flow.store,
            predict,
            PredictInput(variant=variant, encoded=flow.encoded, batch_size=4),
        )
        for variant in flow.variants
    )
    metrics = task_for(flow.task).default_metrics
    given = AnalyseInput(
        predictions=predictions,
        encoded=flow.encoded,
        dataset=flow.dataset,
        task=flow.task,
        labels=flow.base.labels,
        metrics=metrics,
        gate_metric=metrics[0],
        baselines={"onnx-fp32": "pytorch-fp32", "int8": "pytorch-fp32"},
        slices=(
            Slice(name="all", length=LengthRange(at_least=1)),
            Slice(name="dull", pattern=r"\bdull\b"),
            Slice(name="none", pattern="^$"),
        ),
    )
    found: Analyses = _run(flow.store, analyse, given)
    whole, dull, none = found.slices
    assert whole.scores == flow.scores
    assert 0 < dull.rows < whole.rows == flow.encoded.rows
    assert [one.variant for one in dull.scores] == names
    assert {one.rows for one in dull.scores} == {dull.rows}
    assert (none.rows, none.scores) == (0, ())
    assert [one.variant for one in found.reliability] == (names if flow.base.labels else [])


def test_answers_cannot_be_scored_without_their_texts(flow: Flow) -> None:
    given = EvaluateInput(
        predictions=(
            _run(
                flow.store,
                predict,
                PredictInput(variant=flow.variants[0], encoded=flow.encoded, batch_size=4),
            ),
        ),
        encoded=flow.encoded,
        task=flow.task,
        labels=flow.base.labels,
        metrics=task_for(flow.task).default_metrics,
        gate_metric=task_for(flow.task).default_metrics[0],
    )
    if flow.base.labels:
        assert _run(flow.store, evaluate, given).scores[0].metrics == flow.scores[0].metrics
        return
    with pytest.raises(DataError, match="scored on the texts of the rows"):
        _run(flow.store, evaluate, given)


def test_engines_are_compared_row_by_row(flow: Flow) -> None:
    torch, onnx = flow.variants[0], next(v for v in flow.variants if v.format == "onnx")
    reference, ours = _vectors(flow, onnx), _vectors(flow, torch)
    given = DivergeInput(
        ours=ours,
        reference=reference,
        encoded=flow.encoded,
        dataset=flow.dataset,
        labels=flow.base.labels,
        metric=task_for(flow.task).default_metrics[0],
    )
    found = _run(flow.store, diverge, given)
    distance, metric = found.divergence.distance, found.divergence.metric
    assert distance.rows == (flow.encoded.inputs or flow.encoded.rows)
    assert 0 < distance.max_relative < 1e-3
    assert distance.flips == 0
    assert (distance.mean_kl is None) == (flow.task == "feature-extraction")
    # All rows were run: the metric is that of the whole split.
    (scores,) = (one for one in flow.scores if one.variant == torch.name)
    assert metric is not None
    whole = next(one for one in scores.metrics if one.name == metric.name)
    assert metric.value == pytest.approx(whole.value, abs=1e-6)
    assert found.invariance is None or found.invariance.padded.max_relative < 1e-3


def _vectors(flow: Flow, variant: Variant) -> Vectors:
    runtime = "onnxruntime" if variant.format == "onnx" else "torch"
    engine = Engine.model_validate(
        {"name": variant.name, "runtime": runtime, "device": "cpu", "precision": "fp32"}
    )
    given = VectorsInput(
        engine=engine,
        variant=variant,
        encoded=flow.encoded,
        threads=1,
        where="here",
        max_positions=flow.base.max_positions,
    )
    found: Vectors = _run(flow.store, vectors, given)
    return found
