"""What stages write: frozen records. A number on a card comes from one of these."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from hubkit.analysis_records import Analyses as Analyses
from hubkit.build_records import BaseBuild as BaseBuild
from hubkit.build_records import BaseModelInfo as BaseModelInfo
from hubkit.build_records import Embedding as Embedding
from hubkit.build_records import Finetuned as Finetuned
from hubkit.build_records import Projected as Projected
from hubkit.build_records import Pruned as Pruned
from hubkit.formats_summary import FormatsSummary as FormatsSummary
from hubkit.record_base import Artifact as Artifact
from hubkit.record_base import FileRef as FileRef
from hubkit.record_base import Interval as Interval
from hubkit.record_base import Metric as Metric
from hubkit.record_base import Paired as Paired
from hubkit.record_base import Record as Record
from hubkit.record_base import Scores as Scores
from hubkit.record_base import Sha as Sha

Format = Literal["pytorch", "onnx", "openvino"]
Precision = Literal["fp32", "fp16", "int8"]
Approach = Literal["none", "dynamic", "static"]


class Source(Record):
    """Where a model or a dataset came from, pinned. `sha` is the Hub's commit, or the folder's
    digest."""

    kind: Literal["model", "dataset"]
    source: Literal["hub", "local", "built"]
    id: str  # Hub id, or the local folder's name: never a path of one machine
    revision: str
    sha: str
    license: str | None = None
    url: str | None = None  # root-relative on an embedded Hub, absolute on the public one
    origin: str | None = None  # in words, for a model or dataset that was built: from what, and how
    # Of a benchmark's eval.yaml, the ids of the tasks with the recipe's configuration and split.
    benchmark_tasks: tuple[str, ...] = ()


class Lock(Record):
    """lock.json: what was taken from where, and what worked on it."""

    schema_version: Annotated[Literal[1], Field(alias="schema")] = 1
    recipe_digest: Sha
    base: Source
    dataset: Source
    python: str
    tools: dict[str, str]  # package -> version, of every tool whose work is in the result
    demo: bool = False
    built: BaseBuild | None = None  # what was done to the base; None: it was used as it is

    @model_serializer(mode="wrap")
    def _without_nothing_done(self, serialize: SerializerFunctionWrapHandler) -> dict[str, object]:
        """lock.json of a base that was used as it is does not speak of it."""
        value: dict[str, object] = serialize(self)
        if self.built is None:
            value.pop("built", None)
        return value


class Dataset(Record):
    """The rows a recipe uses. `artifact` holds eval.parquet and, where a variant needs calibration,
    calibration.parquet, with one column for each of the recipe's data_keys. eval.parquet has the
    recipe's group columns too, as text, each named "group:" and its name.

    Text is string, but for token classification `primary` is list<string>, the words. The
    reference of a row: `label` int64, the model's label id; for token classification list<int64>,
    one for each word; for question answering `answers` list<string>, empty where there is none; for
    feature extraction nothing.
    """

    artifact: Artifact
    eval_rows: int
    eval_rows_available: int
    calibration_rows: int
    label_counts: dict[str, int]  # label name -> rows (or words) of the evaluation split
    partial: bool = False


class Encoded(Record):
    """Token ids of inputs: of the rows, or where a task cuts a long row into several, of its parts.

    `artifact` holds encoded.npz: offsets int64[inputs+1], input_ids int32[sum], token_type_ids
    int32[sum] where the model takes them; ragged: input i is [offsets[i]:offsets[i+1]]. Beside
    these the arrays of `hubkit.tasks.base.Encoding`, such as labels int64[rows].
    """

    artifact: Artifact
    rows: int
    truncated: int  # rows cut at max_length
    max_length: int
    mean_tokens: float  # of an input
    input_names: tuple[str, ...]
    pad_id: int = 0  # what fills a batch up, on the right
    task: str = "text-classification"  # that the inputs were made for
    inputs: int | None = None  # None: one for each row
    lost_units: int = 0  # words that are not scored, because they were cut off or have no token


class CalibrationInfo(Record):
    """What calibration really did; `real_samples` is what the batches added up to."""

    method: str
    asked_samples: int
    real_samples: int
    batch_size: int
    split: str


class Variant(Record):
    """A model that can be run: an FP32 baseline, or a variant in INT8 or FP16.

    `artifact` is a loadable folder: config.json and tokenizer files beside `model_file`
    (model.onnx, pytorch_model.bin of Neural Compressor, or model.safetensors).
    """

    name: str
    format: Format
    precision: Precision
    approach: Approach = "none"
    artifact: Artifact
    model_file: str
    size_bytes: int  # of the weights file
    opset: int | None = None
    per_channel: bool | None = None
    reduce_range: bool | None = None
    operators_to_quantize: tuple[str, ...] = ()
    nodes_quantized: int | None = None
    nodes_excluded: dict[str, int] = Field(
        default_factory=dict
    )  # exclusion pattern -> nodes it matched
    calibration: CalibrationInfo | None = None
    # SmoothQuant's alpha, where it was applied; auto: of each tensor its own. None: it was not.
    smoothing: float | Literal["auto"] | None = None

    @model_serializer(mode="wrap")
    def _without_no_smoothing(self, serialize: SerializerFunctionWrapHandler) -> dict[str, object]:
        """A variant that was not smoothed is written as before there was smoothing."""
        value: dict[str, object] = serialize(self)
        if self.smoothing is None:
            value.pop("smoothing", None)
        return value


class Predictions(Record):
    """`artifact` holds logits.npy: what the task keeps of the outputs, one input after another:
    float32[rows, labels] for text classification, float32[words, labels] for tokens."""

    variant: str
    artifact: Artifact
    rows: int


class MachineInfo(Record):
    """The machine that measured; `fingerprint` is the digest of the rest."""

    cpu: str
    flags: tuple[
        str, ...
    ]  # of avx2, avx512f, avx512_vnni, avx_vnni, amx_int8, asimddp … those present
    logical_cpus: int  # that this process may use (affinity and cgroup quota)
    physical_cores: int | None
    memory_gib: float
    os: str
    python: str
    packages: dict[str, str]
    fingerprint: Sha


class TimingPoint(Record):
    """Latency of one call with batch_size × input_length tokens, in milliseconds."""

    batch_size: int
    input_length: int
    iterations: int
    seconds: float  # measured, sum of the iterations
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    throughput_per_s: float  # sequences a second: iterations * batch_size / seconds
    round_means_ms: tuple[float, ...]
    round_least_ms: tuple[float, ...] = ()  # what other work on the machine disturbs least
    energy_j: float | None = None  # of the processor, for all iterations; None: no counter


class Timing(Record):
    variant: str
    points: tuple[TimingPoint, ...]
    threads: int
    peak_rss_mb: float | None = None


class Timings(Record):
    machine: MachineInfo
    timings: tuple[Timing, ...]


class Candidate(Record):
    """One variant before the gate, in INT8 or FP16."""

    variant: str
    passes: bool
    reason: str  # in words, with the numbers
    metric: float | None  # None: not measured, or not a number
    baseline_metric: float
    relative_loss: float | None  # of the baseline's metric; None: no meaning
    loss_interval: Interval | None  # of relative_loss: relative too, unlike Paired.loss_interval
    mean_ms: float | None  # geometric mean over the benchmark grid; None where not measured
    # What it is against FP32, which it therefore must not take the place of; or against the variant
    # of another format that is published anyway (`Selection.outdone`); None: none of these.
    worse: Literal["larger", "slower", "slower-than-rival", "less-faithful"] | None = None


class Selection(Record):
    metric: str
    max_relative_loss: float
    prefer: str
    candidates: tuple[Candidate, ...]
    selected: str | None  # None: no variant passes

    @property
    def outdone(self) -> bool:
        """Whether the variant of another format alone is why none passes."""
        rivals = ("slower-than-rival", "less-faithful")
        return self.selected is None and any(one.worse in rivals for one in self.candidates)


class Sample(Record):
    """One row of the evaluation split, or one that hubkit made up, run alone and unpadded, that
    `verify` repeats.

    `words`: the row where it is a list of words; `primary` is then its text, to be read. For
    question answering `primary` is the question and `secondary` the context.
    """

    row: int
    primary: str
    secondary: str | None = None
    words: tuple[str, ...] | None = None
    # Format -> what the task records of the outputs of the variant published in it: for text
    # classification the logits.
    logits: dict[str, tuple[float, ...]]


class ScoreTable(Record):
    """The scores of every variant, in the order of the predictions."""

    scores: tuple[Scores, ...]


class SampleTable(Record):
    """The rows that `verify` repeats, by row."""

    samples: tuple[Sample, ...]


class Failed(Record):
    """A stage that did not work. Part of the report, never stored as a result."""

    stage: str
    subject: str
    reason: str
    hint: str = ""


class SweepOrigin(Record):
    """The sweep that the published ONNX variant was taken from; sweep.json beside results.json is
    its whole report."""

    configurations: int
    distinct: int  # graphs that were measured
    passed: int  # of those, that meet the gate
    selected: str


class TuneOrigin(Record):
    """The search that a published variant was found by; tune.json beside results.json is its whole
    report. Losses are in the metric's own unit, of the rows that the search had not seen.
    `rows_needed`: what it would take to decide; None: decided, or no number would."""

    trials: int
    search_rows: int
    confirm_rows: int
    taken: str
    metric: str
    loss: float
    loss_interval: Interval
    confidence: float
    allowed: float
    decided: bool
    rows_needed: int | None = None


class Report(Record):
    """results.json: everything that was measured."""

    schema_version: Annotated[Literal[1], Field(alias="schema")] = 1
    recipe: str
    task: str
    base: BaseModelInfo
    dataset: Dataset
    encoded: Encoded
    variants: tuple[Variant, ...]
    scores: tuple[Scores, ...]
    timings: Timings | None = None
    selection: Selection | None = None
    openvino_selection: Selection | None = None  # None: no variant of it was asked for
    samples: tuple[Sample, ...] = ()
    made_up_samples: bool = False  # they are hubkit's own, and not rows of the dataset
    failures: tuple[Failed, ...] = ()
    sweep: SweepOrigin | None = None
    tuned: TuneOrigin | None = None
    analyses: Analyses | None = None  # None: not measured
    formats: FormatsSummary | None = None  # of formats.json beside it; None: not measured

    @model_serializer(mode="wrap")
    def _without_no_formats(self, serialize: SerializerFunctionWrapHandler) -> dict[str, object]:
        """results.json where formats were not reported on is that of before there was such a
        report."""
        value: dict[str, object] = serialize(self)
        if self.formats is None:
            value.pop("formats", None)
        return value

    def variant(self, name: str) -> Variant:
        return next(v for v in self.variants if v.name == name)

    def scores_of(self, name: str) -> Scores | None:
        return next((s for s in self.scores if s.variant == name), None)

    def timing_of(self, name: str) -> Timing | None:
        timings = self.timings.timings if self.timings else ()
        return next((t for t in timings if t.variant == name), None)

    def published(self) -> dict[Format, Variant]:
        """Format -> the variant that goes into the repository in it."""
        chosen: dict[Format, Variant] = {
            v.format: v for v in self.variants if v.format == "pytorch" and v.precision == "int8"
        }
        if self.selection and self.selection.selected:
            chosen["onnx"] = self.variant(self.selection.selected)
        if self.openvino_selection and self.openvino_selection.selected:
            chosen["openvino"] = self.variant(self.openvino_selection.selected)
        return chosen


class TextFile(Record):
    """A text file of the repository, by its path there."""

    path: str
    text: str


class CardText(Record):
    """A rendered card: the whole text of the file `path` of the repository."""

    path: str = "README.md"
    language: str = "en"
    text: str


class CardSet(Record):
    """The cards of a publication, README.md first, and the small files that are made from the same
    records: CITATION.cff, .eval_results/*.yaml."""

    cards: Annotated[tuple[CardText, ...], Field(min_length=1)]
    files: tuple[TextFile, ...] = ()


class Bundle(Record):
    """The files of a publication, ready to be pushed: `artifact` is the repository's root. `half`:
    the formats whose model is in half precision."""

    repo_id: str
    artifact: Artifact
    half: tuple[Format, ...] = ()
