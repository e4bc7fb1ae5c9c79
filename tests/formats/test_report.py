"""The report as Markdown and HTML: golden copies, structure, and text of unknown origin."""

from __future__ import annotations

import base64
import hashlib
import inspect
import re
from collections.abc import Callable
from functools import lru_cache
from html.parser import HTMLParser

import pytest

from hubkit.formats.plot_charts import words
from hubkit.formats.report_page import html, markdown
from hubkit.formats_records import FormatsReport, Missing
from hubkit.i18n import language, languages, plain
from hubkit.paths import templates_dir
from hubkit.records import Failed
from tests.cards.markdown import headings, html_tokens, table_lines, tables
from tests.cards.test_languages import numbers_in
from tests.formats.examples import ENGINES, HOSTILE, make_embeddings, make_formats
from tests.test_i18n import wanted

OTHERS = tuple(code for code in languages() if code != "en")
_VOID = {"meta", "link", "br", "img"}
_FOLD = re.compile(r"</?details>|</?summary>")


class Page(HTMLParser):
    """Elements with their attributes, each closed where it was opened, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[str] = []
        self.raw: dict[str, str] = {"script": "", "style": ""}
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.inside.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.inside.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if self.inside and self.inside[-1] in self.raw:
            self.raw[self.inside[-1]] += data
        else:
            self.text.append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)


def hostile() -> FormatsReport:
    """Names, ids, reasons, versions and the machine are HOSTILE."""
    report = make_formats()
    engines = tuple(one.model_copy(update={"variant": HOSTILE}) for one in report.engines)
    source = {"id": HOSTILE, "sha": HOSTILE, "origin": HOSTILE}
    return report.model_copy(
        update={
            "engines": engines,
            "partial": (HOSTILE,),
            "lock": report.lock.model_copy(
                update={
                    "base": report.lock.base.model_copy(update=source),
                    "dataset": report.lock.dataset.model_copy(update=source),
                    "tools": {HOSTILE: HOSTILE},
                }
            ),
            "cost": report.cost.model_copy(update={"counter": HOSTILE}),
            "machine": report.machine.model_copy(update={"cpu": HOSTILE, "os": HOSTILE}),
            "peaks": report.peaks.model_copy(update={"missing": {"bf16": HOSTILE}}),
            "noise": tuple(one.model_copy(update={"what": HOSTILE}) for one in report.noise),
            "serving": tuple(
                one.model_copy(update={"server": HOSTILE, "engine": HOSTILE, "where": "kserve-v2"})
                for one in report.serving[:1]
            ),
            "search": tuple(
                one.model_copy(
                    update={
                        "recommendations": tuple(
                            each.model_copy(
                                update={"python": f"```\n{HOSTILE}", "command": HOSTILE}
                            )
                            for each in one.recommendations
                        )
                    }
                )
                for one in report.search
            ),
            "failures": (Failed(stage=HOSTILE, subject=HOSTILE, reason=HOSTILE),),
        }
    )


@pytest.mark.parametrize("code", ["en", "ru"])
@pytest.mark.parametrize("made", [make_formats, make_embeddings])
def test_the_golden_report(
    code: str, made: Callable[[], FormatsReport], golden: Callable[[str, str], None]
) -> None:
    text = markdown(made(), code, ("ru", "en"), plots=True, page=True)
    golden(f"formats/{made.__name__.removeprefix('make_')}.{code}.md", text)


def test_the_sections_are_in_the_order_of_the_reference() -> None:
    found = headings(markdown(make_formats()))
    order = ["Cost", "Differences of the outputs from FP32 ONNX", "Throughput and latency"]
    assert [title for title in found if title in order] == order
    assert found[0] == "What to take"


def test_throughput_is_printed_in_the_words_of_the_reference() -> None:
    text = markdown(make_formats())
    block = re.search(r"```text\n(Inferences/Second.*?)```", text, re.DOTALL)
    assert block
    first, *lines = block[1].splitlines()
    assert first == "Inferences/Second vs. Client Average Batch Latency"
    assert len(lines) == 32
    assert lines[0] == "Concurrency: 1, throughput: 32.0513 infer/sec, latency 31200 usec"


@lru_cache
def english_of(made: Callable[[], FormatsReport]) -> str:
    return markdown(made())


@pytest.mark.parametrize("code", OTHERS)
@pytest.mark.parametrize("made", [make_formats, make_embeddings])
def test_every_language_has_the_same_tables_and_numbers(
    code: str, made: Callable[[], FormatsReport]
) -> None:
    ours, english = markdown(made(), code), english_of(made)
    assert len(headings(ours)) == len(headings(english))
    assert [[len(r) for r in t] for t in tables(ours)] == [
        [len(r) for r in t] for t in tables(english)
    ]
    # What is folded up is HTML to the parser, so that its rows are counted by their lines.
    assert len(table_lines(ours)) == len(table_lines(english))
    assert numbers_in(ours, code) == numbers_in(english, "en")


@pytest.mark.parametrize("code", ["en", "ar"])
def test_markdown_obeys_nothing_that_it_shows(code: str) -> None:
    text = markdown(hostile(), code, plots=True).split("\n---\n", 1)[1]
    allowed = re.compile(r'</?details>|</?summary>.*|</?code>|<div dir="\w+">|</div>')
    for token in html_tokens(text):
        for line in re.findall(r"<[^>]*>", token):
            assert allowed.fullmatch(line), line
    assert "<script" not in re.sub(r"^(`{3,}).*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    width = 0
    for line in table_lines(text):
        cells = line.count("|")
        if set(line) <= set("|-:"):
            assert cells == width
        width = cells


@pytest.mark.parametrize("code", ["en", "ar"])
def test_the_page_obeys_nothing_that_it_shows(code: str) -> None:
    page = Page(html(hostile(), code, ("en", "ar")))
    assert page.inside == []
    assert page.count("script") == 1
    assert HOSTILE in "".join(page.text).replace("\u2066", "").replace("\u2069", "")
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") or name == "style" for name in attributes), tag
        assert not (attributes.get("href") or "").startswith("javascript:")


@pytest.mark.parametrize("code", ["en", "ru", "ar"])
def test_the_page_is_whole_and_fetches_nothing(code: str) -> None:
    text = html(make_formats(), code, languages())
    page = Page(text)
    root = dict(page.elements)["html"]
    assert root == {"lang": code, "dir": "rtl" if language(code).rtl else "ltr"}
    assert page.inside == []
    assert page.count("figure") == 5
    assert not [a for tag, a in page.elements if "src" in a or tag == "link"]
    policy = next(a["content"] for tag, a in page.elements if tag == "meta" and "http-equiv" in a)
    assert policy
    assert policy.startswith("default-src 'none'")
    for raw in (page.raw["script"], page.raw["style"]):
        digest = base64.b64encode(hashlib.sha256(raw.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_markdown_and_page_say_the_same() -> None:
    def said(text: str) -> list[str]:
        bare = re.sub(r"[`*\\\[\]()|]|<[^>]*>|\]\([^)]*\)", " ", text)
        return re.findall(r"[^\W\d_]{4,}", bare)

    report = make_formats()
    page = Page(re.sub(r"<svg.*?</svg>|<ul class=.legend.*?</ul>", "", html(report)))
    ours = set(said(markdown(report).split("---\n", 2)[2]))
    theirs = set(said(" ".join(page.text)))
    # Addresses are attributes there; an escaped tag is text in both.
    addresses = {w for link in re.findall(r"https\S+", markdown(report)) for w in said(link)}
    kinds = {"text", "bash", "python", "protobuf", "script"}
    assert ours - theirs <= addresses | kinds | {"https"}
    assert len(ours) > 150


def test_words_of_the_plots_are_messages() -> None:
    known = {message for _, message in wanted() if isinstance(message, str)}
    said = words(language("en"))
    spoken = {v for k, v in vars(said).items() if isinstance(v, str) and k != "speed"}
    assert spoken | set(said.parts.values()) <= known


def test_embeddings_have_no_columns_that_mean_nothing() -> None:
    text = markdown(make_embeddings())
    assert "(output_dim=96)" in text
    assert "KL" not in text
    assert "unlike FP32" not in text
    assert "were not searched" in text
    assert "was not measured, so that no engine can be said to give its outputs" in text
    assert "Partial results" in text


def test_arabic_reads_from_the_right_and_its_code_from_the_left() -> None:
    text = markdown(make_formats(), "ar")
    assert text.split("---\n")[2].strip().startswith('<div dir="rtl">')
    fences = re.findall(r'(<div dir="ltr">\n\n)?```\w+\n', text)
    assert len(fences) > 5
    assert all(fences)
    assert plain(text) != text
    assert "dir=" not in markdown(make_formats())


def test_fixed_words_on_a_machine_are_those_that_the_records_have() -> None:
    """A sentence of the template that no stage writes any more would stay English everywhere."""
    from hubkit import machine
    from hubkit.backends import engines_missing
    from hubkit.stages import peaks_worker

    sources = "".join(inspect.getsource(one) for one in (machine, engines_missing, peaks_worker))
    written = re.sub(r'"\s*"', "", sources)
    template = (templates_dir() / "report" / "formats.body.j2").read_text(encoding="utf-8")
    known = re.search(r"set known = \{(.*?)\n\} %\}", template, re.DOTALL)
    assert known
    said = re.findall(r'^  "(.*?)": _\(', known[1], re.MULTILINE)
    assert len(said) > 8
    assert [one for one in said if one not in written] == []


def test_what_is_missing_is_said_in_the_language() -> None:
    missing = Missing(
        reason="There is no NVIDIA GPU here, or no driver for it.",
        cure="A machine with an NVIDIA GPU and its driver, and there: pip install x",
    )
    engines = tuple(
        one.model_copy(update={"missing": missing}) if one.missing else one for one in ENGINES
    )
    text = markdown(make_formats(engines=engines), "ru")
    assert "| Здесь нет GPU NVIDIA или драйвера для него. |" in text
    assert "и на ней: `pip install x` |" in text
