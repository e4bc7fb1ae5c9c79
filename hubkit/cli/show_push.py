"""What a push, a rollback and their dry runs print: what changes, and how much of it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubkit.cli.show import as_json
from hubkit.output import output

if TYPE_CHECKING:
    from hubkit.preview import Preview
    from hubkit.stages.push import Pushed, Tagged
    from hubkit.stages.push_plan import Change, Plan
    from hubkit.stages.rollback import RollbackPlan, RolledBack
    from hubkit.stages.verify import Verified


def plan_text(plan: Plan) -> str:
    """A plan's changes, one a line with the sizes before and after, and what would be sent."""
    if plan.nothing_to_do:
        where = plan.repo_id if plan.branch == "main" else _whither(plan)
        return f"{where} has all of it; no commit."
    lines = [f"one commit to {_whither(plan)}:"]
    lines += [_line(change) for change in plan.changes]
    if any(change.foreign for change in plan.changes):
        lines.append("  * not as hubkit left it: somebody else's words would be replaced")
    count = len(plan.changes)
    words = [f"{count} file{'' if count == 1 else 's'}, {plan.unchanged} unchanged"]
    if not plan.exists or not plan.branch_exists:
        words.append("a new branch" if plan.exists else "a new repository")
    if plan.send_bytes is not None:
        words.append(f"{size_text(plan.send_bytes)} to send")
        if there := plan.put_bytes - plan.send_bytes:
            words.append(f"{size_text(there)} on the Hub already")
    return "\n".join([*lines, "; ".join(words) + "."])


def _sentence(text: str) -> str:
    return text if "/" in text.split(maxsplit=1)[0] else text[:1].upper() + text[1:]


def size_text(size_bytes: int) -> str:
    """A size in decimal units, as the Hub's pages have them."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB"):
        if size < 999.5:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"


def _line(change: Change) -> str:
    was, now = (
        "–" if size is None else size_text(size) for size in (change.was_bytes, change.size_bytes)
    )
    mark = " *" if change.foreign else ""
    return f"  {change.action:<6} {was:>8} → {now:>8}  {change.path}{mark}"


def _whither(plan: Plan) -> str:
    if plan.create_pr:
        return f"{plan.repo_id}, as a new pull request"
    return f"{plan.repo_id} ({plan.branch})"


def commit_words(pushed: Pushed) -> str:
    """What became of a push, as the beginning of a sentence."""
    where = f" on {pushed.branch}" if pushed.branch != "main" else ""
    if pushed.pull_request is not None:
        where = f" in pull request {pushed.pull_request}"
    if pushed.made_commit:
        return f"One commit, {pushed.commit[:12]}{where}"
    return f"Nothing had changed{where}, no commit"


def tag_words(tagged: Tagged | None) -> str:
    """What became of the tag, as the end of a sentence."""
    if tagged is None:
        return ""
    if tagged.moved_from is None:
        return f", tagged {tagged.tag}"
    return f", tagged {tagged.tag} (deleted at {tagged.moved_from[:12]} and made anew)"


def show_plan(plan: Plan) -> None:
    """What would change."""
    out = output()
    out.data(as_json(plan) if out.style == "json" else _sentence(plan_text(plan)))


def show_preview(seen: Preview) -> None:
    """What would run, and what would change."""
    out = output()
    if out.style == "json":
        out.data(
            {
                "kept": list(seen.kept),
                "would_run": list(seen.would_run),
                "plan": as_json(seen.plan) if seen.plan else None,
            }
        )
        return
    out.data("Kept:      " + (", ".join(seen.kept) or "nothing"))
    out.data("Would run: " + (", ".join(seen.would_run) or "nothing"))
    if seen.plan is None:
        out.data("On the Hub: not known before these have run.")
    else:
        out.data("On the Hub: " + plan_text(seen.plan))


def show_pushed(pushed: Pushed, verified: Verified | None, tagged: Tagged | None) -> None:
    """Where it is now."""
    out = output()
    if out.style == "json":
        out.data(
            {
                "pushed": as_json(pushed),
                "verified": as_json(verified) if verified else "before",
                "tag": tagged.tag if tagged else None,
                "tag_moved_from": tagged.moved_from if tagged else None,
            }
        )
        return
    out.info(f"{commit_words(pushed)}{tag_words(tagged)}.")
    _show_checks(verified)
    out.data(pushed.pull_request_url or pushed.url)


def show_rollback_plan(found: RollbackPlan) -> None:
    """What a rollback would change."""
    out = output()
    if out.style == "json":
        out.data(as_json(found))
        return
    out.data(f"Back to {found.to} ({found.source[:12]}): {plan_text(found.plan)}")


def show_rolled_back(done: RolledBack, verified: Verified | None) -> None:
    """What a rollback came to."""
    out = output()
    if out.style == "json":
        value = {"rollback": as_json(done), "verified": as_json(verified) if verified else "before"}
        out.data(value)
        return
    if done.made_commit:
        out.info(f"One commit, {done.commit[:12]}: {done.branch} is as it was at {done.to} again.")
    else:
        out.info(f"{done.branch} holds what was published at {done.to} already; no commit.")
    _show_checks(verified)
    out.data(done.url)


def _show_checks(verified: Verified | None) -> None:
    out = output()
    if verified is None:
        out.info("Verified before.")
        return
    for check in verified.formats:
        out.info(f"{check.format}: {'verified' if check.checked else check.reason}")
