"""Roll a repository back to what hubkit published before, and verify what came of it."""

from __future__ import annotations

from hubkit.pushing import verify_once
from hubkit.runner import Runner
from hubkit.stages.rollback import RollbackInput, RollbackPlan, RolledBack, plan_rollback, rollback
from hubkit.stages.verify import Verified


def rollback_plan(run: Runner, given: RollbackInput) -> RollbackPlan:
    """What a rollback would change; the Hub is only read. Raises what `roll_back` would raise."""
    with run.store.scratch() as scratch:
        return plan_rollback(given, run.context(scratch))


def roll_back(run: Runner, given: RollbackInput) -> tuple[RolledBack, Verified | None]:
    """The commit that restores what hubkit published at a revision, verified as a push is.

    Raises HubError where there is nothing to restore or a file of the author's is in the way,
    VerifyError where what is there now is not what was measured then.
    """
    done = run.run(rollback, given)
    return done, verify_once(run, None, done)
