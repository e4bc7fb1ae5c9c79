"""What stages write: frozen records. A number on a card comes from one of these."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Sha = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Format = Literal["pytorch", "onnx"]
Precision = Literal["fp32", "int8"]
Approach = Literal["none", "dynamic", "static"]


class Record(BaseModel):
    """Base of all records: immutable, no unknown keys, written with `schema` as the alias says."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class FileRef(Record):
    path: str
    size_bytes: int
    sha256: Sha


class Artifact(Record):
    """A folder in the store. `digest` is `keys.digest_of_folder`."""

    digest: Sha
    files: tuple[FileRef, ...]

    @property
    def size_bytes(self) -> int:
        return sum(f.size_bytes for f in self.files)


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


class Lock(Record):
    """lock.json: what was taken from where, and what worked on it."""

    schema_version: Annotated[Literal[1], Field(alias="schema")] = 1
    recipe_digest: Sha
    base: Source
    dataset: Source
    python: str
    tools: dict[str, str]  # package -> version, of every tool whose work is in the result
    demo: bool = False


class BaseModelInfo(Record):
    """The base model as fetched: config.json, tokenizer files and safetensors weights in
    `artifact`."""

    artifact: Artifact
    architecture: str  # DistilBertForSequenceClassification
    model_type: str  # distilbert
    labels: tuple[str, ...]  # id2label in order
    num_parameters: int
    max_positions: int
    weights_bytes: int
    description: str | None = None  # config key "hubkit_origin", where hubkit built the model


class Dataset(Record):
    """The rows a recipe uses. `artifact` holds eval.parquet and, where a variant needs calibration,
    calibration.parquet, with one column for each of the recipe's data_keys.

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
    """A model that can be run: an FP32 baseline or an INT8 variant.

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
    nodes_excluded: dict[str, int] = {}  # exclusion pattern -> nodes it matched
    calibration: CalibrationInfo | None = None


class Predictions(Record):
    """`artifact` holds logits.npy: what the task keeps of the outputs, one input after another:
    float32[rows, labels] for text classification, float32[words, labels] for tokens."""

    variant: str
    artifact: Artifact
    rows: int


class Interval(Record):
    low: float
    high: float


class Metric(Record):
    """One task metric on `rows` rows with its interval (`method`: wilson or bootstrap) at
    `confidence`."""

    name: str
    value: float
    interval: Interval
    method: Literal["wilson", "bootstrap"]
    confidence: float


class Paired(Record):
    """A variant against the FP32 baseline, unit by unit: `unit` is a row, or a word."""

    baseline: str
    flips: int  # predictions that differ
    now_right: int  # baseline wrong, variant right
    now_wrong: int  # baseline right, variant wrong
    # Exact two-sided binomial on now_right against now_wrong. Words of one sentence are not
    # independent: for them it is on sentences that became wholly right, or are so no more.
    mcnemar_p: float
    loss: float  # metric of the gate: baseline - variant
    loss_interval: Interval  # paired, same confidence as the metrics
    max_abs_logit_diff: float
    mean_abs_logit_diff: float
    unit: str = "row"
    units: int | None = None  # how many were compared; None: as many as Scores.rows


class Scores(Record):
    variant: str
    rows: int
    metrics: tuple[Metric, ...]
    paired: Paired | None = None  # None for the baseline itself


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


class Timing(Record):
    variant: str
    points: tuple[TimingPoint, ...]
    threads: int
    peak_rss_mb: float | None = None


class Timings(Record):
    machine: MachineInfo
    timings: tuple[Timing, ...]


class Candidate(Record):
    """One ONNX INT8 variant before the gate."""

    variant: str
    passes: bool
    reason: str  # in words, with the numbers
    metric: float | None  # None: not measured, or not a number
    baseline_metric: float
    relative_loss: float | None  # of the baseline's metric; None: no meaning
    loss_interval: Interval | None  # of relative_loss: relative too, unlike Paired.loss_interval
    mean_ms: float | None  # geometric mean over the benchmark grid; None where not measured


class Selection(Record):
    metric: str
    max_relative_loss: float
    prefer: str
    candidates: tuple[Candidate, ...]
    selected: str | None  # None: no variant passes


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
    samples: tuple[Sample, ...] = ()
    made_up_samples: bool = False  # they are hubkit's own, and not rows of the dataset
    failures: tuple[Failed, ...] = ()
    sweep: SweepOrigin | None = None

    def variant(self, name: str) -> Variant:
        return next(v for v in self.variants if v.name == name)

    def scores_of(self, name: str) -> Scores | None:
        return next((s for s in self.scores if s.variant == name), None)

    def timing_of(self, name: str) -> Timing | None:
        timings = self.timings.timings if self.timings else ()
        return next((t for t in timings if t.variant == name), None)

    def published(self) -> dict[Format, Variant]:
        """Format -> the INT8 variant that goes into the repository in it."""
        chosen: dict[Format, Variant] = {
            v.format: v for v in self.variants if v.format == "pytorch" and v.precision == "int8"
        }
        if self.selection and self.selection.selected:
            chosen["onnx"] = self.variant(self.selection.selected)
        return chosen


class CardText(Record):
    """A rendered card: the whole text of the file `path` of the repository."""

    path: str = "README.md"
    language: str = "en"
    text: str


class Bundle(Record):
    """The files of a publication, ready to be pushed: `artifact` is the repository's root."""

    repo_id: str
    artifact: Artifact
