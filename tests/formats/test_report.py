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

from hubkit import formats_assembling
from hubkit import machine as machine_module
from hubkit.backends import engines_missing, torch_engines
from hubkit.backends.engines import engines_of
from hubkit.backends.engines_missing import Here, no_choice
from hubkit.backends.gpu import Gpu
from hubkit.formats.phrases import phrase
from hubkit.formats.plot_charts import words
from hubkit.formats.plot_model import HUES, SHAPES, shape_of
from hubkit.formats.report_page import html, markdown
from hubkit.formats_records import FormatsReport, Missing, Peaks
from hubkit.i18n import language, languages, plain
from hubkit.machine import Target
from hubkit.paths import templates_dir
from hubkit.records import Failed
from hubkit.stages import peaks_worker
from tests.cards.markdown import headings, html_tokens, table_lines, tables
from tests.cards.test_languages import numbers_in
from tests.formats.examples import (
    ENGINES,
    HOSTILE,
    machine,
    make_embeddings,
    make_formats,
    make_uncounted,
)
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
            "cost": report.cost and report.cost.model_copy(update={"counter": HOSTILE}),
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


def written_by_stages() -> set[str]:
    """Every sentence on what a machine lacks, as the stages write it."""
    plenty = Here(Target(None, frozenset({"avx512_fp16", "avx512_bf16"})))
    little = Here(Target(None, frozenset({"avx2"})))
    on_gpu = Here(little.target, Gpu("Example", (8, 0), 1))
    old = [engines_missing.of_cuda(h, w) for h in (little, on_gpu) for w in ("torch", "CUDA")]
    found = [
        *(one.missing for here in (plenty, little) for one in engines_of((), machine(), here)),
        *old,
        no_choice(),
        *(little.openvino_lacks(precision) for precision in ("fp16", "bf16")),
    ]
    said = {text for one in found if one for text in (one.reason, one.cure)}
    slow = (little.slow_bfloat16(), Target("avx2", frozenset({"avx2"})).slow("float16"))
    return said | {text for text in slow if text}


def messages_of_fixed_sentences() -> list[str]:
    template = (templates_dir() / "report" / "formats.body.j2").read_text(encoding="utf-8")
    return re.findall(r'^  N_\("(.*)"\),$', template, re.MULTILINE)


def test_every_sentence_of_the_stages_is_a_message() -> None:
    messages = messages_of_fixed_sentences()
    assert len(messages) > 20
    for text in written_by_stages():
        assert text.startswith("pip ") or phrase(text, messages), text


def test_every_message_is_a_sentence_that_something_writes() -> None:
    """One that no stage writes any more would stay English everywhere else."""
    modules = (engines_missing, formats_assembling, machine_module, peaks_worker, torch_engines)
    sources = re.sub(r'"\s*f?"', "", "".join(map(inspect.getsource, modules)))
    pieces = re.compile(r"\{\w+\}|torch\.compile makes C\+\+ of the model, and |\.$")
    for message in messages_of_fixed_sentences():
        for piece in pieces.split(message):
            assert piece in sources, message


@pytest.mark.parametrize("code", OTHERS)
def test_nothing_fixed_stays_english(code: str) -> None:
    reasons = sorted(written_by_stages())
    engines = [
        ENGINES[0].model_copy(
            update={
                "name": f"torch-cpu-fp32.{number}",
                "missing": Missing(reason=text, cure=text),
            }
        )
        for number, text in enumerate(reasons)
    ]
    partial = ("only engines of the names onnx*, torch*", "only a part of the evaluation rows")
    noise = tuple(
        one.model_copy(update={"what": what})
        for one, what in zip(
            make_formats().noise * 2,
            ("1 thread against 2", "torch-cpu-fp32 against onnxruntime-cpu-fp32"),
            strict=False,
        )
    )
    text = plain(
        markdown(make_formats(engines=(*ENGINES, *engines), partial=partial, noise=noise), code)
    )
    for english in (*partial, *(one.what for one in noise), "against", "only "):
        assert english not in text
    for sentence in reasons:
        if not sentence.startswith("pip "):
            assert sentence not in text, sentence
    assert "`onnx*" not in text  # the values are there, as they are
    assert "onnx\\*" in text


def test_what_could_not_be_counted_is_not_measured_and_says_why() -> None:
    report = make_uncounted()
    for code in ("en", "ru", "ja", "ar"):
        text = plain(markdown(report, code, plots=True))
        assert "a MatMul in a branch or a loop" in text
        assert "plots/roofline" not in text
        assert "2,720" not in text
        assert language(code).gettext("not measured") in text
        assert "Example GPU 80GB" in text
        assert len(headings(text)) == len(headings(markdown(make_formats(), code)))
        assert Page(html(report, code)).inside == []
    english = markdown(report)
    assert "**Total FLOPs: not measured**" in english
    assert "The graph could not be counted." in english
    assert "| GPU | Example GPU 80GB · memory: 79.2 GiB; compute capability: 8.0 |" in english
    assert FormatsReport.model_validate_json(report.model_dump_json(by_alias=True)) == report


def test_too_few_sentences_are_said_to_be_too_few() -> None:
    report = make_formats(invariances=())
    assert "Not measured: there were no two sentences of one length" in markdown(report, "en")
    assert "Не измерено: не нашлось двух предложений" in markdown(report, "ru")
    one = tuple(
        d.model_copy(update={"distance": d.distance.model_copy(update={"rows": 1})})
        for d in report.divergences
    )
    text = markdown(make_formats(divergences=one), "en")
    assert "| 0.0319 |" in text  # without an interval, which one row does not have


def test_parts_of_long_texts_are_no_number_of_answers() -> None:
    """Of question answering `rows` are windows, and of one question there are several."""
    assert re.search(r"Answers changed: \d+ / \d+", markdown(make_formats(), "en"))
    text = markdown(make_formats(task="question-answering"), "en")
    assert not re.search(r"changed: \d+ / \d+", text)


def test_peaks_that_were_not_measured_are_no_empty_table() -> None:
    nothing = Peaks(machine=machine(), threads=2, peaks=(), bandwidths=())
    text = markdown(make_formats(peaks=nothing, rooflines=()))
    assert "### What the machine can do\n\nnot measured\n" in text


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


def test_no_two_engines_look_alike() -> None:
    looks = [(hue % HUES, shape_of(hue)) for hue in range(HUES * SHAPES)]
    assert len(set(looks)) == len(looks)
