"""The report on formats as Markdown and as one HTML file, in any of the card's languages."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import partial

from markupsafe import Markup

from hubkit.cards.context import siblings_of
from hubkit.cards.environment import render
from hubkit.cards.layout import card_path
from hubkit.cards.numbers import NOT_MEASURED
from hubkit.cards.tables import NOTHING
from hubkit.formats.front_matter import front_matter
from hubkit.formats.page_environment import render_page
from hubkit.formats.phrases import noted, phrase
from hubkit.formats.plot_charts import charts, words
from hubkit.formats.plot_page import inline
from hubkit.formats.plots import plot_paths
from hubkit.formats.report_numbers import Digits
from hubkit.formats.summary import summary_of
from hubkit.formats.verdict import NOISE_TIMES, TIE, verdict
from hubkit.formats.view import View
from hubkit.formats_records import FormatsReport
from hubkit.i18n import SOURCE, language
from hubkit.paths import templates_dir

_FOLDER = "report"
# What the methods are; each was read, and is what the report does.
_SOURCES = (
    ("Williams, Waterman, Patterson 2009, Roofline", "https://doi.org/10.1145/1498765.1498785"),
    ("perf_analyzer", "https://github.com/triton-inference-server/perf_analyzer"),
    ("Open Inference Protocol (KServe v2)", "https://github.com/kserve/open-inference-protocol"),
    ("wrk2 (coordinated omission)", "https://github.com/giltene/wrk2"),
)


def page_path(code: str, *, primary: str) -> str:
    """The file of the HTML report in a language."""
    return "report.html" if code == primary else f"report.{code}.html"


def markdown(
    report: FormatsReport,
    code: str = SOURCE,
    languages: Sequence[str] = (),
    *,
    plots: bool = False,
    page: bool = False,
) -> str:
    """The report as Markdown; the first language's, which is README.md, alone has front matter.

    `plots`: there are files of them below plots/; `page`: there is an HTML report beside it. Reads
    no clock, no network and no model.
    """
    spoken = tuple(languages) or (code,)
    view = View(report)
    names = _names(view, code) | {
        "blocks": f"{_FOLDER}/formats.blocks.md.j2",
        "siblings": siblings_of(spoken),
        "plots": plot_paths(report, code, primary=spoken[0]) if plots else {},
        "page": page_path(code, primary=spoken[0]) if page else None,
    }
    body = _squeezed(render(f"{_FOLDER}/formats.md.j2", names))
    path = card_path(code, primary=spoken[0])
    return f"{front_matter(view)}\n{body}" if path == "README.md" else body


def html(report: FormatsReport, code: str = SOURCE, languages: Sequence[str] = ()) -> str:
    """The report as a page that needs nothing from anywhere, in light and in dark.

    Its policy allows the one script and the one style sheet that are in it, by their digests.
    """
    spoken = tuple(languages) or (code,)
    view = View(report)
    style, script = _shipped("formats.css"), _shipped("formats.js")
    digits = Digits(code, language(code).gettext(NOT_MEASURED))
    drawn = charts(view, words(language(code)), digits)
    pages = [
        {"code": it.code, "name": it.name, "path": page_path(it.code, primary=spoken[0])}
        for it in siblings_of(spoken)
    ]
    names = _names(view, code) | {
        "blocks": f"{_FOLDER}/formats.blocks.html.j2",
        "siblings": pages,
        "charts": {name: partial(inline, one) for name, one in drawn.items()},
        "policy": _policy(style, script),
        "style": Markup(style),
        "script": Markup(script),
    }
    return render_page(f"{_FOLDER}/formats.html.j2", names)


def _names(view: View, code: str) -> dict[str, object]:
    """Everything that the body can name, whatever it is written as."""
    report, spoken = view.report, language(code)
    parts = report.cost.parts if report.cost else ()
    packages = report.machine.packages | report.lock.tools
    return {
        "report": report,
        "view": view,
        "language": spoken,
        "numbers": Digits(code, spoken.gettext(NOT_MEASURED)),
        "verdict": verdict(view),
        "rows": [one for one in summary_of(report).engines if one.best_per_s is not None],
        "divergence_rows": view.divergences,
        "total_weights": sum(part.weight_bytes for part in parts),
        "total_activations": sum(part.activation_bytes for part in parts),
        "backbone_macs": sum(part.macs for part in parts if part.part == "backbone"),
        "tie": TIE,
        "phrase": phrase,
        "N_": noted,
        "noise_times": NOISE_TIMES,
        "dash": NOTHING,
        "versions": [f"{name} {version}" for name, version in sorted(packages.items())],
        "sources": _SOURCES,
    }


def _squeezed(body: str) -> str:
    """At most one empty line together, but in code, and one line break at the end."""
    lines: list[str] = []
    fence = ""
    for line in body.splitlines():
        run = len(line) - len(line.lstrip("`"))
        if run >= 3 and (not fence or line.strip() == fence):
            fence = "" if fence else "`" * run
        if fence or line.strip():
            lines.append(line if fence else line.rstrip())
        elif not lines or lines[-1]:
            lines.append("")
    return "\n".join(lines).strip("\n") + "\n"


def _shipped(name: str) -> str:
    return (templates_dir() / _FOLDER / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """A Content-Security-Policy for a file that needs nothing from anywhere (W3C CSP Level 3)."""
    return (
        f"default-src 'none'; style-src {_source(style)}; script-src {_source(script)};"
        " base-uri 'none'; form-action 'none'"
    )


def _source(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
