"""The card's YAML block, made with huggingface_hub's own classes, so that the Hub reads it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubkit.cards.context import CardContext
from hubkit.cards.escape import one_line
from hubkit.cards.layout import metric_title
from hubkit.hub_terms import METRICS
from hubkit.recipe import Recipe
from hubkit.records import Lock, Source, Variant

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

# Of the keys; model_name and eval_results become model-index, which is always last.
_ORDER = (
    "language",
    "language_bcp47",
    "license",
    "license_name",
    "license_link",
    "library_name",
    "pipeline_tag",
    "base_model",
    "base_model_relation",
    "datasets",
    "metrics",
    "tags",
    "widget",
    "model_name",
    "eval_results",
)
# As the Hub writes them.
_TASK_NAMES = {
    "text-classification": "Text Classification",
    "token-classification": "Token Classification",
    "question-answering": "Question Answering",
    "feature-extraction": "Feature Extraction",
}
# Beside the scores of others, a score against the model's own FP32 has to say that it is one.
_AGAINST_FP32 = {"cosine": " to FP32", "relative_l2": " from FP32"}
# Post-training quantization is looked for under either name: the second is that of the cards of
# Intel's INT8 models.
_APPROACHES = {
    "dynamic": ("post-training-dynamic", "PostTrainingDynamic"),
    "static": ("post-training-static", "PostTrainingStatic"),
}


def tags_of(variants: tuple[Variant, ...], model_type: str) -> list[str]:
    """What the Hub's filters can find the repository by: only what is really in it."""
    formats = {variant.format for variant in variants}
    approaches = {variant.approach for variant in variants}
    precisions = {variant.precision for variant in variants}
    tags = [one_line(model_type), *sorted(precisions, reverse=True)]
    tags += ["onnx", "onnxruntime"] if "onnx" in formats else []
    tags += ["pytorch", "neural-compressor"] if "pytorch" in formats else []
    tags += ["openvino", "nncf"] if "openvino" in formats else []
    for approach in sorted(approaches & set(_APPROACHES)):
        tags += _APPROACHES[approach]
    return list(dict.fromkeys(tag for tag in tags if tag))


def _on_a_hub(source: Source) -> bool:
    return source.source != "local"


def _eval_results(context: CardContext) -> list[EvalResult]:
    from huggingface_hub import EvalResult

    recipe, lock, dataset = context.recipe, context.lock, context.report.dataset
    return [
        EvalResult(
            task_type=recipe.task,
            task_name=_TASK_NAMES[recipe.task],
            dataset_type=one_line(lock.dataset.id),
            dataset_name=one_line(lock.dataset.id.rsplit("/", 1)[-1]),
            dataset_config=_optional_line(recipe.dataset.config),
            dataset_split=one_line(recipe.dataset.eval_split),
            dataset_revision=one_line(lock.dataset.sha),
            dataset_args={"rows": dataset.eval_rows} if dataset.partial else None,
            metric_type=metric.name,
            metric_name=_metric_name(metric.name, entry.label),
            metric_value=metric.value,
            verified=False,  # measured by hubkit, not by the Hub's evaluation service
        )
        for entry in context.published
        if entry.scores
        for metric in entry.scores.metrics
    ]


def _metric_name(metric: str, label: str) -> str:
    return f"{metric_title(metric)}{_AGAINST_FP32.get(metric, '')} ({label})"


def _optional_line(value: str | None) -> str | None:
    return one_line(value) if value is not None else None


def _languages(recipe: Recipe) -> tuple[str | list[str], list[str] | None]:
    """`language`, whose codes the Hub takes without region or script, and `language_bcp47` for
    those that have one."""
    given = [one_line(language) for language in recipe.publication.languages]
    bare = list(dict.fromkeys(language.split("-")[0] for language in given))
    whole = [language for language in given if "-" in language]
    return bare[0] if len(bare) == 1 else bare, whole or None


def _widget(recipe: Recipe) -> list[dict[str, str]] | None:
    """The recipe's examples under the Hub's keys, which are one and the same for the four tasks,
    but that a question has its context beside it."""
    examples = [
        {
            name: text
            for name, value in example.model_dump(exclude_none=True).items()
            if (text := one_line(value))
        }
        for example in recipe.publication.widget
    ]
    return [example for example in examples if example] or None


def relation(lock: Lock) -> str:
    """What the Hub calls it: a base that was trained here is not the one that is quantized."""
    return "finetune" if lock.built and lock.built.finetuned else "quantized"


def front_matter(context: CardContext) -> str:
    """The YAML block with its two `---` lines.

    `library_name` is optimum: without it the Hub takes any repository with a config.json for one
    that transformers' AutoModel can load, which an INT8 state dict is not.
    """
    from huggingface_hub import ModelCardData

    recipe, lock = context.recipe, context.lock
    results = _eval_results(context)
    variants = tuple(entry.variant for entry in context.published)
    base = one_line(lock.base.id) if _on_a_hub(lock.base) else None
    language, language_bcp47 = _languages(recipe)
    data = ModelCardData(
        language=language,
        language_bcp47=language_bcp47,
        license=one_line(recipe.publication.license),
        license_name=_optional_line(recipe.publication.license_name),
        license_link=_optional_line(recipe.publication.license_link),
        library_name="optimum",
        pipeline_tag=recipe.task,
        base_model=base,
        base_model_relation=relation(lock) if base else None,
        datasets=[one_line(lock.dataset.id)] if _on_a_hub(lock.dataset) else None,
        metrics=[metric for metric in context.metrics if metric in METRICS] or None,
        tags=tags_of(variants, context.report.base.model_type),
        widget=_widget(recipe),
        model_name=context.repo_id.rsplit("/", 1)[-1] if results else None,
        eval_results=results or None,
    )
    return f"---\n{data.to_yaml(line_break=chr(10), original_order=list(_ORDER))}\n---\n"
