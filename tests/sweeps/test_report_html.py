"""The HTML report: one file that asks for nothing, true to the report, and alive in a browser."""

from __future__ import annotations

import base64
import hashlib
import html as escaping
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hubkit.sweep_records import SweepReport
from hubkit.sweeps.report_html import html
from tests.sweeps.examples import make_report, messy_report
from tests.sweeps.hostile import HOSTILE, hostile_report

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
VOID = {"meta", "input", "br", "wbr", "link", "img"}


class Page(HTMLParser):
    """Elements with their attributes, and what is in scripts, styles and cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[str] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in self.raw:
            self.raw[tag].append("")
        if tag not in VOID:
            self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.inside.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if self.inside and self.inside[-1] in self.raw:
            self.raw[self.inside[-1]][-1] += data
        else:
            self.text.append(data)


def data_of(text: str) -> dict[str, object]:
    loaded: dict[str, object] = json.loads(Page(text).raw["script"][0])
    return loaded


def rows_of(text: str) -> list[list[str]]:
    """The texts of the cells of the table that can be sorted."""
    table = text.split('<table id="grid">')[1].split("</table>")[0]
    found = []
    for row in re.findall(r"<tr.*?</tr>", table, flags=re.DOTALL):
        cells = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, flags=re.DOTALL)
        found.append([escaping.unescape(re.sub(r"<[^>]+>", "", cell)) for cell in cells])
    return found


def test_golden(report_golden: Callable[[str, str], None]) -> None:
    report_golden("sweep.conll2003.html", html(make_report()))


def test_golden_of_what_went_wrong(report_golden: Callable[[str, str], None]) -> None:
    report_golden("sweep.messy.html", html(messy_report()))


@pytest.mark.parametrize("make", [make_report, messy_report, hostile_report])
def test_it_asks_for_nothing_and_is_well_formed(make: Callable[[], SweepReport]) -> None:
    page = Page(html(make()))
    assert page.inside == []
    for tag, attributes in page.elements:
        assert tag not in ("link", "img", "iframe", "object", "base", "form")
        for name, value in attributes.items():
            assert name not in ("src", "srcset", "style", "action"), (tag, name)
            assert not name.startswith("on"), (tag, name)
            assert name != "href" or (value or "").startswith("#")
    assert "url(" not in page.raw["style"][0]
    assert "@import" not in page.raw["style"][0]
    assert not re.search(r"\b(fetch|XMLHttpRequest|import|eval|innerHTML)\b", page.raw["script"][1])


def test_its_policy_lets_just_its_own_script_and_style_in() -> None:
    page = Page(html(make_report()))
    policy = next(a["content"] for tag, a in page.elements if a.get("http-equiv") and tag == "meta")
    assert policy
    assert policy.startswith("default-src 'none'; ")
    for directive, text in (("style", page.raw["style"][0]), ("script", page.raw["script"][1])):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{directive}-src 'sha256-{digest}';" in policy


def test_hostile_strings_are_text() -> None:
    text = html(hostile_report())
    page = Page(text)
    usual = Page(html(make_report()))
    tags = {tag for tag, _ in usual.elements} | {"strong", "h3", "section", "ul", "li"}
    assert {tag for tag, _ in page.elements} <= tags
    assert len(page.raw["script"]) == 2
    assert page.raw["script"][1] == usual.raw["script"][1]
    assert "49" not in "".join(page.text).split("Configurations")[0]
    seen = " ".join("".join(page.text).split())
    assert " ".join(HOSTILE.split()) in seen
    # What the script gets is the very text.
    metrics = data_of(text)["metrics"]
    assert isinstance(metrics, list)
    assert HOSTILE in metrics


def test_without_its_script_it_is_the_whole_table() -> None:
    text = html(make_report())
    header, *rows = rows_of(text)
    assert header[:5] == [
        *("configuration", "quantization_approach", "operators_to_quantize", "node_exclusion"),
        "outcome",
    ]
    assert len(rows) == 10
    assert all(len(cells) == len(header) for cells in rows)
    by_name = {cells[0]: dict(zip(header, cells, strict=True)) for cells in rows}
    fp32 = by_name["pytorch-fp32"]
    assert (fp32["f1"], fp32["mean ms"]) == ("0.94000.9332–0.9468", "118")
    static = next(cells for name, cells in by_name.items() if name.startswith("7 static"))
    assert static["f1"].startswith("0.1030")
    assert static["flips"] == "32,439"
    # What only the script can use is hidden until it runs.
    hidden = [a for _, a in Page(text).elements if "needs-script" in (a.get("class") or "")]
    assert len(hidden) == 2
    assert all("hidden" in a for a in hidden)


def test_its_data_are_the_report() -> None:
    report = make_report()
    data = data_of(html(report))
    assert data["metrics"] == ["precision", "recall", "f1", "accuracy"]
    assert (data["main"], data["points"][data["middle"]]) == ("f1", [4, 64])  # type: ignore[index]
    models = data["models"]
    assert isinstance(models, list)
    assert [m["baseline"] for m in models] == [True, True, *[False] * 8]
    for scores, model in zip(report.scores, models, strict=True):
        for metric in scores.metrics:
            expected = [metric.value, metric.interval.low, metric.interval.high]
            assert model["scores"][metric.name] == expected
    assert report.timings
    for timing, model in zip(report.timings.timings, models, strict=True):
        for point, times in zip(timing.points, model["times"], strict=True):
            assert times == [
                *(point.mean_ms, point.p50_ms, point.p90_ms, point.p99_ms),
                point.throughput_per_s,
            ]


def test_the_gate_s_metric_comes_first_where_the_report_names_it() -> None:
    text = html(make_report(metric="accuracy"))
    assert data_of(text)["main"] == "accuracy"
    assert rows_of(text)[0][5] == "accuracy"


def test_numbers_that_json_has_not_are_null() -> None:
    report = make_report()
    first = report.scores[2]
    lost = first.metrics[2].model_copy(update={"value": float("nan")})
    metrics = (*first.metrics[:2], lost, first.metrics[3])
    scores = list(report.scores)
    scores[2] = first.model_copy(update={"metrics": metrics})
    models = data_of(html(report.model_copy(update={"scores": tuple(scores)})))["models"]
    assert isinstance(models, list)
    assert models[2]["scores"]["f1"][0] is None


def test_nothing_timed_and_nothing_scored() -> None:
    bare = make_report(timings=None, noise=(), scores=())
    page = Page(html(bare))
    assert page.inside == []
    assert data_of(html(bare))["points"] == []


def test_the_same_bytes_every_time() -> None:
    report = messy_report()
    again = SweepReport.model_validate_json(report.model_dump_json(by_alias=True))
    assert html(again) == html(report)


PROBE = """
addEventListener("error", (event) => { document.title = "ERROR " + event.message; });
addEventListener("load", () => {
  const $ = (what) => [...document.querySelectorAll(what)];
  const set = (id, value) => {
    const one = document.getElementById(id);
    one.value = value;
    one.dispatchEvent(new Event(id === "search" ? "input" : "change", { bubbles: true }));
  };
  const shown = () => $("#grid tbody tr").filter((r) => !r.hidden);
  const names = () => shown().map((r) => r.cells[0].firstChild.textContent);
  const found = { dots: $("#chart .dot").length, far: document.getElementById("away").textContent };
  const f1 = $("#grid thead th").findIndex((h) => h.textContent === "f1");
  $("#grid thead th button")[f1].click();
  found.ascending = names();
  $("#grid thead th button")[f1].click();
  found.descending = names();
  found.sorted = $("#grid thead th")[f1].getAttribute("aria-sort");
  set("point", "0");
  found.mean = shown().map((r) => r.cells[f1 + 1].textContent);
  set("measure", "4");
  found.axis = $(".title").map((t) => t.textContent);
  set("search", "STATIC matmul");
  found.searched = names();
  found.count = document.getElementById("shown").textContent;
  found.fewer = $("#chart .dot").length;
  document.getElementById("reset").click();
  const box = $("#checks input").find((b) => b.value === "dynamic");
  box.click();
  found.unchecked = names().length;
  box.click();
  const dot = $("#chart .dot").find((d) => d.getAttribute("aria-label").startsWith("3 dynamic"));
  dot.dispatchEvent(new MouseEvent("click", { bubbles: true }));
  found.lit = $("#grid tr.lit").map((r) => r.cells[0].firstChild.textContent);
  found.pressed = $('.dot[aria-pressed="true"]').length;
  dot.focus();
  found.tip = document.getElementById("tip").textContent;
  document.title = JSON.stringify(found);
});
"""


def in_browser(text: str, folder: Path, *, width: int = 1280) -> dict[str, object]:
    """What PROBE finds in the page; the page's policy is told of this one script more."""
    digest = base64.b64encode(hashlib.sha256(PROBE.encode()).digest()).decode()
    probed = text.replace("script-src ", f"script-src &#39;sha256-{digest}&#39; ", 1)
    assert probed != text
    page = folder / "page.html"
    page.write_text(probed.replace("</body>", f"<script>{PROBE}</script></body>"), encoding="utf-8")
    assert BROWSER
    done = subprocess.run(
        [
            *(BROWSER, "--headless", "--no-sandbox", "--disable-gpu"),
            *(f"--user-data-dir={folder / 'profile'}", f"--window-size={width},900"),
            *("--virtual-time-budget=4000", "--dump-dom", page.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    title = re.search(r"<title>(.*?)</title>", done.stdout, flags=re.DOTALL)
    assert title, done.stderr[-2000:]
    found: dict[str, object] = json.loads(escaping.unescape(title[1]))
    return found


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_in_a_browser(tmp_path: Path) -> None:
    report = make_report()
    found = in_browser(html(report), tmp_path)
    assert found["dots"] == 10
    assert str(found["far"]).startswith("2 far from FP32 are drawn at the edge")
    ascending, descending = found["ascending"], found["descending"]
    assert isinstance(ascending, list)
    assert isinstance(descending, list)
    assert len(ascending) == 10
    assert [name.split(" ")[0] for name in ascending[:4]] == ["5", "7", "8", "6"]
    assert descending[-1] == ascending[0]
    assert found["sorted"] == "descending"
    assert isinstance(found["mean"], list)
    assert found["mean"][descending.index("pytorch-fp32")] == "32.9"
    assert "throughput (sequences/s), batch size 1, 32 tokens (more is better)" in str(
        found["axis"]
    )
    # Both baselines stay, whatever is searched for.
    assert found["searched"] == [
        *("pytorch-fp32", "onnx-fp32"),
        *(name for name in descending if "static · Add+MatMul" in name),
    ]
    assert (found["count"], found["fewer"]) == ("2 of 8 configurations", 4)
    assert found["unchecked"] == 2 + 4
    assert found["lit"] == ["3 dynamic · Add+MatMul"]
    assert found["pressed"] == 1
    assert "against onnx-fp32" in str(found["tip"])


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_hostile_strings_run_nothing_in_a_browser(tmp_path: Path) -> None:
    text = html(hostile_report())
    # Where they could run something, alert() would keep the page from ever being done.
    found = in_browser(text.replace("<title>", "<title>x"), tmp_path, width=400)
    assert found["dots"] == 9
