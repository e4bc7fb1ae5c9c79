"""The YAML block of the README.md of a report on formats."""

from __future__ import annotations

from hubkit.cards.escape import one_line
from hubkit.cards.front_matter import relation
from hubkit.formats.view import View
from hubkit.records import Source

_ORDER = ("pipeline_tag", "datasets", "tags", "base_model", "base_model_relation")


def front_matter(view: View) -> str:
    """The block with its two `---` lines. There is no library_name: the repository holds no model
    that a library could load."""
    from huggingface_hub import ModelCardData

    report = view.report
    base, dataset = _on_a_hub(report.lock.base), _on_a_hub(report.lock.dataset)
    data = ModelCardData(
        pipeline_tag=one_line(report.task),
        datasets=[dataset] if dataset else None,
        tags=[one_line(report.base.model_type), "hubkit", "benchmark", "quantization"],
        base_model=base,
        base_model_relation=relation(report.lock) if base else None,
    )
    return f"---\n{data.to_yaml(line_break=chr(10), original_order=list(_ORDER))}\n---\n"


def _on_a_hub(source: Source) -> str | None:
    return one_line(source.id) if source.source != "local" else None
