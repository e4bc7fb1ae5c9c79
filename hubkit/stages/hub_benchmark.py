"""Whether a dataset on the Hub is a benchmark, and which of its tasks a recipe does."""

from __future__ import annotations

from hubkit.recipe import DatasetSpec

EVAL_FILE = "eval.yaml"
# As in the format (huggingface/hub-docs, docs/hub/eval-results.md): a task that names no split.
_SPLIT = "test"
_MOST_BYTES, _MOST_TASKS = 1_000_000, 100


def tasks_done(text: bytes, spec: DatasetSpec) -> tuple[str, ...]:
    """The ids of the tasks in an eval.yaml that take the recipe's configuration and split.

    The file is somebody else's: whatever is wrong with it, it sets no task.
    """
    import yaml

    if len(text) > _MOST_BYTES:
        return ()
    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError):
        return ()  # yaml's own constructors fail in all of these ways
    tasks = data.get("tasks") if isinstance(data, dict) else None
    found = [_id(task, spec) for task in tasks] if isinstance(tasks, list) else []
    return tuple(dict.fromkeys(name for name in found if name))[:_MOST_TASKS]


def _id(task: object, spec: DatasetSpec) -> str | None:
    if not isinstance(task, dict) or not isinstance(task.get("id"), str):
        return None
    config, split = task.get("config") or "default", task.get("split") or _SPLIT
    name: str = task["id"].strip()
    same = (config, split) == (spec.config or "default", spec.eval_split)
    # A name of one line, since it is written into a file again.
    return name if same and len(name.splitlines()) == 1 else None
