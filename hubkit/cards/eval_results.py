"""`.eval_results/*.yaml`: scores that the Hub puts on the leaderboard of a benchmark dataset.

The format is that of huggingface/hub-docs (docs/hub/eval-results.md, eval_results.yaml): a list of
entries, each with a dataset, one of the tasks in that dataset's eval.yaml, and one value.
"""

from __future__ import annotations

import re

from hubkit.cards.context import CardContext
from hubkit.cards.entry import Entry
from hubkit.cards.escape import one_line
from hubkit.records import Source, TextFile

FOLDER = ".eval_results"


def eval_result_files(context: CardContext) -> tuple[TextFile, ...]:
    """A file for each published format, with the metric that the recipe gates by.

    Empty where the dataset is no benchmark or sets no task for the recipe's configuration and
    split, where only some rows were scored, which no leaderboard asks for, and where the metric is
    none of the task but tells the model from its own FP32 form. No date: the commit has one.
    """
    dataset = context.lock.dataset
    if context.report.dataset.partial or context.recipe.task == "feature-extraction":
        return ()
    files = (_file(entry, dataset, context) for entry in context.published)
    return tuple(file for file in files if file is not None)


def _file(entry: Entry, dataset: Source, context: CardContext) -> TextFile | None:
    import yaml

    metric = entry.metric(context.recipe.gates.metric)
    if metric is None or not dataset.benchmark_tasks:
        return None
    dataset_id = one_line(dataset.id)
    results = [
        {
            "dataset": {"id": dataset_id, "task_id": task, "revision": dataset.sha},
            "value": metric.value,
            **_source(dataset, context.repo_id),
            # Beside the other format's result it has to say which it is.
            "notes": f"{entry.label}, {metric.name}",
        }
        for task in dataset.benchmark_tasks
    ]
    name = re.sub(r"[^\w.-]+", "-", f"{dataset_id.rsplit('/', 1)[-1]}-{entry.variant.format}")
    text = yaml.safe_dump(results, sort_keys=False, allow_unicode=True, width=100)
    return TextFile(path=f"{FOLDER}/{name}.yaml", text=text)


def _source(dataset: Source, repo_id: str) -> dict[str, dict[str, str]]:
    """Where the value comes from: the report in the repository, on the Hub that the dataset is on,
    where that has an address for everybody."""
    home = (dataset.url or "").removesuffix(f"/datasets/{dataset.id}")
    if not home.startswith("https://"):
        return {}
    return {"source": {"url": f"{home}/{repo_id}/blob/main/results.json", "name": "results.json"}}
