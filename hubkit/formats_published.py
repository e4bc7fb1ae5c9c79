"""A report on formats that was measured before, put on the card of a publication."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from hubkit.errors import DataError, UsageError
from hubkit.formats.summary import summary_of
from hubkit.formats_records import FormatsReport
from hubkit.measuring import Measured
from hubkit.stages.bundle import FORMATS_FILE


def read_formats(path: Path) -> FormatsReport:
    """The report of a folder that `hubkit report formats` wrote, or of its formats.json.

    Raises UsageError where there is none, or it is a partial one; DataError where it is damaged.
    """
    file = path / FORMATS_FILE if path.is_dir() else path
    if not file.is_file():
        raise UsageError(
            f"--formats {path}: no report on formats is there",
            hint="Name the folder that `hubkit report formats RECIPE` wrote.",
        )
    try:
        report = FormatsReport.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        raise DataError(
            f"{file.name} is not one of this hubkit ({where or 'JSON'}: {first['msg']})",
            hint="Run `hubkit report formats RECIPE` again.",
        ) from error
    if report.partial:
        raise UsageError(
            f"partial results are not published: {'; '.join(report.partial)}",
            hint="Run `hubkit report formats RECIPE` on all engines and rows.",
        )
    return report


def with_formats(measured: Measured, formats: FormatsReport | None) -> Measured:
    """What was measured, with the section on formats and serving in its report.

    Raises UsageError where the report is of another model than those that are published.
    """
    if formats is None:
        return measured
    known = {one.artifact.digest for one in formats.variants}
    strange = [
        variant.name
        for variant in measured.report.published().values()
        if variant.artifact.digest not in known
    ]
    if formats.base.artifact.digest != measured.report.base.artifact.digest or strange:
        what = f"has not measured {', '.join(strange)}" if strange else "is of another base model"
        raise UsageError(
            f"the report on formats {what}",
            hint=f"Run `hubkit report formats {measured.report.recipe}` on what is published.",
        )
    report = measured.report.model_copy(update={"formats": summary_of(formats)})
    return replace(measured, report=report)
