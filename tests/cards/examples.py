"""A small publication: recipe, lock and report.

Answers, logit differences, timings and sizes are made up, of a likely size; what follows from them
is computed as hubkit computes it.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

from hubkit.keys import digest_of_value
from hubkit.recipe import Recipe
from hubkit.records import (
    Artifact,
    BaseModelInfo,
    CalibrationInfo,
    Dataset,
    Encoded,
    FileRef,
    Lock,
    MachineInfo,
    Report,
    Sample,
    Scores,
    Selection,
    Source,
    Timing,
    TimingPoint,
    Timings,
    Variant,
)
from hubkit.stage import Context
from hubkit.stages.select import SelectInput, select
from hubkit.store import Store
from tests.cards.answers import compared, fp32_outcome

REPO_ID = "example/tiny-sentiment-int8"
NOTES = (
    "This model labels single sentences. It was made to show what a card looks like.\n"
    "\n"
    "* Short sentences only.  \n"
    "  The line break before this line is Markdown's own.\n"
    "\n\n"
    "```text\n"
    "Three empty lines below, and trailing spaces here:   \n"
    "\n\n\n"
    "```\n"
)

RECIPE: dict[str, object] = {
    "schema": 1,
    "name": "tiny-sentiment",
    "base": {"source": "hub", "id": "example/tiny-sentiment", "revision": "main"},
    "task": "text-classification",
    "dataset": {
        "path": "example/sentences",
        "config": "default",
        "eval_split": "validation",
        "calibration_split": "train",
        "data_keys": {"primary": "sentence"},
        "ref_keys": ["label"],
    },
    "labels": {"0": "NEGATIVE", "1": "POSITIVE"},
    "variants": [
        {"kind": "onnx-dynamic"},
        {"kind": "onnx-static"},
        {"kind": "inc-static"},
    ],
    "publication": {"repo_id": REPO_ID, "license": "apache-2.0", "languages": ["en"]},
    "card": {
        "details": {
            "title": "Tiny sentiment, INT8",
            "authors": ["A. Author", "B. Author"],
            "organisation": "Example organisation",
            "date": "2026-11-20",
            "version": "1.0",
            "type": "Sentiment classification of English sentences",
            "resources": [
                {
                    "title": "Model Cards for Model Reporting",
                    "url": "https://arxiv.org/abs/1810.03993",
                }
            ],
            "contact": [{"title": "Discussions", "url": f"/{REPO_ID}/discussions"}],
        },
        "intended_use": {
            "primary_uses": "Telling whether an English sentence about a film is favourable.",
            "primary_users": "Anyone who needs quick answers on a CPU.",
            "out_of_scope": "Further fine-tuning: start from the base model. Other texts.",
        },
        "factors": {
            "groups": "Reviewers who write in English on the internet.",
            "instrumentation": "Sentences cut out of reviews, one label each.",
            "environment": "CPU servers.",
            "card_prompts": "Other hardware and other library versions may change the results.",
        },
        "data": {
            "datasets": "Film reviews, see [the dataset's card](/datasets/example/sentences).",
            "motivation": "A small set with a clear question.",
        },
        "ethics": {
            "data": "Public film reviews.",
            "human_life": "Not meant for decisions that are central to human life.",
            "mitigations": "None beyond the measurements on this card.",
            "risks_and_harms": "The labels carry the views of a few reviewers; see *Caveats*.",
            "use_cases": "None is known to be fraught.",
        },
        "caveats": "Users should know the risks and limits.\n\nIrony is often misread.",
        "bibtex": (
            "@misc{tiny-sentiment-int8,\n  title = {Tiny sentiment, INT8},\n"
            "  author = {Author, A. and Author, B.},\n  year = {2026},\n"
            f"  url = {{https://huggingface.co/{REPO_ID}}}\n}}"
        ),
    },
}


def digest(text: str) -> str:
    return digest_of_value(text)


def artifact(name: str, **sizes: int) -> Artifact:
    """A made-up artifact; underscores in file names stand for dots."""
    files = tuple(
        FileRef(path=path.replace("__", "."), size_bytes=size, sha256=digest(f"{name}/{path}"))
        for path, size in sizes.items()
    )
    return Artifact(digest=digest(name), files=files)


def make_recipe(**changes: object) -> Recipe:
    return Recipe.model_validate({**RECIPE, **changes})


def make_lock(**changes: object) -> Lock:
    lock = Lock(
        recipe_digest=digest("recipe"),
        base=Source(
            kind="model",
            source="hub",
            id="example/tiny-sentiment",
            revision="main",
            sha="714eb0fa89d2f80546fda750413ed43d93601a13",
            license="apache-2.0",
            url="https://huggingface.co/example/tiny-sentiment",
        ),
        dataset=Source(
            kind="dataset",
            source="hub",
            id="example/sentences",
            revision="main",
            sha="8d51e7e4887a4caaa95b3fbebbf53c0490b58bbb",
            license="cc0-1.0",
            url="https://huggingface.co/datasets/example/sentences",
        ),
        python="3.11.7",
        tools={
            "transformers": "4.50.3",
            "torch": "2.13.0+cpu",
            "optimum": "2.1.0",
            "optimum-onnx": "0.1.0",
            "optimum-intel": "1.27.0",
            "onnxruntime": "1.31.1",
            "neural-compressor": "3.7.1",
            "hubkit": "0.1.0",
        },
    )
    return lock.model_copy(update=changes)


def _variants() -> tuple[Variant, ...]:
    return (
        Variant(
            name="pytorch-fp32",
            format="pytorch",
            precision="fp32",
            artifact=artifact("base", model__safetensors=90_869_064),
            model_file="model.safetensors",
            size_bytes=90_869_064,
        ),
        Variant(
            name="onnx-fp32",
            format="onnx",
            precision="fp32",
            artifact=artifact("onnx-fp32", model__onnx=91_004_410),
            model_file="model.onnx",
            size_bytes=91_004_410,
            opset=18,
        ),
        Variant(
            name="onnx-int8-dynamic",
            format="onnx",
            precision="int8",
            approach="dynamic",
            artifact=artifact("dynamic", model_quantized__onnx=23_118_204),
            model_file="model_quantized.onnx",
            size_bytes=23_118_204,
            opset=18,
            per_channel=True,
            reduce_range=False,
            operators_to_quantize=("MatMul", "Gemm", "Gather"),
            nodes_quantized=40,
        ),
        Variant(
            name="onnx-int8-static",
            format="onnx",
            precision="int8",
            approach="static",
            artifact=artifact("static", model_quantized__onnx=58_733_120),
            model_file="model_quantized.onnx",
            size_bytes=58_733_120,
            opset=18,
            per_channel=True,
            reduce_range=False,
            operators_to_quantize=("MatMul", "Gemm"),
            nodes_quantized=38,
            nodes_excluded={"attention-matmul": 12},
            calibration=CalibrationInfo(
                method="minmax", asked_samples=100, real_samples=100, batch_size=8, split="train"
            ),
        ),
        Variant(
            name="pytorch-int8-static",
            format="pytorch",
            precision="int8",
            approach="static",
            artifact=artifact("inc", pytorch_model__bin=23_540_846),
            model_file="pytorch_model.bin",
            size_bytes=23_540_846,
            calibration=CalibrationInfo(
                method="minmax", asked_samples=100, real_samples=100, batch_size=8, split="train"
            ),
        ),
    )


@lru_cache(maxsize=1)
def _scores() -> tuple[Scores, ...]:
    """Against FP32 of the same format, ONNX FP32 against PyTorch's: as in `measuring.score`."""
    return (
        Scores(variant="pytorch-fp32", rows=1000, metrics=fp32_outcome().metrics()),
        compared("onnx-fp32", "pytorch-fp32", 0, 0, 3.1e-06, 4.4e-07),
        compared("onnx-int8-dynamic", "onnx-fp32", 13, 14, 0.412, 0.0515),
        compared("onnx-int8-static", "onnx-fp32", 41, 44, 1.02, 0.128),
        compared("pytorch-int8-static", "pytorch-fp32", 21, 25, 0.733, 0.0916),
    )


def _timing(name: str, scale: float) -> Timing:
    points = []
    for batch, length, base in ((1, 32, 6.41), (1, 128, 22.7), (8, 32, 44.3), (8, 128, 201.5)):
        mean = base * scale
        points.append(
            TimingPoint(
                batch_size=batch,
                input_length=length,
                iterations=300,
                seconds=mean * 0.3,
                mean_ms=mean,
                p50_ms=mean * 0.98,
                p90_ms=mean * 1.07,
                p99_ms=mean * 1.31,
                throughput_per_s=batch / mean * 1000,
                round_means_ms=(mean * 0.99, mean, mean * 1.01),
            )
        )
    return Timing(variant=name, points=tuple(points), threads=2)


def _timings() -> Timings:
    scales = {
        "pytorch-fp32": 1.4,
        "onnx-fp32": 1.0,
        "onnx-int8-dynamic": 0.49,
        "onnx-int8-static": 0.63,
        "pytorch-int8-static": 0.86,
    }
    machine = MachineInfo(
        cpu="Example CPU @ 2.60GHz",
        flags=("avx2", "avx512f", "avx512_vnni"),
        logical_cpus=2,
        physical_cores=1,
        memory_gib=7.8,
        os="Linux 6.1",
        python="3.11.7",
        packages={"onnxruntime": "1.31.1", "torch": "2.13.0+cpu"},
        fingerprint=digest("machine"),
    )
    return Timings(machine=machine, timings=tuple(_timing(n, s) for n, s in scales.items()))


@lru_cache(maxsize=1)
def _selection() -> Selection:
    by_name = {scores.variant: scores for scores in _scores()}
    given = SelectInput(
        baseline=by_name["onnx-fp32"],
        candidates=(by_name["onnx-int8-dynamic"], by_name["onnx-int8-static"]),
        timings=_timings(),
        sizes={v.name: v.size_bytes for v in _variants()},
        gates=make_recipe().gates,
    )
    with TemporaryDirectory() as folder:
        return select(given, Context(store=Store(Path(folder)), scratch=Path(folder)))


def make_base(**changes: object) -> BaseModelInfo:
    base = BaseModelInfo(
        artifact=artifact("base", model__safetensors=90_869_064),
        architecture="DistilBertForSequenceClassification",
        model_type="distilbert",
        labels=("NEGATIVE", "POSITIVE"),
        num_parameters=22_713_218,
        max_positions=512,
        weights_bytes=90_869_064,
    )
    return base.model_copy(update=changes)


def make_report(**changes: object) -> Report:
    report = Report(
        recipe="tiny-sentiment",
        task="text-classification",
        base=make_base(),
        dataset=Dataset(
            artifact=artifact("dataset", eval__parquet=81_204),
            eval_rows=1000,
            eval_rows_available=1000,
            calibration_rows=100,
            label_counts={"POSITIVE": 512, "NEGATIVE": 488},
        ),
        encoded=Encoded(
            artifact=artifact("encoded", encoded__npz=120_000),
            rows=1000,
            truncated=3,
            max_length=128,
            mean_tokens=25.31,
            input_names=("input_ids", "attention_mask"),
        ),
        variants=_variants(),
        scores=_scores(),
        timings=_timings(),
        selection=_selection(),
        samples=(
            Sample(
                row=0,
                primary="a film that stays with you",
                logits={"onnx": (-1.91, 2.04), "pytorch": (-1.89, 2.01)},
            ),
        ),
    )
    return report.model_copy(update=changes)
