"""Repositories that show all that a page can show, and one by somebody who means harm."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

from hubkit.hub.server.embedded import EmbeddedHub
from hubkit.hub.session import default_endpoint

RICH, HOSTILE = "ana/distilbert-int8", "ana/hostile"
_SWITCH = "[English](README.md) · [中文](README.zh.md) · [العربية](README.ar.md)"
_FRONT = """---
license: apache-2.0
language: [en]
pipeline_tag: token-classification
tags: [int8, onnx, quantized]
datasets: [eriktks/conll2003]
model-index:
- name: distilbert
  results:
  - task: {type: token-classification}
    dataset: {name: CoNLL-2003, type: eriktks/conll2003}
    metrics: [{type: f1, name: F1, value: 0.9412}, {type: accuracy, name: Accuracy, value: 0.986}]
---
"""
_TABLE = """
| variant | F1 | size | p50 at batch 1 | throughput at batch 8 | flips |
|---|--:|--:|--:|--:|--:|
| fp32 | 0.9441 | 265.5 MB | 21.4 ms | 91.0 /s | |
| onnx-int8-static | 0.9412 | 67.2 MB | 7.9 ms | 271.3 /s | 112 of 51,362 |

```python
from optimum.onnxruntime import ORTModelForTokenClassification
model = ORTModelForTokenClassification.from_pretrained("ana/distilbert-int8", file_name="m.onnx")
```
"""
MEAN = "<script>alert(1)</script><b onmouseover=alert(2)>\u202egnp.exe\u202c\"'&lt;"
MEAN_CARD = """---
license: mit
tags: ["<img src=x onerror=alert(3)>", "a\\" onload=\\"alert(4)"]
---
# <script>alert(5)</script> Title

<style>body{display:none}</style>
<div style="position:fixed;inset:0;background:red" class="bar" id="top">over it all</div>
<svg onload=alert(6)><script>alert(7)</script></svg><math><mtext><script>alert(8)</script></math>
<iframe srcdoc="<script>alert(9)</script>"></iframe><object data="data:text/html,x"></object>
<form action="https://example.invalid"><input name=token><button>Sign in</button></form>
<meta http-equiv="refresh" content="0;url=https://example.invalid"><base href="https://example.invalid">
<a href="javascript:alert(10)">a</a> <a href=" java&#10;script:alert(11)">b</a>
[c](javascript:alert(12)) [d](data:text/html;base64,PHNjcmlwdD4=) [e](//example.invalid/x)
![f](x" onerror="alert(13)) <img src=x onerror=alert(14)> <a href="../../../../login">g</a>
<details open ontoggle=alert(15)><summary>s</summary></details>
<a href="vbscript:alert(16)">h</a> <img src="/api/repos/delete"> <p onclick=alert(17)>i</p>

| a | b |
|---|---|
| <img src=x onerror=alert(18)> | `<script>` |
"""


def text_of(language: str) -> str:
    """A card in a language, with a switch to the others."""
    title = {"en": "INT8 DistilBERT", "zh": "INT8 量化的 DistilBERT", "ar": "نموذج مُكمَّم"}
    own = {"en": "English", "zh": "中文", "ar": "العربية"}[language]
    path = "README.md" if language == "en" else f"README.{language}.md"
    switch = _SWITCH.replace(f"[{own}]({path})", f"**{own}**")
    body = f"{switch}\n\n# {title[language]}\n\n{_TABLE}\n"
    body = f'<div dir="rtl">\n\n{body}\n</div>\n' if language == "ar" else body
    return _FRONT + body if language == "en" else body


def fill(hub: EmbeddedHub, api: HfApi) -> None:
    """Both repositories, with history, branches, tags, talk and downloads."""
    with default_endpoint(hub.endpoint):
        _rich(hub, api)
        _hostile(api)


def _commit(api: HfApi, repo: str, title: str, files: dict[str, bytes], **more: object) -> str:
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        CommitOperationAdd(path, data) for path, data in files.items()
    ]
    return api.create_commit(repo, operations, commit_message=title, **more).oid  # type: ignore[arg-type, no-any-return]


def _rich(hub: EmbeddedHub, api: HfApi) -> None:
    api.create_repo(RICH)
    cards = {
        "README.md": text_of("en"),
        "README.zh.md": text_of("zh"),
        "README.ar.md": text_of("ar"),
    }
    config = "".join(f'  "key_{n}": {n},\n' for n in range(60))
    _commit(
        api,
        RICH,
        "Publish distilbert-conll03: PyTorch INT8 and ONNX INT8",
        {
            **{path: text.encode() for path, text in cards.items()},
            "config.json": f"{{\n{config}}}\n".encode(),
            "pytorch_model.bin": b"\0weights" * 90_000,
            "onnx/model.onnx": b"\0graph" * 80_000,
            "onnx/a-long-folder-name/another/deep-file-with-a-rather-long-name-in-it.json": b"{}",
            "tokenizer.json": b"{}",
        },
    )
    api.create_tag(RICH, tag="v1.0")
    for n in range(55):
        _commit(api, RICH, f"Run {n} of the benchmark", {"results.json": b'{"run": %d}\n' % n})
    changed = config.replace('"key_7": 7', '"key_7": 77').replace('  "key_9": 9,\n', "")
    _commit(
        api,
        RICH,
        "Change the configuration\n\nWhy: it was wrong.",
        {
            "config.json": f"{{\n{changed}}}\n".encode(),
        },
    )
    api.create_commit(
        RICH,
        [
            CommitOperationAdd("tokenizer/tokenizer.json", b"{}"),
            CommitOperationDelete("tokenizer.json"),
        ],
        commit_message="Move the tokenizer",
    )
    api.create_branch(RICH, branch="feature/slashed name".replace(" ", "-"))
    made = api.create_pull_request(RICH, "Add a license file", description="Please **merge** this.")
    _commit(api, RICH, "Add LICENSE", {"LICENSE": b"MIT\n"}, revision=made.git_reference)
    api.comment_discussion(RICH, made.num, "Looks good, see [the config](config.json).")
    done = api.create_pull_request(RICH, "Say what was measured", description="")
    _commit(api, RICH, "Say it", {"notes.md": b"# Measured\n"}, revision=done.git_reference)
    api.change_discussion_status(RICH, done.num, "open")
    api.merge_pull_request(RICH, done.num)
    api.create_discussion(RICH, "Which CPU was this measured on?", description="It is fast.")
    folder = hub.root / "repos" / "models" / f"{RICH}.git" / "downloads"
    _downloads(folder)


def _downloads(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    today = datetime.now(timezone.utc).date()
    for back in range(45):
        day = today - timedelta(days=back)
        (folder / day.isoformat()).write_bytes(b"." * (3 + back * 7 % 31))


def _hostile(api: HfApi) -> None:
    api.create_repo(HOSTILE)
    _commit(
        api,
        HOSTILE,
        MEAN,
        {
            "README.md": MEAN_CARD.encode(),
            "<img src=x onerror=alert(1)>.txt": MEAN.encode(),
            "\u202efdp.exe": b"right to left",
            "a'\"b&c.json": b'{"a": "</pre><script>alert(1)</script>"}\n',
            'README.x"y.md': b"# no language",
            "%2e%2e%2f#?.txt": b"odd for an address",
            "evil.svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        },
    )
    _commit(api, HOSTILE, "x" * 3000, {"a'\"b&c.json": b'{"a": "<script>"}\n'})
    made = api.create_discussion(HOSTILE, MEAN[:150], description=MEAN_CARD)
    api.comment_discussion(HOSTILE, made.num, "<script>alert(1)</script>" * 3)
    api.rename_discussion(HOSTILE, made.num, "<b>renamed</b>")
    api.create_branch(HOSTILE, branch="b<i>x</i>\"'&")
    api.create_tag(HOSTILE, tag="t<script>", tag_message=MEAN)


PAGES = (
    "",
    "?lang=zh",
    "?lang=ar",
    "/tree/main",
    "/tree/main/onnx",
    "/blob/main/config.json",
    "/blob/main/README.zh.md",
    "/commits/main",
    "/commits/main?p=1",
    "/branches",
    "/discussions",
    "/discussions?status=closed",
    "/discussions/1",
    "/discussions/2",
    "/discussions/3",
)
