"""The recipe: the one declarative input of a publication, as frozen pydantic models.

Reading a recipe file, with file, line and nearest key in every error, is
`hubkit.recipe_file.load_recipe`. Field names follow the reference reports: the sweep vocabulary of
optimum (dataset path, eval_split, data_keys, ref_keys, operators_to_quantize, node_exclusion,
per_channel, calibration) and, in `hubkit.recipe_card`, the sections of the model card of Mitchell
et al. 2019 ("Model Cards for Model Reporting"). Each key is described for editors here, and for
people in docs/recipe.md.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from typing_extensions import Self

from hubkit.recipe_analyses import AnalysesPlan as AnalysesPlan
from hubkit.recipe_analyses import Slice as Slice
from hubkit.recipe_card import AnalysesProse as AnalysesProse
from hubkit.recipe_card import CardData as CardData
from hubkit.recipe_card import DataProse as DataProse
from hubkit.recipe_card import Details as Details
from hubkit.recipe_card import Ethics as Ethics
from hubkit.recipe_card import Factors as Factors
from hubkit.recipe_card import IntendedUse as IntendedUse
from hubkit.recipe_card import Link as Link
from hubkit.recipe_card import MetricsProse as MetricsProse
from hubkit.recipe_card import Part as Part
from hubkit.recipe_sweep import Sweep as Sweep
from hubkit.recipe_tasks import TASK_KEYS

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$")]
RepoId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$", max_length=96)]
# ISO 639 with subtags, or the Hub's two words for "many" and "a programming language".
Language = Annotated[str, Field(pattern=r"^([a-z]{2,3}(-[A-Za-z0-9]+)*|multilingual|code)$")]
# Which catalogues there are is known to hubkit.i18n alone: the loader of recipes asks it.
CardLanguage = Annotated[str, Field(pattern=r"^[a-z]{2,3}(_[A-Za-z]+)*$")]
TaskName = Literal[
    "text-classification", "token-classification", "question-answering", "feature-extraction"
]
MetricName = Literal[
    "accuracy", "f1", "precision", "recall", "exact_match", "cosine", "relative_l2"
]
Count = Annotated[int, Field(ge=1)]
Length = Annotated[int, Field(ge=2)]

_NAME = "Name of the variant in tables and files; unique in the recipe."
_EXCLUDE = "Nodes that stay float: patterns or role names (attention-matmul, softmax, ...)."
_OPERATORS = "ONNX operator types that become INT8."
_PER_CHANNEL = "One scale for each output channel of a weight, not one for the whole tensor."
_WEIGHT_TYPE = "Integers of weights."
_FRAMEWORK_ARGS = "Export and graph optimization before quantizing."
_REDUCE_RANGE = "7-bit weights. null: off where the CPU has VNNI, on elsewhere."


class HubModel(Part):
    """A model repository on the Hub."""

    source: Literal["hub"] = Field("hub", description="hub: a repository on the Hub.")
    id: RepoId = Field(description="Repository id, owner/name.")
    revision: str = Field("main", description="Branch, tag or commit; pinned in lock.json.")


class LocalModel(Part):
    """A folder with config.json, weights and tokenizer files, relative to the recipe file."""

    source: Literal["local"] = Field("local", description="local: a folder on this machine.")
    path: str = Field(description="The folder, relative to the recipe file.")


class BuiltModel(Part):
    """A model that hubkit makes itself and pushes as `id` before it starts (the demo)."""

    source: Literal["built"] = Field("built", description="built: made by hubkit (the demo).")
    id: RepoId = Field(description="Repository that the built model is pushed to.")
    builder: str = Field(description="Name of the builder.")


Base = Annotated[HubModel | LocalModel | BuiltModel, Field(discriminator="source")]


class DatasetSpec(Part):
    """A labelled dataset: a Hub id, or a local folder or file with `source: local`."""

    source: Literal["hub", "local", "built"] = Field(
        "hub", description="hub: on the Hub; local: files; built: made by hubkit (the demo)."
    )
    path: str = Field(description="Hub id, or a path relative to the recipe file.")
    config: str | None = Field(None, description="Configuration (subset) of the dataset.")
    revision: str = Field("main", description="Branch, tag or commit; pinned in lock.json.")
    eval_split: str = Field("validation", description="Split that every variant is scored on.")
    calibration_split: str = Field(
        "train", description="Split that static quantization calibrates on; never eval_split."
    )
    data_keys: dict[Literal["primary", "secondary", "question", "context"], str] = Field(
        description="Columns of the text: primary, and secondary for pairs; question and context"
        " for question answering."
    )
    ref_keys: tuple[str, ...] = Field(
        (), description="Column of the reference labels or answers; none for feature extraction."
    )
    redistributable: bool = Field(
        True, description="Whether rows may be shown word for word in what is published."
    )


class Calibration(Part):
    """How static quantization learns activation ranges, on rows of `calibration_split`, never of
    the evaluation split."""

    method: Literal["minmax", "entropy", "percentile"] = Field(
        "minmax", description="How a range is taken from the observed activations."
    )
    num_samples: Count = Field(
        100, description="Rows to calibrate on; the card says how many it really were."
    )
    percentile: Annotated[float, Field(gt=50, le=100)] = Field(
        99.999, description="For percentile: per cent of the activations that a range keeps."
    )
    num_bins: Annotated[int, Field(ge=16)] | None = Field(
        None, description="Bins of the histogram; null: 2048."
    )
    num_quantized_bins: Annotated[int, Field(ge=16)] = Field(
        128, description="For entropy: bins that the quantized histogram has."
    )
    batch_size: Count = Field(8, description="Rows a batch while calibrating.")
    seed: int = Field(13, description="Seed of the choice of rows.")


class FrameworkArgs(Part):
    """How the FP32 ONNX graph is made that quantization starts from."""

    opset: Annotated[int, Field(ge=11)] | None = Field(
        None, description="ONNX opset to export with; null: the exporter's own."
    )
    optimization_level: Literal[0, 1, 2, 99] = Field(
        0,
        description="Graph optimization before quantizing: 0 none, 1 basic, 2 fused Transformer"
        " operators, 99 all.",
    )


class OnnxDynamic(Part):
    """ONNX Runtime dynamic INT8: weights ahead of time, activations at run time."""

    kind: Literal["onnx-dynamic"] = Field(description="onnx-dynamic: ONNX Runtime, dynamic INT8.")
    name: Name = Field("onnx-int8-dynamic", description=_NAME)
    operators_to_quantize: tuple[str, ...] = Field(
        ("MatMul", "Gemm", "Gather"), description=_OPERATORS
    )
    node_exclusion: tuple[str, ...] = Field((), description=_EXCLUDE)
    per_channel: bool = Field(True, description=_PER_CHANNEL)
    reduce_range: bool | None = Field(None, description=_REDUCE_RANGE)
    weight_type: Literal["int8", "uint8"] = Field("int8", description=_WEIGHT_TYPE)
    framework_args: FrameworkArgs = Field(FrameworkArgs(), description=_FRAMEWORK_ARGS)


class OnnxStatic(Part):
    """ONNX Runtime static INT8 (QDQ, activations U8, weights S8), calibrated."""

    kind: Literal["onnx-static"] = Field(description="onnx-static: ONNX Runtime, static INT8.")
    name: Name = Field("onnx-int8-static", description=_NAME)
    operators_to_quantize: tuple[str, ...] = Field(("MatMul", "Gemm"), description=_OPERATORS)
    # attention-matmul: products of two activations; softmax: the Adds of the attention mask.
    node_exclusion: tuple[str, ...] = Field(("attention-matmul",), description=_EXCLUDE)
    per_channel: bool = Field(True, description=_PER_CHANNEL)
    reduce_range: bool | None = Field(None, description=_REDUCE_RANGE)
    activation_type: Literal["uint8", "int8"] = Field(
        "uint8", description="Integers of activations; int8 is slow on x86."
    )
    weight_type: Literal["int8", "uint8"] = Field("int8", description=_WEIGHT_TYPE)
    guards: bool = Field(
        True, description="Keep masked attention scores float: quantized they ruin a model."
    )
    framework_args: FrameworkArgs = Field(FrameworkArgs(), description=_FRAMEWORK_ARGS)
    calibration: Calibration = Field(Calibration(), description="How ranges are learnt.")


class IncStatic(Part):
    """PyTorch static INT8 by Intel Neural Compressor, loaded with optimum-intel's INCModel."""

    kind: Literal["inc-static"] = Field(description="inc-static: Neural Compressor, static INT8.")
    name: Name = Field("pytorch-int8-static", description=_NAME)
    node_exclusion: tuple[str, ...] = Field((), description=_EXCLUDE)
    calibration: Calibration = Field(Calibration(), description="How ranges are learnt.")


class IncDynamic(Part):
    """PyTorch dynamic INT8 by Intel Neural Compressor."""

    kind: Literal["inc-dynamic"] = Field(description="inc-dynamic: Neural Compressor, dynamic.")
    name: Name = Field("pytorch-int8-dynamic", description=_NAME)
    node_exclusion: tuple[str, ...] = Field((), description=_EXCLUDE)


VariantSpec = Annotated[
    OnnxDynamic | OnnxStatic | IncStatic | IncDynamic, Field(discriminator="kind")
]


class Evaluation(Part):
    """What is scored and how. `samples` null: the whole split; a limit marks it as partial."""

    metrics: Annotated[tuple[MetricName, ...], Field(min_length=1)] = Field(
        ("accuracy", "f1"),
        description="Task metrics to report; left out: those that are usual for the task.",
    )
    batch_size: Count = Field(32, description="Rows a batch.")
    max_length: Length = Field(128, description="Tokens after which a row is cut.")
    samples: Count | None = Field(
        None, description="Rows to score; null: the whole split. A limit marks the card as partial."
    )
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = Field(
        0.95, description="Confidence of every interval."
    )


class Benchmark(Part):
    """The plan of the time measurements: every batch size with every input length, in rounds."""

    batch_sizes: Annotated[tuple[Count, ...], Field(min_length=1)] = Field(
        (1, 8), description="Sequences a call."
    )
    input_lengths: Annotated[tuple[Length, ...], Field(min_length=1)] = Field(
        (32, 128), description="Tokens a sequence; at most evaluation.max_length."
    )
    warmup: Annotated[int, Field(ge=0)] = Field(5, description="Calls before the clock starts.")
    min_seconds: Annotated[float, Field(gt=0)] = Field(
        2.0, description="Least seconds that a point is measured."
    )
    min_iterations: Count = Field(30, description="Least calls that a point is measured.")
    rounds: Count = Field(3, description="Rounds in which the variants take turns.")
    threads: Count | None = Field(
        None, description="Threads of a call; null: one a physical CPU that may be used."
    )


class Gates(Part):
    """What the ONNX variant that becomes `model.onnx` must meet, and which of those that do is it.

    `max_relative_loss` 0.01: the metric of FP32 may fall by 1 % of itself.
    """

    metric: MetricName = Field(
        "accuracy",
        description="Metric of evaluation.metrics that is held; left out: the task's first.",
    )
    max_relative_loss: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.01, description="Most that the metric may fall, as a share of its FP32 value."
    )
    prefer: Literal["fastest", "smallest", "most-faithful"] = Field(
        "fastest", description="Which of the variants that pass is published."
    )
    select_from: Literal["variants", "sweep"] = Field(
        "variants",
        description="sweep: the ONNX variant is a configuration of `sweep`, not of `variants`.",
    )
    complete_card: bool = Field(
        False, description="Publish nothing while the card lacks what only the author can say."
    )


class WidgetExample(Part):
    """An input that a visitor of the model's page can try; the keys are the Hub's."""

    text: str = Field(description="Text; for question answering, the question.")
    context: str | None = Field(None, description="For question answering: the text to read.")
    example_title: str | None = Field(None, description="What the example is called.")


class Publication(Part):
    """Where the result goes and what it holds."""

    repo_id: RepoId | None = Field(
        None, description="Repository to publish to; the option --repo-id goes before it."
    )
    formats: Annotated[tuple[Literal["pytorch", "onnx"], ...], Field(min_length=1)] = Field(
        ("pytorch", "onnx"), description="Formats to publish; each needs a variant."
    )
    include_fp32_onnx: bool = Field(False, description="Publish the FP32 ONNX model too.")
    license: str = Field(description="Licence of the result, as the Hub names it (apache-2.0).")
    license_name: str | None = Field(None, description="With license: other, what it is called.")
    license_link: str | None = Field(
        None, description="With license: other, its address, or LICENSE for a file of the model."
    )
    languages: Annotated[tuple[Language, ...], Field(min_length=1)] = Field(
        ("en",), description="Languages of the data and the model, ISO 639 codes."
    )
    card_languages: Annotated[tuple[CardLanguage, ...], Field(min_length=1)] = Field(
        ("en",), description="Languages of the card: README.md is in the first of them."
    )
    widget: tuple[WidgetExample, ...] = Field(
        (), description="Examples for the widget of the model's page."
    )
    private: bool = Field(False, description="Make the repository private.")
    allow_in_scan: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")], ...] = Field(
        (), description="SHA-256 of what the scan for secrets takes for one, and is none."
    )

    @model_serializer(mode="wrap")
    def _without_an_empty_list(self, serialize: SerializerFunctionWrapHandler) -> dict[str, object]:
        """A recipe that allows nothing has the digest that it had before there was the key."""
        value: dict[str, object] = serialize(self)
        if not self.allow_in_scan:
            value.pop("allow_in_scan", None)
        return value


class Recipe(Part):
    """Everything that decides what a publication holds. `labels` maps a value of the dataset's
    reference column (as text) to a label name of the model, for the tasks that have labels."""

    schema_version: Annotated[Literal[1], Field(alias="schema")] = Field(
        1, description="Version of this format."
    )
    name: Name = Field(description="Name of the recipe; that of its folder.")
    base: Base = Field(description="The fine-tuned FP32 model to start from.")
    task: TaskName = Field(description="What the model does.")
    dataset: DatasetSpec = Field(description="The labelled data to evaluate and calibrate on.")
    labels: dict[str, str] = Field(
        {}, description="Value of the reference column -> label of the model."
    )
    variants: Annotated[tuple[VariantSpec, ...], Field(min_length=1)] = Field(
        description="The INT8 models to make."
    )
    evaluation: Evaluation = Field(Evaluation(), description="What is scored, and how.")
    benchmark: Benchmark = Field(Benchmark(), description="What is timed, and how.")
    gates: Gates = Field(Gates(), description="What a variant must meet to be published.")
    publication: Publication = Field(description="Where the result goes, and in which formats.")
    sweep: Sweep | None = Field(None, description="What `hubkit sweep` measures.")
    analyses: AnalysesPlan = Field(AnalysesPlan(), description="Rows that are looked at apart.")
    templates: str | None = Field(
        None, description="Folder of card templates that go before hubkit's own."
    )
    card: CardData = Field(CardData(), description="What no stage can measure.")
    demo: dict[str, object] | None = Field(
        None, description="Keys of this very recipe that --demo lays over it, mapping by mapping."
    )

    @model_validator(mode="after")
    def _metrics_of_the_task(self) -> Self:
        """What the recipe leaves open depends on the task; whoever reads it finds it filled in."""
        metrics = TASK_KEYS[self.task].default_metrics
        evaluation = _filled(self.evaluation, "metrics", metrics)
        gates = _filled(self.gates, "metric", metrics[0])
        # Frozen from here on; a copy would not take the place of the recipe being made.
        object.__setattr__(self, "evaluation", evaluation)
        object.__setattr__(self, "gates", gates)
        return self


PartT = TypeVar("PartT", bound=Part)


def _filled(part: PartT, key: str, value: object) -> PartT:
    """The part with another default for one key, which still counts as not given."""
    if key in part.model_fields_set:
        return part
    filled = part.model_copy(update={key: value})
    filled.model_fields_set.discard(key)
    return filled
