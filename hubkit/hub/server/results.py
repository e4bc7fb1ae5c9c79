"""The evaluation results a card claims in its `model-index`, flat, for the page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """One metric of a card."""

    dataset: str
    metric: str
    value: str


def _value_text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def results_of(data: dict[str, object]) -> list[Result]:
    """Every metric in a card's `model-index`; what does not have its form is left out."""
    found: list[Result] = []
    index = data.get("model-index")
    for model in index if isinstance(index, list) else []:
        results = model.get("results") if isinstance(model, dict) else None
        for result in results if isinstance(results, list) else []:
            if not isinstance(result, dict):
                continue
            dataset, metrics = result.get("dataset"), result.get("metrics")
            name = str(dataset.get("name", "")) if isinstance(dataset, dict) else ""
            for metric in metrics if isinstance(metrics, list) else []:
                if isinstance(metric, dict) and metric.get("value") is not None:
                    what = str(metric.get("name") or metric.get("type") or "")
                    found.append(Result(name, what, _value_text(metric["value"])))
    return found
