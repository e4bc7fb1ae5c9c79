"""The fresh process of `verify`: a VerifyInput on stdin, events as JSON lines on stdout.

Events: {"progress": [what, done, total]} and {"waiting": [why, seconds]}, then {"verified": {...}}
or {"error": {...}}. Its environment has an empty HF_HOME, so that nothing but the Hub can answer.
Importing the libraries takes longest: a thread does that while the files come.
"""

from __future__ import annotations

import json
import math
import os
import sys
from concurrent.futures import Future
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING, Protocol, TextIO, cast

from pydantic import ValidationError

from hubkit.backends.projection import EMBEDDING, MODULES, has_projection, projection_of
from hubkit.cards.embedding_snippets import PROJECTED
from hubkit.deps import report_to_nobody
from hubkit.errors import HubError, HubkitError, VerifyError
from hubkit.executors.worker import error_event
from hubkit.hub.client import connect
from hubkit.hub.manifest import SUMS, parse_sums
from hubkit.hub.reading import reading
from hubkit.hub.retry import waits_told
from hubkit.keys import digest_of_file
from hubkit.records import Format, Record, Report, Sample
from hubkit.stages.verify import FormatCheck, Verified, VerifyInput
from hubkit.stages.verify_records import check_records
from hubkit.store import disk_errors
from hubkit.sweep_records import SweepReport
from hubkit.tasks import task_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import ModuleType

    import torch
    from openvino import Model as Graph

    from hubkit.tasks.base import Task

TOLERANCE: dict[Format, float] = {"onnx": 1e-4, "pytorch": 1e-3, "openvino": 1e-3}
_FILES: dict[Format, str] = {
    "onnx": "model.onnx",
    "pytorch": "pytorch_model.bin",
    "openvino": "openvino/openvino_model.xml",
}
_NO_INC = "hubkit[inc] is not installed"
_NO_OPENVINO = "hubkit[openvino] is not installed"
_NOT_OURS = "Only repositories that hubkit published can be verified."
_AGAIN = "Somebody has changed it on the Hub: publish again to put it right."


class _Model(Protocol):
    """What optimum gives for either kind; of Neural Compressor `model` is the network in it."""

    model: torch.nn.Module

    def __call__(self, **inputs: torch.Tensor) -> Mapping[str, torch.Tensor]: ...


class Place(Record):
    """The commit that is verified. `folder`: where its files are here, of a model with a
    projection; None: it has none."""

    repo_id: str
    revision: str
    folder: str | None = None


def check_sums(folder: Path, expected: dict[str, str] | None) -> dict[str, str]:
    """Path -> SHA-256 of SHA256SUMS, each of which is there and equal.

    `expected`: the same of the bundle that was pushed, SHA256SUMS itself included. Files that
    SHA256SUMS does not name are the author's own. Raises VerifyError that names the file.
    """
    if not (folder / SUMS).is_file():
        raise VerifyError(f"there is no {SUMS} in it", hint=_NOT_OURS)
    try:
        sums = parse_sums((folder / SUMS).read_text(encoding="utf-8"))
    except ValueError as error:
        raise VerifyError(f"{SUMS} cannot be read: {error}", hint=_NOT_OURS) from error
    for source, wanted in ((SUMS, sums), ("what was pushed", expected or {})):
        for path, sha in wanted.items():
            if not (folder / path).is_file():
                raise VerifyError(f"{path} is missing, though it is in {source}", hint=_AGAIN)
            if digest_of_file(folder / path) != sha:
                raise VerifyError(f"{path} differs from {source}", hint=_AGAIN)
    return sums


def read_report(folder: Path, sums: dict[str, str]) -> Report | SweepReport:
    """The revision's results.json; of a sweep, which holds no model, its own.

    Raises VerifyError where there is none or that of a publication has no samples.
    """
    if "results.json" not in sums:
        raise VerifyError(f"{SUMS} names no results.json", hint=_NOT_OURS)
    try:
        text = (folder / "results.json").read_text(encoding="utf-8")
        if _is_of_a_sweep(text):
            return SweepReport.model_validate_json(text)
        report = Report.model_validate_json(text)
    except (ValidationError, UnicodeDecodeError) as error:
        what = str(error).splitlines()[0]
        raise VerifyError(
            f"results.json is not of the form that this hubkit knows: {what}",
            hint="Verify with the version of hubkit that published it; see lock.json.",
        ) from error
    if not report.samples:
        raise VerifyError("results.json holds no samples to compare with", hint=_NOT_OURS)
    return report


def _is_of_a_sweep(text: str) -> bool:
    with suppress(ValueError):
        found = json.loads(text)
        return isinstance(found, dict) and found.get("kind") == "sweep"
    return False


def compare(
    format_: Format,
    samples: Sequence[Sample],
    predicted: Sequence[Sequence[float]],
    *,
    classes: bool = True,
) -> float:
    """The largest |Δlogit|. `classes`: the largest of a row's logits is its prediction. Raises
    VerifyError where it is beyond the format's tolerance."""
    worst, worst_row, flips = 0.0, 0, 0
    for sample, logits in zip(samples, predicted, strict=True):
        recorded = sample.logits[format_]
        if len(recorded) != len(logits):
            raise VerifyError(
                f"{_FILES[format_]} gives {len(logits)} logits, and {len(recorded)} were recorded"
            )
        differences = [abs(a - b) for a, b in zip(recorded, logits, strict=True)]
        # NaN is neither above nor below anything: here it is the worst there is.
        difference = math.inf if any(map(math.isnan, differences)) else max(differences)
        flips += _first_largest(recorded) != _first_largest(logits)
        if difference > worst:
            worst, worst_row = difference, sample.row
    if worst > TOLERANCE[format_]:
        changed = f", and {flips} of {len(samples)} predictions differ" if classes else ""
        raise VerifyError(
            f"{_FILES[format_]} as loaded from the Hub does not predict what was recorded: the"
            f" logits of recorded row {worst_row} differ by {worst:.3g} (at most"
            f" {TOLERANCE[format_]:g} is right){changed}",
            hint="The weights, the tokenizer or the library versions are not those of the"
            " measurement: compare with lock.json, and publish again. Kernels of INT8 and FP16"
            " on another CPU family may also round otherwise.",
        )
    return worst


def _first_largest(logits: Sequence[float]) -> int:
    return max(range(len(logits)), key=lambda at: logits[at])


def check_onnx(place: Place, report: Report) -> FormatCheck:
    """Load as ORTModel does it for everybody, and predict the samples."""
    import optimum.onnxruntime

    # With a projection the class that gives what the graph ends in.
    name = PROJECTED["onnx"] if place.folder else task_for(report.task).classes.onnx
    model = _loaded(optimum.onnxruntime, name, place)
    return _predict("onnx", model, place, report)


def check_pytorch(place: Place, report: Report) -> FormatCheck:
    """Load as INCModel does it for everybody, see that it is INT8, and predict the samples."""
    if not _has_inc():
        return FormatCheck(format="pytorch", checked=False, reason=_NO_INC)
    from hubkit.backends.neural_compressor import count_quantized_modules

    try:
        from optimum.intel import neural_compressor
    except ImportError as error:
        reason = f"optimum-intel does not work with the versions here ({error})"
        return FormatCheck(format="pytorch", checked=False, reason=reason)
    name = task_for(report.task).classes.neural_compressor
    model = _loaded(neural_compressor, name, place)
    quantized = count_quantized_modules(model.model)
    if not quantized:
        raise VerifyError(
            f"{name} loads it without a single quantized module: what is on the Hub is FP32",
            hint="Look for safetensors weights beside pytorch_model.bin: INCModel takes them first."
            " Delete them, or publish again.",
        )
    done = _predict("pytorch", model, place, report)
    return done.model_copy(update={"quantized_modules": quantized})


def check_openvino(place: Place, report: Report) -> FormatCheck:
    """Load as OVModel does it for everybody, see that it is INT8, and predict the samples."""
    if not _has_openvino():
        return FormatCheck(format="openvino", checked=False, reason=_NO_OPENVINO)
    from hubkit.backends.openvino import count_quantized

    name = PROJECTED["openvino"] if place.folder else task_for(report.task).classes.openvino
    try:
        from optimum import intel

        getattr(intel, name)  # which imports it
    except (ImportError, RuntimeError) as error:
        reason = f"optimum-intel does not work with the versions here ({error})"
        return FormatCheck(format="openvino", checked=False, reason=reason)
    model = _loaded(intel, name, place, subfolder="openvino")
    quantized = count_quantized(cast("Graph", model.model))
    if not quantized:
        raise VerifyError(
            f"{name} loads it without a single quantized product: what is on the Hub is FP32",
            hint="Publish again.",
        )
    done = _predict("openvino", model, place, report)
    return done.model_copy(update={"quantized_modules": quantized})


def _loaded(library: ModuleType, name: str, place: Place, **options: str) -> _Model:
    """An optimum model, by the two lines that the card shows."""
    try:
        loader = getattr(library, name)
        model = loader.from_pretrained(place.repo_id, revision=place.revision, **options)
        return cast("_Model", model)
    except Exception as error:  # a damaged file fails in a hundred ways; each of them is an answer
        raise VerifyError(
            f"{name}.from_pretrained({place.repo_id!r}) fails: {type(error).__name__}: {error}",
            hint="The card promises that this line works: publish again.",
        ) from error


def _predict(format_: Format, model: _Model, place: Place, report: Report) -> FormatCheck:
    import torch
    from transformers import AutoTokenizer

    samples = [sample for sample in report.samples if format_ in sample.logits]
    if not samples:
        raise VerifyError(f"results.json records no logits for {_FILES[format_]}", hint=_NOT_OURS)
    tokenizer = AutoTokenizer.from_pretrained(place.repo_id, revision=place.revision)
    task = task_for(report.task)
    projection = projection_of(Path(place.folder)) if place.folder else None
    predicted = []
    with torch.no_grad():
        for sample in samples:
            given, options = _call(sample, task)
            inputs = tokenizer(
                *given, **options, max_length=report.encoded.max_length, return_tensors="pt"
            )
            outputs = model(**inputs)
            wanted = (*task.outputs, EMBEDDING)
            arrays = {n: outputs[n].float().numpy() for n in wanted if n in outputs}
            if projection is not None and EMBEDDING not in arrays:
                mask = inputs["attention_mask"].numpy()
                arrays[EMBEDDING] = projection.applied(arrays["last_hidden_state"], mask)
            predicted.append(task.recorded(arrays).tolist())
    return FormatCheck(
        format=format_,
        checked=True,
        samples=len(samples),
        max_abs_logit_diff=compare(format_, samples, predicted, classes=task.reference == "label"),
        tolerance=TOLERANCE[format_],
    )


def _call(sample: Sample, task: Task) -> tuple[list[object], dict[str, bool | str]]:
    """How a row is given to AutoTokenizer: the arguments, and the options that go with them."""
    if sample.words is not None:
        return [list(sample.words)], {"is_split_into_words": True, "truncation": True}
    # Of a question the whole, and of its context the first window.
    cut = "only_second" if task.reference == "answers" else True
    return [sample.primary, sample.secondary], {"truncation": cut}


def _import(formats: Sequence[Format], done: Future[None]) -> None:
    with suppress(Exception):  # it fails again, in words, where it is needed
        if "onnx" in formats:
            import_module("optimum.onnxruntime")
        if "pytorch" in formats and _has_inc():
            import_module("optimum.intel.neural_compressor")
        if "openvino" in formats and _has_openvino():
            import_module("optimum.intel")
    done.set_result(None)


def _has_inc() -> bool:
    return find_spec("neural_compressor") is not None and find_spec("optimum.intel") is not None


def _has_openvino() -> bool:
    return find_spec("openvino") is not None and find_spec("optimum.intel") is not None


def run(given: VerifyInput, tell: Callable[[str, int, int], None]) -> Verified:
    """All checks, cheapest first. Raises HubError and VerifyError."""
    hub = connect(None, None)  # of this process's environment
    tell("downloading", 0, 4)
    sha = hub.head(given.repo_id, given.revision)
    there = hub.remote_files(given.repo_id, sha)
    formats = [format_ for format_, file in _FILES.items() if file in there]
    imported: Future[None] = Future()
    Thread(target=_import, args=(formats, imported), daemon=True).start()
    with disk_errors(Path(os.environ.get("HF_HOME", "."))):
        folder = hub.snapshot(given.repo_id, sha)
    tell("checking sums", 1, 4)
    bundle = {ref.path: ref.sha256 for ref in given.bundle.files} if given.bundle else None
    sums = check_sums(folder, bundle)
    # A model that is not hubkit's may lie beside, the author's own: nothing is recorded of it.
    formats = [format_ for format_ in formats if _FILES[format_] in sums]
    report = read_report(folder, sums)
    records = check_records(folder, sums, report, given.repo_id, given.trust)
    checks: list[FormatCheck] = []
    if isinstance(report, Report):
        if not formats:
            raise VerifyError("it holds no model that hubkit knows", hint=_NOT_OURS)
        tell("loading", 2, 4)
        imported.result()
        projected = str(folder) if MODULES in sums and has_projection(folder) else None
        place = Place(repo_id=given.repo_id, revision=sha, folder=projected)
        check = {"onnx": check_onnx, "pytorch": check_pytorch, "openvino": check_openvino}
        for format_ in formats:
            with reading(hub, f"loading {given.repo_id}", given.repo_id):
                checks.append(check[format_](place, report))
            tell("predicting", 2 + len(checks), 4)
    return Verified(
        repo_id=given.repo_id,
        revision=sha,
        files=len(sums),
        size_bytes=sum((folder / path).stat().st_size for path in sums),
        formats=tuple(checks),
        records=records,
    )


def serve(call: TextIO, events: TextIO) -> None:
    """Answer one call."""

    one_at_a_time = Lock()  # the threads that download wait, too

    def tell(**event: object) -> None:
        with one_at_a_time:
            events.write(json.dumps(event, ensure_ascii=False) + "\n")
            events.flush()

    try:
        given = VerifyInput.model_validate_json(call.readline())
        with waits_told(lambda why, wait_s: tell(waiting=[why, wait_s])):
            done = run(given, lambda what, at, total: tell(progress=[what, at, total]))
        tell(verified=done.model_dump(mode="json"))
    except HubkitError as error:
        # The parent knows the classes of hubkit.errors only.
        known = HubError(error.message, hint=error.hint) if isinstance(error, HubError) else error
        tell(error=error_event(known))
    except Exception as error:
        tell(error=error_event(error))


def main() -> None:
    """Serve on stdin and the real stdout; what libraries print goes to stderr instead."""
    report_to_nobody()
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, events)
    events.close()
    os._exit(0)  # not after the imports, which a thread may still be busy with


if __name__ == "__main__":
    main()
