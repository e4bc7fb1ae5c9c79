"""Making text of unknown origin safe inside Markdown: no HTML, no broken table, no front matter.

Everything given back is `markupsafe.Markup`, which here means "Markdown that is ready": the Jinja
environment of `hubkit.cards.environment` lets it pass and sends all other values through `plain`.
"""

from __future__ import annotations

import json
import re
from unicodedata import category

from markupsafe import Markup

# Punctuation that CommonMark, GitHub or the Hub's math could take for markup. A pipe is not among
# them: it becomes an entity, because renderers disagree about `\|` after a backslash.
_SPECIAL = re.compile(r"([\\`*_\[\]~$])")
# What would begin a heading, a list, a rule or an underline, were it the first thing on its line.
_LEADING = re.compile(r"^ ?(?:\d+(?=[.)](?: |$))|(?=#{1,6}(?: |$)|[+-](?: |$)|[=-]+ ?$))")
# But for the spaces that keep a number or a name on one line.
_LINE_BREAKS = re.compile(r"(?:[^\S\xa0\u202f]|[\x00-\x1f\x7f\x85\u2028\u2029])+")
# `<` that begins a tag, a comment or a declaration, but not an autolink such as <https://example.org>.
_TAG = re.compile(r"<(?=[A-Za-z/!?])(?!https?://)")
_CODE_SAFE = re.compile(r"^[^`|]+$")


def one_line(value: str) -> str:
    """The text with every run of white space and control characters turned into one space."""
    return _LINE_BREAKS.sub(" ", value).strip()


def plain(value: str) -> Markup:
    """Text of unknown origin, shown literally and on one line, in a paragraph or a table cell."""
    # A space at either end stays: templates print separators too.
    text = (
        _LINE_BREAKS.sub(" ", value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    )
    text = _SPECIAL.sub(r"\\\1", text).replace("|", "&#124;")
    # A digit cannot be escaped, the dot after it can.
    return Markup(_LEADING.sub(lambda match: match.group(0) + "\\", text))


def code(value: str) -> Markup:
    """An identifier in code type. Where a code span could not hold it, because renderers disagree
    about its back-quotes and pipes, as the HTML element that such a span becomes."""
    text = one_line(value)
    if _CODE_SAFE.match(text):
        return Markup(f"`{text}`")
    return Markup(f"<code>{plain(text)}</code>") if text else plain(text)


def prose(value: str) -> Markup:
    """The author's Markdown for a table cell: links and emphasis stay, HTML and breaks do not."""
    text = _TAG.sub("&lt;", one_line(value))
    return Markup(text.replace("\\|", "|").replace("|", "&#124;"))


def paragraphs(value: str) -> Markup:
    """The author's Markdown as paragraphs of its own; HTML is shown, not obeyed."""
    return Markup(_TAG.sub("&lt;", value.strip()))


def _target(url: str | None) -> str | None:
    """The address as Markdown can hold it; None where it is not one that is safe to link to."""
    if url is None or not re.match(r"^(https?://|/(?!/))\S+$", url):
        return None
    return url.translate({ord(c): f"%{ord(c):02X}" for c in "<>()|\\`\"'[]"})


def link(text: str, url: str | None) -> Markup:
    """`text` linking to `url`; the text alone where there is no address that is safe to link to."""
    target = _target(url)
    return Markup(f"[{plain(text)}]({target})") if target else plain(text)


def revision(sha: str, url: str | None = None) -> Markup:
    """A commit or digest in code type, cut to 12 digits: whole ones are too wide for a phone.

    A commit links to the repository at that commit, where `url` is the repository's address.
    """
    shown = code(sha[:12] if re.fullmatch(r"[0-9a-f]{40,64}", sha) else sha)
    is_commit = re.fullmatch(r"[0-9a-f]{40}", sha)
    target = _target(f"{url}/tree/{sha}") if url and is_commit else None
    return Markup(f"[{shown}]({target})") if target else shown


def fenced(value: str, language: str) -> Markup:
    """A code block whose fence is longer than any run of backticks inside."""
    runs = [len(run) for run in re.findall(r"`+", value)]
    fence = "`" * max(3, *(n + 1 for n in runs), 3)
    body = value.strip("\n")
    return Markup(f"{fence}{language}\n{body}\n{fence}")


def literal(value: str) -> str:
    """A Python string literal, for code that the card prints."""
    return json.dumps(value, ensure_ascii=False)


def slug(title: str) -> Markup:
    """The anchor that the Hub gives a heading, as github-slugger makes it: lower case, spaces as
    `-`, and of the rest letters, marks and digits of any script, `-` and `_`."""
    kept = ("-" if c == " " else c if c in "-_" or category(c)[0] in "LMN" else "" for c in title)
    return Markup("".join(kept).lower())
