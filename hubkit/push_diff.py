"""push_diff(): what a push would change on the Hub, before anything is sent."""

from __future__ import annotations

from pathlib import Path

from hubkit.errors import HubkitError
from hubkit.hub.manifest import SUMS
from hubkit.pipeline import running
from hubkit.preview import preview
from hubkit.pushing import Onto, push_folder_input, taken_in
from hubkit.stages.push import plan_push
from hubkit.stages.push_plan import Plan


def push_diff(
    repo_id: str,
    target: str = ".",
    *,
    branch: str | None = None,
    demo: bool = False,
    endpoint: str | None = None,
) -> Plan:
    """The change that a push of `target` to a branch of a repository would make.

    `target` is a bundle folder, or a recipe whose stages have all run: nothing is computed, and
    nothing is sent but questions. Raises what the push would raise before it sends anything;
    HubkitError where stages of the recipe have not run.
    """
    onto = Onto(branch=branch)
    if (Path(target) / SUMS).is_file():
        with running(endpoint=endpoint) as run:
            wanted = push_folder_input(
                taken_in(run, Path(target), repo_id), repo_id, False, "diff", onto
            )
            with run.store.scratch() as scratch:
                return plan_push(wanted, run.context(scratch))
    seen = preview(target, demo=demo, repo_id=repo_id, endpoint=endpoint, onto=onto)
    if seen.plan is None:
        more = " --demo" if demo else ""
        raise HubkitError(
            f"what would be pushed is not known yet: {', '.join(seen.would_run)} have not run",
            hint=f"hubkit card {target}{more} --repo-id {repo_id} --output DIR runs them and pushes"
            f" nothing; then hubkit diff {repo_id} DIR.",
        )
    return seen.plan
