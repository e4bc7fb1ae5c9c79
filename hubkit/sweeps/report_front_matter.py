"""The YAML block of a sweep's README.md: the reference's keys, then what the Hub wants today."""

from __future__ import annotations

from hubkit.cards.escape import one_line
from hubkit.cards.front_matter import relation
from hubkit.records import Source
from hubkit.sweeps.report_view import View

_ORDER = ("pipeline_tag", "datasets", "metrics", "tags", "base_model", "base_model_relation")


def front_matter(view: View) -> str:
    """The block with its two `---` lines.

    There is no library_name: the repository holds no model that a library could load, and the Hub
    would offer code that fails.
    """
    from huggingface_hub import ModelCardData

    report = view.report
    base = _on_a_hub(report.lock.base)
    dataset = _on_a_hub(report.lock.dataset)
    tags = [one_line(report.base.model_type), "hubkit", "sweep", "quantization", "onnxruntime"]
    data = ModelCardData(
        pipeline_tag=one_line(report.task),
        datasets=[dataset] if dataset else None,
        metrics=[one_line(name) for name in view.metrics] or None,
        tags=tags,
        base_model=base,
        base_model_relation=relation(report.lock) if base else None,
    )
    return f"---\n{data.to_yaml(line_break=chr(10), original_order=list(_ORDER))}\n---\n"


def _on_a_hub(source: Source) -> str | None:
    return one_line(source.id) if source.source != "local" else None
