"""What the linter lets pass, the embedded Hub and huggingface_hub take."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import yaml
from huggingface_hub import ModelCard
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hubkit import hub_terms
from hubkit.cards.lint import MAX_CARD_BYTES, MAX_METADATA_BYTES, Problem, check_card, lint
from hubkit.errors import HubkitError
from hubkit.hub.server.cards import parse_card
from hubkit.stages.card import render_card
from tests.cards.examples import REPO_ID, make_lock, make_recipe, make_report

RESULT: dict[str, object] = {
    "task": {"type": "text-classification", "name": "Text Classification"},
    "dataset": {
        "name": "sst2",
        "type": "stanfordnlp/sst2",
        "config": "default",
        "split": "validation",
        "revision": "8d51e7e4887a4caaa95b3fbebbf53c0490b58bbb",
        "args": {"rows": 100},
    },
    "metrics": [{"type": "accuracy", "value": 0.9, "name": "Accuracy", "verified": False}],
}
GOOD: dict[str, object] = {
    "language": ["en", "pt", "yue", "multilingual"],
    "language_bcp47": ["pt-BR"],
    "license": "other",
    "license_name": "my-license-1.0",
    "license_link": "LICENSE.md",
    "library_name": "optimum",
    "pipeline_tag": "text-classification",
    "base_model": "distilbert/distilbert-base-uncased",
    "base_model_relation": "quantized",
    "datasets": ["stanfordnlp/sst2", "squad"],
    "metrics": ["accuracy", "f1"],
    "tags": ["int8", "text-classification", "PostTrainingStatic"],
    "widget": [{"text": "Fine.", "example_title": "Fine"}, {"text": "Bad."}],
    "model-index": [{"name": "tiny", "results": [RESULT]}],
}


def card(data: Mapping[str, object]) -> str:
    return f"---\n{yaml.safe_dump(dict(data), sort_keys=False)}---\n\n# Text\n"


def errors(text: str) -> list[Problem]:
    return [problem for problem in lint(text) if problem.severity == "error"]


def readable(text: str) -> bool:
    """Whether both the embedded Hub and huggingface_hub take the card."""
    ModelCard(text)
    return parse_card(text).errors == ()


def result(**changes: object) -> dict[str, object]:
    return {"model-index": [{"name": "tiny", "results": [{**RESULT, **changes}]}]}


def metric(**changes: object) -> dict[str, object]:
    return result(metrics=[{"type": "accuracy", "value": 0.9, **changes}])


def dataset(**changes: object) -> dict[str, object]:
    return result(dataset={"name": "sst2", "type": "sst2", **changes})


def test_a_good_card() -> None:
    assert lint(card(GOOD)) == ()
    assert readable(card(GOOD))
    check_card(card(GOOD))


def test_the_card_that_hubkit_writes() -> None:
    text = render_card(make_recipe(), "", make_lock(), make_report(), REPO_ID)
    assert lint(text) == ()
    assert readable(text)


def test_line_ends_of_windows() -> None:
    assert lint(card(GOOD).replace("\n", "\r\n")) == ()


@pytest.mark.parametrize(
    ("changes", "key", "what"),
    [
        ({"language": "english"}, "language", "no language code"),
        ({"language": ["en", "zh-CN"]}, "language[1]", "Use zh here, and give zh-CN in"),
        ({"language": "pt_BR"}, "language", "Use pt here"),
        ({"language": "EN"}, "language", "Use en here"),
        ({"language": "jp"}, "language", "a country's. Did you mean ja?"),
        ({"language": 3}, "language", "neither a text nor a list"),
        ({"language": ["en", 3]}, "language[1]", "no text"),
        ({"license": "Apache-2.0"}, "license", "Did you mean apache-2.0?"),
        ({"license": "my own"}, "license", "Use `other`"),
        ({"license": ["mit", "gpl3"]}, "license[1]", "no licence"),
        ({"license": {"name": "mit"}}, "license", "neither a text nor a list"),
        ({"license_name": None}, "license_name", "missing"),
        ({"license_name": 3}, "license_name", "no text"),
        ({"license_link": "see the page"}, "license_link", "no address"),
        ({"library_name": ["optimum"]}, "library_name", "no text"),
        ({"pipeline_tag": 3}, "pipeline_tag", "no text"),
        ({"base_model": "/home/me/model"}, "base_model", "no id of a model"),
        ({"base_model": "a--b"}, "base_model", "no id of a model"),
        ({"base_model": ["a/b", "a/b/c"]}, "base_model[1]", "no id of a model"),
        ({"base_model": "a/" + "b" * 97}, "base_model", "no id of a model"),
        ({"base_model_relation": "quantised"}, "base_model_relation", "Did you mean quantized?"),
        ({"datasets": ["SST 2"]}, "datasets[0]", "no id of a dataset"),
        ({"datasets": "sst2.git"}, "datasets", "no id of a dataset"),
        ({"new_version": "../x"}, "new_version", "no id of a model"),
        ({"metrics": [0.5]}, "metrics[0]", "no text"),
        ({"tags": {"a": "b"}}, "tags", "neither a text nor a list"),
        ({"tags": ["a", True]}, "tags[1]", "no text"),
        ({"tags": ["a", ""]}, "tags[1]", "empty"),
        ({"tags": ["a\nb"]}, "tags[0]", "more than a line"),
        ({"tags": ["a" * 101]}, "tags[0]", "101 characters"),
        ({"widget": {"text": "x"}}, "widget", "no list"),
        ({"widget": ["x"]}, "widget[0]", "no example"),
        ({"widget": [{"text": 3}]}, "widget[0].text", "no text"),
        ({"widget": [{"text": " "}]}, "widget[0].text", "empty"),
        ({"widget": [{"example_title": "x"}]}, "widget[0]", "no input"),
        ({"widget": [{"text": "x", "example_title": 3}]}, "widget[0].example_title", "no text"),
        ({"model-index": {"name": "x"}}, "model-index", "no list"),
        ({"model-index": []}, "model-index", "empty"),
        ({"model-index": ["x"]}, "model-index[0].name", "missing"),
        ({"model-index": [{"name": 3, "results": []}]}, "model-index[0].name", "no text"),
        ({"model-index": [{"name": "x"}]}, "model-index[0].results", "missing"),
        (result(task=None), "model-index[0].results[0].task.type", "missing"),
        (result(task={"type": 3}), "model-index[0].results[0].task.type", "no text"),
        (result(dataset=None), "model-index[0].results[0].dataset.name", "missing"),
        (dataset(name=None), "model-index[0].results[0].dataset.name", "missing"),
        (dataset(type=""), "model-index[0].results[0].dataset.type", "no text"),
        (dataset(config=2020), "model-index[0].results[0].dataset.config", "Quote it."),
        (dataset(split=False), "model-index[0].results[0].dataset.split", "Quote it."),
        (dataset(revision=123), "model-index[0].results[0].dataset.revision", "Quote it."),
        (result(metrics=None), "model-index[0].results[0].metrics", "missing"),
        (result(source={"name": "x"}), "model-index[0].results[0].source.url", "missing"),
        (metric(type=None), "model-index[0].results[0].metrics[0].type", "missing"),
        (metric(value=None), "model-index[0].results[0].metrics[0].value", "missing"),
        (metric(value="0.9"), "model-index[0].results[0].metrics[0].value", "no number"),
        (metric(value=True), "model-index[0].results[0].metrics[0].value", "no number"),
        (metric(name=3), "model-index[0].results[0].metrics[0].name", "no text"),
        (metric(verified="no"), "model-index[0].results[0].metrics[0].verified", "Write false."),
        (metric(verified=True), "model-index[0].results[0].metrics[0].verified", "verifyToken"),
        (metric(value=float("nan")), "", "infinite, or no number"),
        (metric(value=float("-inf")), "", "infinite, or no number"),
    ],
)
def test_what_the_hub_refuses(changes: dict[str, object], key: str, what: str) -> None:
    text = card({**GOOD, **changes})
    found = errors(text)
    assert key in [problem.key for problem in found]
    assert what in " ".join(map(str, found))
    assert all(problem.cure.endswith((".", "?")) or "`" in problem.cure for problem in found)
    with pytest.raises(HubkitError, match=r"refuse the metadata of README\.md") as caught:
        check_card(text)
    assert all(str(problem) in caught.value.message for problem in found)
    assert "publication:" in caught.value.hint


@pytest.mark.parametrize(
    ("block", "what"),
    [
        ("license: mit\nlicense: mit\n", "license: it is given twice, the second time in line 3"),
        ("widget:\n- text: a\n  text: b\n", "widget[0].text: it is given twice"),
        ("license: mit\ntags:\n- a\tb\n", "a tab in line 4"),
        ("license: [mit\n", "not YAML (line"),
        ("license: mit: more\n", "not YAML (line 2)"),
        ("- license\n- mit\n", "no mapping"),
        ("mit\n", "no mapping"),
        ("tags: &a [x]\ndatasets: *a\n", "datasets: it refers to another value"),
        ("a: &a [*a]\n", "a[0]: it refers to another value"),
        ("license: !!str mit\n", ""),
        ("license: !!python/name:os.system mit\n", "license: it has the tag"),
        ("tags: !!set {a: null}\n", "tags: it has the tag"),
        ("on: push\n", "on: the key in line 2 is no text"),
        ("x:\n  2020-01-01: y\n", "the key in line 3 is no text"),
        ("? [a, b]\n: c\n", "the key in line 2 is no text"),
        ("x: .inf\n", "infinite, or no number"),
        ("x: 2020-13-45\n", "not YAML: month must be in 1..12"),
        ("x: 0b_\n", "not YAML"),
        ('x: "\\uD800"\n', "half of a character"),
        ("x: " + "[" * 500 + "]" * 500 + "\n", "nested too deep"),
        ("x: \x07\n", "not YAML"),
        ("x: " + "a" * MAX_METADATA_BYTES + "\n", "more than 256,000 bytes"),
    ],
)
def test_what_only_the_text_shows(block: str, what: str) -> None:
    found = errors(f"---\n{block}---\n")
    assert bool(found) == bool(what)
    assert what in "\n".join(map(str, found))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("---\nlicense: mit\n", "does not begin and end with lines of three dashes"),
        ("--- \nlicense: mit\n---\n", "does not begin and end with lines of three dashes"),
        ("\n---\nlicense: mit\n---\n", "something stands before"),
        ("\ufeff---\nlicense: mit\n---\n", "byte order mark"),
        ("\ud800", "not valid Unicode"),
        ("x" * (MAX_CARD_BYTES + 1), "10,000,001 bytes"),
    ],
)
def test_a_file_that_is_no_card(text: str, what: str) -> None:
    (found,) = lint(text)
    assert what in str(found)
    assert found.severity == "error"


@pytest.mark.parametrize(
    ("block", "key"),
    [
        ("", ""),
        ("licence: mit\n", "licence"),
        ("base_models: a/b\n", "base_models"),
        ("pipeline_tag: text-clasification\n", "pipeline_tag"),
        ("metrics: [acuracy]\n", "metrics[0]"),
        ("language: no\n", "language"),
        ("language: [en, no]\n", "language[1]"),
        ("tags: [a, b, a]\n", "tags"),
        ("license: mit\nlicense_name: mine\n", "license_name"),
        ("license: other\nlicense_name: My Licence\n", "license_name"),
        ("base_model_relation: quantized\n", "base_model_relation"),
    ],
)
def test_what_the_hub_takes_but_grumbles_at(block: str, key: str) -> None:
    text = f"---\n{block}---\n"
    (found,) = lint(text)
    assert (found.severity, found.key) == ("warning", key)
    assert parse_card(text).errors == ()
    check_card(text)


def test_a_card_without_metadata_is_warned_of() -> None:
    (found,) = lint("# Only text\n")
    assert found.severity == "warning"
    assert parse_card("# Only text\n").warnings


def test_an_example_for_question_answering_needs_its_context() -> None:
    data = {**GOOD, "pipeline_tag": "question-answering"}
    assert [p.key for p in errors(card(data))] == ["widget[0].context", "widget[1].context"]
    data["widget"] = [{"text": "Who?", "context": "It was Ada."}]
    assert lint(card(data)) == ()


def test_verified_results_need_their_token() -> None:
    assert lint(card({**GOOD, **metric(verified=True, verifyToken="eyJ")})) == ()


def test_problems_are_told_in_a_line() -> None:
    (found,) = errors(card({**GOOD, "license": "apache2.0"}))
    assert str(found) == (
        "license: 'apache2.0' is no licence that the Hub knows. Did you mean apache-2.0?"
    )


def test_the_terms_are_whole() -> None:
    assert {"apache-2.0", "other", "unknown", "llama3.1", "openrail++"} < hub_terms.LICENSES
    assert set(hub_terms.SPDX) < hub_terms.LICENSES
    assert {"en", "zh", "ru", "fr", "de", "es", "ja", "ar", "no"} < hub_terms.ISO_639_1
    assert not set(hub_terms.COUNTRIES) & hub_terms.ISO_639_1
    assert set(hub_terms.COUNTRIES.values()) < hub_terms.ISO_639_1


_words = st.sampled_from(
    ["en", "no", "mit", "other", "a/b", "accuracy", "text-classification", "quantized", "", "x: y"]
)
_scalars = st.one_of(
    _words, st.text(max_size=8), st.none(), st.booleans(), st.integers(), st.floats(), st.dates()
)
_values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.one_of(_words, st.text(max_size=4), st.integers()), inner, max_size=3)
    ),
    max_leaves=8,
)
_parts = st.one_of(_values, st.fixed_dictionaries({"type": _scalars, "name": _scalars}))
_results = st.fixed_dictionaries(
    {
        "task": _parts,
        "dataset": _parts,
        "metrics": st.lists(
            st.fixed_dictionaries({"type": _scalars, "value": _scalars}), max_size=2
        ),
    },
    optional={"source": _values, "verified": _values},
)
_keys = st.sampled_from([*GOOD, "new_version", "thumbnail", "sdk", "task_ids", "inference"])
_cards = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(["license", "language", "tags", "datasets", "metrics", "widget"], _values),
        **dict.fromkeys(["base_model", "license_name", "sdk", "thumbnail", "extra"], _values),
        "model-index": st.one_of(
            _values,
            st.lists(
                st.fixed_dictionaries(
                    {"name": _scalars, "results": st.lists(_results, max_size=2)}
                ),
                max_size=2,
            ),
        ),
    },
)
_often = settings(
    max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


@_often
@given(_cards)
def test_what_passes_here_passes_there(data: dict[str, object]) -> None:
    text = f"---\n{yaml.safe_dump(data, allow_unicode=True)}---\n"
    if not errors(text):
        assert readable(text)


@_often
@given(_keys, _values)
def test_one_wrong_value_in_a_good_card(key: str, value: object) -> None:
    text = card({**GOOD, key: value})
    if not errors(text):
        assert readable(text)


@_often
@given(st.text(), st.sampled_from(["{}", "---\n{}\n---\n", "---\ntags: {}\n---\n"]))
@example("\t", "---\n{}\n---\n")
@example("\x0c", "---\n{}\n---\n")
@example("# only a comment", "---\n{}\n---\n")
@example("!!bool x", "---\ntags: {}\n---\n")
@example("!!timestamp x", "---\ntags: {}\n---\n")
@example("=", "---\ntags: {}\n---\n")
@example("<<: 3", "---\n{}\n---\n")
@example("--- \nx", "---\ntags: {}\n---\n")
@example("{a: 1, <<: {b: 2}}", "---\ntags: {}\n---\n")
def test_any_text_is_read_to_its_end(text: str, frame: str) -> None:
    whole = frame.replace("{}", text, 1)
    if not errors(whole):
        assert readable(whole)


@_often
@given(st.text(alphabet="ab:-[]{}&*!|>'\"#%@`,?<= \n\t~01.", max_size=40))
def test_the_signs_of_yaml(text: str) -> None:
    whole = f"---\n{text}\n---\n"
    if not errors(whole):
        assert readable(whole)
