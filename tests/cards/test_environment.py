"""A template's mistakes are errors that say where, and data cannot pass for Markdown."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubkit.cards.environment import TemplateError, render


def write(folder: Path, text: str, name: str = "x.md.j2") -> tuple[Path]:
    (folder / name).write_text(text, encoding="utf-8")
    return (folder,)


def test_an_unknown_name_is_an_error_with_template_line_and_names(tmp_path: Path) -> None:
    folders = write(tmp_path, "one\n{{ title }}\n{{ titel }}\n")
    with pytest.raises(TemplateError, match=r"x\.md\.j2, line 3: 'titel' is undefined") as caught:
        render("x.md.j2", {"title": "t", "notes": ""}, folders)
    assert "notes, title" in caught.value.hint


def test_an_unknown_attribute_in_an_if_is_an_error_too(tmp_path: Path) -> None:
    folders = write(tmp_path, "{% if title.nothing %}x{% endif %}")
    with pytest.raises(TemplateError, match=r"line 1.*nothing"):
        render("x.md.j2", {"title": "t"}, folders)


def test_a_syntax_error_names_template_and_line(tmp_path: Path) -> None:
    folders = write(tmp_path, "a\n{% if %}\n")
    with pytest.raises(TemplateError, match=r"x\.md\.j2, line 2: "):
        render("x.md.j2", {}, folders)


def test_a_template_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"no template gone\.md\.j2") as caught:
        render("gone.md.j2", {}, (tmp_path,))
    assert str(tmp_path) in caught.value.hint


def test_data_is_escaped_without_being_asked(tmp_path: Path) -> None:
    folders = write(tmp_path, "{{ label }}{% for x in labels %}{{ x }}{{ ', ' }}{% endfor %}")
    text = render("x.md.j2", {"label": "<b>|", "labels": ["*a*"]}, folders)
    assert text == "&lt;b&gt;&#124;\\*a\\*, "


def test_a_users_folder_overrides_a_block(tmp_path: Path) -> None:
    folders = write(
        tmp_path,
        '{% extends "base.j2" %}{% block b %}mine, {{ super() }}{% endblock %}',
        "child.j2",
    )
    write(tmp_path, "{% block b %}**theirs** {{ x }}{% endblock %}", "base.j2")
    assert render("child.j2", {"x": "*"}, folders) == "mine, **theirs** \\*"
