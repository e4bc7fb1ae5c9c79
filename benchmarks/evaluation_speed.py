"""Sentences a second: hubkit's prediction against `evaluate.evaluator` on the same ONNX FP32 model.

python -m benchmarks.evaluation_speed                  # the demo's ONNX FP32 model and test split
python -m benchmarks.evaluation_speed --model FOLDER --dataset eval.parquet

FOLDER holds model.onnx, config.json and the tokenizer; the parquet file the columns `primary` and
`label` (the model's label ids). Both sides do the same work on a model that is loaded: text in,
accuracy out. Rounds take turns, so that another load on the machine meets both. Beside the ratio
stands the bound that no FP32 evaluation on this machine can pass when it has the machine to itself:
the matrix products that its cores do in a second.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hubkit.backends.base import Session
    from hubkit.tasks.base import Floats, Ints

# Before numpy is imported: its matrix products are the yardstick, one thread a core.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@dataclass(frozen=True)
class Work:
    """What both sides evaluate."""

    texts: list[str]
    labels: list[int]
    model: Path


@dataclass(frozen=True)
class Round:
    """One evaluation: its result, wall seconds, and CPU seconds of all threads."""

    accuracy: float
    wall_s: float
    cpu_s: float


def timed(evaluation: Callable[[], float]) -> Round:
    """Run an evaluation once."""
    wall, cpu = time.perf_counter(), time.process_time()
    accuracy = evaluation()
    return Round(accuracy, time.perf_counter() - wall, time.process_time() - cpu)


def with_evaluator(work: Work) -> Callable[[], float]:
    """`evaluate.evaluator("text-classification")` with its defaults, on ORTModel in a pipeline."""
    import datasets
    from evaluate import evaluator
    from optimum.onnxruntime import ORTModelForSequenceClassification
    from optimum.pipelines import pipeline
    from transformers import AutoTokenizer

    from hubkit.tasks.metric_scripts.accuracy import Accuracy

    model = ORTModelForSequenceClassification.from_pretrained(work.model)
    tokenizer = AutoTokenizer.from_pretrained(work.model)
    pipe = pipeline("text-classification", model=model, tokenizer=tokenizer, accelerator="ort")
    data = datasets.Dataset.from_dict({"text": work.texts, "label": work.labels})
    mapping = {name: number for number, name in model.config.id2label.items()}

    def evaluation() -> float:
        found = evaluator("text-classification").compute(
            pipe, data=data, metric=Accuracy(), label_mapping=mapping
        )
        return float(found["accuracy"])

    return evaluation


def with_hubkit(work: Work, batch_size: int, max_length: int) -> Callable[[], float]:
    """What the stages encode, predict and evaluate do, without the store between them."""
    import numpy as np

    from hubkit.backends.onnxruntime import runtime
    from hubkit.stage import no_progress
    from hubkit.stages.predict import TokenRows, run_rows
    from hubkit.tasks.base import Rows
    from hubkit.tasks.metric_scripts.accuracy import Accuracy
    from hubkit.tasks.text_classification import task

    session: Session = runtime.load(work.model, "model.onnx", threads=1)

    def keep(outputs: Mapping[str, Floats], inputs: Ints) -> Sequence[Floats]:
        return task.keep(outputs, inputs, {})

    def evaluation() -> float:
        texts = Rows({"primary": work.texts}, None)
        tokens = task.encode(texts, work.model, max_length=max_length)
        rows = TokenRows(
            np.cumsum([0, *map(len, tokens.ids)]),
            np.concatenate([np.asarray(row, dtype=np.int32) for row in tokens.ids]),
            None,
            tokens.pad_id,
        )
        logits = np.concatenate(run_rows(session, rows, batch_size, keep, no_progress))
        answers = logits.argmax(axis=1)
        found = Accuracy().compute(predictions=answers.tolist(), references=work.labels)
        return float(found["accuracy"])

    return evaluation


def products_per_s(cores: int) -> float:
    """FP32 operations of matrix products in a second of CPU time, times cores: the best of five
    tries with all cores at work. CPU time, so that other processes do not count."""
    import numpy as np

    size, repeats = 1024, 8
    matrix = np.random.default_rng(0).random((size, size), dtype=np.float32)

    def multiply(_: int) -> None:
        out = np.empty_like(matrix)
        for _ in range(repeats):
            np.matmul(matrix, matrix, out=out)

    seconds = []
    with ThreadPoolExecutor(cores) as pool:
        for _ in range(5):
            started = time.process_time()
            list(pool.map(multiply, range(cores)))
            seconds.append((time.process_time() - started) / cores)
    operations = float(cores * repeats * 2 * size**3)
    return operations / min(seconds)


def products_of(work: Work, max_length: int) -> float:
    """FP32 operations in the matrix products with weights for all rows, without any padding.

    The products of attention, about 1 % at this length, are left out, so the bound is generous.
    """
    import onnx

    from hubkit.tasks.tokenizing import load_tokenizer

    graph = onnx.load(str(work.model / "model.onnx"), load_external_data=False).graph
    sizes = {w.name: w.dims[0] * w.dims[1] for w in graph.initializer if len(w.dims) == 2}
    weights = sum(sizes.get(n.input[1], 0) for n in graph.node if n.op_type == "MatMul")
    tokens = load_tokenizer(work.model)(work.texts, None, max_length=max_length)
    return float(2 * weights * sum(map(len, tokens.ids)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--dataset", type=Path)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--max-length", type=int, default=128)
    return parser.parse_args()


def _summary(rounds: list[Round], rows: int) -> dict[str, float]:
    return {
        "accuracy": rounds[0].accuracy,
        "sentences_per_s": round(statistics.median(rows / r.wall_s for r in rounds), 1),
        "best_sentences_per_s": round(max(rows / r.wall_s for r in rounds), 1),
        "cpu_ms_per_sentence": round(statistics.median(1e3 * r.cpu_s / rows for r in rounds), 2),
    }


def _demo() -> tuple[Path, Path]:
    """The demo's ONNX FP32 folder and its evaluation rows, made where they are not kept: in another
    process, which may ask the demo's Hub."""
    code = "from benchmarks.evaluation_speed import demo_paths; demo_paths()"
    online = {**os.environ, "HF_HUB_OFFLINE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=online, capture_output=True, text=True, check=True
    )
    model, rows = done.stdout.splitlines()
    return Path(model), Path(rows)


def demo_paths() -> None:
    """Print both paths."""
    from hubkit.measuring import CalibrationRows, optimize
    from hubkit.pipeline import session
    from hubkit.preparing import prepare

    with session("distilbert-sst2", demo=True) as (run, loaded, origins):
        material = prepare(run, loaded, origins)
        variants, _ = optimize(run, material.base, loaded.recipe.task, (), CalibrationRows())
        onnx = next(v for v in variants if v.format == "onnx")
        folder = run.store.path(material.dataset.artifact)
        sys.stdout.write(f"{run.store.path(onnx.artifact)}\n{folder / 'eval.parquet'}\n")


def main() -> None:
    """Print both speeds, their ratio, and the machine's bound as JSON."""
    given = _arguments()
    from pyarrow import parquet

    from hubkit.machine import default_threads, machine_info

    model, rows = (given.model, given.dataset) if given.model and given.dataset else _demo()
    table = parquet.read_table(rows).slice(0, given.rows)
    work = Work(table["primary"].to_pylist(), table["label"].to_pylist(), model)
    theirs = with_evaluator(work)
    ours = with_hubkit(work, given.batch_size, given.max_length)
    theirs(), ours()  # warm
    pairs = [(timed(theirs), timed(ours)) for _ in range(given.rounds)]
    ratios = [a.wall_s / b.wall_s for a, b in pairs]
    rows, cores = len(work.texts), default_threads()
    speed, needed = products_per_s(cores), products_of(work, given.max_length)
    cpu = statistics.median(b.cpu_s for _, b in pairs)
    machine = machine_info()
    result = {
        "machine": machine.cpu,
        "cores": cores,
        "packages": machine.packages,
        "rows": rows,
        "rounds": given.rounds,
        "batch_size": given.batch_size,
        "evaluator": _summary([a for a, _ in pairs], rows),
        "hubkit": _summary([b for _, b in pairs], rows),
        "ratio": round(statistics.median(ratios), 2),
        "ratios": [round(r, 2) for r in ratios],
        "bound": {
            "gflop_per_s": round(speed / 1e9, 1),
            "gflop_per_sentence": round(needed / rows / 1e9, 3),
            "sentences_per_s": round(rows * speed / needed, 1),
            "hubkit_share_of_cpu_time": round(needed / speed * cores / cpu, 3),
        },
    }
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
