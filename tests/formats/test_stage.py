"""The folder of a report, the card's section, and what the terminal shows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from hubkit.cli.show_formats import lines_of, show_reported
from hubkit.errors import HubkitError
from hubkit.formats.plot_charts import words
from hubkit.formats.plots import plots
from hubkit.formats.summary import summary_of
from hubkit.formats_pipeline import Reported
from hubkit.formats_records import FormatsReport
from hubkit.hub.manifest import SUMS, parse_sums
from hubkit.i18n import language, plain
from hubkit.keys import files_of
from hubkit.output import set_format
from hubkit.records import Failed, Report
from hubkit.stage import Context
from hubkit.stages.bundle import FORMATS_FILE, bundle
from hubkit.stages.card import render_card
from hubkit.stages.formats_report import FormatsReportInput, formats_report
from hubkit.stages.report import record_json
from tests.cards.examples import NOTES, REPO_ID, make_lock, make_recipe, make_report
from tests.cards.markdown import headings, tables
from tests.formats.examples import make_embeddings, make_formats, make_uncounted
from tests.secrets_scan.planted import mixed
from tests.stages.test_bundle import Workshop


def given(report: FormatsReport, *codes: str) -> FormatsReportInput:
    return FormatsReportInput(
        repo_id="example/x", recipe=make_recipe(), report=report, languages=codes or ("en",)
    )


def test_programs_get_one_object_and_scripts_the_folder(
    capsys: pytest.CaptureFixture[str],
) -> None:
    done = Reported(make_embeddings(), Path("here"), ())
    shown = {}
    for style in ("json", "quiet", "human"):
        set_format(style)
        try:
            show_reported(done)
        finally:
            set_format("human")
        shown[style] = capsys.readouterr().out
    said = json.loads(shown["json"])
    assert FormatsReport.model_validate(said["report"]) == make_embeddings()
    assert (said["output"], said["partial"]) == ("here", list(make_embeddings().partial))
    assert shown["quiet"] == "here\n"
    assert "The report: here/README.md, here/report.html" in shown["human"]


def unplotted(failed: Failed) -> FormatsReport:
    return make_embeddings(serving=(), divergences=(), rooflines=(), failures=(failed,))


def test_the_folder_holds_each_language_the_records_and_the_plots(ctx: Context) -> None:
    report = make_formats()
    made = formats_report(given(report, "ru", "ja"), ctx)
    root = ctx.store.path(made.artifact)
    names = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    drawn = ("throughput", "latency", "roofline", "batch", "divergence")
    kinds = ("png", "svg", "ja.svg")  # no font of a PNG has Japanese
    wanted = {f"plots/{name}.{kind}" for name in drawn for kind in kinds}
    wanted |= {"README.md", "README.ja.md", "report.html", "report.ja.html", "formats.json"}
    assert names == wanted | {"lock.json", "recipe.json", SUMS}
    assert parse_sums((root / SUMS).read_text()) == {
        name: digest for name, digest in files_of(root).items() if name != SUMS
    }
    kept = json.loads((root / "formats.json").read_text())
    assert FormatsReport.model_validate(kept) == report
    readme = (root / "README.md").read_text()
    assert readme.startswith("---\n")
    assert "[日本語](README.ja.md)" in readme
    assert "(plots/throughput.png)" in readme
    assert "(plots/throughput.ja.svg)" in (root / "README.ja.md").read_text()
    assert "[report.html](report.html)" in readme
    assert not (root / "README.ja.md").read_text().startswith("---\n")


def test_a_path_of_this_machine_is_refused(ctx: Context) -> None:
    failed = Failed(stage="x", subject="y", reason="/home/someone/model.onnx is not there")
    with pytest.raises(HubkitError, match="names a path of this machine"):
        formats_report(given(unplotted(failed)), ctx)


def test_a_secret_is_refused(ctx: Context) -> None:
    token = "hf_" + mixed(34)
    failed = Failed(stage="x", subject="y", reason=f"Bearer {token}")
    with pytest.raises(HubkitError) as caught:
        formats_report(given(unplotted(failed)), ctx)
    assert token not in str(caught.value)


def test_plots_are_the_same_bytes_every_time_and_say_what_there_is() -> None:
    report = make_embeddings()
    first, second = plots(report), plots(report.model_copy(update={"noise": make_formats().noise}))
    assert {name for name in first if first[name] == second[name]} == set(first) - {"divergence"}
    assert set(first) == {"throughput", "latency", "roofline", "divergence"}
    assert all(one.png and one.png.startswith(b"\x89PNG") for one in first.values())
    assert plots(make_embeddings(serving=(), divergences=(), rooflines=())) == {}


@pytest.mark.parametrize("code", ["ja", "ar"])
def test_plots_in_a_script_that_no_font_here_has_are_text(code: str) -> None:
    drawn = plots(make_formats(serving=(), curves=()), code)
    assert all(one.png is None for one in drawn.values())
    said = words(language(code))
    roofline = drawn["roofline"].svg.decode()
    for word in (said.intensity, *said.parts.values()):
        assert f">{word}</text>" in roofline
    assert set(re.findall(r'font-family="(.*?)"', roofline)) == {"sans-serif"}
    # The numbers are text too, with all of their digits.
    assert ">0.00621<" in re.sub("[\u2066\u2069]", "", drawn["divergence"].svg.decode())


def test_plots_have_the_words_and_numbers_of_their_language() -> None:
    report = make_embeddings(serving=())
    ours, english = plots(report, "ru"), plots(report)
    assert all(ours[name].svg != english[name].svg for name in english)
    assert all(one.png for one in ours.values())


def test_the_terminal_is_eighty_columns_wide() -> None:
    lines = "\n".join(lines_of(make_formats())).splitlines()
    assert max(map(len, lines)) <= 80
    said = " ".join(" ".join(lines).split())
    assert "not to be told apart from onnxruntime-cpu-int8-static" in said
    uncounted = "\n".join(lines_of(make_uncounted())).splitlines()
    assert max(map(len, uncounted)) <= 80
    assert uncounted[0].startswith("FLOPs, roofline and share of the limit: not measured")
    assert any("a MatMul in a branch" in line for line in uncounted)
    assert "Nothing was measured" in "\n".join(lines_of(make_formats(serving=())))


def test_the_whole_report_lies_beside_the_results_of_a_publication(
    ctx: Context, tmp_path: Path
) -> None:
    workshop = Workshop(tmp_path, ctx.store)
    root = ctx.store.path(bundle(workshop.given(formats=make_formats()), ctx).artifact)
    kept = FormatsReport.model_validate_json((root / FORMATS_FILE).read_text())
    assert kept == make_formats()
    assert FORMATS_FILE in parse_sums((root / SUMS).read_text())


def with_formats() -> Report:
    return make_report().model_copy(update={"formats": summary_of(make_formats())})


def test_results_without_a_report_on_formats_keep_their_bytes() -> None:
    assert '"formats"' not in record_json(make_report())
    text = record_json(with_formats())
    assert Report.model_validate_json(text) == with_formats()


@pytest.mark.parametrize("code", ["en", "ru"])
def test_the_card_has_a_section_on_it(code: str, golden: Callable[[str, str], None]) -> None:
    def card(report: Report) -> str:
        return render_card(
            make_recipe(), NOTES, make_lock(), report, REPO_ID, shipped=(), language=code
        )

    ours, plain = card(with_formats()), card(make_report())
    assert len(headings(ours)) == len(headings(plain)) + 1
    added = [table for table in tables(ours) if table not in tables(plain)]
    assert [len(table) for table in added] == [4, 7]
    assert len(added[1][0]) == 9
    title = next(one for one in headings(ours) if one not in headings(plain))
    section = ours.split(f"## {title}\n")[1].split("\n## ")[0]
    golden(f"formats/card.{code}.md", f"## {title}\n{section}\n")


@pytest.mark.parametrize("code", ["en", "ru", "ar"])
def test_the_card_says_what_was_not_counted_and_which_gpu_it_was(code: str) -> None:
    report = make_report().model_copy(update={"formats": summary_of(make_uncounted())})
    text = render_card(
        make_recipe(), NOTES, make_lock(), report, REPO_ID, shipped=(), language=code
    )
    said = plain(text)
    assert "a MatMul in a branch" in said
    assert "Example GPU 80GB" in said
    if code == "en":
        assert "were not measured: the graph could not be counted." in said
