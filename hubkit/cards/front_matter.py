"""The card's YAML block, made with huggingface_hub's own classes, so that the Hub reads it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubkit.cards.context import CardContext
from hubkit.cards.escape import one_line
from hubkit.cards.layout import metric_title
from hubkit.recipe import Recipe
from hubkit.records import Source, Variant

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

# Of the keys; model_name and eval_results become model-index, which is always last.
_ORDER = (
    "language",
    "license",
    "library_name",
    "pipeline_tag",
    "base_model",
    "base_model_relation",
    "datasets",
    "metrics",
    "tags",
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


def tags_of(variants: tuple[Variant, ...], model_type: str) -> list[str]:
    """What the Hub's filters can find the repository by: only what is really in it."""
    formats = {variant.format for variant in variants}
    tags = [model_type, "int8"]
    tags += ["onnx", "onnxruntime"] if "onnx" in formats else []
    tags += ["pytorch", "neural-compressor"] if "pytorch" in formats else []
    tags += sorted({f"post-training-{v.approach}" for v in variants if v.approach != "none"})
    return [one_line(tag) for tag in tags]


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


def _languages(recipe: Recipe) -> str | list[str]:
    languages = [one_line(language) for language in recipe.publication.languages]
    return languages[0] if len(languages) == 1 else languages


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
    data = ModelCardData(
        language=_languages(recipe),
        license=one_line(recipe.publication.license),
        library_name="optimum",
        pipeline_tag=recipe.task,
        base_model=base,
        base_model_relation="quantized" if base else None,
        datasets=[one_line(lock.dataset.id)] if _on_a_hub(lock.dataset) else None,
        metrics=list(context.metrics) or None,
        tags=tags_of(variants, context.report.base.model_type),
        model_name=context.repo_id.rsplit("/", 1)[-1] if results else None,
        eval_results=results or None,
    )
    return f"---\n{data.to_yaml(line_break=chr(10), original_order=list(_ORDER))}\n---\n"
