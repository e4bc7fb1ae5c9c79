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
from hubkit.recipe_build import Built as Built
from hubkit.recipe_build import Finetune as Finetune
from hubkit.recipe_build import Project as Project
from hubkit.recipe_build import Prune as Prune
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
from hubkit.recipe_onnx import EXCLUDE, NAME, REDUCE_RANGE
from hubkit.recipe_onnx import Calibration as Calibration
from hubkit.recipe_onnx import Count as Count
from hubkit.recipe_onnx import FrameworkArgs as FrameworkArgs
from hubkit.recipe_onnx import Name as Name
from hubkit.recipe_onnx import OnnxBlockwise as OnnxBlockwise
from hubkit.recipe_onnx import OnnxDynamic as OnnxDynamic
from hubkit.recipe_onnx import OnnxFloat16 as OnnxFloat16
from hubkit.recipe_onnx import OnnxStatic as OnnxStatic
from hubkit.recipe_sweep import Sweep as Sweep
from hubkit.recipe_tasks import TASK_KEYS
from hubkit.recipe_tune import MayTune
from hubkit.recipe_tune import Tune as Tune

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
Length = Annotated[int, Field(ge=2)]


class HubModel(Built):
    """A model repository on the Hub."""

    source: Literal["hub"] = Field("hub", description="hub: a repository on the Hub.")
    id: RepoId = Field(description="Repository id, owner/name.")
    revision: str = Field("main", description="Branch, tag or commit; pinned in lock.json.")


class LocalModel(Built):
    """A folder with config.json, weights and tokenizer files, relative to the recipe file."""

    source: Literal["local"] = Field("local", description="local: a folder on this machine.")
    path: str = Field(description="The folder, relative to the recipe file.")


class BuiltModel(Built):
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


class IncStatic(Part):
    """PyTorch static INT8 by Intel Neural Compressor, loaded with optimum-intel's INCModel."""

    kind: Literal["inc-static"] = Field(description="inc-static: Neural Compressor, static INT8.")
    name: Name = Field("pytorch-int8-static", description=NAME)
    node_exclusion: tuple[str, ...] = Field((), description=EXCLUDE)
    calibration: Calibration = Field(Calibration(), description="How ranges are learnt.")


class IncDynamic(Part):
    """PyTorch dynamic INT8 by Intel Neural Compressor."""

    kind: Literal["inc-dynamic"] = Field(description="inc-dynamic: Neural Compressor, dynamic.")
    name: Name = Field("pytorch-int8-dynamic", description=NAME)
    node_exclusion: tuple[str, ...] = Field((), description=EXCLUDE)
    reduce_range: bool | None = Field(
        None, description="7-bit activations. null: off where the CPU has VNNI, on elsewhere."
    )


class OpenVinoStatic(Part):
    """OpenVINO static INT8 by NNCF (model_type transformer), loaded with OVModel."""

    kind: Literal["openvino-static"] = Field(
        description="openvino-static: OpenVINO, static INT8 by NNCF."
    )
    name: Name = Field("openvino-int8-static", description=NAME)
    preset: Literal["mixed", "performance"] = Field(
        "mixed",
        description="Ranges of activations: mixed asymmetric, performance symmetric about 0.",
    )
    smooth_quant_alpha: Annotated[float, Field(ge=0, le=1)] | None = Field(
        0.95, description="How much SmoothQuant moves from activations to weights; null: off."
    )
    fast_bias_correction: bool = Field(
        True, description="false: NNCF's slower and more accurate correction of biases."
    )
    reduce_range: bool | None = Field(None, description=REDUCE_RANGE)
    max_drop: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None,
        description="Accuracy control: the layers that cost most stay float until at most this"
        " share of the answers on the calibration rows differs from FP32; null: none.",
    )
    node_exclusion: tuple[str, ...] = Field(
        (), description="Nodes that stay float: names or regular expressions."
    )
    # One row at a time: NNCF knows no attention mask, and ranges would be those of padding too.
    calibration: Calibration = Field(
        Calibration(num_samples=300, batch_size=1), description="How ranges are learnt."
    )


VariantSpec = Annotated[
    OnnxDynamic
    | OnnxStatic
    | OnnxBlockwise
    | OnnxFloat16
    | IncStatic
    | IncDynamic
    | OpenVinoStatic,
    Field(discriminator="kind"),
]
# What learns ranges from rows of dataset.calibration_split.
Calibrated = OnnxStatic | IncStatic | OpenVinoStatic


def calibration_of(spec: VariantSpec) -> Calibration | None:
    """How a variant learns from rows of dataset.calibration_split; None where it does not."""
    if isinstance(spec, Calibrated):
        return spec.calibration
    if isinstance(spec, OnnxDynamic) and spec.smooth_quant is not None:
        return spec.calibration
    return None


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
    must_pay: bool = Field(
        True,
        description="Refuse a variant that is larger than FP32 of its format, or is shown to be"
        " slower where it is measured.",
    )
    complete_card: bool = Field(
        False, description="Publish nothing while the card lacks what only the author can say."
    )

    @model_serializer(mode="wrap")
    def _without_what_is_usual(self, serialize: SerializerFunctionWrapHandler) -> dict[str, object]:
        """A recipe that lets no variant be slower has the digest of before there was the key."""
        value: dict[str, object] = serialize(self)
        if self.must_pay:
            value.pop("must_pay", None)
        return value


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
    formats: Annotated[tuple[Literal["pytorch", "onnx", "openvino"], ...], Field(min_length=1)] = (
        Field(("pytorch", "onnx"), description="Formats to publish; each needs a variant.")
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


class Recipe(MayTune):
    """Everything that decides what a publication holds. `labels` maps a value of the dataset's
    reference column (as text) to a label name of the model, for the tasks that have labels."""

    schema_version: Annotated[Literal[1], Field(alias="schema")] = Field(
        1, description="Version of this format."
    )
    name: Name = Field(description="Name of the recipe; that of its folder.")
    base: Base = Field(description="The FP32 model to start from.")
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
    tune: Tune | None = Field(None, description="What `hubkit tune` looks for.")
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
