"""What commands print when they are done: a table for people, one JSON object for programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.output import output

if TYPE_CHECKING:
    from hubkit.output import Json
    from hubkit.pipeline import Published
    from hubkit.records import Failed, Record, Scores, Timings, Variant
    from hubkit.runner import Ran
    from hubkit.stages.report import SummaryRow
    from hubkit.stages.verify import Verified
    from hubkit.store import Store


def as_json(record: Record) -> Json:
    """A record as plain values."""
    plain: Json = record.model_dump(mode="json", by_alias=True)
    return plain


def stage_seconds(ran: Sequence[Ran]) -> Json:
    """Where the time went: {stage, subject, seconds}; seconds null: it was looked up."""
    return [
        {
            "stage": one.stage,
            "subject": one.subject,
            "seconds": None if one.seconds is None else round(one.seconds, 3),
        }
        for one in ran
    ]


def table_of(rows: tuple[SummaryRow, ...]) -> str:
    """The variants as a table of at most 80 columns."""
    from hubkit.stages.report import summary_cells, summary_header

    return output().table(summary_header(rows), [summary_cells(row) for row in rows])


def show_published(done: Published) -> None:
    """The repository's address, the variants, and how to load them."""
    out = output()
    pushed, found = done.pushed, done.measured
    if out.style == "json":
        out.data(
            {
                "repo_id": pushed.repo_id,
                "url": pushed.url,
                "endpoint": done.endpoint,
                "commit": pushed.commit,
                "made_commit": pushed.made_commit,
                "branch": pushed.branch,
                "pull_request": pushed.pull_request,
                "pull_request_url": pushed.pull_request_url,
                "tag": done.tagged.tag if done.tagged else None,
                "tag_moved_from": done.tagged.moved_from if done.tagged else None,
                "verified": as_json(done.verified) if done.verified else "before",
                "selected": found.selection.selected,
                "variants": [as_json(row) for row in done.rows],
                "failures": [as_json(failed) for failed in found.report.failures],
                "stages": stage_seconds(done.ran),
            }
        )
        return
    if out.style == "quiet":
        out.data(pushed.pull_request_url or pushed.url)
        return
    _warn(found.report.failures)
    out.info()
    out.data(table_of(done.rows))
    out.data("")
    out.data(_sentence(done))
    out.data(f"  {pushed.pull_request_url or pushed.url}")
    if pushed.branch != "main":  # what the commands below load
        out.data(f'It is loaded with revision="{pushed.branch}".')
    for text in loading_texts(done) if pushed.branch == "main" else ():
        out.data("")
        out.data(text)
    from hubkit.local_hub import demo_hub_pid

    if (pid := demo_hub_pid(done.endpoint)) is not None:
        out.info(f"\nThe embedded Hub goes on running; `kill {pid}` ends it.")


def _sentence(done: Published) -> str:
    from hubkit.cli.show_push import commit_words, tag_words

    if done.verified is None:
        checked = "verified before"
    elif done.verified.complete:
        checked = "verified: downloaded anew, loaded, and its logits are those measured"
    else:
        checked = "verified in part: " + "; ".join(
            f"{check.format} not checked ({check.reason})"
            for check in done.verified.formats
            if not check.checked
        )
    return f"{commit_words(done.pushed)}{tag_words(done.tagged)}; {checked}."


def loading_texts(done: Published) -> list[str]:
    """A command for a shell for each format, that loads what was published and predicts, on this
    very Hub."""
    import shlex
    import sys

    from hubkit.cards.embedding_snippets import embedding_of
    from hubkit.cards.snippets import loading, prediction
    from hubkit.hub.client import PUBLIC_ENDPOINT

    where = "" if done.endpoint == PUBLIC_ENDPOINT else f"HF_ENDPOINT={done.endpoint} "
    texts = []
    report = done.measured.report
    made = embedding_of(done.measured.material.lock, report.base)
    there = {row.variant for row in done.rows if row.published_as}
    for kind, variant in report.published().items():
        if variant.name not in there:
            continue
        code = loading(kind, done.pushed.repo_id, report.task, made)
        code += prediction(report.task, kind=kind, made=made)
        texts.append(f"{where}{shlex.quote(sys.executable)} - <<'EOF'\n{code}EOF")
    return texts


def show_variants(
    variants: Sequence[Variant], failures: Sequence[Failed], store: Store, into: Path | None
) -> None:
    """The variants and where their files are; with `into`, a copy of each there."""
    out = output()
    folders = {}
    for variant in variants:
        folder = store.path(variant.artifact)
        if into is not None and variant.precision != "fp32":
            folder = copy_folder(folder, into / variant.name)
        folders[variant.name] = folder
    if out.style == "json":
        out.data(
            {
                "variants": [
                    {**_plain(variant), "folder": str(folders[variant.name])}
                    for variant in variants
                ],
                "failures": [as_json(failed) for failed in failures],
            }
        )
        return
    _warn(failures)
    rows = [
        (
            v.name,
            f"{v.size_bytes / 1e6:.1f}",
            "–" if v.nodes_quantized is None else str(v.nodes_quantized),
            "–" if v.calibration is None else str(v.calibration.real_samples),
        )
        for v in variants
    ]
    out.data(out.table(("Variant", "MB", "Nodes quantized", "Calibrated on"), rows))
    for name, folder in folders.items():
        out.data(f"{name}: {folder}")


def show_scores(scores: Sequence[Scores], failures: Sequence[Failed]) -> None:
    """Each metric with its interval, and the comparison with FP32."""
    from hubkit.cards import numbers

    out = output()
    if out.style == "json":
        out.data(
            {
                "scores": [as_json(one) for one in scores],
                "failures": [as_json(failed) for failed in failures],
            }
        )
        return
    _warn(failures)
    names = [metric.name for metric in scores[0].metrics]
    rows = []
    for one in scores:
        cells = [f"{numbers.score(m.value)} ({numbers.interval(m.interval)})" for m in one.metrics]
        paired = one.paired
        cells += [str(paired.flips), f"{paired.mcnemar_p:.3g}"] if paired else ["–", "–"]
        rows.append((one.variant, *cells))
    out.data(out.table(("Variant", *names, "Flips", "McNemar p"), rows))
    out.data(f"{scores[0].rows} rows; in brackets the {_confidence(scores[0])} interval.")


def _confidence(scores: Scores) -> str:
    return f"{scores.metrics[0].confidence:.0%}"


def show_timings(timings: Timings) -> None:
    """Latency and throughput at each point, and the machine."""
    out = output()
    if out.style == "json":
        out.data(as_json(timings))
        return
    rows = [
        (
            timing.variant,
            f"{p.batch_size}×{p.input_length}",
            *(f"{ms:.2f}" for ms in (p.mean_ms, p.p50_ms, p.p90_ms, p.p99_ms)),
            f"{p.throughput_per_s:.0f}",
        )
        for timing in timings.timings
        for p in timing.points
    ]
    out.data(out.table(("Variant", "Shape", "mean ms", "p50", "p90", "p99", "seq/s"), rows))
    machine = timings.machine
    out.data(f"{machine.cpu}, {machine.logical_cpus} CPUs, {timings.timings[0].threads} threads")


def show_verified(verified: Verified) -> None:
    """What was checked."""
    from hubkit.cli.show_records import record_lines

    out = output()
    if out.style == "json":
        out.data(as_json(verified))
        return
    out.data(
        f"{verified.repo_id} at {verified.revision[:12]}: {verified.files} files,"
        f" {verified.size_bytes / 1e6:.1f} MB, all as listed"
    )
    for check in verified.formats:
        if check.checked:
            out.data(
                f"  {check.format}: {check.samples} recorded rows, largest logit difference"
                f" {check.max_abs_logit_diff:.2g} (allowed {check.tolerance:g})"
            )
        else:
            out.data(f"  {check.format}: not checked: {check.reason}")
    for line in record_lines(verified.records):
        out.data(f"  {line}")


def copy_folder(source: Path, target: Path) -> Path:
    """A writable copy of a stored folder. Raises UsageError where something is there already."""
    import shutil

    new_folder(target)
    for path in sorted(source.rglob("*")):
        if path.is_file():
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    return target


def new_folder(target: Path) -> None:
    """Make an empty folder. Raises UsageError where something is in it already."""
    from hubkit.errors import UsageError

    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} is not empty", hint="Name a new folder with --output.")
    target.mkdir(parents=True, exist_ok=True)


def _plain(record: Record) -> dict[str, Json]:
    plain: dict[str, Json] = record.model_dump(mode="json", by_alias=True)
    return plain


def _warn(failures: Sequence[Failed]) -> None:
    for failed in failures:
        output().warn(f"{failed.stage} {failed.subject}: {failed.reason}")
