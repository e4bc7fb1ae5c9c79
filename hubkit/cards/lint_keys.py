"""What is wrong with single keys of a card's metadata: see `hubkit.cards.lint`.

What the Hub itself says is known from its documentation and from its answers in public issues:
licences are a closed list, languages are codes of ISO 639 without region, base models and datasets
have to look like ids, any text is a library, and a task that is not on the list is shown by none of
its filters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping

from hubkit import hub_terms
from hubkit.cards.lint_problem import Problem, error, warning
from hubkit.nearest import nearest

Data = Mapping[str, object]

MAX_TAG = 100
_TEXTS = (
    *("pipeline_tag", "library_name", "license_name", "license_link", "pretty_name", "sdk"),
    *("base_model_relation", "new_version", "thumbnail"),
)
_LISTS = (
    *("language", "language_bcp47", "license", "tags", "datasets", "metrics", "base_model"),
    *("task_categories", "task_ids", "size_categories"),
)
_ID = re.compile(r"^[A-Za-z0-9_](?:[\w.-]*\w)?(?:/[A-Za-z0-9_](?:[\w.-]*\w)?)?$", re.ASCII)
_LICENSE_NAME = re.compile(r"^[a-z0-9][a-z0-9.+-]*$")
_CODE = re.compile(r"^[a-z]{2,3}$")
_WIDGET_INPUTS = frozenset({"text", "src", "messages", "structured_data", "table", "sentences"})
_WIDGET_TEXTS = ("text", "context", "example_title", "group", "src", "source_sentence")


def key_problems(data: Data) -> Iterator[Problem]:
    """The problems of every key but model-index."""
    for key in data:
        near = nearest(key, hub_terms.KEYS)
        if key not in hub_terms.KEYS and near and key not in (*_TEXTS, *_LISTS):
            yield warning(key, "the Hub does not know this key", f"Did you mean {near}?")
    for key in _TEXTS:
        if data.get(key) is not None and not isinstance(data[key], str):
            yield _no_text(key)
    for key in _LISTS:
        yield from _list_shape(key, data.get(key))
    yield from _language(data)
    yield from _license(data)
    yield from _one_of("pipeline_tag", data, hub_terms.PIPELINE_TAGS, "task", warning)
    yield from _base_model(data)
    for key in ("base_model", "datasets", "new_version"):
        yield from _ids(key, data.get(key))
    yield from _metrics(data)
    yield from _tags(data)
    yield from _widget(data)


def items(key: str, value: object) -> Iterator[tuple[str, str]]:
    """Each text of a text or a list of texts, with the key that names its place."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, list):
        for at, item in enumerate(value):
            if isinstance(item, str):
                yield f"{key}[{at}]", item


def _meant(word: str, known: Collection[str]) -> str:
    near = nearest(word, known)
    return f"Did you mean {near}?" if near else ""


def _no_text(key: str) -> Problem:
    return error(key, "it is no text", "Quote it.")


def _list_shape(key: str, value: object) -> Iterator[Problem]:
    if value is None or isinstance(value, str) or (key == "language" and value is False):
        return
    if not isinstance(value, list):
        yield error(key, "it is neither a text nor a list of texts", "Quote it.")
        return
    for at, item in enumerate(value):
        if not isinstance(item, str) and not (key == "language" and item is False):
            yield _no_text(f"{key}[{at}]")
    texts = [item for item in value if isinstance(item, str)]
    if len(set(texts)) < len(texts):
        again = next(text for text in texts if texts.count(text) > 1)
        yield warning(key, f"{again} is in it twice", "Keep it once.")


def _language(data: Data) -> Iterator[Problem]:
    known = hub_terms.ISO_639_1 | hub_terms.SPECIAL_LANGUAGES
    for key, code in items("language", data.get("language")):
        if code in known or (len(code) == 3 and _CODE.match(code)):
            continue
        what = f"{code!r} is no language code of ISO 639"
        meant = hub_terms.COUNTRIES.get(code) or re.split("[-_]", code.lower())[0]
        if code in hub_terms.COUNTRIES:
            yield error(key, f"{what}, but a country's", f"Did you mean {meant}?")
        elif meant in hub_terms.ISO_639_1 and meant != code:
            cure = f"Use {meant} here, and give {code} in language_bcp47."
            yield error(key, what, cure)
        else:
            yield error(key, what, "Use a code such as en, or multilingual, or code.")


def _license(data: Data) -> Iterator[Problem]:
    found = list(items("license", data.get("license")))
    for key, given in found:
        if given not in hub_terms.LICENSES:
            cure = _meant(given, hub_terms.LICENSES) or (
                "Use `other`, with license_name and license_link."
            )
            yield error(key, f"{given!r} is no licence that the Hub knows", cure)
    name, link = data.get("license_name"), data.get("license_link")
    other = any(given == "other" for _, given in found)
    if other and not name:
        yield error("license_name", "it is missing: the licence is `other`", "Name the licence.")
    if not other and (name or link):
        what = "the Hub shows it with `license: other` only"
        yield warning("license_name" if name else "license_link", what, "Leave it out.")
    if isinstance(name, str) and not _LICENSE_NAME.match(name):
        cure = "Write it as an id, such as my-license-1.0."
        yield warning("license_name", f"{name!r} is no id", cure)
    if isinstance(link, str) and not hub_terms.LICENSE_LINK.match(link):
        cure = "Give an http(s) address, or LICENSE for the file of that name in the repository."
        yield error("license_link", f"{link!r} is no address", cure)


def _one_of(
    key: str,
    data: Data,
    known: Collection[str],
    noun: str,
    problem: Callable[[str, str, str], Problem],
) -> Iterator[Problem]:
    value = data.get(key)
    if isinstance(value, str) and value not in known:
        what = f"{value!r} is no {noun} of the Hub"
        yield problem(key, what, _meant(value, known) or f"One of them is {min(known)}.")


def _base_model(data: Data) -> Iterator[Problem]:
    yield from _one_of(
        "base_model_relation", data, hub_terms.BASE_MODEL_RELATIONS, "relation", error
    )
    if data.get("base_model_relation") is not None and not data.get("base_model"):
        what = "there is no base_model that it could be of"
        yield warning("base_model_relation", what, "Name the base model, or leave it out.")


def _ids(key: str, value: object) -> Iterator[Problem]:
    for place, text in items(key, value):
        if not is_repo_id(text):
            noun = "dataset" if key == "datasets" else "model"
            what = f"{text!r} is no id of a {noun} on the Hub"
            yield error(place, what, "Give it as OWNER/NAME, or leave it out.")


def is_repo_id(text: str) -> bool:
    """Whether a repository can be called so: NAME or OWNER/NAME, as huggingface_hub checks it."""
    if len(text.rsplit("/", 1)[-1]) > 96 or "--" in text or ".." in text or text.endswith(".git"):
        return False
    return _ID.match(text) is not None


def _metrics(data: Data) -> Iterator[Problem]:
    for key, name in items("metrics", data.get("metrics")):
        if name not in hub_terms.METRICS:
            cure = _meant(name, hub_terms.METRICS) or "See https://hf.co/metrics for its ids."
            yield warning(key, f"{name!r} is no metric of the Hub", cure)


def _tags(data: Data) -> Iterator[Problem]:
    for key, tag in items("tags", data.get("tags")):
        if not tag.strip() or len(tag.splitlines()) > 1:
            yield error(key, "it is empty, or more than a line", "A tag is a word or two.")
        elif len(tag) > MAX_TAG:
            what = f"it has {len(tag)} characters, more than {MAX_TAG}"
            yield error(key, what, "A tag is a word or two.")


def _widget(data: Data) -> Iterator[Problem]:
    widget = data.get("widget")
    if widget is None:
        return
    if not isinstance(widget, list):
        yield error("widget", "it is no list of examples", "Write `- text: ...` below it.")
        return
    for at, example in enumerate(widget):
        yield from _example(f"widget[{at}]", example, data.get("pipeline_tag"))


def _example(key: str, example: object, task: object) -> Iterator[Problem]:
    if not isinstance(example, dict):
        yield error(key, "it is no example", "Write `- text: ...`.")
        return
    for name in _WIDGET_TEXTS:
        value = example.get(name)
        if name in example and not (isinstance(value, str) and value.strip()):
            yield error(f"{key}.{name}", "it is no text, or an empty one", "Quote it.")
    if not _WIDGET_INPUTS & set(example):
        yield error(key, "it has no input", "Give it a text.")
    if task == "question-answering" and "context" not in example:
        what = "it has a question and no text to find the answer in"
        yield error(f"{key}.context", what, "Give the text as context.")
