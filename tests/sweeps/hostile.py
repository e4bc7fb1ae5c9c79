"""A report in which every text that may come from outside is an attack on Markdown or HTML."""

from __future__ import annotations

from hubkit.recipe import OnnxStatic
from hubkit.records import Failed
from hubkit.sweep_records import SweepReport, SweepRow
from tests.sweeps.examples import make_report

HOSTILE = (
    "a|b `c` </script><script>alert(1)</script> <img src=x onerror=alert(2)> {{ 7*7 }} {% raw %}\n"
    "\n# H\n- x [y](javascript:alert(3)) *z* $q$ \u2028 & \" ' --> ]]>\r\n| t | u |\n---\nend"
)


def hostile_report() -> SweepReport:
    """Parameters, names, reasons, ids, versions and the machine are HOSTILE."""
    report = make_report()
    sweep = report.sweep.model_copy(
        update={
            "operators_to_quantize": ((HOSTILE,), ("Add",)),
            "node_exclusion": ((), (HOSTILE, HOSTILE + "2")),
        }
    )
    changed = {"operators_to_quantize": (HOSTILE,), "node_exclusion": (HOSTILE, HOSTILE + "2")}
    rows = [
        SweepRow(name=row.name, spec=row.spec.model_copy(update=changed), variant=row.variant)
        for row in report.rows[:-2]
    ]
    last = report.rows[-2]
    variant = last.variant
    assert variant
    assert isinstance(last.spec, OnnxStatic)
    spec = last.spec.model_copy(update=changed | {"guards": True})
    excluded = variant.model_copy(update={"nodes_excluded": {HOSTILE: 3, HOSTILE + "2": 4}})
    rows.append(SweepRow(name=last.name, spec=spec, variant=excluded))
    broken = report.rows[-1]
    failed = Failed(stage=HOSTILE, subject=HOSTILE, reason=HOSTILE, hint=HOSTILE)
    rows.append(SweepRow(name=HOSTILE, spec=broken.spec, failed=failed))
    source = {"id": HOSTILE, "sha": HOSTILE, "origin": HOSTILE}
    lock = report.lock.model_copy(
        update={
            "base": report.lock.base.model_copy(update=source),
            "dataset": report.lock.dataset.model_copy(update=source),
            "tools": {HOSTILE: HOSTILE},
            "python": HOSTILE,
        }
    )
    timings = report.timings
    assert timings
    machine = timings.machine.model_copy(
        update={"cpu": HOSTILE, "os": HOSTILE, "flags": (HOSTILE,), "python": HOSTILE}
    )
    dataset_spec = report.dataset_spec.model_copy(
        update={
            "path": HOSTILE,
            "config": HOSTILE,
            "eval_split": HOSTILE,
            "data_keys": {"primary": HOSTILE},
            "ref_keys": (HOSTILE,),
        }
    )
    scores = tuple(
        s.model_copy(
            update={
                "metrics": (*s.metrics, s.metrics[0].model_copy(update={"name": HOSTILE})),
            }
        )
        for s in report.scores
    )
    return report.model_copy(
        update={
            "recipe": HOSTILE,
            "task": HOSTILE,
            "sweep": sweep,
            "where": HOSTILE,
            "rows": tuple(rows),
            "lock": lock,
            "timings": timings.model_copy(update={"machine": machine}),
            "dataset_spec": dataset_spec,
            "scores": scores,
            "base": report.base.model_copy(update={"model_type": HOSTILE}),
            "partial": (HOSTILE,),
        }
    )
