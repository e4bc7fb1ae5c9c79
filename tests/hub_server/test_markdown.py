"""Markdown of cards: what the Hub renders, in any script, and nothing that harms."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from hubkit.hub.server.markdown import render, render_linked
from hubkit.hub.server.slugs import Slugs, slug

SAFE_TAGS = {
    *("a", "b", "blockquote", "br", "code", "div", "em", "h1", "h2", "h3", "hr", "img", "input"),
    *("li", "ol", "p", "pre", "section", "span", "strong", "sup", "table", "tbody", "td", "th"),
    *("thead", "tr", "ul", "s", "details", "summary"),
}
SAFE_ATTRIBUTES = {
    *("align", "alt", "checked", "class", "dir", "disabled", "height", "href", "id", "lang"),
    *("loading", "open", "rel", "src", "style", "title", "type", "width"),
}


class Elements(HTMLParser):
    """The elements of a page with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def shown(markdown: str) -> str:
    return render(markdown, folder="", page_url="/P/", file_url="/F/")


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Model details", "model-details"),
        ("heading with a - dash", "heading-with-a---dash"),
        ("a_b.c (d), e!", "a_bc-d-e"),
        ("en–dash", "endash"),
        ("I ♥ unicode", "i--unicode"),
        ("模型细节（INT8）", "模型细节int8"),
        ("校准、量化：每通道", "校准量化每通道"),
        ("Профили пользователей", "профили-пользователей"),
        ("Оценка «на глаз»", "оценка-на-глаз"),
        ("السرعة، بالأرقام؟", "السرعة-بالأرقام"),
        # The marks of direction, right to left and left to right, are no part of a name.
        ("\u200fالسرعة\u200e", "السرعة"),
        ("دقّة", "دقّة"),
        ("モデルの詳細・ライセンス", "モデルの詳細ライセンス"),
        ("ラーメン", "ラーメン"),
        ("ٱلنِّسبة ٩٥ ٪", "ٱلنِّسبة-٩٥-"),
        ("Größe in MB", "größe-in-mb"),
        ("½ Ⓐ", "-ⓐ"),
        ("", ""),
    ],
)
def test_ids_of_headings_are_those_of_github(title: str, expected: str) -> None:
    assert slug(title) == expected


def test_ids_are_unique_in_the_way_of_github() -> None:
    slugs = Slugs()
    titles = ["echo", "echo", "echo 1", "echo-1", "echo", "foxtrot-1", "foxtrot", "foxtrot"]
    assert [slugs.of(title) for title in titles] == [
        *("echo", "echo-1", "echo-1-1", "echo-1-2", "echo-2"),
        *("foxtrot-1", "foxtrot", "foxtrot-2"),
    ]


def test_a_heading_s_id_is_of_what_is_read_of_it() -> None:
    html = shown("## The `a_b` of *c* and [d](x.md)\n\n###### 六\n")
    assert '<h2 id="the-a_b-of-c-and-d">' in html
    assert '<h6 id="六">' in html
    # A document starts anew.
    assert shown("# a\n") == shown("# a\n")


def test_an_anchor_and_its_heading_meet_in_every_script() -> None:
    from urllib.parse import unquote

    for title in ("速度", "السرعة والحجم", "Скорость"):
        html = shown(f"[x](#{slug(title)})\n\n## {title}\n")
        link, heading = re.findall(r'(?:href="#|id=")([^"]+)"', html)
        assert unquote(link) == heading == slug(title)


ARABIC = """<div dir="rtl" lang="ar">

## العنوان

| أ | ب |
|---|--:|
| 1 | `x` |

<div dir="ltr">

```python
x = 1
```

</div>

- بند

</div>
"""


def test_right_to_left_cards_keep_their_direction_around_markdown() -> None:
    html = shown(ARABIC)
    assert html.startswith('<div dir="rtl" lang="ar">\n<h2 id="العنوان">')
    assert '<div dir="ltr">\n<pre><code>x = 1\n</code></pre>\n</div>' in html
    assert html.rstrip().endswith("</ul>\n</div>")
    assert '<td style="text-align:right"><code>x</code></td>' in html


@pytest.mark.parametrize("tag", ["div", "p", "span", "td", "h2", "bdi", "table"])
def test_dir_and_lang_are_kept_on_any_element(tag: str) -> None:
    inside = f'<{tag} dir="RTL" lang="zh-Hans">x</{tag}>'
    html = shown(f"<table><tr>{inside}</tr></table>" if tag == "td" else inside)
    assert f'<{tag} dir="rtl" lang="zh-Hans">' in html


@pytest.mark.parametrize("junk", ["", "rtl;", "javascript:x", "left", "rtl ltr", '"onload=x'])
def test_junk_in_dir_and_lang_is_dropped(junk: str) -> None:
    quoted = junk.replace('"', "&quot;")
    html = shown(f'<div dir="{quoted}">a</div><div lang="{quoted};">b</div>')
    assert html == "<div>a</div><div>b</div>"


def test_tables_scroll_in_a_box_of_their_own() -> None:
    html = shown("| a |\n|---|\n| b |\n")
    assert html.startswith('<div class="table-box"><table>')
    assert html.endswith("</table></div>\n")


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("see https://example.org/a_(b).", ">https://example.org/a_(b)</a>."),
        ("write to a.b@example.org", 'href="mailto:a.b@example.org"'),
        ("~~gone~~", "<s>gone</s>"),
        ("- [x] done", 'type="checkbox" checked=""'),
        ("> [!WARNING]\n> mind", 'class="markdown-alert markdown-alert-warning"'),
        ("a[^1]\n\n[^1]: note", 'class="footnotes"'),
        ("| a |\n|---|\n| b \\| c |", "<td>b | c</td>"),
        ("[中文](README.zh.md)", 'href="/P/README.zh.md"'),
        ("[العربية](README.ar.md#السرعة)", 'href="/P/README.ar.md#%D8'),
        ("[![图](assets/s.png)](assets/s.svg)", '<a href="/P/assets/s.svg"'),
        ("[![图](assets/s.png)](assets/s.svg)", '<img src="/F/assets/s.png" alt="图"'),
        ("![a](<assets/a b.png>)", 'src="/F/assets/a%20b.png"'),
        ("<details open><summary>more</summary>\n\n**x**\n\n</details>", "<details open="),
    ],
)
def test_what_the_hub_renders(markdown: str, html: str) -> None:
    assert html in shown(markdown)


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)><script>x</script></svg>",
    "<a href='javascript:alert(1)'>x</a>",
    "<a href='JaVa\tScript:alert(1)'>x</a>",
    "<a href=' &#1;javascript:alert(1)'>x</a>",
    "[x](javascript:alert(1)) [y](data:text/html,x) ![z](data:text/html,x)",
    "<a href='data:text/html;base64,eA=='>x</a>",
    "<img src='javascript:x'><img src='file:///etc/passwd'>",
    "<div dir='rtl' onclick='x' style='position:fixed;inset:0' class='bar wrap'>x</div>",
    "<div dir=\"rtl' onmouseover='x\" id=x>y</div>",
    "<style>*{display:none}</style><link rel=stylesheet href=x><meta http-equiv=refresh>",
    "<base href='https://evil.example/'><iframe srcdoc='<script>x</script>'></iframe>",
    "<form action='https://evil.example/'><input type=image src=x><button>x</button></form>",
    "</article></main></body><p>after",
    "<math><mtext><table><mglyph><style><img src=x onerror=x></style></mglyph></table></math>",
    "<noscript><p title='</noscript><img src=x onerror=x>'></noscript>",
    "<p align='left' style='text-align:right;background:url(//evil.example/x)'>x</p>",
    "<img width='9999999' height='expression(x)' src='a.png'>",
    "# <img src=x onerror=alert(1)>\n\n| <script>x</script> |\n|---|\n| <b onclick=x>y</b> |",
    "`<script>x</script>`\n\n```html\n<script>x</script>\n```\n\n    <script>x</script>",
    "> [!NOTE]<script>x</script>\n> x",
    "[^1]\n\n[^1]: <script>x</script>",
    "[x](//evil.example/a) [y](/\\evil.example) [z](..\\..\\x) [w](%2e%2e/%2e%2e/x)",
]


@pytest.mark.parametrize("card", HOSTILE)
def test_hostile_cards_do_nothing(card: str) -> None:
    html = shown(card)
    for tag, attributes in Elements(html).found:
        assert tag in SAFE_TAGS, html
        assert set(attributes) <= SAFE_ATTRIBUTES, html
        assert re.fullmatch(r"(text-align:\w+)?", attributes.get("style") or ""), html
        for name in ("href", "src"):
            value = (attributes.get(name) or "").strip().lower()
            assert not re.match(r"(javascript|data|file|vbscript):", value), html
            assert "\\" not in value, html
            assert ".." not in value, html
        if tag == "img":
            assert len(attributes.get("width") or "") <= 5, html
        assert (attributes.get("class") or "") not in ("bar", "wrap", "bar wrap"), html


def test_a_link_that_is_refused_has_no_address() -> None:
    html = render_linked("[a](x) ![b](y)", page_of=lambda _: None, file_of=lambda _: None)
    assert "href" not in html
    assert "src" not in html
    assert 'alt="b"' in html
